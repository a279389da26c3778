#include "base/time.hpp"

#include <fmt/chrono.h>

#include <ctime>

namespace titip {

std::string to_rfc3339(wall_time t)
{
    // A signed time from afar may lie outside what a calendar can show.
    constexpr auto last = std::chrono::sys_days{std::chrono::year{9999} / 12 / 31};
    if (t < wall_time{} || t >= last)
        return "(no date)";
    return fmt::format(
        "{:%Y-%m-%dT%H:%M:%SZ}",
        fmt::gmtime(static_cast<std::time_t>(
            std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count())));
}

} // namespace titip
