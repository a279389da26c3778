#pragma once

#include "base/bell.hpp"
#include "base/pool.hpp"
#include "journal/store.hpp"
#include "mirror/disk.hpp"
#include "mirror/plan.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace titip::mirror {

/// Keeps a folder on a second disk such that it has a file (see bundle) of every record whose bytes
/// the journal has, reads each back and again, and repairs from it what rots in the journal. What is
/// done when is the plan's to
/// decide, and whether the folder is the second disk's is disk's; this carries it out.
///
/// Accepting never waits for this: one record at a time is read through the store's pool, and all
/// that touches the second disk, which may be slow or hang, is done on a thread of its own.
/// Memory: one record, twice for a moment, and the plan's lists.
/// Threads: the socket thread; its own for the disk. A disk that hangs keeps the destructor waiting.
class second_copy {
public:
    struct options {
        disk::whereabouts where;
        std::filesystem::path memory; ///< a file, of trouble: since when, and from which record on
        std::filesystem::path disks;  ///< a file, of what is known of each disk
        plan::options pace;
        milliseconds hangs_after = 60s; ///< with an operation that does not come back
    };

    /// `pool`, for files on the store's disk, must outlive this.
    second_copy(asio::any_io_executor on, options opts, journal::store& store,
                asio::thread_pool& pool);

    /// Until cancelled.
    asio::awaitable<void> run();
    /// Beside run(), until cancelled: notices a disk that hangs, and gives up what waits for it.
    asio::awaitable<void> watch();

    void on_change(const journal::change& what);

    /// True: a repair is tried now, and if it fails, or does not come back, the journal is told that
    /// the record is rotten: who found it has nothing more to do. False: there is no copy to be had.
    bool take_rotten(journal::place at);

    const std::filesystem::path& folder() const noexcept { return opts_.where.folder; }
    plan::report now() const;

private:
    template <class Act>
    asio::awaitable<std::invoke_result_t<Act, const disk&>> on_disk(Act act);
    asio::awaitable<void> carry_out(plan::step what);
    asio::awaitable<void> list();
    asio::awaitable<void> scan(journal::place after);
    asio::awaitable<void> write(journal::place at);
    asio::awaitable<void> erase(journal::place at);
    asio::awaitable<void> repair(journal::place at);
    asio::awaitable<error_code> try_repair(journal::place at);
    asio::awaitable<void> check();
    asio::awaitable<void> read_back(journal::place after);
    asio::awaitable<void> give_up_repairs();
    asio::awaitable<void> note_rot(journal::place at);
    asio::awaitable<void> remember();
    asio::awaitable<void> recall();
    asio::awaitable<void> remember_disks();
    asio::awaitable<void> recall_disks();
    void note_ruin(const journal::record_view& of);
    void note_trouble(const error_code& why, journal::place concerned = {});
    bool hangs() const;

    asio::any_io_executor on_;
    options opts_;
    journal::store& store_;
    asio::thread_pool& pool_;
    plan plan_;
    bell changed_;
    std::string disk_id_;               ///< as listed; empty: none is
    std::optional<instant> busy_since_; ///< with the disk
    bool has_hung_ = false;
    bool told_hanging_ = false;
    instant write_check_at_{}; ///< the next check that writes
    std::string remembered_;   ///< what the file has
    std::deque<disk_memory> remembered_disks_;
    instant remember_disks_at_{};  ///< the next time for what changes all the time
    std::uint64_t ruins_told_ = 0; ///< one by one, in this process
    journal::place noting_{};      ///< its change is our own
    asio::thread_pool disk_{1};
};

} // namespace titip::mirror
