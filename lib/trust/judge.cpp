#include "trust/judge.hpp"

namespace titip::trust {

wall_time judge::build_time() noexcept
{
    return wall_time{std::chrono::seconds{TITIP_BUILD_TIME_S}};
}

bool judge::is_plausible(wall_time clock) const noexcept
{
    return clock >= built_at_ && clock <= built_at_ + std::chrono::years{10};
}

wall_time judge::judged(wall_time clock) const noexcept
{
    const auto known = std::max(newest_signed_, built_at_);
    return is_plausible(clock) ? std::max(known, clock) : known;
}

wall_time judge::certain(wall_time clock) const noexcept
{
    return is_plausible(clock) ? std::min(newest_signed_, clock) : newest_signed_;
}

} // namespace titip::trust
