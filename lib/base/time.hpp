#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace titip {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

/// Waits and order: the monotonic clock. Nothing expires because the wall clock jumped.
using monotonic = std::chrono::steady_clock;
using instant = monotonic::time_point;

/// What is written down and shown to people: UTC, milliseconds, as all our formats have it.
using wall_time = std::chrono::sys_time<milliseconds>;

inline wall_time wall_now()
{
    return std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
}

constexpr std::int64_t to_ms(wall_time t) noexcept
{
    return t.time_since_epoch().count();
}
constexpr wall_time from_ms(std::int64_t ms) noexcept
{
    return wall_time{milliseconds{ms}};
}

/// RFC 3339, UTC, to the second: "2026-11-24T06:00:00Z".
std::string to_rfc3339(wall_time t);

} // namespace titip
