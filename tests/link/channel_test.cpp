#include "channel.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace titip::tests::link;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t packet_bytes = 1'250; // 10 ms at 1 Mbit/s

std::vector<bool> losses_of(const quality& like, std::uint64_t seed, int packets)
{
    channel under{like, seed};
    std::vector<bool> out;
    for (int i = 0; i < packets; ++i)
        out.push_back(!under.send(nanoseconds{0}, 100).has_value());
    return out;
}

} // namespace

TEST_CASE("a packet takes its time on the wire, behind those before it, and then the delay",
          "[link]")
{
    channel under{{.rate_bits_per_s = 1e6, .delay = 300ms}, 1};
    CHECK(under.send(0ms, packet_bytes) == 310ms);
    CHECK(under.send(0ms, packet_bytes) == 320ms);
    CHECK(under.send(15ms, packet_bytes) == 330ms);
    CHECK(under.send(100ms, packet_bytes) == 410ms);
    under.like().rate_bits_per_s = 2e6;
    CHECK(under.send(200ms, packet_bytes) == 505ms);
    under.like().rate_bits_per_s = 0;
    CHECK(under.send(300ms, packet_bytes) == 600ms);
}

TEST_CASE("what does not fit behind the packet on the wire is dropped", "[link]")
{
    channel under{{.rate_bits_per_s = 1e6, .queue_bytes = 2 * packet_bytes}, 1};
    CHECK(under.send(0ms, packet_bytes) == 10ms);
    CHECK(under.send(0ms, packet_bytes) == 20ms);
    CHECK(under.send(0ms, packet_bytes) == 30ms);
    CHECK_FALSE(under.send(0ms, packet_bytes).has_value());
    CHECK_FALSE(under.send(9ms, packet_bytes).has_value());
    CHECK(under.send(10ms, packet_bytes) == 40ms);
    CHECK(under.seen().queue_drops == 2);
    CHECK(under.seen().delivered == 4);
    CHECK(under.seen().packets == 6);
}

TEST_CASE("which packets are lost is the seed's, and as many as were asked for", "[link]")
{
    const quality like{.loss = 0.02};
    const auto one = losses_of(like, 7, 50'000);
    CHECK(one == losses_of(like, 7, 50'000));
    CHECK(one != losses_of(like, 8, 50'000));
    const auto lost = std::count(one.begin(), one.end(), true);
    CHECK(lost > 1'000 - 4 * 31); // four standard deviations
    CHECK(lost < 1'000 + 4 * 31);
}

TEST_CASE("losses come together where that was asked for", "[link]")
{
    auto like = *profile("burst");
    like.rate_bits_per_s = 0; // none is dropped for want of room
    like.queue_bytes = 0;
    const auto all = losses_of(like, 3, 400'000);
    const auto lost = std::count(all.begin(), all.end(), true);
    long spells = 0;
    for (std::size_t i = 1; i < all.size(); ++i)
        spells += all[i] && !all[i - 1] ? 1 : 0;
    CHECK(lost > 6'500); // 2 %
    CHECK(lost < 9'500);
    const auto mean = static_cast<double>(lost) / static_cast<double>(spells);
    CHECK(mean > 7);
    CHECK(mean < 9.5);
}

TEST_CASE("in a cut everything falls into a black hole, and afterwards nothing does", "[link]")
{
    auto like = *profile("cut");
    like.delay = 0ms;
    channel under{like, 1};
    for (const auto& [at, comes] :
         {std::pair{4s, true}, {5s, false}, {24s, false}, {25s, true}, {64s, true}, {66s, false}})
        CHECK(under.send(at, packet_bytes).has_value() == comes);
    CHECK(under.seen().cuts == 3);
    under.like().is_cut = true;
    CHECK_FALSE(under.send(100s, packet_bytes).has_value());
    under.like().is_cut = false;
    CHECK(under.send(101s, packet_bytes).has_value());
}

TEST_CASE("jitter delays packets and does not put them out of order", "[link]")
{
    channel under{{.delay = 10ms, .jitter = 50ms}, 5};
    nanoseconds before{0};
    nanoseconds latest{0};
    for (int i = 0; i < 1'000; ++i) {
        const auto sent = i * 1ms;
        const auto came = under.send(sent, packet_bytes).value();
        CHECK(came >= before);
        CHECK(came >= sent + 10ms);
        CHECK(came <= sent + 61ms);
        latest = std::max(latest, came - sent);
        before = came;
    }
    CHECK(latest > 40ms);
}
