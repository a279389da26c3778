#include "link/monitor.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::link;
using event = monitor::event;

namespace {

constexpr instant start{1h};
constexpr double most = 0.999999; // of what chance draws from
constexpr double least = 0.0;

// A link that went down `ago` before the moment returned, and has failed ever since.
instant fail_for(monitor& link, instant from, milliseconds time, verdict why)
{
    for (auto now = from;;) {
        const auto next = link.on_failure(now, why, 0ms, most);
        if (next.probe_at - from > time)
            return next.probe_at;
        now = next.probe_at;
    }
}

milliseconds wait_of(const monitor::decision& next)
{
    return std::chrono::duration_cast<milliseconds>(next.probe_at - next.checked_at);
}

bool is_about(milliseconds wait, milliseconds expected)
{
    return wait <= expected && wait >= expected - 5ms;
}

} // namespace

TEST_CASE("a new link is looked at once, and nothing is known of it", "[link]")
{
    const monitor link{start};
    CHECK_FALSE(link.current().is_up);
    CHECK(link.current().verdict == verdict::unknown);
    CHECK(link.current().since == start);
    CHECK(link.current().probe_at == start);
    CHECK(link.current().happened == event::none);
}

TEST_CASE("the first good answer after a start makes a link, and ends no outage", "[link]")
{
    monitor link{start};
    const auto next = link.on_probe_success(start + 2s);
    CHECK(next.is_up);
    CHECK(next.verdict == verdict::ok);
    CHECK(next.since == start + 2s);
    CHECK(next.checked_at == start + 2s);
    CHECK(next.probe_at == start + 2s + 5min);
    CHECK(next.happened == event::none);
}

TEST_CASE("a first failure after a start begins an outage", "[link]")
{
    monitor link{start};
    const auto next = link.on_failure(start + 3s, verdict::dns, 0ms, most);
    CHECK_FALSE(next.is_up);
    CHECK(next.verdict == verdict::dns);
    CHECK(next.since == start + 3s);
    CHECK(next.happened == event::outage_began);
    CHECK(link.current().happened == event::none);
}

TEST_CASE("one failure ends a link, two good answers, a second apart, bring it back", "[link]")
{
    monitor link{start};
    link.on_probe_success(start);
    auto next = link.on_failure(start + 10s, verdict::tcp, 0ms, least);
    CHECK_FALSE(next.is_up);
    CHECK(next.happened == event::outage_began);
    CHECK(next.since == start + 10s);
    CHECK(next.probe_at == start + 11s);

    next = link.on_probe_success(start + 20s);
    CHECK_FALSE(next.is_up);
    CHECK(next.verdict == verdict::tcp);
    CHECK(next.happened == event::none);
    CHECK(next.probe_at == start + 21s);

    next = link.on_probe_success(start + 21s);
    CHECK(next.is_up);
    CHECK(next.happened == event::outage_ended);
    CHECK(next.since == start + 21s);
    CHECK(next.probe_at == start + 21s + 5min);
}

TEST_CASE("one good answer on a flapping link is not yet a link", "[link]")
{
    monitor link{start};
    link.on_failure(start, verdict::tcp, 0ms, least);
    for (auto now = start; now < start + 1min; now += 4s) {
        CHECK_FALSE(link.on_probe_success(now + 1s).is_up);
        CHECK(link.on_failure(now + 2s, verdict::tcp, 0ms, least).happened == event::none);
    }
}

TEST_CASE("a failure in an outage goes on with it, and says the newest layer", "[link]")
{
    monitor link{start};
    link.on_failure(start, verdict::no_route, 0ms, least);
    const auto next = link.on_failure(start + 5s, verdict::portal, 0ms, least);
    CHECK(next.happened == event::none);
    CHECK(next.verdict == verdict::portal);
    CHECK(next.since == start);
    CHECK(next.checked_at == start + 5s);
}

TEST_CASE("waits double up to 20 seconds below TLS, and to five minutes above", "[link]")
{
    const auto grows = [](verdict why, std::initializer_list<milliseconds> waits) {
        monitor link{start};
        auto now = start;
        for (const auto expected : waits) {
            const auto next = link.on_failure(now, why, 0ms, most);
            CHECK(is_about(wait_of(next), expected));
            now = next.probe_at;
        }
    };
    grows(verdict::dns, {2s, 4s, 8s, 16s, 20s, 20s, 20s});
    grows(verdict::auth, {2s, 4s, 8s, 16s, 32s, 64s, 128s, 256s, 300s, 300s});
}

TEST_CASE("below TLS waits grow from 20 to 45 seconds once an outage is five minutes old", "[link]")
{
    monitor link{start};
    const auto wait_at = [&link](milliseconds age) {
        return wait_of(link.on_failure(start + age, verdict::tcp, 0ms, most));
    };
    for (auto age = milliseconds{0}; age < 5min; age += 20s)
        wait_at(age);
    CHECK(is_about(wait_at(5min - 1ms), 20s));
    CHECK(is_about(wait_at(5min), 40s));
    CHECK(is_about(wait_at(6min), 45s));
    CHECK(is_about(wait_at(28 * 24h), 45s));
}

TEST_CASE("however chance falls, a wait is never shorter than a second", "[link]")
{
    monitor link{start};
    auto now = start;
    for (int i = 0; i < 20; ++i) {
        const auto next = link.on_failure(now, verdict::tls, 0ms, least);
        CHECK(wait_of(next) == 1s);
        now = next.probe_at;
    }
}

TEST_CASE("below TLS a wait is never shorter than half of the longest", "[link]")
{
    monitor link{start};
    auto now = start;
    for (const milliseconds expected : {1s, 2s, 4s, 8s, 10s, 10s}) {
        const auto next = link.on_failure(now, verdict::tcp, 0ms, least);
        CHECK(wait_of(next) == expected);
        now = next.probe_at;
    }
}

TEST_CASE(
    "a failure that moves up a layer waits no longer at once, and down no longer than below TLS",
    "[link]")
{
    monitor link{start};
    auto now = fail_for(link, start, 1h, verdict::tcp);
    auto next = link.on_failure(now, verdict::tls, 0ms, most);
    CHECK(is_about(wait_of(next), 90s));
    now = fail_for(link, next.probe_at, 1h, verdict::tls);
    next = link.on_failure(now, verdict::tcp, 0ms, most);
    CHECK(is_about(wait_of(next), 45s));
}

TEST_CASE("for a minute after a working link waits are two seconds at most, and then grow anew",
          "[link]")
{
    monitor link{start};
    link.on_probe_success(start);
    const auto broken = start + 1h;
    auto next = link.on_failure(broken, verdict::application, 0ms, most);
    while (next.checked_at < broken + 60s) {
        CHECK(wait_of(next) <= 2s);
        next = link.on_failure(next.probe_at, verdict::application, 0ms, most);
    }
    CHECK(is_about(wait_of(next), 4s));
    next = link.on_failure(next.probe_at, verdict::application, 0ms, most);
    CHECK(is_about(wait_of(next), 8s));
}

TEST_CASE("waits begin anew with each outage", "[link]")
{
    monitor link{{.fresh = 0ms}, start};
    const auto now = fail_for(link, start, 1h, verdict::tcp);
    link.on_probe_success(now);
    REQUIRE(link.on_probe_success(now + 1s).is_up);
    CHECK(is_about(wait_of(link.on_failure(now + 2s, verdict::tcp, 0ms, most)), 2s));
}

TEST_CASE("a link that was never there is not fresh", "[link]")
{
    monitor link{start};
    auto next = link.on_failure(start, verdict::tcp, 0ms, most);
    next = link.on_failure(next.probe_at, verdict::tcp, 0ms, most);
    CHECK(is_about(wait_of(next), 4s));
}

TEST_CASE("we come back when asked to, or a little later, and at most an hour later", "[link]")
{
    const auto asked = [](milliseconds retry_after, double chance) {
        monitor link{start};
        return wait_of(link.on_failure(start, verdict::maintenance, retry_after, chance));
    };
    CHECK(asked(10min, least) == 10min);
    CHECK(is_about(asked(10min, most), 10min + 2s));
    CHECK(asked(100ms, least) == 1s);
    CHECK(asked(1h, least) == 1h);
    CHECK(asked(24h, least) == 1h);
    CHECK(asked(milliseconds::max(), least) == 1h);
    CHECK(asked(-5s, least) == 1s);
    CHECK(asked(milliseconds::min(), least) == 1s);
}

TEST_CASE("a pause that was asked for outlasts other failures, but not the next thing asked for",
          "[link]")
{
    monitor link{start};
    link.on_failure(start, verdict::maintenance, 10min, least);
    CHECK(link.on_failure(start + 1min, verdict::tls, 0ms, least).probe_at == start + 10min);
    CHECK(link.on_failure(start + 2min, verdict::maintenance, 30s, least).probe_at ==
          start + 2min + 30s);
    CHECK(link.on_failure(start + 3min, verdict::tls, 0ms, least).probe_at == start + 3min + 1s);
}

TEST_CASE("a good answer to a probe ends a pause that was asked for", "[link]")
{
    monitor link{start};
    link.on_probe_success(start);
    link.on_failure(start + 1s, verdict::maintenance, 10min, least);
    CHECK(link.on_probe_success(start + 1min).probe_at == start + 1min + 1s);
    CHECK(link.on_probe_success(start + 1min + 1s).is_up);
}

TEST_CASE("a hint shortens a wait, up to a second after the last attempt", "[link]")
{
    monitor link{start};
    const auto now = fail_for(link, start, 1h, verdict::no_route);
    const auto next = link.on_failure(now, verdict::no_route, 0ms, most);
    REQUIRE(wait_of(next) > 40s);
    CHECK(link.on_hint(now + 100ms).probe_at == now + 1s);
    CHECK(link.on_hint(now + 30s).probe_at == now + 1s);
}

TEST_CASE("a hint never lengthens a wait, and says nothing about the link", "[link]")
{
    monitor link{start};
    link.on_failure(start, verdict::tcp, 0ms, least);
    const auto next = link.on_hint(start + 1min);
    CHECK(next.probe_at == start + 1s);
    CHECK(next.verdict == verdict::tcp);
    CHECK(next.checked_at == start);
    CHECK(next.happened == event::none);
}

TEST_CASE("a hint does not undercut what the upstream asked for", "[link]")
{
    monitor link{start};
    link.on_failure(start, verdict::maintenance, 10min, most);
    CHECK(link.on_hint(start + 1min).probe_at == start + 10min);
}

TEST_CASE("a hint has an idle link looked at", "[link]")
{
    monitor link{start};
    link.on_probe_success(start);
    const auto next = link.on_hint(start + 1min);
    CHECK(next.is_up);
    CHECK(next.probe_at == start + 1min);
}

TEST_CASE("a node has its own place in the window, and it is never outside", "[link]")
{
    const auto first = first_send_at(start, 10min, "kab-karimun-03");
    CHECK(first == first_send_at(start, 10min, "kab-karimun-03"));
    CHECK(first != first_send_at(start, 10min, "kab-karimun-04"));
    CHECK(first >= start);
    CHECK(first < start + 10min);
    CHECK(first_send_at(start, 0ms, "kab-karimun-03") == start);
    CHECK(first_send_at(start, -1h, "kab-karimun-03") == start);
    CHECK(first_send_at(start, milliseconds::max(), "kab-karimun-03") < start + 1h);
}
