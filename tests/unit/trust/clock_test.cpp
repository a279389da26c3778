#include "trust/clock.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using trust::clock_watch;

namespace {
constexpr auto built = from_ms(1'790'000'000'000);
constexpr std::chrono::years ten{10};
} // namespace

namespace {

constexpr auto now = instant{} + 1'000h;
constexpr auto today = built + 30 * 24h; ///< what the time really is
constexpr auto five_years = 5 * 8'766h;

/// Of a machine whose clock is `off`, which has just heard of the centre.
clock_watch told(milliseconds off)
{
    clock_watch out{built};
    out.on_fresh_time(today, today + off, now);
    return out;
}

} // namespace

TEST_CASE("a clock that the centre agrees with is good, one that nobody was asked about may be",
          "[trust]")
{
    using trust::clock_state;
    CHECK(clock_watch{built}.reckon(today, now).clock == clock_state::unconfirmed);
    CHECK(clock_watch{built}.reckon(today, now).likely == today);
    const auto off = GENERATE(-24h, -1h, 0h, 1h, 24h);
    const auto seen = told(off).reckon(today + off + 5min, now + 5min);
    CHECK(seen.clock == clock_state::good);
    CHECK(seen.floor == today);
    CHECK(seen.likely == std::max(today, today + off + 5min));
    CHECK(seen.signed_at == today);
}

TEST_CASE("a clock before the build, or before what the centre has signed, is behind", "[trust]")
{
    using trust::clock_state;
    for (const auto clock : {wall_time{}, built - 25h})
        CHECK(clock_watch{built}.reckon(clock, now).clock == clock_state::behind);
    CHECK(clock_watch{built}.reckon(built - 24h, now).clock == clock_state::unconfirmed);
    CHECK(clock_watch{built}.reckon(wall_time{}, now).likely == built);
    const auto seen = told(-25h).reckon(today - 25h + 10h, now + 10h);
    CHECK(seen.clock == clock_state::behind);
    CHECK(seen.likely == today + 10h); // by the centre's time, and what has gone since
}

TEST_CASE("a clock five years ahead is found out by what the centre signs, and moves nothing",
          "[trust]")
{
    using trust::clock_state;
    const auto seen = told(five_years).reckon(today + five_years + 48h, now + 48h);
    CHECK(seen.clock == clock_state::ahead);
    CHECK(seen.floor == today);
    CHECK(seen.likely == today + 48h);
    CHECK(seen.until == today + 48h);
    CHECK_FALSE(seen.is_by_clock);
    // Before the centre was heard of, nothing proves it: it is said, and not followed blindly.
    const auto before = clock_watch{built}.reckon(today + five_years, now);
    CHECK(before.clock == clock_state::unconfirmed);
    CHECK(before.floor == built);
    CHECK(clock_watch{built}.reckon(built + ten + 1ms, now).clock == clock_state::ahead);
}

TEST_CASE("a clock that was set since, or a machine that slept, is compared anew", "[trust]")
{
    using trust::clock_state;
    const auto wrong = told(five_years);
    CHECK(wrong.reckon(today + 1h, now + 1h).clock == clock_state::unconfirmed);
    CHECK(wrong.reckon(today + five_years + 59min, now).clock == clock_state::ahead);
    const auto good = told(0h);
    CHECK(good.reckon(today + 70h, now + 1h).clock == clock_state::unconfirmed);
    CHECK(good.reckon(today + 70h, now + 1h).likely == today + 70h);
}

TEST_CASE("what a centre signed far beyond any plausible time is not taken", "[trust]")
{
    clock_watch j{built};
    j.on_fresh_time(built + ten + 1ms, today, now);
    CHECK(j.reckon(today, now).floor == built);
    CHECK(j.reckon(today, now).clock == trust::clock_state::unconfirmed);
    // The first and the last instant that a signed number can hold.
    j.on_fresh_time(wall_time::min(), today, now);
    CHECK(j.reckon(today, now).floor == built);
    for (const auto clock : {wall_time::min(), wall_time::max()})
        CHECK(j.reckon(clock, now).clock != trust::clock_state::good);
}
