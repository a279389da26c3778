#include "journal/examine.hpp"
#include "journal/meddling.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace titip;
using namespace titip::tests;
using journal::place;
using journal::state;
using vault::errc;

namespace {

/// Three records of this station, of which the second has a rotten chunk, and a third none.
class rotten_fixture : public journal_fixture {
public:
    rotten_fixture()
    {
        open();
        for (int i = 0; i < 3; ++i) {
            all.push_back(noise(20'000, random));
            REQUIRE(finish(store->accept(submission_of(all.back()))).has_value());
        }
        close();
        meddle(*this, [](journal::transaction& txn, const journal::tables& t, auto&) {
            const auto key = [](std::uint32_t n) { return journal::key_builder{}.u64(2).u32(n); };
            auto value = to_bytes(txn.get(t.chunks, key(2)).value());
            value.resize(value.size() - 100);
            txn.erase(t.chunks, key(3));
            txn.put(t.chunks, key(2), value);
        });
        open();
        REQUIRE(finish(store->check_intact(rotten)).error() == errc::rotten);
    }

    journal::record_view view(place at = rotten)
    {
        return finish(store->outgoing_of(at)).value().view;
    }
    std::string newest_event()
    {
        const auto entries = finish(store->ledger(0, 1'000)).value();
        return std::string{entries.back().event};
    }
    void check_is_good()
    {
        CHECK((finish(store->read_at(rotten, 0, 99'999)).value() == all[1]));
        CHECK(finish(store->check_intact(rotten)).has_value());
        CHECK(finish(store->audit()).value().empty());
    }

    static constexpr place rotten{2};
    std::vector<bytes> all;
};

/// What a station's store held, taken out of it.
struct copied {
    vault::offer offer;
    bytes envelope;
};

std::vector<copied> copies_of(journal_fixture& from)
{
    std::vector<copied> out;
    const journal::list_filter all;
    for (const auto& each : finish(from.store->list(all, std::nullopt, 100)).value()) {
        auto what = finish(from.store->outgoing_of(each.place)).value();
        auto said = everyone().believed.verify(what.manifest_cms, wall_now()).value();
        out.push_back({{.cms = what.manifest_cms,
                        .manifest = std::get<envelope::manifest>(said.statement),
                        .hash = said.hash},
                       finish(from.store->read_at(each.place, 0, 1u << 20)).value()});
    }
    return out;
}

result<place> restore(journal_fixture& into, const copied& what)
{
    return finish(into.store->restore(what.offer, what.envelope, {}));
}

} // namespace

TEST_CASE("what was put back from a second copy and is submitted again is here, not a conflict",
          "[journal]")
{
    journal_fixture from;
    from.open();
    const auto id = record_id::random();
    const auto body = noise(20'000, from.random);
    REQUIRE(finish(from.store->accept(submission_of(body, id))).has_value());
    const auto copies = copies_of(from);
    journal_fixture into;
    into.open();
    const auto at = restore(into, copies.front()).value();

    for (const auto& again :
         {submission_of(body, id), submission_of(noise(9'000, from.random), id)}) {
        const auto told = finish(into.store->accept(again));
        REQUIRE(told.has_value());
        CHECK_FALSE(told->is_new);
        CHECK_FALSE(told->is_compared); // nobody can tell that the bytes are the same
        CHECK(told->place == at);
        CHECK(told->sequence == 1);
        CHECK(told->digest == sha256(body));
    }
    CHECK(into.store->now().of(state::waiting).records == 1);

    // Where what was submitted is known, it is compared as ever; also in a repaired record.
    CHECK(finish(from.store->accept(submission_of(body, id))).value().is_compared);
    CHECK(finish(from.store->accept(submission_of(noise(9'000, from.random), id))).error() ==
          errc::conflict);
    rotten_fixture f;
    const auto repaired = f.view().key.record;
    REQUIRE(finish(f.store->quarantine(f.rotten, journal::reason::rotten, "why")));
    auto told = finish(f.store->accept(submission_of(f.all[1], repaired))).value();
    CHECK(told.state == state::quarantined);
    CHECK(told.reason == journal::reason::rotten);
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    told = finish(f.store->accept(submission_of(f.all[1], repaired))).value();
    CHECK(told.is_compared);
    CHECK(told.state == state::waiting);
}

TEST_CASE("a rotten record is repaired by the bytes that it had, and by no others", "[journal]")
{
    rotten_fixture f;
    auto other = f.all[1];
    other[7] ^= std::byte{1};
    CHECK(finish(f.store->repair(f.rotten, other)).error() == errc::conflict);
    CHECK(finish(f.store->repair(f.rotten, f.all[0])).error() == errc::conflict);
    other = f.all[1];
    other.pop_back();
    CHECK(finish(f.store->repair(f.rotten, other)).error() == errc::conflict);
    CHECK(finish(f.store->check_intact(f.rotten)).error() == errc::rotten);
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    CHECK(f.newest_event() == "repaired");
    CHECK(f.view().state == state::waiting);
    f.check_is_good();
    f.reopen();
    f.check_is_good();
    CHECK(finish(f.store->repair(place{9}, f.all[1])).error() == errc::rotten);
}

TEST_CASE("a record that was set aside as rotten goes back to where it was", "[journal]")
{
    rotten_fixture f;
    const auto from = GENERATE(state::waiting, state::relayed, state::delivered);
    const auto& by = from == state::relayed ? everyone().relay : everyone().centre;
    const auto what = finish(f.store->outgoing_of(f.rotten)).value();
    if (from != state::waiting)
        REQUIRE(finish(f.store->settle(f.rotten, receipt_for(what), bytes(1), by->self())));
    REQUIRE(finish(f.store->quarantine(f.rotten, journal::reason::rotten, "why")));
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    CHECK(f.view().state == from);
    CHECK(f.view().reason == journal::reason::none);
    CHECK(f.view().note.empty());
    CHECK(finish(f.store->load_queue()).value().size() == (from == state::waiting ? 3 : 2));
    f.check_is_good();
}

TEST_CASE("a record that its custodian lost, and that rots, waits when it is repaired", "[journal]")
{
    rotten_fixture f;
    const auto what = finish(f.store->outgoing_of(f.rotten)).value();
    REQUIRE(finish(f.store->settle(f.rotten, receipt_for(what, wall_now() - 1h), bytes(1),
                                   everyone().centre->self())));
    const envelope::custody none{.station = "office-1", .at = wall_now(), .epochs = {}};
    REQUIRE(finish(f.store->take_custody(none, trust::role::centre, bytes(1), {}, {})).has_value());
    REQUIRE(f.view().state == state::waiting);
    REQUIRE(finish(f.store->quarantine(f.rotten, journal::reason::rotten, "why")));
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    CHECK(f.view().state == state::waiting);
    f.check_is_good();
}

TEST_CASE("that a record is rotten is no news where the store has set it aside", "[journal]")
{
    rotten_fixture f;
    const bool is_set_aside = GENERATE(true, false);
    if (is_set_aside)
        REQUIRE(finish(f.store->quarantine(f.rotten, journal::reason::rotten, "why")));
    f.close();
    std::vector<journal::remark> said;
    journal::examine(f.options.directory, f.options.node, [&said](const journal::remark& each) {
        if (each.what != journal::remark::kind::progress)
            said.push_back(each);
    });
    REQUIRE(said.size() == 1);
    CHECK(said[0].text.find("are not what was written") != std::string::npos);
    CHECK(said[0].what ==
          (is_set_aside ? journal::remark::kind::known : journal::remark::kind::difference));
}

TEST_CASE("a record that rots again and again is repaired three times, also across starts",
          "[journal]")
{
    rotten_fixture f;
    for (int i = 0; i < 3; ++i) {
        REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
        auto other = f.all[1];
        other[7] ^= std::byte{1};
        CHECK(finish(f.store->repair(f.rotten, other)).error() == errc::conflict); // does not count
        f.reopen();
    }
    CHECK(finish(f.store->repair(f.rotten, f.all[1])).error() == errc::rotten);
    f.check_is_good();
}

TEST_CASE("a record that was set aside for another reason stays there when it is repaired",
          "[journal]")
{
    rotten_fixture f;
    REQUIRE(finish(f.store->quarantine(f.rotten, journal::reason::conflict, "why")));
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    CHECK(f.view().state == state::quarantined);
    CHECK(f.view().reason == journal::reason::conflict);
    f.check_is_good();
}

TEST_CASE("of a record that is held upstream a repair ends what was noted of its rot", "[journal]")
{
    rotten_fixture f;
    const auto what = finish(f.store->outgoing_of(f.rotten)).value();
    REQUIRE(
        finish(f.store->settle(f.rotten, receipt_for(what), bytes(1), everyone().centre->self())));
    REQUIRE(finish(f.store->note_rot(f.rotten)).has_value());
    REQUIRE(f.view().rotten_at != wall_time{});
    REQUIRE(finish(f.store->repair(f.rotten, f.all[1])).has_value());
    CHECK(f.view().rotten_at == wall_time{});
    CHECK(f.view().state == state::delivered);
    f.check_is_good();
}

TEST_CASE("at the centre a repaired record is delivered again", "[journal]")
{
    journal_fixture f;
    f.options.node = "centre";
    f.options.has_upstream = false;
    f.options.identity = everyone().centre;
    f.open();
    const auto data = noise(5'000, f.random);
    const auto offer = sender{everyone().station}.next(data);
    REQUIRE(finish(f.store->complete(offer, 0, data)).has_value());
    REQUIRE(finish(f.store->quarantine(place{1}, journal::reason::rotten, "")));
    REQUIRE(finish(f.store->repair(place{1}, data)).has_value());
    CHECK(finish(f.store->outgoing_of(place{1})).value().view.state == state::delivered);
}

TEST_CASE("what was erased on purpose is not brought back by a repair", "[journal]")
{
    journal_fixture f;
    f.open();
    const auto data = noise(5'000, f.random);
    REQUIRE(finish(f.store->accept(submission_of(data))).has_value());
    const auto what = finish(f.store->outgoing_of(place{1})).value();
    const auto past = wall_now() - 24h;
    REQUIRE(finish(
        f.store->settle(place{1}, receipt_for(what, past), bytes(1), everyone().centre->self())));
    REQUIRE(finish(f.store->take_verdicts(
        {verdict_on(what.view, envelope::verdict_kind::opened, past)}, f.store->epoch(), 1)));
    const auto later = custody_of_all(*f.store, wall_now() + 1h);
    REQUIRE(
        finish(f.store->take_custody(later, trust::role::centre, bytes(1), {}, {})).has_value());
    REQUIRE(finish(f.store->erase_due(0ms)).value() == 1);
    CHECK(finish(f.store->repair(place{1}, data)).error() == errc::erased);
    CHECK(finish(f.store->audit()).value().empty());
}

TEST_CASE("a new store takes records under their old numbers, and new ones in an epoch of its own",
          "[journal]")
{
    journal_fixture old;
    old.open();
    for (int i = 0; i < 4; ++i)
        REQUIRE(finish(old.store->accept(submission_of(noise(9'000, old.random)))).has_value());
    const auto was = old.store->epoch();
    auto copies = copies_of(old);
    copies.erase(copies.begin() + 2); // the disk did not have this one
    old.close();

    journal_fixture fresh;
    fresh.open();
    for (const auto& each : copies)
        REQUIRE(restore(fresh, each).has_value());
    REQUIRE(fresh.store->epoch() != was);
    CHECK(fresh.store->now().days.empty()); // none of it came today
    const auto& last = copies.back().offer;
    REQUIRE(finish(fresh.store->continue_from(was, last.manifest.at, last.hash)).has_value());
    const auto views = finish(fresh.store->list({}, std::nullopt, 100)).value();
    REQUIRE(views.size() == 3);
    for (std::size_t i = 0; i < views.size(); ++i) {
        CHECK(views[i].state == state::waiting);
        CHECK(views[i].epoch == was);
        CHECK(views[i].sequence == envelope::number(copies[i].offer.manifest.at));
        const auto what = finish(fresh.store->outgoing_of(views[i].place)).value();
        CHECK(what.manifest_cms == copies[i].offer.cms);
        CHECK(what.manifest_hash == copies[i].offer.hash);
        CHECK(finish(fresh.store->check_intact(views[i].place)).has_value());
    }
    CHECK(finish(fresh.store->load_queue()).value().size() == 3);
    const auto next = finish(fresh.store->accept(submission_of(noise(100, old.random)))).value();
    CHECK(next.epoch == fresh.store->epoch());
    CHECK(next.sequence == 1);
    const auto first = finish(fresh.store->outgoing_of(next.place)).value();
    const auto named = said_in<envelope::manifest>(first.manifest_cms).previous_epoch.value();
    CHECK(named.epoch == was);
    CHECK(named.at == last.manifest.at);
    CHECK(named.hash == last.hash);
    CHECK(finish(fresh.store->audit()).value().empty());
    fresh.reopen();
    CHECK(finish(fresh.store->audit()).value().empty());
    CHECK(fresh.store->epoch() != was);
}

TEST_CASE("a record is restored once, and not over another of its id", "[journal]")
{
    journal_fixture old;
    old.open();
    const auto id = record_id::random();
    REQUIRE(finish(old.store->accept(submission_of(noise(900, old.random), id))).has_value());
    const auto what = copies_of(old).front();
    old.close();
    journal_fixture fresh;
    fresh.open();
    const auto first = restore(fresh, what).value();
    CHECK(restore(fresh, what).value() == first);
    CHECK(fresh.store->now().of(state::waiting).records == 1);
    auto other = what;
    other.envelope = noise(900, old.random);
    other.offer = sender{everyone().station}.next(other.envelope, id);
    CHECK(restore(fresh, other).error() == errc::conflict);
    CHECK(finish(fresh.store->audit()).value().empty());
}

TEST_CASE("a restored record that the upstream says it holds is asked for, not sent", "[journal]")
{
    journal_fixture old;
    old.open();
    for (int i = 0; i < 3; ++i)
        REQUIRE(finish(old.store->accept(submission_of(noise(900, old.random)))).has_value());
    const auto copies = copies_of(old);
    const auto was = old.store->epoch();
    old.close();
    journal_fixture fresh;
    fresh.open();
    for (const auto& each : copies)
        REQUIRE(restore(fresh, each).has_value());
    const envelope::epoch_custody held{
        .epoch = was,
        .ranges = {
            {.first = envelope::sequence{1}, .last = envelope::sequence{2}, .last_hash = {}}}};
    const envelope::custody said{.station = "office-1", .at = wall_now(), .epochs = {held}};
    const auto covered =
        finish(fresh.store->take_custody(said, trust::role::centre, bytes(1), {}, {})).value();
    CHECK(ids_of(covered) ==
          std::vector{copies[0].offer.manifest.record, copies[1].offer.manifest.record});
}

TEST_CASE("the centre restores a record with the receipt that it gave", "[journal]")
{
    journal_fixture f;
    f.options.node = "centre";
    f.options.has_upstream = false;
    f.options.identity = everyone().centre;
    f.open();
    const auto data = noise(5'000, f.random);
    const auto offer = sender{everyone().station}.next(data);
    CHECK(finish(f.store->restore(offer, data, {})).error() == errc::wrong_state);
    const auto given = to_bytes(as_bytes("as it was given"));
    REQUIRE(finish(f.store->restore(offer, data, given)).has_value());
    const auto found = finish(f.store->find(offer.key())).value().value();
    CHECK(found.complete);
    CHECK(found.receipt == given);
    CHECK(finish(f.store->audit()).value().empty());
}
