#pragma once

#include "base/time.hpp"

#include <optional>
#include <string_view>

namespace titip::trust {

/// What a wall clock is worth.
enum class clock_state {
    unconfirmed, ///< it may be right: nothing known speaks against it, or for it
    good,        ///< the centre's agrees with it
    behind,      ///< wrong for certain: before what the centre has signed, or before our build
    ahead,       ///< wrong: after what the centre has just signed, or far from any time of ours
};
std::string_view to_string(clock_state) noexcept;

/// What is known of the time, where the clock may be wrong.
struct reckoning {
    wall_time floor;  ///< it is not before this
    wall_time likely; ///< what it is, as far as is known; never before the floor
    clock_state clock{};
    wall_time until;          ///< it is not after this, as far as is known
    wall_time signed_at{};    ///< the newest time that a centre signed; zero: none yet
    bool is_by_clock = false; ///< `likely` and `until` are what the clock says
};

/// Compares the clock of this machine with the times that a centre signs: for alarms, and for what
/// capture sets say of the time. What certificates are judged by is trust::judge's.
///
/// Rationale: an office whose battery is dead, or whose clock is five years ahead, must neither be
/// frightened by ends that have not come nor miss one that has. And of a wrong clock people hear
/// only if somebody says so. Pure. Threads: one.
class clock_watch {
public:
    explicit clock_watch(wall_time built_at) noexcept : built_at_(built_at) {}

    /// What a centre signed at some time past. Not a relay: each office of a regency would follow a
    /// wrong clock of its hub. What lies beyond any plausible time is not taken.
    void on_signed_time(wall_time t) noexcept;
    /// What a centre has signed just now, when `clock` and `now` were the times here.
    void on_fresh_time(wall_time t, wall_time clock, instant now) noexcept;

    wall_time newest_signed() const noexcept { return newest_signed_; }
    reckoning reckon(wall_time clock, instant now) const noexcept;

private:
    /// The clock beside the centre's, in this process.
    struct comparison {
        milliseconds ahead;
        wall_time clock;
        instant at;
    };
    /// As trust::judge has it.
    wall_time latest_plausible() const noexcept { return built_at_ + std::chrono::years{10}; }
    std::optional<milliseconds> how_far_ahead(wall_time clock, instant now) const noexcept;

    wall_time built_at_;
    wall_time newest_signed_{};
    std::optional<comparison> compared_;
};

} // namespace titip::trust
