#pragma once

#include "journal/store.hpp"

namespace titip::journal {

/// Reads every envelope again, slowly and when nothing else is done, so that rot is found while the
/// bytes can still be had elsewhere. A rotten record that waits is set aside; of one that the next
/// custodian holds only the ledger tells. Each pass ends with an audit.
/// Threads: the socket thread; reading is done on the store's pool.
class scrubber {
public:
    /// In the store's directory. It goes where a store begins as a copy: it tells of other bytes.
    static constexpr const char* progress_name = "scrub";

    struct options {
        /// How far it has come, kept beside the store: losing it only means to begin again.
        std::filesystem::path progress;
        std::uint64_t bytes_per_s =
            1u << 20; ///< 64 GiB take 18 hours; an office disk does 100 times that
        milliseconds between_passes = 24h; ///< from the start of one to the start of the next
        milliseconds when_busy = 1s;       ///< after anything was committed
        /// Whether someone repairs this record, or notes that it is rotten; null: nobody.
        std::function<bool(place)> repair{};
    };
    struct view {
        /// When the bytes that were not looked at for longest were looked at, or came; zero: none are here.
        wall_time oldest_check{};
        wall_time pass_began{};
        std::uint64_t checked_records = 0;    ///< in this process
        std::uint64_t rotten_records = 0;     ///< in this process
        std::vector<std::string> differences; ///< that the newest audit named
    };

    /// Its progress is written on `pool`: syncing a file would stop the sockets.
    scrubber(store& of, asio::thread_pool& pool, options opts);

    /// Until cancelled.
    asio::awaitable<void> run();
    const view& now() const noexcept { return view_; }

private:
    asio::awaitable<void> look_at(const record_view& record);
    asio::awaitable<void> end_pass();
    void load();
    asio::awaitable<void> save();

    store& store_;
    asio::thread_pool& pool_;
    options opts_;
    view view_;
    place after_{};              ///< looked at in this pass up to here
    wall_time previous_began_{}; ///< what lies behind it was looked at then; zero: never
};

} // namespace titip::journal
