#include "replay/carriers.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::replay;
using envelope::lane;
using journal::place;

namespace {

constexpr connection ordinary{0};
constexpr connection another{1};
constexpr connection express{4};

/// One urgent record and some others wait, and no connection is open.
struct station {
    explicit station(std::uint64_t sent_today_bytes)
        : over({.most_connections = 4,
                .sent = {{.day_bytes = 1'000, .binds_urgent = false},
                         {to_local(wall_now()).day, sent_today_bytes}}},
               queue)
    {
        queue.add(place{1}, lane::urgent, 10);
        for (std::uint64_t n = 2; n < 50; ++n)
            queue.add(place{n}, lane::ordinary, 10);
    }
    /// A connection ended in a minute from now on which nothing was acknowledged.
    void nothing_gets_through()
    {
        const auto now = monotonic::now();
        REQUIRE(over.passage().on_silence(now + 1min, now));
    }

    scheduler queue;
    carriers over;
};

} // namespace

TEST_CASE("where nothing gets through and the day's bytes are used up, urgent records find out",
          "[replay]")
{
    station it{1'000};
    REQUIRE_FALSE(it.over.sent().allowed().may_begin);
    REQUIRE(it.over.is_wanted(express));
    it.nothing_gets_through();
    CHECK_FALSE(it.over.is_wanted(express)); // its time has not come
    it.over.passage().on_hint();
    CHECK(it.over.is_wanted(express));
    for (const auto each : {ordinary, another})
        CHECK_FALSE(it.over.is_wanted(each)); // the day's bytes
}

TEST_CASE("where nothing gets through one connection finds out, and no urgent record is lost to it",
          "[replay]")
{
    station it{0};
    REQUIRE(it.over.is_wanted(ordinary));
    REQUIRE(it.over.is_wanted(another));
    it.nothing_gets_through();
    CHECK_FALSE(it.over.is_wanted(ordinary));
    it.over.passage().on_hint();
    CHECK(it.over.is_wanted(ordinary));
    CHECK_FALSE(it.over.is_wanted(another));
    CHECK_FALSE(it.over.is_wanted(express));
    it.over.passage().on_progress(monotonic::now() + 2min);
    CHECK(it.over.is_wanted(another));
}
