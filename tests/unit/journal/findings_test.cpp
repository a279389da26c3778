#include "journal/findings.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace titip;
using namespace titip::tests;
using journal::notice;
using journal::station_findings;
using kind = vault::finding::kind;
using effect = station_findings::effect;

namespace {

const epoch_id one_epoch = epoch_id::random();

notice seen(kind what, std::uint64_t first, std::uint64_t last, epoch_id epoch = one_epoch)
{
    return {.what = {.what = what,
                     .station = "office-1",
                     .epoch = epoch,
                     .first = first,
                     .last = last,
                     .noticed_at = wall_now()},
            .told_by = {},
            .proof = {}};
}

notice told(kind what, std::uint64_t first, std::uint64_t last, std::string by = "centre",
            epoch_id epoch = one_epoch)
{
    auto out = seen(what, first, last, epoch);
    out.told_by = std::move(by);
    return out;
}

/// A station's findings under test: numbers are given, and check() holds after each step.
class kept {
public:
    station_findings::outcome note(const notice& one)
    {
        const auto done = of.note(one, next, now);
        REQUIRE(of.check());
        next += done.effect == effect::added ? 1 : 0;
        return done;
    }
    std::size_t alarms() const
    {
        return static_cast<std::size_t>(std::ranges::count_if(of.rows(), journal::is_alarm));
    }
    const v1::FindingRow& row(std::uint64_t number) const
    {
        return *std::ranges::find(of.rows(), number, &v1::FindingRow::number);
    }

    station_findings of{{}};
    std::uint64_t next = 1;
    wall_time now = wall_now();
};

} // namespace

TEST_CASE("a finding ends as an alarm when it is acknowledged, and stands again when it grows",
          "[journal]")
{
    kept it;
    REQUIRE(it.note(told(kind::later_head, 4, 7)).effect == effect::added);
    CHECK(it.note(told(kind::later_head, 4, 7)).effect == effect::known);
    REQUIRE(it.of.acknowledge(1, "uid 1000", "told to the office\n", it.now));
    CHECK(it.alarms() == 0);
    CHECK(it.row(1).acknowledged_why() == "told to the office ");
    CHECK(it.note(told(kind::later_head, 5, 7)).effect == effect::known);
    CHECK(it.note(told(kind::later_head, 4, 9)).effect == effect::raised);
    CHECK(it.alarms() == 1);
    CHECK(it.row(1).last() == 9);
    CHECK(it.row(1).acknowledged_by().empty());
    CHECK_FALSE(it.of.acknowledge(2, "uid 1000", "no such", it.now));
}

TEST_CASE("a gap that fills settles itself, and only when all of it has come", "[journal]")
{
    kept it;
    it.note(told(kind::gap, 3, 5));
    it.note(told(kind::gap, 9, 9));
    it.note(seen(kind::fork, 4, 4));
    std::uint64_t come = 4;
    const auto has_come = [&come](const std::string& epoch, std::uint64_t, std::uint64_t last) {
        return epoch == as_text(one_epoch.data()) && last <= come;
    };
    CHECK(it.of.settle(has_come, it.now).empty());
    come = 5;
    const auto settled = it.of.settle(has_come, it.now);
    REQUIRE(settled.size() == 1);
    CHECK(settled[0].first() == 3);
    CHECK(it.alarms() == 2);
    CHECK(it.of.settle(has_come, it.now).empty());
    CHECK_FALSE(it.of.acknowledge(1, "uid 1000", "too late", it.now));
    CHECK(it.note(told(kind::gap, 4, 4)).effect == effect::known); // of before
    it.now += 25h;
    CHECK(it.note(told(kind::gap, 4, 4)).effect == effect::raised);
}

TEST_CASE("gaps and losses that touch are one finding, also at the ends of all numbers",
          "[journal]")
{
    constexpr auto most = ~std::uint64_t{0};
    kept it;
    it.note(told(kind::gap, 10, 12));
    CHECK(it.note(told(kind::gap, 13, 20)).number == 1);
    CHECK(it.note(told(kind::gap, 8, 9)).number == 1);
    CHECK(it.note(told(kind::gap, 22, 22)).effect == effect::added);
    CHECK(it.note(told(kind::not_held, 10, 12)).effect == effect::added); // of another kind
    CHECK(it.note(told(kind::gap, 10, 12, "centre", epoch_id::random())).effect == effect::added);
    CHECK(it.note(told(kind::gap, most, most)).effect == effect::added);
    CHECK(it.note(told(kind::gap, 0, 0)).effect == effect::added);
    CHECK(it.note(told(kind::gap, 0, most)).number == 1);
    CHECK(it.row(1).first() == 0);
}

TEST_CASE(
    "what a custodian merely tells has half of the places, and leaves the rest to what is seen",
    "[journal]")
{
    kept it;
    for (int i = 0; i < 500; ++i)
        it.note(told(kind::fork, 1, 1, "centre", epoch_id::random()));
    CHECK(it.of.rows().size() == 32);
    CHECK(it.note(told(kind::fork, 1, 1, "centre", epoch_id::random())).effect == effect::full);
    for (std::uint64_t number = 1; number <= 32; ++number)
        CHECK(it.note(seen(kind::fork, 2 * number, 2 * number)).effect == effect::added);
    CHECK(it.of.rows().size() == 64);
    // Full: what is seen goes before what is told.
    auto lost = seen(kind::not_held, 1, 5);
    CHECK(it.note(lost).effect == effect::added);
    lost.told_by = "centre";
    lost.proof = bytes(32);
    lost.what.epoch = epoch_id::random();
    CHECK(it.note(lost).effect == effect::added);
    CHECK(it.of.rows().size() == 64);
    CHECK(it.of.removed().size() == 2);
}

TEST_CASE("a custodian whose share is full takes no place of another's", "[journal]")
{
    kept it;
    const auto another = it.note(told(kind::fork, 1, 1, "hub-1", epoch_id::random()));
    REQUIRE(it.of.acknowledge(another.number, "uid 1000", "seen", it.now));
    for (int i = 0; i < 32; ++i)
        it.note(told(kind::fork, 1, 1, "centre", epoch_id::random()));
    CHECK(it.note(told(kind::fork, 1, 1, "centre", epoch_id::random())).effect == effect::full);
    CHECK(it.of.rows().size() == 33);
    CHECK(it.row(another.number).told_by() == "hub-1");
}

TEST_CASE("where there is no place for another finding, one of its kind becomes as wide as both",
          "[journal]")
{
    kept it;
    for (std::uint64_t number = 1; number <= 64; ++number)
        it.note(seen(kind::fork, 10 * number, 10 * number));
    REQUIRE(it.of.acknowledge(64, "uid 1000", "seen", it.now));
    const auto done = it.note(seen(kind::fork, 700, 700));
    CHECK(done.effect == effect::raised);
    CHECK(done.number == 64);
    CHECK(it.row(64).first() == 640);
    CHECK(it.row(64).last() == 700);
    // Of another epoch none is here: what was acknowledged gives up its place, and nothing else does.
    CHECK(it.note(seen(kind::fork, 1, 1, epoch_id::random())).effect == effect::full);
    REQUIRE(it.of.acknowledge(7, "uid 1000", "seen", it.now));
    CHECK(it.note(seen(kind::fork, 1, 1, epoch_id::random())).effect == effect::added);
    CHECK(it.of.removed() == std::vector<std::uint64_t>{7});
}

TEST_CASE("a custodian that tells more and more is a line of the ledger an hour", "[journal]")
{
    kept it;
    std::size_t lines = 0;
    for (std::uint64_t last = 1; last <= 600; ++last) {
        const auto done = it.note(told(kind::gap, 1, last));
        lines += done.effect == effect::added || done.effect == effect::raised ? 1 : 0;
        it.now += 1min;
    }
    CHECK(lines == 10);
    CHECK(it.row(1).last() == 600);
    // Nor can it fill and empty a gap as often as it likes.
    const auto all = [](const std::string&, std::uint64_t, std::uint64_t) { return true; };
    lines = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
        const auto done = it.note(told(kind::gap, 1'000 + 2 * i, 1'000 + 2 * i));
        lines += done.effect == effect::added || done.effect == effect::raised ? 1 : 0;
        it.of.settle(all, it.now);
        it.now += 1min;
    }
    CHECK(lines <= 32);
}

TEST_CASE(
    "whatever is noted, told, acknowledged and settled, the bounds hold and nothing is forgotten",
    "[journal]")
{
    std::mt19937_64 random{GENERATE(range(1u, 17u))};
    const epoch_id epochs[] = {epoch_id::random(), epoch_id::random(), epoch_id::random()};
    kept it;
    for (int i = 0; i < 2'000; ++i) {
        const auto first = random() % 200;
        auto one = seen(static_cast<kind>(1 + random() % 6), first, first + random() % 3,
                        epochs[random() % 3]);
        if (random() % 2 == 0)
            one.told_by = random() % 3 == 0 ? "hub-1" : "centre";
        if (random() % 4 == 0)
            one.proof = bytes(32);
        const auto done = it.note(one);
        if (done.effect != effect::full) {
            const auto& row = it.row(done.number);
            REQUIRE(row.first() <= one.what.first);
            REQUIRE(row.last() >= one.what.last);
            REQUIRE(row.kind() == static_cast<v1::Finding::Kind>(one.what.what));
            REQUIRE(row.epoch() == as_text(one.what.epoch.data()));
        }
        if (random() % 5 == 0)
            it.of.acknowledge(1 + random() % it.next, "uid 1", "why", it.now);
        if (random() % 7 == 0)
            it.of.settle([&random](const std::string&, std::uint64_t,
                                   std::uint64_t) { return random() % 3 == 0; },
                         it.now);
        it.now += std::chrono::minutes{random() % 200};
        REQUIRE(it.of.check());
    }
}
