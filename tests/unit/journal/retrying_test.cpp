#include "journal/meddling.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

using namespace titip;
using namespace titip::tests;
using journal::place;
using journal::reason;
using journal::state;

namespace {

constexpr auto expired = "the manifest is not believed: the certificate has expired";

class aside_fixture : public journal_fixture {
public:
    aside_fixture() { open(); }

    place accept()
    {
        return finish(store->accept(submission_of(noise(500, random)))).value().place;
    }
    place set_aside(reason why, std::string note = {})
    {
        const auto at = accept();
        set_aside(at, why, std::move(note));
        return at;
    }
    void set_aside(place at, reason why, std::string note = {})
    {
        REQUIRE(finish(store->quarantine(at, why, std::move(note))).has_value());
    }
    journal::record_view at(place p) { return finish(store->outgoing_of(p)).value().view; }
    /// All parts of a walk: how many wait again, how many were passed over.
    std::pair<std::uint64_t, std::uint64_t> retry(const journal::retry_filter& which)
    {
        std::uint64_t records = 0;
        std::uint64_t open_failed = 0;
        std::optional<place> after;
        do {
            const auto done = finish(store->retry_set_aside(which, after)).value();
            CHECK(done.records <= 256); // one commit
            records += done.records;
            open_failed += done.open_failed;
            after = done.next_after;
            ++parts;
        } while (after);
        return {records, open_failed};
    }
    void free(unsigned protocol = 2)
    {
        REQUIRE(finish(store->free_set_aside(protocol)).has_value());
    }
    std::vector<place> queue(bool goes_last)
    {
        std::vector<place> out;
        for (const auto& each : finish(store->load_queue()).value())
            if (each.goes_last == goes_last)
                out.push_back(each.place);
        return out;
    }
    std::size_t entries(std::string_view event)
    {
        const auto all = finish(store->ledger(0, 100'000)).value();
        return static_cast<std::size_t>(
            std::ranges::count(all, event, &journal::ledger_entry::event));
    }
    std::size_t parts = 0;
};

} // namespace

TEST_CASE("what version 1 set aside for a fault of the nodes waits again once, behind all others",
          "[journal]")
{
    aside_fixture f;
    const auto old = f.set_aside(reason::refused, expired);
    const auto foreign = f.set_aside(reason::not_ours, "hub may not offer records of station x");
    const auto receipt = f.set_aside(reason::not_believed, "receipt not believed: foreign");
    const auto torn = f.set_aside(reason::refused, "the bytes are not a sealed envelope");
    const auto large = f.set_aside(reason::too_large);
    const auto twice = f.set_aside(reason::conflict);
    const auto waits = f.accept();
    f.free(1); // not later than what set them aside
    f.reopen();
    CHECK(f.queue(true).empty());
    f.free();
    CHECK(f.queue(true) == std::vector{old, foreign, receipt});
    CHECK(f.queue(false) == std::vector{waits});
    for (const auto each : {torn, large, twice})
        CHECK(f.at(each).state == state::quarantined);
    CHECK(f.entries("freed") == 1);
    CHECK(f.store->now().freed_for == 2);
    CHECK(finish(f.store->audit()).value().empty());
    f.reopen(); // they go last after a start too
    CHECK(f.queue(true) == std::vector{old, foreign, receipt});
    CHECK(f.store->now().freed_for == 2);
}

TEST_CASE("one that was free for a try and is set aside again does not come free again",
          "[journal]")
{
    aside_fixture f;
    const auto one = f.set_aside(reason::refused, expired);
    f.free();
    f.set_aside(one, reason::refused, expired);
    f.free();
    f.free(3);
    CHECK(f.at(one).state == state::quarantined);
    CHECK(f.entries("freed") == 1);
    CHECK(f.retry({.why = reason::refused, .station = {}}).first ==
          1); // a person decides otherwise
    CHECK(f.queue(false) == std::vector{one});
}

TEST_CASE("an upstream that says the same version again costs no write", "[journal]")
{
    aside_fixture f;
    const auto one = f.set_aside(reason::refused, expired);
    const auto writes = [&f](const std::function<void()>& act) {
        const auto newest = [&f] {
            f.close();
            std::uint64_t out = 0;
            meddle(f, [&out](journal::transaction& txn, auto&, auto&) { out = txn.id(); });
            f.open();
            return out;
        };
        const auto before = newest();
        act();
        return newest() - before;
    };
    const auto none = writes([] {});
    CHECK(writes([&f] { f.free(); }) > none);
    CHECK(f.queue(true) == std::vector{one});
    CHECK(writes([&f] { f.free(); }) == none);
    CHECK(writes([&f] { f.free(3); }) > none);
    CHECK(writes([&f] { f.free(2); }) == none); // an earlier one than that was done for
}

TEST_CASE(
    "an upstream that went back to version 1 frees what it set aside when it is a later one again",
    "[journal]")
{
    aside_fixture f;
    f.free();
    CHECK(f.entries("freed") == 0);
    const auto one = f.set_aside(reason::refused, expired);
    f.free();
    CHECK(f.queue(true) == std::vector{one});
}

TEST_CASE("one that went last and was delivered is as any other where it is lost above",
          "[journal]")
{
    aside_fixture f;
    const auto one = f.set_aside(reason::refused, expired);
    f.free();
    const auto what = finish(f.store->outgoing_of(one)).value();
    REQUIRE(finish(f.store->settle(one, receipt_for(what, wall_now() - 1h), bytes(9),
                                   everyone().centre->self()))
                .has_value());
    const envelope::custody nothing{.station = "office-1", .at = wall_now(), .epochs = {}};
    REQUIRE(
        finish(f.store->take_custody(nothing, trust::role::centre, bytes(1), {}, {})).has_value());
    CHECK(f.queue(false) == std::vector{one});
}

TEST_CASE("all that are set aside with one reason, or of one station, or all, wait again",
          "[journal]")
{
    aside_fixture f;
    const auto refused = f.set_aside(reason::refused);
    const auto large = f.set_aside(reason::too_large);
    const auto failed = f.accept();
    const auto verdict = verdict_on(f.at(failed), envelope::verdict_kind::open_failed);
    REQUIRE(finish(f.store->take_verdicts({verdict}, f.store->epoch(), 1)).has_value());
    REQUIRE(f.at(failed).state == state::quarantined);
    CHECK(f.retry({.why = reason::mismatch, .station = {}}).first == 0);
    CHECK(f.retry({.why = reason::refused, .station = "office-2"}).first == 0);
    CHECK(f.retry({.why = reason::refused, .station = "office-1"}).first == 1);
    CHECK(f.at(refused).state == state::waiting);
    CHECK(f.at(large).state == state::quarantined);
    const auto [records, open_failed] = f.retry({});
    CHECK(records == 1);
    CHECK(open_failed == 1); // the centre has it: it stays
    CHECK(f.at(failed).state == state::quarantined);
    CHECK(f.queue(false) == std::vector{refused, large});
}

TEST_CASE("however many are set aside, a part of them at a time waits again", "[journal]")
{
    aside_fixture f;
    std::vector<place> all;
    for (int i = 0; i < 600; ++i)
        all.push_back(f.set_aside(reason::refused, expired));
    CHECK(f.retry({.why = reason::refused, .station = {}}).first == 600);
    CHECK(f.parts == 3);
    for (const auto each : all)
        f.set_aside(each, reason::refused, expired);
    f.free();
    CHECK(f.queue(true) == all);
    CHECK(finish(f.store->audit()).value().empty());
}

TEST_CASE(
    "in a store that version 1 left in trouble, what a later upstream may take comes free once",
    "[journal]")
{
    journal_fixture f;
    std::filesystem::create_directories(f.options.directory);
    const auto from = std::filesystem::path{TITIP_SOURCE} / "tests/unit/journal/golden";
    const auto unpack =
        fmt::format("gzip -dc '{}' > '{}'", (from / "format-1-troubles.mdb.gz").string(),
                    f.data_file().string());
    REQUIRE(std::system(unpack.c_str()) == 0);
    std::filesystem::copy_file(from / "format-1-troubles.lock",
                               f.options.directory / "titipd.lock");
    auto& store = f.open();
    const auto before = store.now().of(state::quarantined).records;
    REQUIRE(finish(store.free_set_aside(2)).has_value());
    std::vector<std::uint64_t> free;
    for (const auto& each : finish(store.load_queue()).value())
        if (each.goes_last)
            free.push_back(static_cast<std::uint64_t>(each.place));
    // Expired, of another authority, not ours to offer, a receipt not believed; not: no envelope, too large.
    CHECK(free == std::vector<std::uint64_t>{1, 2, 4, 5});
    CHECK(store.now().of(state::quarantined).records == before - 4);
    CHECK(finish(store.audit()).value().empty());
}
