#include "journal/meddling.hpp"
#include "journal/support.hpp"

#include "journal/comparison.hpp"
#include "journal/parts.hpp"
#include "journal/writing.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <latch>
#include <memory>

#include <sys/wait.h>
#include <unistd.h>

/// Whose word counts for a record: the centre's present store, not one that it lost; a custodian further
/// up, not the node that brought it; the centre, not the relay that it went through.
using namespace titip;
using namespace titip::tests;
using envelope::verdict_kind;
using journal::place;
using journal::state;
using vault::errc;

namespace {

const trust::peer& centre()
{
    return everyone().centre->self();
}
const trust::peer& relay()
{
    return everyone().relay->self();
}

/// office-1, below a centre whose store may be another one the next time.
class office : public journal_fixture {
public:
    office() { open(); }

    place accept()
    {
        return finish(store->accept(submission_of(noise(500, random)))).value().place;
    }
    journal::record_view at(place p) { return finish(store->outgoing_of(p)).value().view; }
    result<void> settle(place p, const trust::peer& by = centre(),
                        wall_time held_at = wall_now() - 1h)
    {
        const auto what = finish(store->outgoing_of(p)).value();
        return finish(store->settle(p, receipt_for(what, held_at), bytes(1), by));
    }
    /// What a reconcile with the store of this epoch brings, in its order.
    std::vector<journal::placed> told(const epoch_id& of, std::vector<place> opened,
                                      std::vector<place> held)
    {
        REQUIRE(finish(store->note_centre(of)).has_value());
        std::vector<journal::told_verdict> said;
        for (const auto each : opened)
            said.emplace_back(verdict_on(at(each), verdict_kind::opened, wall_now() - 1h),
                              said.size() + 1);
        if (!said.empty())
            REQUIRE(finish(store->take_verdicts(said, of, said.size())).has_value());
        auto covered = custody(held);
        REQUIRE(finish(store->drop_old_openings()).has_value());
        return covered;
    }
    std::vector<journal::placed> custody(const std::vector<place>& held,
                                         trust::role by = trust::role::centre)
    {
        envelope::custody said{.station = "office-1", .at = wall_now(), .epochs = {}};
        said.epochs.push_back({.epoch = store->epoch(), .ranges = {}});
        for (const auto each : held) {
            const auto what = finish(store->outgoing_of(each)).value();
            const envelope::sequence n{what.view.sequence};
            said.epochs[0].ranges.push_back({n, n, what.manifest_hash});
        }
        return finish(store->take_custody(said, by, bytes(1), {}, {})).value();
    }
    bool is_said_opened(place p)
    {
        return std::ranges::count(at(p).verdicts, verdict_kind::opened) > 0;
    }
    std::size_t entries(std::string_view event)
    {
        const auto all = finish(store->ledger(0, 10'000)).value();
        return static_cast<std::size_t>(
            std::ranges::count(all, event, &journal::ledger_entry::event));
    }
};

} // namespace

TEST_CASE("what the centre lost after it had opened it is to be opened again", "[journal]")
{
    office it;
    const auto before = epoch_id::random();
    const auto after = epoch_id::random();
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    it.told(before, {p}, {p});
    REQUIRE(it.at(p).state == state::opened);
    it.told(after, {}, {}); // an empty store
    CHECK(it.at(p).state == state::waiting);
    CHECK(it.at(p).delivered_at == wall_time{});
    CHECK(it.at(p).opened_at == wall_time{});
    CHECK_FALSE(it.is_said_opened(p));
    REQUIRE(it.settle(p).has_value());
    CHECK(it.at(p).state == state::delivered); // not opened on the new receipt alone
    it.told(after, {}, {p});
    CHECK(it.at(p).state == state::delivered);
    CHECK(finish(it.store->erase_due(0ms)).value() == 0);
    it.told(after, {p}, {p});
    CHECK(it.at(p).state == state::opened);
    CHECK(finish(it.store->erase_due(0ms)).value() == 1);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("a verdict from before the centre's loss does not make the next receipt an opening",
          "[journal]")
{
    office it;
    const auto before = epoch_id::random();
    const auto p = it.accept();
    it.told(before, {p}, {}); // the receipt is on its way
    REQUIRE(it.at(p).state == state::waiting);
    const bool is_lost = GENERATE(true, false);
    if (is_lost)
        it.told(epoch_id::random(), {}, {});
    REQUIRE(it.settle(p).has_value());
    CHECK(it.at(p).state == (is_lost ? state::delivered : state::opened));
    CHECK(it.is_said_opened(p) != is_lost);
}

TEST_CASE(
    "a centre restored from a backup of before the opening opens it again before it is erased",
    "[journal]")
{
    office it;
    const auto before = epoch_id::random();
    const auto restored = epoch_id::random();
    const auto known = it.accept();
    const auto forgotten = it.accept();
    REQUIRE(it.settle(known).has_value());
    REQUIRE(it.settle(forgotten).has_value());
    it.told(before, {known, forgotten}, {known, forgotten});
    // It has both records and tells all its verdicts once more, of which one had not been given yet.
    REQUIRE(finish(it.store->note_centre(restored)).has_value());
    it.custody({known, forgotten});
    CHECK(finish(it.store->erase_due(0ms)).value() == 0); // the verdicts are still to come
    it.told(restored, {known}, {known, forgotten});
    CHECK(it.at(known).state == state::opened);
    CHECK(it.at(forgotten).state == state::delivered);
    CHECK(it.entries("not-opened") == 1);
    CHECK(finish(it.store->erase_due(0ms)).value() == 1);
    CHECK(it.at(known).state == state::erased);
    it.told(restored, {forgotten}, {known, forgotten});
    CHECK(it.at(forgotten).state == state::opened);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("what the centre could not open, and then lost, goes to it once more", "[journal]")
{
    office it;
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    REQUIRE(finish(it.store->note_centre(epoch_id::random())).has_value());
    REQUIRE(finish(it.store->take_verdicts({verdict_on(it.at(p), verdict_kind::open_failed)},
                                           epoch_id::random(), 1))
                .has_value());
    REQUIRE(it.at(p).reason == journal::reason::open_failed);
    it.told(epoch_id::random(), {}, {});
    CHECK(it.at(p).state == state::waiting);
    CHECK(it.at(p).reason == journal::reason::none);
    CHECK(it.at(p).verdicts.empty());
    CHECK(finish(it.store->load_queue()).value().size() == 1);
}

TEST_CASE("a relay's word neither erases nor takes an opening back", "[journal]")
{
    office it;
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    it.told(epoch_id::random(), {p}, {p});
    it.reopen(); // and the way leads through a relay now
    it.custody({p}, trust::role::relay);
    CHECK(finish(it.store->erase_due(0ms)).value() == 0);
    it.custody({}, trust::role::relay);
    CHECK(it.at(p).state == state::opened);
    it.custody({p});
    CHECK(finish(it.store->erase_due(0ms)).value() == 1);
}

namespace {

/// As a daemon of before this version left them: a row that was sent again keeps OPENED, and is opened
/// on the next receipt alone.
void make_as_before(office& it, const std::vector<std::pair<place, bool>>& lost)
{
    it.close();
    const auto child = ::fork(); // LMDB must not be open twice in one process
    if (child == 0) {
        const journal::environment env{it.options.directory, 2ull << 30};
        journal::transaction txn{env.get(), journal::transaction::mode::write};
        const auto t = journal::open_tables(txn);
        const auto key = journal::key_builder{}.text("meta");
        auto meta = journal::read_meta(txn, t);
        meta.clear_centre_epoch();
        meta.clear_opened_before();
        for (const auto& [at, is_delivered] : lost) {
            auto row = journal::find_row(txn, t, at).value();
            row.clear_opened_by();
            row.clear_verdicts();
            row.add_verdicts(v1::OPENED);
            if (is_delivered) {
                row.set_state(v1::STATE_OPENED);
                row.set_opened_at_ms(row.delivered_at_ms());
                txn.put(t.opened, journal::opened_key(row.opened_at_ms(), at), {});
                for (auto& each : *meta.mutable_tallies())
                    if (each.state() == v1::DELIVERED || each.state() == v1::STATE_OPENED) {
                        const auto step = each.state() == v1::DELIVERED ? -1 : 1;
                        each.set_records(each.records() + static_cast<std::uint64_t>(step));
                        each.set_bytes(each.bytes() +
                                       static_cast<std::uint64_t>(step) * row.size_bytes());
                    }
            }
            txn.put(t.rows, journal::place_key(at),
                    journal::seal_row(journal::seed::row, journal::place_key(at), row));
        }
        meta.set_transaction(txn.id());
        txn.put(t.meta, key, journal::seal_row(journal::seed::meta, key, meta));
        txn.commit();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    it.open();
}

} // namespace

TEST_CASE("rows that an earlier version took for opened after a loss are doubted once", "[journal]")
{
    office it;
    const auto before = epoch_id::random();
    const auto after = epoch_id::random();
    const auto sound = it.accept();
    const auto redelivered = it.accept();
    const auto waits = it.accept();
    for (const auto each : {sound, redelivered, waits})
        REQUIRE(it.settle(each).has_value());
    it.told(before, {sound, redelivered, waits}, {sound, redelivered, waits});
    it.told(after, {sound}, {sound}); // it lost two
    REQUIRE(it.settle(redelivered).has_value());
    make_as_before(it, {{redelivered, true}, {waits, false}});
    REQUIRE(it.at(redelivered).state == state::opened);
    REQUIRE(finish(it.store->drop_unsure_openings()).has_value());
    CHECK(it.at(sound).state == state::opened);
    CHECK(it.at(redelivered).state == state::delivered);
    CHECK(it.at(waits).state == state::waiting);
    CHECK_FALSE(it.is_said_opened(waits));
    CHECK_FALSE(finish(it.store->upstream()).value().cursor_epoch); // all verdicts come again
    CHECK(finish(it.store->audit()).value().empty());
    it.told(after, {sound, redelivered}, {sound, redelivered, waits});
    CHECK(it.at(sound).state == state::opened);
    CHECK(it.at(redelivered).state == state::opened);
    REQUIRE(it.settle(waits).has_value());
    CHECK(it.at(waits).state == state::delivered);
    REQUIRE(finish(it.store->drop_unsure_openings()).has_value()); // once
    CHECK(it.at(redelivered).state == state::opened);
}

TEST_CASE("a receipt of the relay that brought the record does not count", "[journal]")
{
    journal_fixture at;
    at.options.node = "hub-2";
    at.open();
    sender from{everyone().station};
    const auto data = noise(500, at.random);
    const auto take = [&](std::string brought_by) {
        auto what = from.next(data);
        what.brought_by = std::move(brought_by);
        REQUIRE(finish(at.store->complete(what, 0, data)).has_value());
        return finish(at.store->manifest_of(what.key())).value();
    };
    const auto settle = [&](const journal::outgoing& what, const trust::peer& by) {
        return finish(at.store->settle(what.view.place, receipt_for(what), bytes(1), by));
    };
    const auto brought = take("hub-1");
    CHECK(brought.view.brought_by == "hub-1");
    CHECK(settle(brought, relay()).error() == errc::loop);
    at.reopen();
    CHECK(settle(brought, relay()).error() == errc::loop);
    CHECK(finish(at.store->load_queue()).value().size() == 1);
    REQUIRE(settle(brought, centre()).has_value()); // the end of the road always counts
    CHECK(at.store->now().of(state::delivered).records == 1);

    REQUIRE(settle(take(""), relay()).has_value()); // of its station, or of before this was noted
    REQUIRE(settle(take("hub-3"), relay()).has_value());
    CHECK(at.store->now().of(state::relayed).records == 2);
}

TEST_CASE("what was handed on to a relay that hands its own on to us waits again", "[journal]")
{
    office it;
    const auto theirs = it.accept();
    const auto others = it.accept();
    const auto delivered = it.accept();
    REQUIRE(it.settle(theirs, relay()).has_value());
    REQUIRE(it.settle(others, {trust::role::relay, "hub-9"}).has_value());
    REQUIRE(it.settle(delivered).has_value());
    CHECK(finish(it.store->take_back("hub-1")).value() == 1);
    CHECK(it.at(theirs).state == state::waiting);
    CHECK(it.at(theirs).delivered_at == wall_time{});
    CHECK(it.at(others).state == state::relayed);
    CHECK(it.at(delivered).state == state::delivered);
    CHECK(finish(it.store->take_back("hub-1")).value() == 0);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("what went on to another since it was looked at is not taken back", "[journal]")
{
    office it;
    const auto theirs = it.accept();
    const auto others = it.accept();
    const auto delivered = it.accept();
    REQUIRE(it.settle(theirs, relay()).has_value());
    REQUIRE(it.settle(others, {trust::role::relay, "hub-9"}).has_value());
    REQUIRE(it.settle(delivered, relay()).has_value());
    REQUIRE(it.settle(delivered).has_value());
    const auto lost = it.accept();
    REQUIRE(it.settle(lost, relay()).has_value());
    it.custody({theirs, others, delivered}, trust::role::relay);
    REQUIRE(it.at(lost).state == state::waiting);
    REQUIRE(it.at(lost).receipt_by == "hub-1");
    it.close();
    meddle(it, [&](journal::transaction& txn, const journal::tables& t, v1::Meta& meta) {
        journal::space room{it.data_file(), {}};
        const journal::surroundings around{"office-1", true, everyone().station};
        journal::writing now{txn, t, meta, around, room, wall_now()};
        CHECK_FALSE(now.take_back(others, "hub-1"));
        CHECK_FALSE(now.take_back(delivered, "hub-1"));
        CHECK_FALSE(now.take_back(lost, "hub-1")); // it waits already
        CHECK(now.take_back(theirs, "hub-1"));
        now.finish();
    });
    it.open();
    CHECK(it.at(theirs).state == state::waiting);
    CHECK(it.at(others).state == state::relayed);
    CHECK(it.at(delivered).state == state::delivered);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("what a relay has and the centre covers is asked for there, some with each statement",
          "[journal]")
{
    office it;
    std::vector<place> all;
    constexpr std::size_t many = vault::most_unsettled + 10;
    for (std::size_t i = 0; i < many; ++i) {
        all.push_back(it.accept());
        REQUIRE(it.settle(all.back(), relay()).has_value());
    }
    const std::vector<place> held(all.begin(), all.end() - 1);
    CHECK(it.custody(all, trust::role::relay).empty());
    std::set<place> found;
    for (int i = 0; i < 3; ++i)
        for (const auto& each : it.custody(held)) {
            found.insert(each.place);
            REQUIRE(it.settle(each.place).has_value());
        }
    CHECK(found == std::set<place>(held.begin(), held.end()));
    // What it does not have goes there from here as well: the relay may be gone. Nobody lost it.
    CHECK(it.at(all.back()).state == state::waiting);
    CHECK(it.store->now().findings.empty());
    const auto told = finish(it.store->ledger(0, 10'000)).value();
    CHECK(std::ranges::count(told, "hub-1 has it, and the centre does not yet",
                             &journal::ledger_entry::detail) == 1);
}

TEST_CASE("each of them is asked for once before any is again, in all epochs of this store",
          "[journal]")
{
    office it;
    std::vector<place> all;
    const auto hand_on = [&](std::size_t count) {
        for (; count > 0; --count) {
            all.push_back(it.accept());
            REQUIRE(it.settle(all.back(), relay()).has_value());
        }
    };
    // Which epoch comes first is chance: both have more than are found at once.
    hand_on(vault::most_unsettled + 1);
    REQUIRE(finish(it.store->begin_epoch(it.store->epoch(), "a test")).has_value());
    hand_on(vault::most_unsettled + 1);
    const auto said = custody_of_all(*it.store);
    REQUIRE(said.epochs.size() == 2);
    const auto find = [&] {
        std::vector<place> out;
        for (const auto& each :
             finish(it.store->take_custody(said, trust::role::centre, bytes(1), {}, {})).value())
            out.push_back(each.place);
        return out;
    };
    auto found = find();
    CHECK(found.size() == vault::most_unsettled);
    const auto first = found;
    for (int i = 0; i < 2; ++i) // none has settled meanwhile
        std::ranges::copy(find(), std::back_inserter(found));
    std::ranges::sort(found);
    CHECK(found == all);
    CHECK(find() == first);
}

TEST_CASE("what was asked for in the same question is not asked for again", "[journal]")
{
    office it;
    const auto one = it.accept();
    const auto two = it.accept();
    for (const auto each : {one, two})
        REQUIRE(it.settle(each, relay()).has_value());
    const auto found = finish(it.store->take_custody(custody_of_all(*it.store), trust::role::centre,
                                                     bytes(1), {}, {it.at(one).key}))
                           .value();
    REQUIRE(found.size() == 1);
    CHECK(found[0].place == two);
}

TEST_CASE("what waits does not wait until all that a relay has was asked for", "[journal]")
{
    office it;
    constexpr std::size_t most = 8 * vault::most_unsettled;
    constexpr std::size_t many = most + 20;
    std::vector<asio::awaitable<result<journal::acceptance>>> accepted;
    for (std::size_t i = 0; i < many; ++i)
        accepted.push_back(it.store->accept(submission_of(noise(50, it.random))));
    std::vector<asio::awaitable<result<void>>> settled;
    for (const auto& each : finish_all(std::move(accepted))) {
        const auto what = finish(it.store->outgoing_of(each->place)).value();
        settled.push_back(
            it.store->settle(each->place, receipt_for(what, wall_now() - 1h), bytes(1), relay()));
    }
    finish_all(std::move(settled));
    REQUIRE(it.store->now().of(state::relayed).records == many);
    // As a reconcile does: on and on while there is anything to ask for, and each once.
    const auto asked_in_one = [&] {
        std::set<vault::key> asked;
        for (;;) {
            const auto said = custody_of_all(*it.store);
            const auto covered =
                finish(it.store->take_custody(said, trust::role::centre, bytes(1), {}, asked))
                    .value();
            if (covered.empty())
                return asked;
            for (const auto& each : covered)
                asked.insert(each.key);
        }
    };
    const auto first = asked_in_one();
    CHECK(first.size() == most);
    auto all = asked_in_one(); // the next one begins where that one ended
    all.insert(first.begin(), first.end());
    CHECK(all.size() == many);
}

TEST_CASE("since when the oldest is relayed is found, and found again when that one goes on",
          "[journal]")
{
    office it;
    const auto oldest = [&] { return finish(it.store->oldest_relayed()).value(); };
    const auto now = from_ms(to_ms(wall_now()));
    CHECK(oldest() == wall_time{});
    const auto held = it.accept();
    const auto first = it.accept();
    const auto second = it.accept();
    REQUIRE(it.settle(second, relay(), now + 1h).has_value());
    CHECK(oldest() == now + 1h);
    REQUIRE(it.settle(first, relay(), now + 2h).has_value());
    CHECK(oldest() == now + 1h); // of those that were accepted first, not the first
    REQUIRE(it.settle(second).has_value());
    CHECK(oldest() == now + 2h);
    REQUIRE(it.settle(held, relay(), now + 3h).has_value());
    REQUIRE(it.settle(first).has_value());
    CHECK(oldest() == now + 3h);
    it.reopen();
    CHECK(oldest() == now + 3h);
    REQUIRE(it.settle(held).has_value());
    CHECK(oldest() == wall_time{});
}

namespace {

void change_row(office& it, place p, const std::function<void(v1::Row&)>& change)
{
    it.close();
    meddle(it, [&](journal::transaction& txn, const journal::tables& t, v1::Meta&) {
        const auto key = journal::place_key(p);
        v1::Row row;
        journal::open_row(journal::seed::row, key, txn.get(t.rows, key).value(), row);
        change(row);
        txn.put(t.rows, key, journal::seal_row(journal::seed::row, key, row));
    });
    it.open();
}

/// As the version before left it: of what was opened, `open-failed` was told as well, and ignored.
void add_open_failed(office& it, place p)
{
    change_row(it, p, [](v1::Row& row) {
        row.clear_judgements();
        row.add_verdicts(v1::OPEN_FAILED);
    });
}

} // namespace

TEST_CASE("what could not be opened after all is kept, also where an earlier version ignored that",
          "[journal]")
{
    office it;
    const auto store_epoch = epoch_id::random();
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    it.told(store_epoch, {p}, {p});
    add_open_failed(it, p);
    REQUIRE(it.at(p).state == state::opened);
    it.custody({p});
    CHECK(finish(it.store->erase_due(0ms)).value() == 0);
    CHECK(it.at(p).state == state::opened);
}

TEST_CASE("whatever a row says, nothing is erased that no receipt covers", "[journal]")
{
    office it;
    const auto p = it.accept();
    const auto covered = it.accept();
    for (const auto each : {p, covered})
        REQUIRE(it.settle(each).has_value());
    it.told(epoch_id::random(), {p, covered}, {p, covered});
    change_row(it, p, [](v1::Row& row) { row.clear_receipt(); });
    REQUIRE(it.at(p).state == state::opened);
    it.custody({p, covered});
    CHECK(finish(it.store->erase_due(0ms)).value() == 1);
    CHECK(it.at(p).state == state::opened);
    CHECK(it.at(covered).state == state::erased);
}

TEST_CASE("an opening that the centre's present store said is not doubted for an earlier version",
          "[journal]")
{
    office it;
    const auto p = it.accept();
    const auto unsure = it.accept();
    for (const auto each : {p, unsure})
        REQUIRE(it.settle(each).has_value());
    it.told(epoch_id::random(), {p, unsure}, {p, unsure});
    change_row(it, unsure, [](v1::Row& row) { row.clear_opened_by(); });
    it.close();
    meddle(it, [&](journal::transaction& txn, const journal::tables& t, v1::Meta& meta) {
        journal::space room{it.data_file(), {}};
        const journal::surroundings around{"office-1", true, everyone().station};
        journal::writing now{txn, t, meta, around, room, wall_now()};
        using doubt = journal::writing::doubt;
        CHECK_FALSE(now.take_opening_back(p, doubt::earlier_version));
        CHECK(now.take_opening_back(unsure, doubt::earlier_version));
        CHECK_FALSE(
            now.take_opening_back(unsure, doubt::earlier_version)); // it is not said any more
        now.finish();
    });
    it.open();
    CHECK(it.at(p).state == state::opened);
    CHECK(it.at(unsure).state == state::delivered);
    CHECK(it.at(unsure).opened_at == wall_time{});
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("that a verdict replaces another is in the index of what may be erased", "[journal]")
{
    office it;
    it.options.has_upstream = false; // a centre
    it.reopen();
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    const auto judge = [&](verdict_kind kind) {
        return finish(it.store->judge(it.at(p).key, it.at(p).digest, kind, true)).has_value();
    };
    REQUIRE(judge(verdict_kind::opened));
    add_open_failed(it, p);
    REQUIRE(judge(verdict_kind::opened));
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("what is overruled holds a record no longer, at the centre and at its station",
          "[journal]")
{
    office it;
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    const auto store_epoch = epoch_id::random();
    REQUIRE(finish(it.store->note_centre(store_epoch)).has_value());
    std::uint64_t number = 0;
    for (const auto kind :
         {verdict_kind::opened, verdict_kind::open_failed, verdict_kind::print_ready}) {
        std::vector<journal::told_verdict> said{{verdict_on(it.at(p), kind), ++number}};
        REQUIRE(finish(it.store->take_verdicts(said, store_epoch, number)).has_value());
        CHECK((it.at(p).state == state::quarantined) == (kind == verdict_kind::open_failed));
    }
    CHECK(it.at(p).state == state::opened);

    office above;
    above.options.has_upstream = false;
    above.reopen();
    const auto here = above.accept();
    REQUIRE(above.settle(here).has_value());
    for (const auto kind :
         {verdict_kind::opened, verdict_kind::open_failed, verdict_kind::print_ready})
        REQUIRE(finish(above.store->judge(above.at(here).key, above.at(here).digest, kind, true))
                    .has_value());
    CHECK(above.at(here).state == state::opened);
    CHECK(finish(it.store->audit()).value().empty());
    CHECK(finish(above.store->audit()).value().empty());
}

TEST_CASE("one rotten entry of the ledger ends no start", "[journal]")
{
    office it;
    const auto p = it.accept();
    REQUIRE(it.settle(p).has_value());
    it.custody({}); // a loss, and no word yet of which store the centre has
    REQUIRE(it.store->now().findings.size() == 1);
    it.close();
    meddle(it, [](journal::transaction& txn, const journal::tables& t, v1::Meta&) {
        txn.put(t.ledger, journal::key_builder{}.u64(1), bytes(20));
    });
    it.open();
    CHECK(finish(it.store->drop_unsure_openings()).has_value());
    it.close();
    CHECK(it.failures.empty());
}

namespace {

/// While it lives the writer does nothing: what is asked of it meanwhile is one commit, in that order.
class busy_writer {
public:
    explicit busy_writer(journal::store& store)
    {
        store.knock([this, over = over_.get_future().share()] {
            begun_.set_value();
            over.wait();
        });
        begun_.get_future().wait();
    }
    busy_writer(const busy_writer&) = delete;
    ~busy_writer() { over_.set_value(); }

private:
    std::promise<void> begun_;
    std::promise<void> over_;
};

/// Until both threads of the pool have done what they were given.
void drain(asio::thread_pool& pool)
{
    const auto both = std::make_shared<std::latch>(2);
    for (int i = 0; i < 2; ++i)
        asio::post(pool, [both] { both->arrive_and_wait(); });
    both->wait();
}

/// A coroutine that has gone on as far as it gets beside a busy writer.
template <class T>
class stepwise {
public:
    /// `on` is its own, and outlives the store.
    stepwise(asio::io_context& on, asio::thread_pool& pool, asio::awaitable<T> work) : on_(on)
    {
        asio::co_spawn(on_, put_into(out_, std::move(work)), rethrow);
        on_.restart();
        while (on_.poll() > 0)
            drain(pool);
    }
    T finish()
    {
        while (!out_)
            on_.run_one();
        return std::move(*out_);
    }

private:
    asio::io_context& on_;
    std::optional<T> out_;
};

/// An opened record whose time has come, and two threads of work beside each other.
struct due_record {
    due_record()
    {
        REQUIRE(it.settle(at).has_value());
        it.told(centre_store, {at}, {at});
        REQUIRE(it.at(at).state == state::opened);
    }
    /// The centre holds nothing, it says.
    asio::awaitable<result<std::vector<journal::placed>>> custody_of_none()
    {
        envelope::custody said{.station = "office-1", .at = wall_now(), .epochs = {}};
        said.epochs.push_back({.epoch = it.store->epoch(), .ranges = {}});
        return it.store->take_custody(std::move(said), trust::role::centre, bytes(1), {}, {});
    }

    asio::io_context erasing;
    asio::io_context telling;
    office it;
    epoch_id centre_store = epoch_id::random();
    place at = it.accept();
};

} // namespace

TEST_CASE("what was found to be due is erased only if it still may be when that is written",
          "[journal]")
{
    due_record f;
    auto& store = *f.it.store;
    enum class told { nothing, other_store, open_failed, not_held };
    const auto what = GENERATE(told::nothing, told::other_store, told::open_failed, told::not_held);
    const auto verdict = verdict_on(f.it.at(f.at), verdict_kind::open_failed);
    std::optional<busy_writer> busy{store};
    // Heard first, and written in the commit that erases.
    std::optional<stepwise<result<void>>> heard;
    if (what == told::other_store)
        heard.emplace(f.telling, f.it.pool, store.note_centre(epoch_id::random()));
    if (what == told::open_failed)
        heard.emplace(f.telling, f.it.pool, store.take_verdicts({{verdict, 2}}, f.centre_store, 2));
    // It was found to be due.
    stepwise<result<std::size_t>> erased{f.erasing, f.it.pool, store.erase_due(0ms)};
    std::optional<stepwise<result<std::vector<journal::placed>>>> custody;
    if (what == told::not_held) // it was compared
        custody.emplace(f.telling, f.it.pool, f.custody_of_none());
    busy.reset();
    CHECK(erased.finish().value() == (what == told::nothing ? 1u : 0u));
    if (heard)
        REQUIRE(heard->finish().has_value());
    if (custody)
        REQUIRE(custody->finish().has_value());
    CHECK(f.it.at(f.at).state == (what == told::nothing       ? state::erased
                                  : what == told::other_store ? state::opened
                                  : what == told::open_failed ? state::quarantined
                                                              : state::waiting));
    if (what != told::nothing)
        CHECK(finish(store.check_intact(f.at)).has_value());
    CHECK(finish(store.audit()).value().empty());
}

TEST_CASE("nothing is erased while what the centre lost is still being looked for", "[journal]")
{
    due_record f;
    auto& store = *f.it.store;
    std::optional<busy_writer> busy{store};
    // It was compared. Nothing waits again yet.
    stepwise<result<std::vector<journal::placed>>> custody{f.telling, f.it.pool,
                                                           f.custody_of_none()};
    stepwise<result<std::size_t>> erased{f.erasing, f.it.pool, store.erase_due(0ms)};
    busy.reset();
    CHECK(erased.finish().value() == 0);
    REQUIRE(custody.finish().has_value());
    CHECK(f.it.at(f.at).state == state::waiting);
    CHECK(finish(store.check_intact(f.at)).has_value());
}
