#include "journal/spans.hpp"

#include "base/fault.hpp"
#include "journal/meddling.hpp"
#include "vault/limit.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>

using namespace titip;
using namespace titip::tests;
using vault::finding;

namespace {

class centre_fixture : public journal_fixture {
public:
    centre_fixture()
    {
        options.node = "centre";
        options.has_upstream = false;
        options.identity = everyone().centre;
        open();
    }

    /// A whole record under this number, which follows `previous`.
    result<bytes> give(const sender& from, std::uint64_t number, const digest& previous = {})
    {
        const auto data = noise(10, random);
        newest = from.offer_at(number, previous, data);
        return finish(store->complete(newest, 0, data));
    }

    vault::offer newest;
};

envelope::custody custody_in(journal::store& of, const std::string& station = "office-1")
{
    return said_in<envelope::custody>(finish(of.reconcile(station, {})).value().custody_cms);
}

bool are_same(const envelope::custody& a, const envelope::custody& b)
{
    return a.epochs == b.epochs;
}

/// As a version of before wrote it: all ranges in the epoch's own row.
void put_together(const journal_fixture& at, const std::string& station)
{
    meddle(at, [&station](auto& txn, const auto& t, auto&) {
        for (const auto& each : journal::epochs_with_spans_of(txn, t, station)) {
            for (const auto& span : each.numbering.spans())
                txn.erase(t.numbering,
                          journal::numbering_key(station, each.epoch).u64(span.first()));
            const auto key = journal::numbering_key(station, each.epoch);
            txn.put(t.numbering, key,
                    journal::seal_row(journal::seed::numbering, key, each.numbering));
        }
        txn.erase(t.numbering, journal::account_key(station));
    });
}

std::size_t longest_numbering(journal_fixture& at)
{
    at.close();
    std::size_t out = 0;
    meddle(at, [&out](auto& txn, const auto& t, auto&) {
        journal::cursor walk{txn, t.numbering};
        for (auto each = walk.first(); each; each = walk.next())
            out = std::max(out, each->value.size());
    });
    at.open();
    return out;
}

} // namespace

TEST_CASE("what a record costs in the numbering does not grow with the holes in it", "[journal]")
{
    centre_fixture at;
    const sender holes{everyone().station};
    for (std::uint64_t n = 1; n <= 60; ++n)
        REQUIRE(at.give(holes, 2 * n).has_value());
    CHECK(longest_numbering(at) < 200); // what is written again for each record
    CHECK(custody_in(*at.store).epochs.at(0).ranges.size() == 60);
}

TEST_CASE("numbers of an earlier version are read as they lie, and go on", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    const sender other{everyone().station};
    for (const auto n : {1, 3, 5, 9})
        REQUIRE(at.give(from, static_cast<std::uint64_t>(n)).has_value());
    const auto ninth = at.newest.hash;
    REQUIRE(at.give(other, 7).has_value());
    REQUIRE(at.give(sender{everyone().neighbour}, 2).has_value());
    const auto before = custody_in(*at.store);
    at.close();
    put_together(at, "office-1");
    at.open();
    CHECK(finish(at.store->audit()).value().empty());
    CHECK(are_same(custody_in(*at.store), before));

    REQUIRE(at.give(from, 10, ninth).has_value());
    const auto after = custody_in(*at.store);
    std::vector<std::uint64_t> ends;
    for (const auto& epoch : after.epochs)
        if (epoch.epoch == from.epoch())
            for (const auto& range : epoch.ranges)
                ends.push_back(envelope::number(range.last));
    CHECK(ends == std::vector<std::uint64_t>{1, 3, 5, 10});
    CHECK(finish(at.store->audit()).value().empty());
    CHECK(longest_numbering(at) < 250); // the other epoch is still as it was: one range
}

TEST_CASE("a record between two ranges joins them, and what is counted of them is right",
          "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    const auto data = noise(10, at.random);
    const auto first = from.offer_at(1, {}, data);
    const auto second = from.offer_at(2, first.hash, data);
    const auto third = from.offer_at(3, second.hash, data);
    for (const auto& each : {first, third, second})
        REQUIRE(finish(at.store->complete(each, 0, data)).has_value());
    CHECK(custody_in(*at.store).epochs.at(0).ranges.size() == 1);
    CHECK(finish(at.store->audit()).value().empty());
}

TEST_CASE("what an earlier version has kept together is counted with all that is in it",
          "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    for (const auto n : {1, 3, 5})
        REQUIRE(at.give(from, static_cast<std::uint64_t>(n)).has_value());
    at.close();
    put_together(at, "office-1");
    at.open();
    REQUIRE(at.give(sender{everyone().station}, 7).has_value());
    CHECK(finish(at.store->audit()).value().empty());
}

TEST_CASE("above the bound a record that opens a further range waits, others do not", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    REQUIRE(at.give(from, 1).has_value());
    const auto first = at.newest.hash;
    REQUIRE(at.give(from, 5).has_value());
    at.close();
    meddle(at, [](auto& txn, const auto& t, auto&) {
        auto account = journal::read_account(txn, t, "office-1");
        REQUIRE(account.spans() == 2);
        account.set_spans(journal::most_spans);
        journal::write_account(txn, t, "office-1", account);
    });
    at.open();

    const auto refused = at.give(from, 9);
    REQUIRE(refused.has_error());
    CHECK(refused.error() == vault::limit::numbers);
    CHECK(refused.error() == fault::admission);
    CHECK_FALSE(finish(at.store->find(at.newest.key())).value()); // nothing of it is here
    CHECK(at.give(from, 2, first).has_value());                   // in order
    CHECK(at.give(from, 5).has_value());                          // a fork opens none
    CHECK(at.give(sender{everyone().station}, 1).has_value());    // a store that was put back
    CHECK(at.give(sender{everyone().neighbour}, 9).has_value());  // another station
    CHECK(at.give(from, 9).has_error());
}

TEST_CASE("a further epoch has a bound of its own", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    REQUIRE(at.give(from, 1).has_value());
    at.close();
    meddle(at, [](auto& txn, const auto& t, auto&) {
        auto account = journal::read_account(txn, t, "office-1");
        account.set_epochs(journal::most_epochs);
        journal::write_account(txn, t, "office-1", account);
    });
    at.open();
    const auto refused = at.give(sender{everyone().station}, 1);
    REQUIRE(refused.has_error());
    CHECK(refused.error() == vault::limit::numbers);
    CHECK(at.give(from, 3).has_value());
}

TEST_CASE("all that a station may have still fits one custody statement", "[journal]")
{
    centre_fixture at;
    at.close();
    meddle(at, [](auto& txn, const auto& t, auto&) {
        constexpr auto late = std::uint64_t{1} << 62; // numbers as long as they can be
        const auto first = epoch_id::random();
        const auto add = [&](const epoch_id& epoch, std::uint64_t sequence) {
            const journal::placing one{.station = "office-1",
                                       .epoch = epoch,
                                       .sequence = sequence,
                                       .previous = {},
                                       .hash = sha256(as_bytes("some"))};
            const bool may = journal::may_add_number(txn, t, one);
            if (may)
                journal::add_number(txn, t, one);
            return may;
        };
        std::size_t refused = 0;
        for (std::uint64_t n = 0; n < journal::most_spans; ++n)
            refused += add(first, late + 2 * n) ? 0 : 1;
        for (std::uint64_t n = 1; n < journal::most_epochs; ++n)
            refused += add(epoch_id::random(), late) ? 0 : 1;
        CHECK(refused == 0);
        CHECK_FALSE(add(first, late + 2 * journal::most_spans));
        CHECK_FALSE(add(epoch_id::random(), late));
    });
    at.open();
    const auto answer = finish(at.store->reconcile("office-1", {})).value();
    CHECK(answer.custody_cms.size() < (4u << 20));
    CHECK(answer.findings.size() == 64);
}

TEST_CASE("a hole is told to its end, however long it is", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    REQUIRE(at.give(from, 1).has_value());
    REQUIRE(at.give(from, 40'000).has_value());
    vault::question asked;
    const auto max = std::numeric_limits<std::uint64_t>::max();
    asked.kept = {{.epoch = from.epoch(), .first = 30'000, .last = 30'001},
                  {.epoch = from.epoch(), .first = 7, .last = 6},
                  {.epoch = epoch_id::random(), .first = 0, .last = max}};
    const auto answer = finish(at.store->reconcile("office-1", asked)).value();
    REQUIRE(answer.findings.size() == 2);
    CHECK(answer.findings[0].first == 2);
    CHECK(answer.findings[0].last == 29'999);
    CHECK(answer.findings[1].first == 30'002);
    CHECK(answer.findings[1].last == 39'999);
}

TEST_CASE("a relay that bears a station's name is told nothing of that station", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    for (const auto n : {1, 3})
        REQUIRE(at.give(from, static_cast<std::uint64_t>(n)).has_value());
    vault::question asked;
    REQUIRE(finish(at.store->reconcile("office-1", asked)).value().findings.size() == 1);
    asked.is_of_relay = true;
    const auto answer = finish(at.store->reconcile("office-1", asked)).value();
    CHECK(said_in<envelope::custody>(answer.custody_cms).epochs.empty());
    CHECK(answer.findings.empty());
    CHECK(answer.partials.empty());
    CHECK(answer.receipts.empty());
    CHECK(answer.verdicts.empty());
}

TEST_CASE("an index entry that is too short is the store's trouble, and not an assertion",
          "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(10, at.random);
    const auto what = from.next(data);
    REQUIRE(finish(at.store->complete(what, 0, data)).has_value());
    at.close();
    meddle(at, [&](auto& txn, const auto& t, auto&) {
        txn.put(t.by_id, journal::id_key(what.key()), as_bytes("short"));
    });
    at.open();
    const auto found = finish(at.store->find(what.key()));
    REQUIRE(found.has_error());
    CHECK(found.error() == vault::errc::store_failed);
    at.close();
    CHECK(at.failures.size() == 1); // whoever runs it is told, and marks the store
}

namespace {

result<void> begin(centre_fixture& at, sender& from, record_id id = record_id::random())
{
    const auto data = noise(20, at.random);
    return finish(at.store->keep(from.next(data, id), 0, bytes{}));
}

/// As if nothing had come of them for so long.
void age(centre_fixture& at, milliseconds by)
{
    at.close();
    meddle(at, [by](auto& txn, const auto& t, auto&) {
        auto account = journal::read_account(txn, t, "office-1");
        for (auto& each : *account.mutable_arriving())
            each.set_last_byte_at_ms(each.last_byte_at_ms() - by.count());
        journal::write_account(txn, t, "office-1", account);
    });
    at.open();
}

} // namespace

TEST_CASE("one station cannot fill a centre with records that it only begins", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    sender neighbour{everyone().neighbour};
    std::size_t begun = 0;
    auto failed = begin(at, from);
    for (; failed && begun < 1'000; failed = begin(at, from))
        ++begun;
    REQUIRE(failed.has_error());
    CHECK(failed.error() == vault::limit::arriving);
    CHECK(begun == 64);
    CHECK(at.store->now().of(journal::state::arriving).records == begun);
    CHECK(begin(at, neighbour).has_value());
    const auto data = noise(10, at.random);
    CHECK(finish(at.store->complete(from.next(data), 0, data)).has_value()); // a whole one comes in
}

TEST_CASE("one begun record that ends, whichever way, makes room for another", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(20, at.random);
    const auto one = from.next(data);
    REQUIRE(finish(at.store->keep(one, 0, bytes{})).has_value());
    while (begin(at, from))
        ;
    REQUIRE(begin(at, from).has_error());
    if (GENERATE(false, true))
        REQUIRE(finish(at.store->complete(one, 0, data)).has_value());
    else
        REQUIRE(finish(at.store->discard(one.key())).has_value());
    at.reopen();
    CHECK(begin(at, from).has_value());
    CHECK(begin(at, from).has_error());
}

TEST_CASE("what has stood still gives way, the longest first, and is said to have", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto oldest = record_id::random();
    REQUIRE(begin(at, from, oldest).has_value());
    age(at, 1s);
    while (begin(at, from))
        ;
    REQUIRE(begin(at, from).has_error());
    age(at, 1h);
    CHECK(begin(at, from).has_value());
    CHECK_FALSE(finish(at.store->find({"office-1", oldest})).value());
    CHECK(at.store->now().of(journal::state::arriving).records == 64);
    CHECK(finish(at.store->audit()).value().empty());
}

TEST_CASE("what was begun when the clock was ahead gives way as well", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    while (begin(at, from))
        ;
    age(at, -2h);
    CHECK(begin(at, from).has_value());
}

TEST_CASE("what an earlier version has begun goes on to its end", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(20, at.random);
    const auto one = from.next(data);
    REQUIRE(finish(at.store->keep(one, 0, bytes{})).has_value());
    at.close();
    meddle(at, [](auto& txn, const auto& t, auto&) {
        txn.erase(t.numbering, journal::account_key("office-1"));
    });
    at.open();
    const bytes half{data.begin(), data.begin() + 9};
    CHECK(finish(at.store->keep(one, 0, half)).has_value());
    const bytes rest{data.begin() + 9, data.end()};
    CHECK(finish(at.store->complete(one, 9, rest)).has_value());
}

TEST_CASE("what is left of a centre that is nearly full is not for the station with most in it",
          "[journal]")
{
    centre_fixture at;
    at.close();
    at.options.quota_bytes = 8u << 20;
    at.open();
    sender large{everyone().station};
    sender small{everyone().neighbour};
    const auto give = [&at](sender& from, std::size_t size_bytes) {
        const auto data = noise(size_bytes, at.random);
        return finish(at.store->complete(from.next(data), 0, data));
    };
    REQUIRE(give(small, 1'000).has_value());
    auto taken = give(large, 100'000);
    std::size_t records = 0;
    for (; taken && records < 1'000; taken = give(large, 100'000))
        ++records;
    REQUIRE(taken.has_error());
    CHECK(taken.error() == vault::limit::share);
    CHECK(at.store->has_room());
    CHECK(begin(at, large).error() == vault::limit::share);
    std::size_t others = 0;
    for (auto more = give(small, 100'000); more; more = give(small, 100'000))
        ++others;
    CHECK(others > 3);
    CHECK(records > 9 * others / 2);
}

TEST_CASE("a centre of one station is filled to its end", "[journal]")
{
    centre_fixture at;
    at.close();
    at.options.quota_bytes = 4u << 20;
    at.open();
    sender only{everyone().station};
    sender passing{everyone().neighbour}; // of which nothing is left
    const auto gone = passing.next(noise(10, at.random));
    REQUIRE(finish(at.store->keep(gone, 0, bytes{})).has_value());
    REQUIRE(finish(at.store->discard(gone.key())).has_value());
    for (;;) {
        const auto data = noise(100'000, at.random);
        const auto taken = finish(at.store->complete(only.next(data), 0, data));
        if (taken)
            continue;
        CHECK(taken.error() == vault::errc::full);
        break;
    }
}
