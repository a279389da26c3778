#pragma once

#include "base/bell.hpp"
#include "base/pool.hpp"
#include "bundle/folder.hpp"
#include "journal/store.hpp"
#include "mirror/plan.hpp"

#include <filesystem>

namespace titip::mirror {

/// Keeps a folder on a second disk such that it has a file (see bundle) of every record whose bytes
/// the journal has, and repairs from it what rots in the journal. What is done when is the plan's to
/// decide; this carries it out.
///
/// The folder counts as mounted if it is on another device than the store. Rationale: the folder
/// of a disk that was pulled out is there still, empty, on the first disk; a copy there would be
/// none, and would fill it.
///
/// Accepting never waits for this: one record at a time is read through the store's pool, and all
/// that touches the second disk, which may be slow or hang, is done on a thread of its own.
/// Memory: one record, twice for a moment, and the plan's lists.
/// Threads: the socket thread; its own for the disk. A disk that hangs keeps the destructor waiting.
class second_copy {
public:
    struct options {
        std::filesystem::path folder; ///< normal, without a slash at its end
        std::filesystem::path store;  ///< the journal's directory
        plan::options pace;
    };

    second_copy(asio::any_io_executor on, options opts, journal::store& store);

    /// Until cancelled.
    asio::awaitable<void> run();

    void on_change(const journal::change& what);

    /// True: a repair is tried now, and if it fails the journal is told that the record is rotten:
    /// who found it has nothing more to do. False: there is no copy to be had.
    bool take_rotten(journal::place at);

    const std::filesystem::path& folder() const noexcept { return opts_.folder; }
    plan::report now() const { return plan_.now(); }

private:
    asio::awaitable<void> carry_out(plan::step what);
    asio::awaitable<void> list();
    asio::awaitable<void> scan(journal::place after);
    asio::awaitable<void> write(journal::place at);
    asio::awaitable<void> erase(journal::place at);
    asio::awaitable<void> repair(journal::place at);
    asio::awaitable<error_code> try_repair(journal::place at);
    asio::awaitable<void> check();
    asio::awaitable<void> give_up_repairs();
    asio::awaitable<void> note_rot(journal::place at);
    asio::awaitable<result<bytes>> read_envelope(const journal::record_view& of);
    void note_trouble(const error_code& why);
    void tell_news();

    asio::any_io_executor on_;
    options opts_;
    journal::store& store_;
    plan plan_;
    bell changed_;
    std::filesystem::path newest_file_; ///< the last one known to be there: whether it still is
    journal::place noting_{};           ///< its change is our own
    asio::thread_pool disk_{1};
};

/// Whether `folder` is there, and on another device than `store`; else errc::folder_missing, or
/// what the system says.
result<void> check_mounted(const std::filesystem::path& folder, const std::filesystem::path& store);

} // namespace titip::mirror
