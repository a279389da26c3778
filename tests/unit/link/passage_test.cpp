#include "link/passage.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <vector>

using namespace titip;
using link::passage;

namespace {

/// A path that carries segments up to a size, and loses larger ones without a word.
struct hole {
    passage under;
    instant now = instant{} + 1h;
    unsigned carries = 1'448;

    bool fits() const
    {
        const auto used = under.current().most_segment_bytes;
        return (used == 0 ? 1'448 : used) <= carries;
    }
    /// One connection with a body, for the minute that it is given. Whether it got through.
    bool send()
    {
        now = std::max(now, under.at(now).next_at);
        const auto began = now;
        if (fits()) {
            now += 1s;
            under.on_progress(now);
            return true;
        }
        now += 1min;
        under.on_silence(now, began);
        return false;
    }
    unsigned tries_until_through(unsigned most)
    {
        for (unsigned i = 1; i <= most; ++i)
            if (send())
                return i;
        return 0;
    }
};

} // namespace

TEST_CASE("behind a hole for large segments smaller ones go, and go on being used", "[passage]")
{
    hole path{.carries = 1'360};
    CHECK(path.tries_until_through(9) == 2);
    CHECK(path.under.current().most_segment_bytes == 1'200);
    CHECK_FALSE(path.under.current().is_blocked);
    for (int i = 0; i < 100; ++i)
        CHECK(path.send());
    path.carries = 600;
    CHECK(path.tries_until_through(9) == 2);
    CHECK(path.under.current().most_segment_bytes == 536);
}

TEST_CASE("while nothing gets through it says so, since when, and tries ever more seldom",
          "[passage]")
{
    hole path{.carries = 0};
    const auto began = path.now;
    std::vector<milliseconds> between;
    auto last = path.now;
    for (int i = 0; i < 30; ++i) {
        REQUIRE_FALSE(path.send());
        CHECK(path.under.current().is_blocked);
        CHECK(path.under.current().blocked_since == began);
        between.push_back(std::chrono::duration_cast<milliseconds>(path.now - last));
        last = path.now;
    }
    // Every round tries all sizes: what is in the way need not be their size.
    CHECK(between[1] == 1min);
    CHECK(between[3] == 2min);
    CHECK(between[27] == 6min);
    path.carries = 1'448;
    CHECK(path.tries_until_through(2) > 0);
    CHECK_FALSE(path.under.current().is_blocked);
    CHECK(path.under.current().next_at == instant{});
}

TEST_CASE("a larger size is tried again after a day, or when the network has changed", "[passage]")
{
    hole path{.carries = 600};
    REQUIRE(path.tries_until_through(9) == 3);
    path.now += 24h;
    CHECK(path.under.at(path.now).most_segment_bytes == 1'200);
    CHECK(path.tries_until_through(9) == 2);
    CHECK(path.under.current().most_segment_bytes == 536);
    path.carries = 1'448;
    path.under.on_network_change();
    CHECK(path.under.current().most_segment_bytes == 0);
    CHECK(path.send());
}

TEST_CASE("what carried something is used again after an outage", "[passage]")
{
    hole path{.carries = 1'360};
    REQUIRE(path.tries_until_through(9) == 2);
    path.carries = 0; // a silence on the way down, before the link says so
    REQUIRE_FALSE(path.send());
    REQUIRE(path.under.current().most_segment_bytes == 536);
    path.under.on_outage();
    CHECK(path.under.current().most_segment_bytes == 1'200);
    path.carries = 1'360;
    CHECK(path.tries_until_through(9) == 1);
}

TEST_CASE("while it is blocked no time makes a larger size be tried out of its turn", "[passage]")
{
    passage under;
    const auto now = instant{} + 1h;
    REQUIRE(under.on_silence(now, now - 1min));
    CHECK(under.at(now + 48h).most_segment_bytes == 1'200); // nothing was to be sent meanwhile
    REQUIRE(under.on_silence(now + 49h, now + 48h));
    CHECK(under.current().most_segment_bytes == 536);
}

TEST_CASE("what another cause explains is no silence", "[passage]")
{
    passage under;
    const instant now = instant{} + 1h;
    SECTION("a connection that breaks at once")
    {
        CHECK_FALSE(under.on_silence(now, now - 1s));
        CHECK_FALSE(under.current().is_blocked);
    }
    SECTION("bodies go over others meanwhile")
    {
        under.on_progress(now - 10s);
        CHECK_FALSE(under.on_silence(now, now - 1min));
    }
    SECTION("the link is down, as the next answer that does not come shows")
    {
        CHECK(under.on_silence(now, now - 1min));
        under.on_outage();
        CHECK_FALSE(under.current().is_blocked);
        CHECK(under.current().most_segment_bytes == 0);
    }
    SECTION("two that broke together are one silence")
    {
        CHECK(under.on_silence(now, now - 1min));
        CHECK(under.on_silence(now + 1s, now - 59s));
        CHECK(under.current().most_segment_bytes == passage::segments[1]);
    }
}

TEST_CASE("where the certificates of a handshake fall into the hole all sizes are tried",
          "[passage]")
{
    passage under;
    auto now = instant{} + 1h;
    std::vector<unsigned> used;
    for (int i = 0; i < 4; ++i) {
        under.on_silent_handshake(now);
        if (i == 0)
            under.on_outage(); // as the first failure begins one
        now += 20s;
        used.push_back(under.current().most_segment_bytes);
        CHECK_FALSE(under.current().is_blocked); // the link itself is down, and says so
    }
    CHECK(used == std::vector<unsigned>{0, 1'200, 536, 0});
}

TEST_CASE("whatever happens in whatever order, what carries is found and progress ends the rest",
          "[passage]")
{
    const auto seed = GENERATE(range(1u, 33u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    hole path;
    for (int i = 0; i < 500; ++i) {
        path.carries = std::vector<unsigned>{0, 536, 1'200, 1'448}[random() % 4];
        for (auto n = random() % 6; n > 0; --n)
            switch (random() % 6) {
            case 0:
                path.under.on_outage();
                break;
            case 1:
                path.under.on_network_change();
                break;
            case 2:
                path.under.on_silent_handshake(path.now);
                break;
            case 3:
                path.now += std::chrono::minutes{random() % 3'000};
                path.under.at(path.now);
                break;
            case 4:
                path.under.on_hint();
                break;
            default:
                path.send();
            }
        path.under.check();
        if (path.carries == 0)
            continue;
        CHECK(path.tries_until_through(6) > 0); // twice all sizes at most
        CHECK_FALSE(path.under.current().is_blocked);
    }
}
