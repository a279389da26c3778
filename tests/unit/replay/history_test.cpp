#include "replay/history.hpp"

#include <catch2/catch.hpp>

#include <numeric>

using namespace titip;
using replay::history;

namespace {

const instant start = instant{} + 1h;

} // namespace

TEST_CASE("a history that has seen nothing is empty", "[replay]")
{
    const history past;
    const auto seen = past.at(start);
    CHECK(seen.delivered_bytes.empty());
    CHECK(seen.minute_bytes_per_s == 0);
    CHECK(seen.hour_bytes_per_s == 0);
}

TEST_CASE("the last minute's goodput is of the time since its first delivery", "[replay]")
{
    history past;
    past.on_delivery(start, 1'000);
    past.on_delivery(start + 10s, 1'000);
    CHECK(past.at(start + 20s).minute_bytes_per_s == 100);
    CHECK(past.at(start + 65s).minute_bytes_per_s == 18); // the first one is older
    CHECK(past.at(start + 2min).minute_bytes_per_s == 0);
}

TEST_CASE("the last hour's goodput is of the time in which something waited", "[replay]")
{
    history past;
    past.on_backlog(start, 0);
    auto now = start;
    for (; now < start + 30min; now += 10s)
        past.on_backlog(now, 0);
    for (; now < start + 40min; now += 10s) {
        past.on_delivery(now, 500);
        past.on_backlog(now, 9'000);
    }
    CHECK(past.at(now).hour_bytes_per_s >= 49);
    CHECK(past.at(now).hour_bytes_per_s <= 51);
}

TEST_CASE("slots are five minutes, and no more than twelve hours of them are kept", "[replay]")
{
    history past;
    for (auto now = start; now < start + 20h; now += 1min) {
        past.on_delivery(now, 10);
        past.on_backlog(now, 77);
    }
    const auto seen = past.at(start + 20h);
    REQUIRE(seen.delivered_bytes.size() == history::slots);
    CHECK(seen.delivered_bytes.front() == 50);
    CHECK(seen.waiting_bytes.front() == 77);
    CHECK(std::accumulate(seen.delivered_bytes.begin(), seen.delivered_bytes.end(), 0u) == 7'200);
}

TEST_CASE("slots in which nobody looked are there too", "[replay]")
{
    history past;
    past.on_backlog(start, 5);
    past.on_backlog(start + 1h, 9);
    const auto seen = past.at(start + 1h);
    REQUIRE(seen.waiting_bytes.size() == 13);
    CHECK(seen.waiting_bytes[6] == 5);
    CHECK(seen.waiting_bytes.back() == 9);
}
