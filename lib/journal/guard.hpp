#pragma once

#include "journal/marker.hpp"

namespace titip::journal {

/// Ends the process, with the reason in the marker and in the log, when reading the store does what
/// no return value can say: a page that the disk does not give is SIGBUS, a pointer out of a bad page
/// SIGSEGV, a page that contradicts itself an assertion of LMDB.
///
///     while the store is being opened    SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT: the store's
///     from then on                       SIGBUS in its map, SIGSEGV there or up to 4 GiB behind; any
///                                        other place is a fault of ours, and the process dies as it
///                                        would
///     at any time                        an assertion of LMDB; never what another process sends
///
/// Handlers run on a stack of their own in every thread that has had a transaction, and use only what
/// a signal handler may. Exit code 7.
/// Lifetime: one a process; the marker outlives it.
class guard {
public:
    explicit guard(marker& where);
    guard(const guard&) = delete;
    ~guard();

    void end_opening() noexcept;
};

/// What LMDB maps of this file is the store's from now on; nothing is, for an empty path.
void note_map(const std::filesystem::path& data_file);

/// Gives the calling thread a stack for the handlers, once.
void prepare_thread();

/// Says the reason and ends the process, if there is a guard.
void on_assertion(std::string_view what) noexcept;

} // namespace titip::journal
