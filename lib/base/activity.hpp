#pragma once

#include "base/time.hpp"

#include <atomic>
#include <cstdint>

#include <sys/types.h>

namespace titip {

/// What a thread is about, said by itself, for another that watches whether it hangs: without a lock.
/// Threads: one says, any read.
class activity {
public:
    enum class kind : std::uint8_t {
        idle, ///< waits for work
        own,  ///< computes: nothing that should take long
        disk, ///< calls the disk, and nothing else
    };
    struct word {
        kind what = kind::idle;
        instant since{};
    };

    /// It is the calling thread that speaks from here on.
    void begin_thread() noexcept;
    ::pid_t thread() const noexcept { return thread_; } ///< 0: none yet
    void say(kind what) noexcept;
    word now() const noexcept;

    /// The longest that the disk had it wait, among what ended within the last hour.
    milliseconds slowest(instant now) const noexcept;

    /// At the disk, for the length of a scope; then what was said before.
    class at_disk {
    public:
        explicit at_disk(activity& of) noexcept;
        at_disk(const at_disk&) = delete;
        ~at_disk();

    private:
        activity& of_;
        kind before_;
    };

private:
    std::atomic<::pid_t> thread_{0};
    std::atomic<std::uint64_t> said_{
        0}; ///< since, in milliseconds, and the kind in the last two bits
    std::atomic<std::int64_t> slowest_ms_{0};
    std::atomic<std::int64_t> slowest_ended_ms_{0};
};

/// What the system says of a thread of this process.
enum class whereabouts {
    runs,    ///< or wants to
    lock,    ///< waits for another thread (futex)
    call,    ///< waits in another call, from which a signal could wake it
    disk,    ///< waits in the kernel, which no signal ends: a disk, or memory that comes from one
    unknown, ///< there is no /proc, or nothing readable in it
};

/// proc(5) `stat` and `wchan`: who is no longer dumpable may not read `syscall`, not even its own.
whereabouts look_at_thread(::pid_t thread) noexcept;

/// The processor time that a thread of this process has used, in steps of a clock tick (10 ms); 0: unknown.
milliseconds cpu_time_of(::pid_t thread) noexcept;

} // namespace titip
