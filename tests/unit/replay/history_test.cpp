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
    CHECK(seen.sent_bytes.empty());
    CHECK(seen.minute_bytes_per_s == 0);
    CHECK(seen.hour_bytes_per_s == 0);
}

TEST_CASE("the last minute's goodput is of the time since its first byte", "[replay]")
{
    history past;
    past.on_sent(start, 1'000);
    past.on_sent(start + 10s, 1'000);
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
        past.on_sent(now, 500);
        past.on_backlog(now, 9'000);
    }
    CHECK(past.at(now).hour_bytes_per_s >= 49);
    CHECK(past.at(now).hour_bytes_per_s <= 51);
}

TEST_CASE("the hour's goodput counts what was sent in it, whenever the receipt comes", "[replay]")
{
    history past;
    auto now = start;
    const auto send = [&](std::chrono::minutes lasts, std::uint64_t bytes_per_s) {
        for (const auto end = now + lasts; now < end; now += 10s) {
            past.on_sent(now, bytes_per_s * 10);
            past.on_backlog(now, 9'000'000);
        }
    };
    send(3h, 100); // one body, over a slow link
    past.on_delivery(now, 3 * 3'600 * 100);
    CHECK(past.at(now).hour_bytes_per_s >= 99);
    CHECK(past.at(now).hour_bytes_per_s <= 101);
    CHECK(past.at(now).minute_bytes_per_s >= 99);
    CHECK(past.at(now).minute_bytes_per_s <= 121);

    past.on_delivery(now, 900'000'000); // what an earlier process had sent
    CHECK(past.at(now).hour_bytes_per_s <= 101);
}

TEST_CASE("what has to be sent again was not sent", "[replay]")
{
    history past;
    for (auto now = start; now < start + 10min; now += 10s) {
        past.on_sent(now, 1'000);
        past.on_backlog(now, 9'000);
    }
    past.on_wasted(start + 10min, 30'000);
    CHECK(past.at(start + 10min).hour_bytes_per_s == 50); // 30,000 in 590 s
    CHECK(past.at(start + 10min).minute_bytes_per_s == 0);
    past.on_wasted(start + 10min, 1'000'000);
    CHECK(past.at(start + 10min).hour_bytes_per_s == 0);
}

TEST_CASE("slots are five minutes, and no more than twelve hours of them are kept", "[replay]")
{
    history past;
    for (auto now = start; now < start + 20h; now += 1min) {
        past.on_sent(now, 10);
        past.on_backlog(now, 77);
    }
    const auto seen = past.at(start + 20h);
    REQUIRE(seen.sent_bytes.size() == history::slots);
    CHECK(seen.sent_bytes.front() == 50);
    CHECK(seen.waiting_bytes.front() == 77);
    CHECK(std::accumulate(seen.sent_bytes.begin(), seen.sent_bytes.end(), 0u) == 7'200);
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

TEST_CASE("of a time in which nobody looked, a slot at most counts as busy", "[replay]")
{
    history past;
    past.on_backlog(start, 9'000);
    past.on_sent(start, 30'000);
    past.on_backlog(start + 40min, 9'000);                 // the machine was suspended
    CHECK(past.at(start + 40min).hour_bytes_per_s == 100); // 30,000 in 300 s
}

TEST_CASE("the time until the last record went is busy, though nothing waits at its end",
          "[replay]")
{
    history past;
    past.on_backlog(start, 9'000);
    past.on_sent(start + 1s, 9'000);
    past.on_backlog(start + 10s, 0);
    past.on_backlog(start + 20s, 0);
    CHECK(past.at(start + 20s).hour_bytes_per_s == 900);
}
