#include "trust/judge.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using trust::judge;

namespace {
constexpr auto built = from_ms(1'790'000'000'000);
constexpr std::chrono::years ten{10};
} // namespace

TEST_CASE("a plausible clock is what certificates are judged by", "[trust]")
{
    const judge j{built};
    CHECK(j.judged(built + 24h) == built + 24h);
    CHECK(j.is_plausible(built));
    CHECK(j.is_plausible(built + ten));
}

TEST_CASE("a clock with a dead battery, or from a far future, is not believed", "[trust]")
{
    const judge j{built};
    CHECK(j.judged(wall_time{}) == built);
    CHECK(j.judged(built - 1ms) == built);
    CHECK(j.judged(built + ten + 1ms) == built);
    CHECK_FALSE(j.is_plausible(built - 1ms));
    CHECK_FALSE(j.is_plausible(built + ten + 1ms));
}

TEST_CASE("the newest time that the upstream signed is a floor", "[trust]")
{
    judge j{built};
    j.on_signed_time(built + 48h);
    j.on_signed_time(built + 24h);
    CHECK(j.judged(wall_time{}) == built + 48h);
    CHECK(j.judged(built + 24h) == built + 48h);
    CHECK(j.judged(built + 72h) == built + 72h);
    CHECK(j.judged(built + ten + 1ms) == built + 48h);
}

TEST_CASE("what is past for certain, both the upstream and a plausible clock here have passed",
          "[trust]")
{
    judge j{built};
    CHECK(j.certain(built + 24h) == wall_time{});
    j.on_signed_time(built + 48h);
    CHECK(j.certain(built + 24h) == built + 24h);
    CHECK(j.certain(built + 72h) == built + 48h);
    CHECK(j.certain(wall_time{}) == built + 48h);
    CHECK(j.certain(built + ten + 1ms) == built + 48h);
}

TEST_CASE("an old signed time does not reach behind the build", "[trust]")
{
    judge j{built};
    j.on_signed_time(built - 24h);
    CHECK(j.judged(wall_time{}) == built);
}

TEST_CASE("the build time is a real one", "[trust]")
{
    CHECK(judge::build_time() > from_ms(1'700'000'000'000)); // the project began later
    CHECK(judge::build_time() <= wall_now() + 24h);
}
