#pragma once

#include "journal/store.hpp"

#include <atomic>

namespace titip::journal {

/// Whether the store of a directory may be opened, told from one process to the next in the file
/// `untrusted` beside it: one line that a person can read.
///
///     no                                    nothing is known against it
///     opening count=1 since_ms=...          a process began to open it, and has not said more
///     yes since_ms=... why=...              safe mode, until an operator says otherwise
///
/// The file is made while all is well and is one sector, written in place: on a disk that fails a new
/// file might not be had. Removing it says `no`.
/// Threads: distrust() from any, and from signal handlers; the others from one.
class marker {
public:
    /// Openings in a row that came to no end before the store is not tried again. What a bad store
    /// does to a process says `yes` by itself (see guard); this is for what nobody foresaw. Not one:
    /// SIGKILL and power cuts, while a store is opened, say nothing against it.
    static constexpr unsigned most_openings = 8;

    /// In the store's directory.
    static constexpr auto file_name = "untrusted";

    struct doubt {
        wall_time since{};
        std::string why;
    };

    /// Makes the file, and the directory, if there is none. Throws open_failure: in_use, unreadable,
    /// or untrusted if the disk does not let itself be written. On a full disk it goes without.
    explicit marker(const std::filesystem::path& directory);
    marker(const marker&) = delete;
    ~marker();

    /// What is known against the store.
    std::optional<doubt> standing() const;
    /// The same for who opens the store in the daemon's place: makes and locks nothing.
    static std::optional<doubt> standing_in(const std::filesystem::path& directory);

    /// Not synced: it outlives the process, which is what counts here.
    void begin_opening();
    /// The store was opened and has passed its first checks; or it was not the store's fault. Does
    /// nothing after distrust(), nor without begin_opening().
    void end_opening();

    /// Says `yes`, synced; the first reason stands. False: the disk did not take it. Safe in a signal
    /// handler.
    bool distrust(std::string_view why) noexcept;

    /// An operator's word: says `no`, synced.
    result<void> trust();
    /// Whether the doubt is of a store in whose place another one was put since: the file `restored`
    /// (see store::open()) is younger than it.
    bool is_of_another_store(const doubt& standing) const;
    /// The other one was not there after all: what was said of the first stands again, as of then.
    void put_back(const doubt& standing) noexcept;

private:
    class turn;
    static std::optional<doubt> read(int file, const std::filesystem::path& path);
    bool put(std::string_view line) const noexcept;

    std::filesystem::path path_;
    int file_ = -1;
    bool is_opening_ = false;
    std::atomic_flag is_taken_;
    std::atomic<bool> has_spoken_{false};
};

} // namespace titip::journal
