#pragma once

#include "base/file_system.hpp"
#include "node/config.hpp"
#include "node/mark.hpp"
#include "node/node.hpp"

#include <optional>
#include <string>
#include <vector>

/// Where stores come from, and how one that is absent is told from a first start.
///
/// A store is born only where that was asked for: by `titipd --create`, or by `titip restore`. The
/// mark beside the configuration file says that one was born.
///
/// Rationale: the folder that a disk is mounted on is there without the disk as well, and empty. What
/// was taken into a store that begins there would vanish from sight when the disk comes back. The
/// configuration lies on another disk than the store, where the store has one of its own.
///
/// Only root may write beside the configuration. So root writes the mark: by `--create`, and before
/// each start of the unit by `--adopt`, for a store that is older than marks are. What looks into a
/// store, or makes one, is a child process that has become the daemon's user: a damaged store may
/// end it, and a store of root's could not be opened.
namespace titip::node {

/// Why no store is here, and what to do, in one line.
std::string absence(const config& from, const mark_reading& found);

/// What holds [node] state, or what is there above it.
std::optional<fleeting> fleeting_of(const config& from);
/// In memory or in a container's layer a store is born only if [node] volatile says so.
std::optional<start_failure> refuse_fleeting(const config& from);

struct birth {
    bool was_there = false;
    std::string mark_why; ///< why its mark was not written, or does not fit; empty: all is well
};
/// `titipd --create`: an empty store in [node] state, and its mark. One that is there is not touched,
/// and gets a mark if it has none. As root, all of it is the daemon's user's: the owner of the state
/// directory, if that is not root, else of the key.
/// Fails where a mark is there and no store: that one is lost, or its disk is not mounted; and in a
/// directory that has other things in it.
/// Threads: forks, so before there are any.
result<birth, start_failure> create(const config& from);

/// `titipd --adopt`: a mark for a store that has none. Neither makes a store nor replaces a mark.
/// Nothing: there was nothing to do. Threads: as create().
result<std::optional<mark>, start_failure> adopt(const config& from);

/// After `titip restore`: whatever the mark said, the store that is here is the one from now on.
/// Threads: as create().
result<void, start_failure> replace_mark(const config& from);

/// What `titipd --check` says of store and mark, changing nothing. Threads: as create().
struct store_check {
    std::vector<std::string> warnings;
    std::vector<std::string> alarms; ///< what the daemon would run with, or wait for, as an alarm
};
store_check check_store(const config& from);

/// Who runs the daemon, as far as its files tell; whoever we are, unless we are root.
struct daemon_user {
    unsigned user = 0;
    unsigned group = 0;
    bool is_ours() const noexcept;
};
daemon_user find_daemon_user(const config& from);
/// For this process, for good.
result<void> become(const daemon_user& who);
/// [node] state is there, and that user's alone; the directory above it is never made. Refused where
/// it has other things in it than a store may.
std::optional<start_failure> prepare_state(const config& from, const daemon_user& who);

} // namespace titip::node
