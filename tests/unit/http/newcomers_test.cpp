#include "http/newcomers.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace titip::http::test {

namespace {

const newcomers::options usual;

instant at(milliseconds since)
{
    return instant{} + 1h + since;
}

struct hall {
    newcomers rules;
    std::vector<newcomers::ticket> gone{};

    /// Comes when there is room, as the listener does it.
    std::optional<newcomers::ticket> come(instant now, const std::string& from)
    {
        look(now);
        if (!rules.has_room())
            return std::nullopt;
        const auto mine = rules.on_come(now, from);
        rules.check();
        return mine;
    }
    void look(instant now)
    {
        const auto displaced = rules.take_displaced(now);
        rules.check();
        gone.insert(gone.end(), displaced.begin(), displaced.end());
    }
    bool is_gone(newcomers::ticket which) const
    {
        return std::ranges::find(gone, which) != gone.end();
    }
};

std::string office(std::size_t n)
{
    return std::to_string(n);
}

} // namespace

TEST_CASE("where there is room a silent peer has ten seconds, and its handshake thirty", "[http]")
{
    hall h;
    const auto silent = h.come(at(0s), "a").value();
    const auto shaking = h.come(at(0s), "a").value();
    h.rules.on_hello(shaking, at(9s));
    h.look(at(10s - 1ms));
    CHECK(h.gone.empty());
    CHECK(h.rules.look_again() == at(10s));
    h.look(at(10s));
    CHECK(h.is_gone(silent));
    h.look(at(39s - 1ms));
    CHECK_FALSE(h.is_gone(shaking));
    h.look(at(39s));
    CHECK(h.is_gone(shaking));
}

TEST_CASE("offices behind one address may have as many as they like while there is room", "[http]")
{
    hall h;
    for (std::size_t i = 0; i < usual.most / 2; ++i)
        REQUIRE(h.come(at(0s), "nat"));
    h.look(at(1s));
    CHECK(h.gone.empty());
    CHECK(usual.most / 2 > usual.most_of_one);
}

TEST_CASE("under pressure one source keeps no more silent ones than its share, the newest",
          "[http]")
{
    hall h;
    std::vector<newcomers::ticket> theirs;
    std::vector<newcomers::ticket> ours;
    for (std::size_t i = 0; i < 1'000; ++i) {
        theirs.push_back(h.come(at(milliseconds{i}), "flood").value()); // there is always room
        if (i % 100 == 0)
            ours.push_back(h.come(at(milliseconds{i}), office(i)).value());
    }
    CHECK(std::ranges::none_of(ours, [&](auto each) { return h.is_gone(each); }));
    CHECK_FALSE(h.is_gone(theirs.back()));
    CHECK(h.is_gone(theirs.front()));
    CHECK(h.rules.size() <= usual.most / 2 + 1);
}

TEST_CASE("under pressure one source keeps its whole share of silent ones, and no more", "[http]")
{
    hall h;
    for (std::size_t i = 0; i < usual.most_of_one; ++i)
        REQUIRE(h.come(at(0s), "nat"));
    for (auto i = usual.most_of_one; i <= usual.most / 2; ++i)
        REQUIRE(h.come(at(0s), office(i)));
    h.look(at(1ms));
    CHECK(h.gone.empty());
    REQUIRE(h.come(at(2ms), "nat"));
    h.look(at(2ms));
    CHECK(h.gone.size() == 1);
}

TEST_CASE("from many sources the longest silent goes first, and has two seconds at the least",
          "[http]")
{
    hall h;
    std::vector<newcomers::ticket> all;
    for (std::size_t i = 0; i < usual.most; ++i)
        all.push_back(h.come(at(milliseconds{i}), office(i)).value());
    CHECK_FALSE(h.come(at(1'999ms), "late"));
    CHECK(h.rules.look_again() == at(2s));
    REQUIRE(h.come(at(2s), "late"));
    CHECK(h.gone == std::vector{all.front()});
}

TEST_CASE("sixty silent peers a second from anywhere leave room for one that speaks", "[http]")
{
    const std::size_t sources = GENERATE(1, 7, 100'000);
    CAPTURE(sources);
    hall h;
    std::size_t turned_away = 0;
    for (std::size_t i = 0; i < 60u * 60; ++i) {
        const auto now = at(milliseconds{i * 1'000 / 60});
        h.come(now, office(i % sources));
        const auto honest = h.come(now, "honest");
        turned_away += honest ? 0 : 1;
        if (honest) {
            h.rules.on_hello(*honest, now);
            h.rules.on_end(*honest);
        }
    }
    CHECK(turned_away == 0);
}

TEST_CASE("a hello and then silence holds a place no longer than a flood allows", "[http]")
{
    hall h;
    std::size_t turned_away = 0;
    for (std::size_t i = 0; i < 60u * 60; ++i) {
        const auto now = at(milliseconds{i * 1'000 / 60});
        if (const auto theirs = h.come(now, "flood"))
            h.rules.on_hello(*theirs, now);
        const auto honest = h.come(now, "honest");
        turned_away += honest ? 0 : 1;
        if (honest)
            h.rules.on_end(*honest);
    }
    CHECK(turned_away == 0);
}

TEST_CASE("where all come at once no handshake that has begun is given up for another's", "[http]")
{
    hall h;
    for (std::size_t i = 0; i < usual.most; ++i) {
        const auto mine = h.come(at(0s), "nat");
        REQUIRE(mine);
        h.rules.on_hello(*mine, at(0s));
    }
    h.look(at(usual.hurried - 1ms));
    CHECK(h.gone.empty());
}

TEST_CASE("what was displaced says nothing more", "[http]")
{
    hall h;
    const auto one = h.come(at(0s), "a").value();
    h.look(at(10s));
    REQUIRE(h.is_gone(one));
    h.rules.on_hello(one, at(11s));
    h.rules.on_end(one);
    h.rules.check();
    CHECK(h.rules.size() == 0);
}

TEST_CASE("whatever comes and goes, none stays past its time and each is displaced once", "[http]")
{
    const auto seed = GENERATE(range(1u, 17u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto draw = [&](std::size_t below) { return random() % below; };
    hall h;
    std::vector<newcomers::ticket> here;
    auto now = at(0s);
    for (int step = 0; step < 3'000; ++step) {
        now += milliseconds{draw(60)};
        if (draw(3) != 0)
            if (const auto mine = h.come(now, office(draw(6))))
                here.push_back(*mine);
        if (!here.empty() && draw(2) == 0)
            h.rules.on_hello(here[draw(here.size())], now);
        if (!here.empty() && draw(4) == 0)
            h.rules.on_end(here[draw(here.size())]);
        h.look(now);
        CHECK(h.rules.look_again() > now);
    }
    auto gone = h.gone;
    std::ranges::sort(gone);
    CHECK(std::ranges::adjacent_find(gone) == gone.end());
}

TEST_CASE("an IPv6 source is what one customer has", "[http]")
{
    namespace ip = boost::asio::ip;
    const auto source = [](const char* text) { return source_of(ip::make_address(text)); };
    CHECK(source("2001:db8:1:2::1") == source("2001:db8:1:2:ffff:1:2:3"));
    CHECK(source("2001:db8:1:2::1") != source("2001:db8:1:3::1"));
    CHECK(source("::ffff:192.0.2.1") == source("192.0.2.1"));
    CHECK(source("192.0.2.1") != source("192.0.2.2"));
}

} // namespace titip::http::test
