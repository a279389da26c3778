#include "base/activity.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titip;

namespace {

/// As the daemon is: what it may read of itself in /proc is less than others may.
struct undumpable {
    int before = ::prctl(PR_GET_DUMPABLE);
    undumpable() { ::prctl(PR_SET_DUMPABLE, 0); }
    ~undumpable() { ::prctl(PR_SET_DUMPABLE, before); }
};

/// Where a thread is found that does `work` after it has told its number.
template <class Work>
void check_found(Work work, whereabouts wanted, const std::function<void()>& end)
{
    std::atomic<::pid_t> number{0};
    std::thread one{[&] {
        number = ::gettid();
        work();
    }};
    while (number == 0)
        std::this_thread::yield();
    // It is on its way there; a test that hangs here has found it elsewhere for good.
    while (look_at_thread(number) != wanted)
        std::this_thread::yield();
    end();
    one.join();
}

} // namespace

TEST_CASE("a thread is seen to run, to wait for another one, in a call, or in the kernel for good",
          "[activity]")
{
    const undumpable as_the_daemon;
    std::atomic<bool> stop{false};
    check_found(
        [&] {
            while (!stop)
                ;
        },
        whereabouts::runs, [&] { stop = true; });

    std::mutex held;
    held.lock();
    check_found([&] { const std::lock_guard wanted{held}; }, whereabouts::lock,
                [&] { held.unlock(); });

    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    char byte = 0;
    check_found([&] { REQUIRE(::read(pipe[0], &byte, 1) == 1); }, whereabouts::call,
                [&] { REQUIRE(::write(pipe[1], "", 1) == 1); });

#ifndef __SANITIZE_THREAD__ // whose runtime makes a fork of it
    // As in a call to a disk, no signal ends the wait of vfork(2) but one that kills.
    check_found(
        [&] {
            const auto child = ::vfork();
            if (child == 0) {
                char until = 0;
                [[maybe_unused]] const auto got = ::read(pipe[0], &until, 1);
                ::_exit(0);
            }
            ::waitpid(child, nullptr, 0);
        },
        whereabouts::disk, [&] { REQUIRE(::write(pipe[1], "", 1) == 1); });
#endif
    ::close(pipe[0]);
    ::close(pipe[1]);
    CHECK(look_at_thread(-1) == whereabouts::unknown);
}

TEST_CASE("a thread says what it is about, and how long the disk took at most", "[activity]")
{
    activity said;
    CHECK(said.now().what == activity::kind::idle);
    CHECK(said.thread() == 0);
    said.begin_thread();
    CHECK(said.thread() == ::gettid());
    said.say(activity::kind::own);
    {
        const activity::at_disk waiting{said};
        CHECK(said.now().what == activity::kind::disk);
        const auto began = said.now().since;
        while (monotonic::now() - began < 3ms)
            ;
    }
    CHECK(said.now().what == activity::kind::own);
    const auto now = monotonic::now();
    CHECK(said.slowest(now) >= 2ms);
    CHECK(said.slowest(now + 2h) == 0ms);
}

TEST_CASE("a thread that computes is told from one that waits", "[activity]")
{
    const undumpable as_the_daemon;
    const auto waited = cpu_time_of(::gettid());
    while (cpu_time_of(::gettid()) <
           waited + 50ms) // a test that hangs here has found nothing computed
        ;
    std::atomic<::pid_t> number{0};
    std::array<int, 2> pipe{};
    REQUIRE(::pipe(pipe.data()) == 0);
    std::thread idle{[&] {
        char byte = 0;
        number = ::gettid();
        REQUIRE(::read(pipe[0], &byte, 1) == 1);
    }};
    while (number == 0 || look_at_thread(number) != whereabouts::call)
        std::this_thread::yield();
    const auto before = cpu_time_of(number);
    for (auto mine = cpu_time_of(::gettid()); cpu_time_of(::gettid()) < mine + 50ms;)
        ;
    CHECK(cpu_time_of(number) == before);
    CHECK(cpu_time_of(-1) == 0ms);
    REQUIRE(::write(pipe[1], "", 1) == 1);
    idle.join();
}
