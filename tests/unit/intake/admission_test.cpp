#include "intake/admission.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace titip;
using intake::admission;

namespace {

/// A small centre: two turns and places, room for 1,000 bytes.
admission::options small()
{
    return {.most_connections = 4,
            .most_per_station = 3,
            .most_bodies = 2,
            .memory_bytes = 1'000,
            .turn_bytes = 5'000};
}

class centre {
public:
    explicit centre(admission::options with = small()) : core(now, with) {}

    /// A body that begins now, and what becomes of it at once.
    std::pair<admission::ticket, admission::view> begin(const std::string& station)
    {
        const auto mine = core.on_body(now, station);
        return {mine, core.look(mine, now, 0.0)};
    }
    admission::ticket let_in(const std::string& station)
    {
        const auto [mine, view] = begin(station);
        REQUIRE(view.is_in);
        return mine;
    }
    admission::ticket waiting(const std::string& station)
    {
        const auto [mine, view] = begin(station);
        REQUIRE_FALSE(view.is_in);
        REQUIRE_FALSE(view.refused.has_value());
        return mine;
    }
    bool is_in(admission::ticket mine) { return core.look(mine, now, 0.0).is_in; }

    instant now{100h};
    admission core;
};

} // namespace

TEST_CASE("where there is room for all, nobody waits", "[intake]")
{
    centre one{{}};
    std::vector<admission::ticket> all;
    for (int i = 0; i < 512; ++i)
        all.push_back(one.let_in("office-" + std::to_string(i % 7)));
    CHECK(one.core.bodies() == 512);
    for (const auto each : all)
        one.core.on_end(each, one.now);
    CHECK(one.core.bodies() == 0);
    CHECK(one.core.memory_bytes() == 0);
}

TEST_CASE("a place goes to the station that holds the fewest", "[intake]")
{
    centre one;
    const auto first = one.let_in("greedy");
    const auto second = one.let_in("greedy");
    const auto third = one.waiting("greedy");
    const auto modest = one.waiting("modest");
    one.core.on_end(first, one.now);
    CHECK(one.core.take_called() == std::vector{modest});
    CHECK(one.is_in(modest));
    CHECK_FALSE(one.is_in(third));
    one.core.on_end(second, one.now);
    CHECK(one.is_in(third));
}

TEST_CASE("while bodies fill the memory none is let in, until they are committed", "[intake]")
{
    centre one;
    const auto large = one.let_in("office-1");
    one.core.on_bytes(large, one.now, 1'000);
    CHECK(one.core.is_memory_short());
    const auto next = one.waiting("office-2");
    one.core.on_kept(large, one.now);
    CHECK(one.core.take_called() == std::vector{next});
    CHECK(one.is_in(next));
}

TEST_CASE("where memory is short, who has its share of it commits what has come", "[intake]")
{
    centre one;
    const auto large = one.let_in("office-1");
    const auto small_one = one.let_in("office-2");
    one.core.on_bytes(large, one.now, 900);
    CHECK_FALSE(one.core.is_to_be_kept(large));
    one.core.on_bytes(small_one, one.now, 100);
    CHECK(one.core.is_to_be_kept(large));
    CHECK_FALSE(one.core.is_to_be_kept(small_one));
}

TEST_CASE("without a turn a body waits, but not for long, and is told when its turn comes",
          "[intake]")
{
    centre one;
    one.let_in("office-1");
    one.let_in("office-2");
    const auto third = one.waiting("office-3");
    one.now += admission::options{}.patience - 1ms;
    CHECK_FALSE(one.core.look(third, one.now, 0.0).refused.has_value());
    one.now += 1ms;
    const auto view = one.core.look(third, one.now, 0.0);
    REQUIRE(view.refused.has_value());
    CHECK_FALSE(view.refused->is_over_share);
    // Two turns that last ten seconds and longer: one of them ends in half of that.
    CHECK(view.refused->retry_after == 5s);
    CHECK(one.core.waiting() == 0);
}

TEST_CASE("those who are sent away are told one after the other, and each always the same",
          "[intake]")
{
    centre one;
    one.let_in("office-1");
    one.let_in("office-2");
    one.now += 60s; // nothing ends: a turn lasts that long
    std::vector<std::chrono::seconds> told;
    for (int i = 3; i < 8; ++i) {
        const auto view = one.begin("office-" + std::to_string(i)).second;
        REQUIRE(view.refused.has_value());
        told.push_back(view.refused->retry_after);
    }
    CHECK(told == std::vector<std::chrono::seconds>{30s, 60s, 90s, 120s, 150s});
    one.now += 10s;
    CHECK(one.begin("office-4").second.refused->retry_after == 50s);
}

TEST_CASE("no pause is shorter than a second or longer than five minutes, whatever the chance",
          "[intake]")
{
    std::mt19937 random{GENERATE(range(1u, 9u))};
    std::uniform_real_distribution<double> chance{0.0, 1.0};
    centre one;
    one.let_in("office-1");
    one.let_in("office-2");
    one.now += 280s;
    std::set<std::chrono::seconds> told;
    for (int i = 0; i < 2'000; ++i) {
        const auto mine = one.core.on_body(one.now, "station-" + std::to_string(i));
        const auto view = one.core.look(mine, one.now, chance(random));
        REQUIRE(view.refused.has_value());
        REQUIRE(view.refused->retry_after >= 1s);
        REQUIRE(view.refused->retry_after <= 5min);
        told.insert(view.refused->retry_after);
    }
    CHECK(told.size() > 50); // not all at one moment
}

TEST_CASE("who was told to come back goes before who came later", "[intake]")
{
    centre one;
    const auto first = one.let_in("office-1");
    one.let_in("office-2");
    one.now += 60s;
    REQUIRE(one.begin("patient").second.refused.has_value()); // in 30 s
    one.now += 29s;
    const auto late = one.core.on_body(one.now, "late");
    one.now += 1s;
    const auto patient = one.core.on_body(one.now, "patient");
    one.core.on_end(first, one.now);
    one.now += 3s; // office-1 sends nothing more
    CHECK(one.is_in(patient));
    CHECK_FALSE(one.is_in(late));
}

TEST_CASE("a turn ends when it was long enough and others wait, between two bodies", "[intake]")
{
    centre one;
    auto mine = one.let_in("busy");
    const auto other = one.let_in("other");
    for (int i = 0; i < 6; ++i) {
        one.core.on_bytes(mine, one.now, 999);
        one.core.on_end(mine, one.now);
        mine = one.let_in("busy"); // nobody wants its turn
    }
    const auto third = one.waiting("third");
    CHECK_FALSE(one.core.look(third, one.now, 0.0).is_in); // its body under way stays
    one.core.on_end(mine, one.now);
    const auto next = one.waiting("busy");
    CHECK(one.is_in(third));
    one.core.on_bytes(other, one.now, 1);
    one.now += admission::options{}.patience;
    const auto view = one.core.look(next, one.now, 0.0);
    REQUIRE(view.refused.has_value());
    CHECK(view.refused->is_over_share);
}

TEST_CASE("a body that stands still gives its place up when others wait, and not before",
          "[intake]")
{
    centre one;
    const auto stuck = one.let_in("stuck");
    const auto moving = one.let_in("moving");
    const auto trickle = [&] {
        one.core.on_bytes(stuck, one.now, 1);
        one.core.on_bytes(moving, one.now, 4'096);
        one.core.on_kept(stuck, one.now);
        one.core.on_kept(moving, one.now);
    };
    for (int i = 0; i < 100; ++i) {
        one.now += 1s;
        trickle();
    }
    const auto [mine, view] = one.begin("stuck"); // in turn: it waits without being refused
    CHECK(view.displaced == stuck);
    CHECK_FALSE(one.core.look(mine, one.now, 0.0).displaced.has_value()); // once
    one.core.on_end(stuck, one.now);
    CHECK(one.is_in(mine));
}

TEST_CASE("a body that only waits for the writer is not displaced", "[intake]")
{
    centre one;
    one.core.on_whole(one.let_in("office-1"));
    one.core.on_whole(one.let_in("office-2"));
    one.now += 60s;
    const auto mine = one.core.on_body(one.now, "office-1");
    CHECK_FALSE(one.core.look(mine, one.now, 0.0).displaced.has_value());
}

TEST_CASE("one connection too many of a station displaces one of its own", "[intake]")
{
    centre one;
    for (int i = 0; i < 3; ++i)
        CHECK_FALSE(one.core.on_connect(one.now, "office-1", 0.0).displaced.has_value());
    const auto entrance = one.core.on_connect(one.now, "office-1", 0.0);
    REQUIRE(entrance.displaced.has_value());
    CHECK(entrance.displaced->station == "office-1");
    CHECK_FALSE(entrance.displaced->told.has_value());
}

TEST_CASE("where connections are used up, who has many gives one to who has none", "[intake]")
{
    centre one;
    for (int i = 0; i < 3; ++i)
        one.core.on_connect(one.now, "many", 0.0);
    one.core.on_connect(one.now, "one", 0.0);
    const auto entrance = one.core.on_connect(one.now, "none", 0.0);
    CHECK_FALSE(entrance.refused.has_value());
    REQUIRE(entrance.displaced.has_value());
    CHECK(entrance.displaced->station == "many");
    one.core.on_disconnect(one.now, "many", one.now);
    CHECK(one.core.connections() == 4);
}

TEST_CASE("where each has one connection, who has been idle gives it to a newcomer", "[intake]")
{
    centre one;
    for (const auto* each : {"a", "b", "c", "d"})
        one.core.on_connect(one.now, each, 0.0);
    CHECK(one.core.on_connect(one.now, "early", 0.0).refused.has_value()); // all have just come
    one.now += 9s;
    const auto busy = one.let_in("a");
    one.now += 1s;
    const auto entrance = one.core.on_connect(one.now, "new", 0.0);
    CHECK_FALSE(entrance.refused.has_value());
    REQUIRE(entrance.displaced.has_value());
    CHECK(entrance.displaced->station == "b");
    REQUIRE(entrance.displaced->told.has_value());
    CHECK(entrance.displaced->told->retry_after >= 1s);
    one.core.on_end(busy, one.now);
}

TEST_CASE("who has one connection gets its second at the time it was told, from the oldest turn",
          "[intake]")
{
    centre one{{.most_connections = 5}};
    for (const auto* each : {"first", "second"}) {
        one.now += 1s;
        one.core.on_connect(one.now, each, 0.0);
        one.core.on_connect(one.now, each, 0.0);
        one.let_in(each);
    }
    one.core.on_connect(one.now, "third", 0.0);
    const auto refused = one.core.on_connect(one.now, "third", 0.0).refused;
    REQUIRE(refused.has_value());
    one.now += refused->retry_after - 1s;
    CHECK(one.core.on_connect(one.now, "third", 0.0).refused.has_value()); // too early
    one.now += 1s;
    const auto entrance = one.core.on_connect(one.now, "third", 0.0);
    CHECK_FALSE(entrance.refused.has_value());
    REQUIRE(entrance.displaced.has_value());
    CHECK(entrance.displaced->station == "first");
    CHECK(entrance.displaced->told.has_value());
}

TEST_CASE("the spread is as wide as those who come need, and nothing while it is quiet", "[intake]")
{
    centre one{{.most_connections = 10'000}};
    CHECK(one.core.spread(one.now) == 0s);
    one.core.on_connect(one.now, "office", 0.0);
    CHECK(one.core.spread(one.now) == 0s);
    for (int i = 0; i < 7'284; ++i)
        one.core.on_connect(one.now, "office-" + std::to_string(i), 0.0);
    CHECK(one.core.spread(one.now) == 145s); // 20 ms each
    one.now += 5min;
    CHECK(one.core.spread(one.now) == 0s);
    one.core.on_connect(one.now, "office", 0.0); // another connection is no first contact
    CHECK(one.core.spread(one.now) == 0s);
}

TEST_CASE("a node that has just started has the configured spread, as long as that lasts",
          "[intake]")
{
    centre one{{.first_spread = 15min}};
    CHECK(one.core.spread(one.now) == 15min);
    one.now += 15min - 1s;
    CHECK(one.core.spread(one.now) == 15min);
    one.now += 1s;
    CHECK(one.core.spread(one.now) == 0s);
}

TEST_CASE(
    "whatever comes in whatever order, places and memory are kept, and none waits long beside "
    "room",
    "[intake]")
{
    std::mt19937 random{GENERATE(range(1u, 33u))};
    const auto below = [&random](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>{0, n - 1}(random);
    };
    centre one;
    struct known {
        admission::ticket mine;
        bool is_in = false;
        bool is_over = false;
    };
    std::vector<known> all;
    auto empty_since = one.now;
    for (int step = 0; step < 3'000; ++step) {
        one.now += milliseconds{static_cast<int>(below(400))};
        if (all.empty() || below(3) == 0) {
            const auto [mine, view] = one.begin("office-" + std::to_string(below(6)));
            if (!view.refused)
                all.push_back({mine, view.is_in});
        } else {
            auto& each = all[below(all.size())];
            if (each.is_in && below(2) == 0) {
                one.core.on_bytes(each.mine, one.now, below(700));
                if (below(2) == 0)
                    one.core.on_kept(each.mine, one.now);
            } else {
                one.core.on_end(each.mine, one.now);
                each.is_over = true;
            }
        }
        std::erase_if(all, [](const auto& each) { return each.is_over; });
        std::size_t in = 0;
        for (auto& each : all) {
            const auto view = one.core.look(each.mine, one.now, 0.5);
            each.is_in = view.is_in;
            each.is_over = view.refused.has_value();
            in += view.is_in ? 1 : 0;
        }
        std::erase_if(all, [](const auto& each) { return each.is_over; });
        one.core.take_called();
        REQUIRE(in == one.core.bodies());
        REQUIRE(in <= 2);
        REQUIRE(one.core.waiting() == all.size() - in);
        if (in > 0)
            empty_since = one.now;
        // Turns of stations that send nothing are held for them so long, not longer.
        REQUIRE(
            (one.core.waiting() == 0 || one.now - empty_since < admission::options{}.turn_idle));
    }
    for (const auto& each : all)
        one.core.on_end(each.mine, one.now);
    CHECK(one.core.bodies() == 0);
    CHECK(one.core.memory_bytes() == 0);
}
