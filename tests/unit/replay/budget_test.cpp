#include "replay/budget.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <ctime>

using namespace titip;
using replay::budget;

namespace {

constexpr unsigned at(unsigned hour, unsigned minute = 0)
{
    return hour * 60 + minute;
}

} // namespace

TEST_CASE("without a budget all is allowed", "[replay]")
{
    const budget none{{}};
    const auto allowed = none.at(at(12), 1'000'000'000'000);
    CHECK(allowed.may_begin);
    CHECK(allowed.most_bytes_per_s == 0);
    CHECK_FALSE(allowed.is_used_up);
}

TEST_CASE("when the day's bytes are used up nothing more begins", "[replay]")
{
    const budget metered{{.day_bytes = 1'000}};
    CHECK(metered.at(at(12), 999).may_begin);
    const auto used_up = metered.at(at(12), 1'000);
    CHECK_FALSE(used_up.may_begin);
    CHECK(used_up.is_used_up);
}

TEST_CASE("at named hours another rate holds, also over midnight", "[replay]")
{
    const budget by_hour{
        {.most_bytes_per_s = 100,
         .by_hour = {{.from_minute = at(7), .to_minute = at(16), .most_bytes_per_s = 8},
                     {.from_minute = at(22), .to_minute = at(5), .most_bytes_per_s = 900},
                     {.from_minute = at(8), .to_minute = at(24), .most_bytes_per_s = 50}}}};
    CHECK(by_hour.at(at(6, 59), 0).most_bytes_per_s == 100);
    CHECK(by_hour.at(at(7), 0).most_bytes_per_s == 8);
    CHECK(by_hour.at(at(15, 59), 0).most_bytes_per_s == 8); // the first that fits
    CHECK(by_hour.at(at(16), 0).most_bytes_per_s == 50);
    CHECK(by_hour.at(at(22), 0).most_bytes_per_s == 900);
    CHECK(by_hour.at(at(0), 0).most_bytes_per_s == 900);
    CHECK(by_hour.at(at(4, 59), 0).most_bytes_per_s == 900);
    CHECK(by_hour.at(at(5), 0).most_bytes_per_s == 100);
    CHECK(by_hour.at(at(23, 59), 0).most_bytes_per_s == 900);
}

TEST_CASE("a rate of nothing lets nothing begin", "[replay]")
{
    const budget quiet{
        {.by_hour = {{.from_minute = at(7), .to_minute = at(16), .most_bytes_per_s = 0}}}};
    CHECK_FALSE(quiet.at(at(12), 0).may_begin);
    CHECK_FALSE(quiet.at(at(12), 0).is_used_up);
    CHECK(quiet.at(at(17), 0).may_begin);
}

TEST_CASE("days begin at local midnight", "[replay]")
{
    ::setenv("TZ", "Asia/Jakarta", 1); // seven hours ahead, no summer time
    ::tzset();
    const auto evening = from_ms(1'793'379'540'000); // 2026-10-30 15:39 UTC
    const auto told = replay::to_local(evening);
    ::unsetenv("TZ");
    ::tzset();
    const auto utc = replay::to_local(evening);
    CHECK((told.minute_of_day + 24 * 60 - utc.minute_of_day) % (24 * 60) == 7 * 60);
    CHECK(told.day * 24 * 60 + told.minute_of_day ==
          utc.day * 24 * 60 + utc.minute_of_day + 7 * 60);
}

namespace {

constexpr std::uint64_t of_a_day = 1'000;

/// Noon of a day after `earliest`, in local time, whatever the zone.
wall_time noon(int days)
{
    return wall_time{} + std::chrono::hours{24 * (20'000 + days) + 12};
}

replay::meter metered(int days_before, std::uint64_t sent_before)
{
    return {{.day_bytes = of_a_day},
            {.number = replay::to_local(noon(days_before)).day, .sent_bytes = sent_before}};
}

const auto earliest = noon(-1'000);

} // namespace

TEST_CASE("a restart does not begin the day's budget anew, the next day does", "[replay]")
{
    auto meter = metered(0, 900);
    meter.count(50, noon(0), earliest);
    CHECK(meter.allowed().may_begin);
    meter.count(50, noon(0), earliest);
    CHECK_FALSE(meter.allowed().may_begin);
    CHECK(meter.sent_today_bytes() == 1'000);
    CHECK(meter.sent_bytes() == 100); // since the start
    meter.count(10, noon(1), earliest);
    CHECK(meter.allowed().may_begin);
    CHECK(meter.sent_today_bytes() == 10);
    CHECK(meter.sent_bytes() == 110);
}

TEST_CASE("neither a clock that goes back nor one that was never set begins a new day", "[replay]")
{
    auto meter = metered(0, of_a_day);
    meter.count(1, noon(-3), earliest);
    CHECK_FALSE(meter.allowed().may_begin);
    meter.count(1, noon(-2), earliest); // forward, but from the wrong one: that is a day
    CHECK(meter.allowed().may_begin);

    auto other = metered(0, of_a_day);
    other.count(1, noon(-2'000), earliest);
    other.count(1, noon(0), earliest);
    CHECK_FALSE(other.allowed().may_begin);
}

TEST_CASE("the day's bytes are written down once, and only where there is a budget for them",
          "[replay]")
{
    auto meter = metered(0, 900);
    CHECK_FALSE(meter.take_unwritten().has_value());
    meter.count(30, noon(0), earliest);
    meter.count(12, noon(0), earliest);
    const auto day = meter.take_unwritten();
    REQUIRE(day.has_value());
    CHECK(day->number == replay::to_local(noon(0)).day);
    CHECK(day->sent_bytes == 42);
    CHECK_FALSE(meter.take_unwritten().has_value());
    meter.count(5, noon(0), earliest);
    meter.count(7, noon(1), earliest); // what the day before had more is of no use now
    CHECK(meter.take_unwritten()->sent_bytes == 7);

    replay::meter without{{}, {}};
    without.count(42, noon(0), earliest);
    CHECK_FALSE(without.take_unwritten().has_value());
}
