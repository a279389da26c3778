#include "replay/budget.hpp"

#include <algorithm>
#include <ctime>

namespace titip::replay {

namespace {

bool holds(const budget::hours& each, unsigned minute) noexcept
{
    if (each.from_minute <= each.to_minute)
        return minute >= each.from_minute && minute < each.to_minute;
    return minute >= each.from_minute || minute < each.to_minute;
}

} // namespace

budget::allowance budget::at(unsigned minute_of_day, std::uint64_t sent_today_bytes) const
{
    allowance out{.most_bytes_per_s = opts_.most_bytes_per_s.value_or(0)};
    const auto present = std::ranges::find_if(
        opts_.by_hour, [&](const hours& each) { return holds(each, minute_of_day); });
    if (present != opts_.by_hour.end()) {
        out.most_bytes_per_s = present->most_bytes_per_s;
        out.may_begin = present->most_bytes_per_s > 0;
    }
    out.is_used_up = opts_.day_bytes && sent_today_bytes >= *opts_.day_bytes;
    out.may_begin = out.may_begin && !out.is_used_up;
    return out;
}

local_time to_local(wall_time at)
{
    const auto seconds = std::chrono::system_clock::to_time_t(at);
    std::tm told{};
    ::localtime_r(&seconds, &told);
    const auto local_seconds = static_cast<std::int64_t>(seconds) + told.tm_gmtoff;
    return {.day = local_seconds / 86'400,
            .minute_of_day = static_cast<unsigned>(told.tm_hour * 60 + told.tm_min)};
}

void meter::count(std::uint64_t bytes, wall_time now, wall_time earliest)
{
    const auto local = to_local(now);
    if (local.day != today_.number && now >= earliest) {
        if (local.day > today_.number)
            today_.sent_bytes = unwritten_bytes_ = 0;
        today_.number = local.day;
    }
    sent_bytes_ += bytes;
    today_.sent_bytes += bytes;
    unwritten_bytes_ += bytes;
    allowed_ = budget_.at(local.minute_of_day, today_.sent_bytes);
}

std::optional<meter::day> meter::take_unwritten()
{
    if (!limits().day_bytes || unwritten_bytes_ == 0)
        return std::nullopt;
    return day{today_.number, std::exchange(unwritten_bytes_, 0)};
}

} // namespace titip::replay
