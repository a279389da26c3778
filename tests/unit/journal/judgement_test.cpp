#include "journal/judgement.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

using namespace titip;
using namespace titip::tests;
using envelope::verdict_kind;
using journal::add_judgement;
using journal::judgement;
using journal::person_needed;
using journal::standing;

namespace {

constexpr std::array all_kinds{verdict_kind::opened, verdict_kind::print_ready,
                               verdict_kind::duplicate, verdict_kind::enrollment_failure,
                               verdict_kind::open_failed};

judgement said(verdict_kind kind, std::uint64_t number, std::uint64_t epoch = 1)
{
    return {.kind = kind,
            .number = number,
            .epoch = epoch,
            .at = from_ms(static_cast<std::int64_t>(epoch * 1'000 + number))};
}

using kinds = std::vector<verdict_kind>;

/// One record of office-1 at the centre, complete.
class centre_fixture : public journal_fixture {
public:
    centre_fixture()
    {
        options.node = "centre";
        options.has_upstream = false;
        options.identity = everyone().centre;
        open();
        const auto sealed = noise(9'000, random);
        const auto what = sender{everyone().station}.next(sealed);
        key_ = what.key();
        REQUIRE(finish(store->complete(what, 0, sealed)).has_value());
    }
    journal::record_view view() { return finish(store->show(key_.record)).value().front(); }
    result<bytes> judge(verdict_kind kind, bool replaces = false)
    {
        return finish(store->judge(key_, view().digest, kind, replaces));
    }

private:
    vault::key key_;
};

} // namespace

TEST_CASE("which verdicts exclude each other is the same from both sides", "[journal]")
{
    for (const auto a : all_kinds)
        for (const auto b : all_kinds)
            CHECK(journal::exclude(a, b) == journal::exclude(b, a));
    for (const auto kind : all_kinds)
        CHECK_FALSE(journal::exclude(kind, kind));
    CHECK(journal::exclude(verdict_kind::opened, verdict_kind::open_failed));
    CHECK(journal::exclude(verdict_kind::print_ready, verdict_kind::duplicate));
    CHECK(journal::exclude(verdict_kind::duplicate, verdict_kind::enrollment_failure));
    CHECK_FALSE(journal::exclude(verdict_kind::opened, verdict_kind::duplicate));
}

TEST_CASE("of two verdicts that exclude each other the later number counts, however they come",
          "[journal]")
{
    std::vector<judgement> told{said(verdict_kind::opened, 1), said(verdict_kind::duplicate, 2),
                                said(verdict_kind::print_ready, 5),
                                said(verdict_kind::duplicate, 9)};
    std::ranges::sort(told, {}, &judgement::number);
    do {
        std::vector<judgement> all;
        for (const auto& each : told)
            CHECK(add_judgement(all, each, true));
        for (const auto& each : told) // and once more
            CHECK_FALSE(add_judgement(all, each, false));
        CHECK(all.size() == 4);
        CHECK(standing(all) == kinds{verdict_kind::opened, verdict_kind::duplicate}); // A, B, A
        CHECK(person_needed(standing(all)) == verdict_kind::duplicate);
    } while (std::ranges::next_permutation(told, {}, &judgement::number).found);

    std::vector<judgement> all;
    add_judgement(all, said(verdict_kind::print_ready, 7), true);
    add_judgement(all, said(verdict_kind::duplicate, 3), true); // late
    CHECK(standing(all) == kinds{verdict_kind::print_ready});
    CHECK_FALSE(person_needed(standing(all)));
}

TEST_CASE("what is overruled overrules nothing", "[journal]")
{
    const std::vector<judgement> all{said(verdict_kind::duplicate, 1),
                                     said(verdict_kind::open_failed, 2),
                                     said(verdict_kind::opened, 3)};
    CHECK(standing(all) == kinds{verdict_kind::duplicate, verdict_kind::opened});
}

TEST_CASE("another numbering of the centre's is later, and what it tells again is known",
          "[journal]")
{
    std::vector<judgement> all;
    add_judgement(all, said(verdict_kind::duplicate, 40, 1), true);
    auto again = said(verdict_kind::duplicate, 2, 2);
    again.at = all.front().at;
    CHECK_FALSE(add_judgement(all, again, false));
    CHECK(add_judgement(all, said(verdict_kind::print_ready, 3, 2), false));
    CHECK(standing(all) == kinds{verdict_kind::print_ready});
}

TEST_CASE("verdicts of a version that kept no numbers get theirs, and a new one is a new one",
          "[journal]")
{
    std::vector<judgement> all{{.kind = verdict_kind::duplicate},
                               {.kind = verdict_kind::print_ready}};
    CHECK(standing(all) == kinds{verdict_kind::print_ready});
    SECTION("told again from the first on")
    {
        CHECK_FALSE(add_judgement(all, said(verdict_kind::duplicate, 4), false));
        CHECK(all.front() == said(verdict_kind::duplicate, 4));
        CHECK(standing(all) == kinds{verdict_kind::print_ready});
    }
    SECTION("said once more")
    {
        CHECK(add_judgement(all, said(verdict_kind::duplicate, 9), true));
        CHECK(all.size() == 3);
        CHECK(standing(all) == kinds{verdict_kind::duplicate});
    }
}

TEST_CASE("a record keeps its latest verdicts, whatever the centre says", "[journal]")
{
    std::vector<judgement> all;
    for (std::uint64_t n = 1; n <= 1'000; ++n)
        add_judgement(
            all, said(n % 2 == 0 ? verdict_kind::duplicate : verdict_kind::print_ready, n), true);
    CHECK(all.size() == journal::most_judgements);
    CHECK(all.back().number == 1'000);
    CHECK(standing(all) == kinds{verdict_kind::duplicate});
}

TEST_CASE("a verdict that contradicts one that holds is refused unless it is to replace it",
          "[journal]")
{
    centre_fixture f;
    REQUIRE(f.judge(verdict_kind::opened).has_value());
    REQUIRE(f.judge(verdict_kind::duplicate).has_value());
    CHECK(f.judge(verdict_kind::print_ready).error() == vault::errc::contradicts);
    CHECK(f.view().standing == kinds{verdict_kind::opened, verdict_kind::duplicate});
    REQUIRE(f.judge(verdict_kind::print_ready, true).has_value());
    CHECK(f.view().standing == kinds{verdict_kind::opened, verdict_kind::print_ready});
    REQUIRE(f.judge(verdict_kind::duplicate, true).has_value()); // A, B, A
    REQUIRE(f.judge(verdict_kind::duplicate).has_value());       // and again: it holds
    CHECK(f.view().standing == kinds{verdict_kind::opened, verdict_kind::duplicate});
    CHECK(f.view().judgements.size() == 4);
    CHECK(f.view().verdicts.size() == 3); // each once, as ever
    const auto told = finish(f.store->reconcile("office-1", {})).value();
    CHECK(told.verdicts.size() == 4);

    // Opened there, and found later not to be: at the centre it is to be opened again.
    REQUIRE(f.judge(verdict_kind::open_failed).error() == vault::errc::contradicts);
    REQUIRE(f.judge(verdict_kind::open_failed, true).has_value());
    CHECK(f.view().state == journal::state::delivered);
    CHECK(finish(f.store->audit()).value().empty());
}
