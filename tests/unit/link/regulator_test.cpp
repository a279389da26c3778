#include "link/regulator.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

using namespace titip;
using link::regulator;

namespace {

constexpr std::uint64_t segment = 1'448;

/// A link and the TCP on it, as coarse as TCP_INFO shows them: a loss-based connection has a window
/// that one loss halves, BBR fills whatever it may.
class modelled {
public:
    double rate_bytes_per_s = 120'000;
    double loss = 0;
    bool is_cut = false;
    bool may_bbr = true;
    double round_trip_s = 0.6;
    static constexpr double queue_bytes = 31'000;

    regulator under;
    instant now = instant{} + 1h;

    void run(milliseconds time)
    {
        for (const auto until = now + time; now < until; now += tick)
            step();
    }
    const regulator::decision& decided() const { return under.current(); }
    double goodput() const { return last_rate_; }
    double resent_share() const { return sent_ > 0 ? resent_ / sent_ : 0; }
    void forget_counts() { sent_ = resent_ = 0; }

private:
    struct connection {
        std::uint64_t number = 0;
        double window = 10 * segment;
        double ceiling = 1e9; ///< the window at the last loss
        http::tcp_figures seen;
    };
    static constexpr auto tick = 100ms;
    static constexpr double tick_s = 0.1;

    void step()
    {
        const auto& wanted = under.current();
        while (all_.size() < wanted.connections)
            all_.push_back({.number = next_++});
        all_.resize(wanted.connections);
        const bool is_bbr = wanted.wants_bbr && may_bbr;
        double offered = 0;
        std::vector<double> each_offers;
        for (auto& each : all_) {
            double pace = is_bbr ? each.window * 1.25 / round_trip_s : each.window / round_trip_s;
            if (const auto share = wanted.shares.find(each.number); share != wanted.shares.end())
                pace = std::min(pace, static_cast<double>(share->second));
            each_offers.push_back(pace);
            offered += pace;
        }
        backlog_ = std::max(0.0, backlog_ + (offered - rate_bytes_per_s) * tick_s);
        const double overflow = std::max(0.0, backlog_ - queue_bytes);
        backlog_ -= overflow;
        const double carried = is_cut ? 0 : std::min(offered, rate_bytes_per_s + overflow / tick_s);
        last_rate_ = 0;
        const double delay_s = round_trip_s + backlog_ / rate_bytes_per_s;
        std::vector<regulator::sample> samples;
        for (std::size_t i = 0; i < all_.size(); ++i)
            samples.push_back(sample(all_[i], each_offers[i], carried * each_offers[i] / offered,
                                     overflow * each_offers[i] / offered, delay_s, is_bbr));
        under.on_samples(now, samples, may_bbr);
    }

    regulator::sample sample(connection& each, double offered, double carried, double overflow,
                             double delay_s, bool is_bbr)
    {
        const double sent = offered * tick_s;
        double delivered = std::min(sent, carried * tick_s);
        double lost = overflow;
        for (double packet = 0; packet < delivered; packet += segment)
            if (std::uniform_real_distribution{}(random_) < loss)
                lost += segment;
        delivered = std::max(0.0, delivered - lost);
        last_rate_ += delivered / tick_s;
        if (lost > 0 && !is_bbr) {
            each.window = std::max(2.0 * segment, each.window * 0.7);
            each.ceiling = each.window;
        } else if (is_bbr)
            each.window =
                std::max(each.window, std::min(each.window * 1.2, 2 * carried * round_trip_s));
        else
            each.window *= each.window < each.ceiling ? 1.15 : 1.01;
        sent_ += sent;
        resent_ += lost;
        auto& seen = each.seen;
        seen.sent_bytes += static_cast<std::uint64_t>(sent);
        seen.resent_bytes += static_cast<std::uint64_t>(lost);
        seen.delivered_bytes += static_cast<std::uint64_t>(delivered);
        seen.in_flight_bytes = segment;
        seen.delivery_bytes_per_s = static_cast<std::uint64_t>(delivered / tick_s);
        seen.round_trip = std::chrono::microseconds{static_cast<std::int64_t>(delay_s * 1e6)};
        shortest_s_ = std::min(shortest_s_, round_trip_s);
        seen.shortest_round_trip =
            std::chrono::microseconds{static_cast<std::int64_t>(shortest_s_ * 1e6)};
        return {.connection = each.number, .seen = seen};
    }

    std::vector<connection> all_;
    std::uint64_t next_ = 1;
    double backlog_ = 0;
    double last_rate_ = 0;
    double shortest_s_ = 1e9;
    double sent_ = 0;
    double resent_ = 0;
    std::mt19937_64 random_{7};
};

} // namespace

TEST_CASE("nothing is asked of a link that is not known but BBR, where that is allowed", "[link]")
{
    const regulator fresh;
    CHECK(fresh.current().wants_bbr);
    CHECK(fresh.current().connections == 2);
    CHECK(fresh.current().most_bytes_per_s == 0);
    CHECK(fresh.rate_bytes_per_s() == 0);
}

TEST_CASE(
    "a link that loses nothing by itself gets one loss-based connection, a little below its rate",
    "[link]")
{
    modelled link;
    link.run(40s);
    CHECK_FALSE(link.decided().wants_bbr);
    CHECK(link.under.rate_bytes_per_s() > 114'000);
    CHECK(link.under.rate_bytes_per_s() < 126'000);
    link.forget_counts();
    link.run(60s);
    CHECK(link.resent_share() < 0.01);
    CHECK(link.goodput() > 0.9 * 120'000);
}

TEST_CASE("a link that loses by itself gets BBR where it is allowed", "[link]")
{
    modelled link;
    link.loss = 0.02;
    link.run(40s);
    CHECK(link.decided().wants_bbr);
    CHECK(link.decided().connections == 2);
}

TEST_CASE("where BBR is not allowed connections are added until the link is full", "[link]")
{
    modelled link;
    link.loss = 0.02;
    link.may_bbr = false;
    link.rate_bytes_per_s = 240'000;
    link.run(10s);
    const auto early = link.decided().connections;
    link.run(60s);
    CHECK(early >= 4);
    CHECK(link.decided().connections > 4);
    CHECK(link.decided().connections <= 16);
    CHECK_FALSE(link.decided().wants_bbr);
}

TEST_CASE("no more connections than are allowed", "[link]")
{
    modelled link;
    link.under = regulator{{.most_connections = 3}};
    link.loss = 0.05;
    link.may_bbr = false;
    link.rate_bytes_per_s = 240'000;
    link.run(60s);
    CHECK(link.decided().connections == 3);
    link.under = regulator{{.most_connections = 1}};
    CHECK(link.under.current().connections == 1);
}

TEST_CASE("a link that becomes faster, or slower, is found out", "[link]")
{
    modelled link;
    link.run(40s);
    link.rate_bytes_per_s = 240'000;
    link.run(180s);
    CHECK(link.under.rate_bytes_per_s() > 220'000);
    link.rate_bytes_per_s = 60'000;
    link.run(60s);
    CHECK(link.under.rate_bytes_per_s() < 70'000);
}

TEST_CASE("a cut teaches nothing but to ask again how the link is", "[link]")
{
    modelled link;
    link.run(40s);
    REQUIRE_FALSE(link.decided().wants_bbr);
    const auto known = link.under.rate_bytes_per_s();
    link.is_cut = true;
    link.run(60s);
    CHECK(link.under.rate_bytes_per_s() == known);
    CHECK(link.decided().wants_bbr); // it fills a link again sooner
}

TEST_CASE("what is learned stays over reconnects", "[link]")
{
    modelled link;
    link.run(40s);
    const auto known = link.under.rate_bytes_per_s();
    std::vector<regulator::sample> none;
    for (int i = 0; i < 600; ++i)
        link.under.on_samples(link.now += 100ms, none, true);
    CHECK(link.under.rate_bytes_per_s() == known);
    CHECK(link.decided().most_bytes_per_s > 0);
}

TEST_CASE("shares of the rate go to those who use them, and to no idle connection", "[link]")
{
    regulator under;
    instant now = instant{} + 1h;
    http::tcp_figures fast{.in_flight_bytes = segment,
                           .delivery_bytes_per_s = 100'000,
                           .round_trip = 300ms,
                           .shortest_round_trip = 100ms};
    auto slow = fast;
    slow.delivery_bytes_per_s = 10'000;
    http::tcp_figures idle{.round_trip = 100ms, .shortest_round_trip = 100ms};
    for (int i = 0; i < 100; ++i) {
        fast.delivered_bytes += 10'000;
        fast.sent_bytes += 10'000;
        slow.delivered_bytes += 1'000;
        slow.sent_bytes += 1'000;
        const std::vector<regulator::sample> all{{1, fast}, {2, slow}, {3, idle}};
        under.on_samples(now += 100ms, all, true);
    }
    const auto& decided = under.current();
    REQUIRE(decided.shares.size() == 2);
    CHECK(decided.shares.at(1) > decided.shares.at(2));
    CHECK(decided.shares.at(1) + 15'000 >= decided.most_bytes_per_s);
    CHECK(decided.shares.at(1) + 10'000 <= decided.most_bytes_per_s);
    CHECK(decided.shares.at(2) + 1 >= decided.most_bytes_per_s / 2); // whenever it wants it
}

namespace {

constexpr double no_limit = 1e9;

/// Connections of a link whose rate is known, each of which takes whatever share it is given, or at most
/// `most`.
class sharing {
public:
    struct one {
        std::uint64_t number = 0;
        double most = no_limit;
        std::optional<std::uint64_t> left_bytes;
        http::tcp_figures seen{
            .in_flight_bytes = segment, .round_trip = 300ms, .shortest_round_trip = 200ms};
    };
    regulator under;
    std::vector<one> all;
    static constexpr double rate_bytes_per_s = 100'000;
    bool may_bbr = true;
    bool is_lossy = false;
    bool is_overflowing = false; ///< now and then, for a moment

    void add(std::uint64_t number, double most = no_limit,
             std::optional<std::uint64_t> left_bytes = std::nullopt)
    {
        all.push_back({.number = number, .most = most, .left_bytes = left_bytes});
    }
    void run(int steps)
    {
        for (int i = 0; i < steps; ++i) {
            const auto& shares = under.current().shares;
            std::vector<double> paces;
            double offered = 0;
            for (const auto& each : all) {
                const auto held = shares.find(each.number);
                const auto most =
                    held == shares.end() ? rate_bytes_per_s : static_cast<double>(held->second);
                paces.push_back(std::min(each.most, most));
                offered += paces.back();
            }
            ++steps_;
            std::vector<regulator::sample> samples;
            for (std::size_t n = 0; n < all.size(); ++n) {
                const auto carried = paces[n] * std::min(1.0, rate_bytes_per_s / offered) / 10;
                all[n].seen.sent_bytes += static_cast<std::uint64_t>(carried);
                all[n].seen.delivered_bytes += static_cast<std::uint64_t>(carried);
                // A queue stands now and then; what is lost in between the link loses.
                const bool is_full = steps_ % 100 < 30;
                all[n].seen.round_trip = is_full ? 300ms : 200ms;
                if (is_lossy && !is_full && steps_ % 5 == 0)
                    all[n].seen.resent_bytes += segment;
                if (is_overflowing && steps_ % 20 == 0) {
                    all[n].seen.round_trip = 450ms;
                    all[n].seen.resent_bytes += segment;
                }
                samples.push_back({all[n].number, all[n].seen, all[n].left_bytes});
            }
            under.on_samples(now_ += 100ms, samples, may_bbr);
        }
    }
    std::uint64_t share(std::uint64_t number) const { return under.current().shares.at(number); }

private:
    instant now_ = instant{} + 1h;
    unsigned steps_ = 0;
};

} // namespace

TEST_CASE("a connection that begins later gets as much as the others", "[link]")
{
    sharing link;
    link.add(1);
    link.add(2);
    link.run(100);
    link.add(3, 2'000); // as TCP begins
    link.run(40);
    link.all.back().most = no_limit;
    link.run(100);
    CHECK(link.share(3) > link.share(1) * 9 / 10);
    CHECK(link.share(3) < link.share(1) * 11 / 10);
}

TEST_CASE("one that recovers may take its fair share at once", "[link]")
{
    sharing link;
    link.add(1);
    link.add(2, 1'000);
    link.run(100);
    CHECK(link.share(2) >= link.under.current().most_bytes_per_s / 2 - 1);
    CHECK(link.share(1) > link.under.current().most_bytes_per_s * 9 / 10);
}

TEST_CASE("where each is slow alone the connections end together", "[link]")
{
    sharing link;
    link.may_bbr = false;
    link.is_lossy = true;
    link.add(1, no_limit, 300'000);
    link.add(2, no_limit, 100'000);
    link.run(300);
    CHECK(link.share(1) > link.share(2) * 5 / 2);
    CHECK(link.share(1) < link.share(2) * 7 / 2);
    link.all[0].most = 20'000; // it cannot
    link.run(100);
    CHECK(link.share(2) > link.under.current().most_bytes_per_s * 7 / 10);
}

TEST_CASE("what is lost in a moment's overflow is no loss of the link's own", "[link]")
{
    sharing link;
    link.is_overflowing = true;
    link.add(1);
    link.add(2);
    link.run(600);
    CHECK_FALSE(link.under.current().wants_bbr); // it is clean
    link.is_overflowing = false;
    link.is_lossy = true;
    link.run(600);
    CHECK(link.under.current().wants_bbr);
}

TEST_CASE("beside a large record a small one does not stand still", "[link]")
{
    sharing link;
    link.may_bbr = GENERATE(false, true);
    link.is_lossy = true;
    link.add(1, no_limit, 6'000'000);
    link.add(2, no_limit, 6'000);
    link.run(300);
    const auto whole = link.under.current().most_bytes_per_s;
    CHECK(link.share(2) >= (link.may_bbr ? whole * 4 / 10 : whole / 6)); // BBR alone fills the link
}

TEST_CASE("in a cut two connections ask whether it is over, and afterwards all do", "[link]")
{
    modelled link;
    link.loss = 0.02;
    link.may_bbr = false;
    link.rate_bytes_per_s = 240'000;
    link.run(40s);
    const auto connections = link.decided().connections;
    REQUIRE(connections > 4);
    CHECK(link.decided().patient.empty());
    link.is_cut = true;
    link.run(20s);
    CHECK(link.decided().connections == connections); // none is opened in vain
    CHECK(link.decided().patient.size() == connections - 2);
    link.is_cut = false;
    link.run(10s);
    CHECK(link.decided().patient.empty());
}

TEST_CASE("a cut before the rate is known is one, too", "[link]")
{
    modelled link;
    link.may_bbr = false;
    link.run(800ms);
    REQUIRE(link.under.rate_bytes_per_s() == 0);
    REQUIRE(link.decided().connections == 4);
    link.is_cut = true;
    link.run(10s);
    CHECK(link.decided().patient.size() == 2);
}

TEST_CASE("what a cut took is no loss of the link's own", "[link]")
{
    modelled link;
    link.may_bbr = false;
    link.run(40s);
    REQUIRE(link.decided().connections == 2);
    link.is_cut = true;
    link.run(20s);
    CHECK(link.decided().connections == 2); // none is opened in vain
    link.is_cut = false;
    link.loss = 0.1; // several begin again at once, and overflow it
    link.run(6s);
    link.loss = 0;
    link.run(14s);
    CHECK(link.decided().connections == 2);
}

TEST_CASE("where much is lost there are more, since each one's window is small", "[link]")
{
    modelled link;
    link.loss = 0.1;
    link.may_bbr = false;
    link.run(120s);
    CHECK(link.decided().connections > 8);
}

TEST_CASE("a while without anything to send is no cut", "[link]")
{
    modelled link;
    link.run(40s);
    REQUIRE_FALSE(link.decided().wants_bbr); // it is known to be clean
    link.now += GENERATE(3s, 60s, 3600s);
    link.run(5s);
    CHECK_FALSE(link.decided().wants_bbr);
    CHECK(link.decided().patient.empty());
}

TEST_CASE("no more connections than the link holds windows for", "[link]")
{
    modelled link;
    link.loss = 0.05;
    link.may_bbr = false;
    link.rate_bytes_per_s = 64'000;
    link.round_trip_s = 0.2; // nine segments are under way
    link.run(60s);
    CHECK(link.decided().connections == 4);
    CHECK(link.decided().connections_at_end == 4);

    modelled longer;
    longer.loss = 0.005;
    longer.may_bbr = false;
    longer.rate_bytes_per_s = 240'000;
    longer.run(20s);
    CHECK(longer.decided().connections < 12);
    // A hundred segments are: the last records go over one each.
    CHECK(longer.decided().connections_at_end >= 15);
}

TEST_CASE("time in which there was nothing to send says nothing of the link", "[link]")
{
    regulator under;
    instant now = instant{} + 1h;
    http::tcp_figures seen{.round_trip = 300ms, .shortest_round_trip = 100ms};
    for (int i = 0; i < 200; ++i) {
        seen.delivered_bytes += 100;
        seen.in_flight_bytes = i % 3 == 0 ? 0 : segment;
        const std::vector<regulator::sample> all{{1, seen}};
        under.on_samples(now += 100ms, all, true);
    }
    CHECK(under.rate_bytes_per_s() == 0);
    CHECK(under.current().most_bytes_per_s == 0);
}

TEST_CASE("a round trip that has become longer is no queue of ours", "[link]")
{
    modelled link;
    link.run(40s);
    link.round_trip_s = 1.0;
    link.run(300s);
    CHECK(link.under.rate_bytes_per_s() > 100'000);
    std::uint64_t sum = 0;
    for (const auto& [connection, share] : link.decided().shares)
        sum += share;
    CHECK(sum > 100'000); // none is left over from a window in which we sent less to find that out
}

TEST_CASE("another link, of a twentieth of the rate, is not taken for a cut", "[link]")
{
    modelled link;
    link.rate_bytes_per_s = 600'000;
    link.run(40s);
    link.rate_bytes_per_s = 30'000;
    link.run(300s);
    CHECK(link.under.rate_bytes_per_s() < 45'000);
    CHECK(link.under.rate_bytes_per_s() > 0);
}

TEST_CASE("the window after one at half the pace has the whole again", "[link]")
{
    modelled link;
    link.run(40s);
    link.round_trip_s = 1.0;
    std::uint64_t halves = 0, most_in_a_row = 0, in_a_row = 0;
    for (int step = 0; step < 1'200; ++step) {
        link.run(100ms);
        std::uint64_t sum = 0;
        for (const auto& [connection, share] : link.decided().shares)
            sum += share;
        const bool is_half = sum < link.under.rate_bytes_per_s() * 3 / 4;
        halves += is_half;
        in_a_row = is_half ? in_a_row + 1 : 0;
        most_in_a_row = std::max(most_in_a_row, in_a_row);
    }
    CHECK(halves > 0);
    CHECK(most_in_a_row <= 14); // steps of 100 ms, a window is 1.2 s
}

TEST_CASE("counters that shrink with the size of a segment are no delivery", "[link]")
{
    regulator under;
    instant now = instant{} + 1h;
    http::tcp_figures seen{
        .in_flight_bytes = segment, .round_trip = 300ms, .shortest_round_trip = 100ms};
    for (int i = 0; i < 100; ++i) {
        seen.sent_bytes += 10'000;
        seen.delivered_bytes = i == 50 ? seen.delivered_bytes / 2 : seen.delivered_bytes + 10'000;
        const std::vector<regulator::sample> all{{1, seen}};
        under.on_samples(now += 100ms, all, true);
    }
    CHECK(under.rate_bytes_per_s() < 1'000'000);
}

TEST_CASE("a fast link is never slowed down", "[link]")
{
    regulator under;
    instant now = instant{} + 1h;
    http::tcp_figures seen{
        .in_flight_bytes = segment, .round_trip = 1ms, .shortest_round_trip = 1ms};
    for (int i = 0; i < 600; ++i) {
        seen.sent_bytes += 30'000'000;
        seen.delivered_bytes += i % 7 == 0 ? 1'000'000 : 30'000'000;
        seen.round_trip = i < 20 ? 1ms : 40ms; // a busy machine
        const std::vector<regulator::sample> all{{1, seen}};
        const auto& decided = under.on_samples(now += 100ms, all, true);
        CHECK(decided.most_bytes_per_s == 0);
        CHECK(decided.shares.empty());
    }
}

TEST_CASE("a fast link that was exchanged for a slow one is capped", "[link]")
{
    regulator under;
    instant now = instant{} + 1h;
    http::tcp_figures seen{.in_flight_bytes = segment, .shortest_round_trip = 1ms};
    const auto run = [&](std::uint64_t bytes, milliseconds round_trip) {
        for (int i = 0; i < 600; ++i) {
            seen.sent_bytes += bytes;
            seen.delivered_bytes += bytes;
            seen.round_trip = round_trip;
            const std::vector<regulator::sample> all{{1, seen}};
            under.on_samples(now += 100ms, all, true);
        }
    };
    run(3'000'000, 1ms);
    CHECK(under.current().most_bytes_per_s == 0);
    run(12'000, 800ms);
    CHECK(under.current().most_bytes_per_s > 0);
    CHECK(under.current().most_bytes_per_s < 200'000);
}
