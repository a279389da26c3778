#pragma once

#include "base/time.hpp"

#include <algorithm>

namespace titip::trust {

/// The time to judge certificates by, where the office's clock may have a dead battery: the newest
/// of the newest time signed by the upstream, this program's build time, and the wall clock if it
/// is plausible, that is not before the build and not more than ten years after it.
///
/// Rationale: a clock that stands at 1970 would find every certificate "not yet valid" and stop all
/// sending; the upstream's signed times can only have been in the past.
class judge {
public:
    explicit judge(wall_time built_at) noexcept : built_at_(built_at) {}

    /// The build time compiled in.
    static wall_time build_time() noexcept;

    void on_signed_time(wall_time t) noexcept { newest_signed_ = std::max(newest_signed_, t); }
    wall_time judged(wall_time clock) const noexcept;
    bool is_plausible(wall_time clock) const noexcept;
    /// A time that is past for certain, to count retentions by: the newest signed one, but not
    /// after a plausible clock here. So neither a wrong clock here nor a jump of the upstream's
    /// ends a retention early.
    wall_time certain(wall_time clock) const noexcept;

private:
    wall_time built_at_;
    wall_time newest_signed_{};
};

} // namespace titip::trust
