#include "base/activity.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace titip {

namespace {

constexpr milliseconds remembered = 1h;

std::int64_t ms_of(instant at) noexcept
{
    return std::chrono::duration_cast<milliseconds>(at.time_since_epoch()).count();
}

/// What fits of a small file; empty if it cannot be read.
std::string_view read_small(::pid_t thread, const char* name, std::array<char, 512>& into) noexcept
{
    std::array<char, 64> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/task/%d/%s", thread, name);
    const int file = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return {};
    const auto got = ::read(file, into.data(), into.size());
    ::close(file);
    return {into.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

/// From the state on: "7 (a name) with) parens) S 1 ...", it is behind the last parenthesis.
std::string_view read_stat(::pid_t thread, std::array<char, 512>& into) noexcept
{
    const auto all = read_small(thread, "stat", into);
    const auto end = all.rfind(')');
    return end == all.npos || end + 2 >= all.size() ? std::string_view{} : all.substr(end + 2);
}

} // namespace

void activity::begin_thread() noexcept
{
    thread_ = ::gettid();
}

void activity::say(kind what) noexcept
{
    said_ =
        static_cast<std::uint64_t>(ms_of(monotonic::now())) << 2 | static_cast<std::uint64_t>(what);
}

activity::word activity::now() const noexcept
{
    const auto said = said_.load();
    return {static_cast<kind>(said & 3),
            instant{milliseconds{static_cast<std::int64_t>(said >> 2)}}};
}

milliseconds activity::slowest(instant now) const noexcept
{
    return ms_of(now) - slowest_ended_ms_ < remembered.count() ? milliseconds{slowest_ms_} : 0ms;
}

activity::at_disk::at_disk(activity& of) noexcept : of_(of), before_(of.now().what)
{
    of_.say(kind::disk);
}

activity::at_disk::~at_disk()
{
    const auto end = monotonic::now();
    const auto took = std::chrono::duration_cast<milliseconds>(end - of_.now().since);
    if (took >= of_.slowest(end)) {
        of_.slowest_ms_ = took.count();
        of_.slowest_ended_ms_ = ms_of(end);
    }
    of_.say(before_);
}

whereabouts look_at_thread(::pid_t thread) noexcept
{
    std::array<char, 512> buffer{};
    const auto stat = read_stat(thread, buffer);
    if (stat.empty())
        return whereabouts::unknown;
    switch (stat.front()) {
    case 'D':
        return whereabouts::disk;
    case 'S':
        break;
    default:
        return whereabouts::runs;
    }
    const auto where = read_small(thread, "wchan", buffer);
    if (where.empty() || where == "0") // kept from us, or it has just gone on
        return whereabouts::unknown;
    return where.starts_with("futex") || where.starts_with("do_futex") ? whereabouts::lock
                                                                       : whereabouts::call;
}

milliseconds cpu_time_of(::pid_t thread) noexcept
{
    constexpr int before_utime = 11; // fields between the state and utime, of proc(5)
    std::array<char, 512> buffer{};
    auto stat = read_stat(thread, buffer);
    for (int i = 0; i < before_utime && !stat.empty(); ++i)
        stat.remove_prefix(std::min(stat.find(' '), stat.size() - 1) + 1);
    std::int64_t ticks = 0;
    for (int i = 0; i < 2; ++i) { // utime, stime
        std::int64_t field = 0;
        const auto [end, error] = std::from_chars(stat.data(), stat.data() + stat.size(), field);
        if (error != std::errc{})
            return {};
        ticks += field;
        stat.remove_prefix(static_cast<std::size_t>(end - stat.data()));
        stat.remove_prefix(stat.empty() ? 0 : 1);
    }
    return milliseconds{ticks * 1'000 / ::sysconf(_SC_CLK_TCK)};
}

} // namespace titip
