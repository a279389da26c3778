#include "trust/clock.hpp"

#include <algorithm>

namespace titip::trust {

namespace {

/// Less says nothing: a statement may have been on its way for long, or be of an hour ago.
constexpr milliseconds tolerance = 24h;
/// A clock that went so much more than the monotonic one was set since, or the machine slept.
constexpr milliseconds is_a_step = 1h;

} // namespace

std::string_view to_string(clock_state value) noexcept
{
    switch (value) {
    case clock_state::unconfirmed:
        return "unconfirmed";
    case clock_state::good:
        return "good";
    case clock_state::behind:
        return "behind";
    case clock_state::ahead:
        return "ahead";
    }
    return "unconfirmed";
}

void clock_watch::on_signed_time(wall_time t) noexcept
{
    if (t <= latest_plausible())
        newest_signed_ = std::max(newest_signed_, t);
}

void clock_watch::on_fresh_time(wall_time t, wall_time clock, instant now) noexcept
{
    on_signed_time(t);
    if (t >= built_at_ && t <= latest_plausible()) // else the centre's clock is the wrong one
        compared_ = comparison{.ahead = clock - t, .clock = clock, .at = now};
}

/// Nothing: not compared yet, or not since the clock was set.
std::optional<milliseconds> clock_watch::how_far_ahead(wall_time clock, instant now) const noexcept
{
    if (!compared_)
        return std::nullopt;
    const auto gone = std::chrono::floor<milliseconds>(now - compared_->at);
    const auto step = (clock - compared_->clock) - gone;
    return std::chrono::abs(step) <= is_a_step ? std::optional{compared_->ahead} : std::nullopt;
}

reckoning clock_watch::reckon(wall_time clock, instant now) const noexcept
{
    clock = std::clamp(clock, wall_time{}, wall_time{} + std::chrono::years{10'000});
    const auto floor = std::max(newest_signed_, built_at_);
    const auto ahead = how_far_ahead(clock, now);
    reckoning out{
        .floor = floor, .likely = floor, .until = latest_plausible(), .signed_at = newest_signed_};
    if (clock < floor - tolerance || (ahead && *ahead < -tolerance))
        out.clock = clock_state::behind;
    else if (clock > latest_plausible() || (ahead && *ahead > tolerance))
        out.clock = clock_state::ahead;
    else {
        out.clock = ahead ? clock_state::good : clock_state::unconfirmed;
        out.likely = out.until = std::max(floor, clock);
        out.is_by_clock = true;
        return out;
    }
    if (ahead) // wrong, and by how much is known
        out.likely = out.until = std::max(floor, clock - *ahead);
    return out;
}

} // namespace titip::trust
