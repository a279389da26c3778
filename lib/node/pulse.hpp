#pragma once

#include "base/activity.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace titip::node {

/// Decides what the service manager hears of this process: that it is well, that it needs more time, or
/// nothing, and then it is killed. Only a hang of our own may end so: a process that waits for its disk
/// is well, and would wait for the same disk after the restart.
///
///     the time of a thread counts against it only while something is asked of it, it does not come
///     round, and it is not at the disk; half a minute of small reads on a bad disk counts nothing
///     while it runs, only the processor time that it used counts: on a machine with too much to do it
///     may wait for a processor most of the time, and that is no hang
///     more than `step` twice between two looks counts as `step` twice: then we did not run either
///     (suspended, frozen, a machine that crawls), and neither did who is watched
///
/// Knows neither clock nor thread: a test takes it through hours in milliseconds.
class pulse {
public:
    enum class phase { starting, running, stopping };
    enum class who : std::uint8_t { socket_thread, writer };
    static constexpr std::size_t watched = 2;

    struct options {
        milliseconds step = 2s;      ///< between two looks
        milliseconds patience = 10s; ///< with a thread that hangs by itself
        /// A machine that is switched off does not wait for a broken disk for ever.
        milliseconds most_stopping = 5min;
    };
    /// What is seen of a thread.
    struct sight {
        std::uint64_t rounds = 0; ///< how often it has come round
        bool is_asked = true;     ///< whether it has anything to come round for
        activity::kind says = activity::kind::idle;
        whereabouts at = whereabouts::unknown;
        milliseconds cpu{}; ///< processor time used so far
    };
    struct decision {
        bool feeds = false;       ///< all is well
        bool extends = false;     ///< more time for starting or stopping
        std::optional<who> hangs; ///< newly: worth a line in the log
    };

    explicit pulse(options opts) : opts_(opts) {}

    decision on_look(instant now, phase in, const std::array<sight, watched>& seen);

    /// That the system says so, and that the thread does: where the system's word is not enough, as
    /// over FUSE or NFS, whose waits can be interrupted. One that runs, or waits for another thread,
    /// is not at the disk, whatever it says.
    static bool is_at_disk(const sight& of) noexcept;

    /// What must hold between two calls.
    void check() const;

private:
    struct thread {
        std::uint64_t rounds = 0;
        milliseconds own{}; ///< since it came round, without the time at the disk
        milliseconds cpu{}; ///< at the last look
        bool is_told = false;
    };
    options opts_;
    std::array<thread, watched> threads_;
    std::optional<instant> last_;
    std::optional<instant> stopping_since_;
};

} // namespace titip::node
