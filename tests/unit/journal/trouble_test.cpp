#include "journal/meddling.hpp"

#include "base/file.hpp"
#include "journal/parts.hpp"
#include "journal/rows.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace titip;
using namespace titip::tests;
using journal::open_failure;
using vault::errc;

namespace {

using kind = open_failure::kind;

kind failure_of(journal_fixture& at)
{
    const auto opened = at.try_open();
    REQUIRE_FALSE(opened.has_value());
    CHECK_FALSE(opened.error().sentence.empty());
    return opened.error().what;
}

void rot(journal::transaction& txn, journal::table in, bytes_view key)
{
    auto value = to_bytes(txn.get(in, key).value());
    value.back() ^= std::byte{1};
    txn.put(in, key, value);
}

void rot_row(const journal_fixture& at, std::uint64_t place)
{
    meddle(at, [place](auto& txn, const auto& t, auto&) {
        rot(txn, t.rows, journal::place_key(journal::place{place}));
    });
}

void accept_some(journal_fixture& at, int many)
{
    for (int i = 0; i < many; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(9'000, at.random)))).has_value());
}

} // namespace

TEST_CASE("a store that is open cannot be opened again",
          "[journal]") // another process: system.local
{
    journal_fixture at;
    at.open();
    CHECK(failure_of(at) == kind::in_use);
    at.reopen();
    accept_some(at, 1);
}

TEST_CASE("a store born under another name is not taken over", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 1);
    at.close();
    at.options.node = "office-2";
    at.options.identity = everyone().neighbour;
    CHECK(failure_of(at) == kind::foreign);
    at.options.node = "office-1";
    at.options.identity = everyone().station;
    CHECK(at.open().now().of(journal::state::waiting).records == 1);
}

TEST_CASE("a store of a later format is refused as newer and left as it is", "[journal]")
{
    journal_fixture at;
    at.open();
    at.close();
    meddle(at, [](auto&, const auto&, v1::Meta& meta) { meta.set_format(3); });
    if (GENERATE(false, true)) // a lock of its own kind, too
        journal::directory_lock{at.options.directory}.note_commit(1'000);
    const auto before = read_file(at.data_file()).value();
    const auto refused = at.try_open();
    REQUIRE(refused.has_error());
    CHECK(refused.error().what == kind::newer);
    CHECK(refused.error().sentence.find(
              "format 3, this program knows 2: install the newer version") != std::string::npos);
    CHECK((read_file(at.data_file()).value() == before));
}

TEST_CASE("a state directory that is none is unreadable", "[journal]")
{
    journal_fixture at;
    REQUIRE(write_file(at.options.directory, as_bytes("a file")).has_value());
    CHECK(failure_of(at) == kind::unreadable);
}

TEST_CASE("a file that is no store, or half of one, is not trusted and not replaced", "[journal]")
{
    journal_fixture at;
    std::filesystem::create_directories(at.options.directory);
    const auto size = GENERATE(1u, 100u, 4'096u, 8'192u, 20'000u);
    const auto data = noise(size, at.random);
    REQUIRE(write_file(at.data_file(), data).has_value());
    CHECK(failure_of(at) == kind::untrusted);
    CHECK((read_file(at.data_file()).value() == data));
}

TEST_CASE("a meta page whose transaction id was changed is noticed", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 5);
    at.close();
    const auto good = read_file(at.data_file()).value();
    auto bad = good;
    const std::size_t newer = transaction_of(bad, 0) > transaction_of(bad, 1) ? 0 : 1;

    SECTION("of the newer page, by one or by much")
    {
        for (const std::int64_t by : {-4, -3, -1, 1, 2, 1'000}) {
            CAPTURE(by);
            bad = good;
            transaction_of(bad, newer) += static_cast<std::uint64_t>(by);
            REQUIRE(write_file(at.data_file(), bad).has_value());
            CHECK(failure_of(at) == kind::untrusted);
        }
    }
    SECTION("of the older page")
    {
        for (const std::int64_t by : {-2, -1, 1, 2}) {
            CAPTURE(by);
            bad = good;
            transaction_of(bad, 1 - newer) += static_cast<std::uint64_t>(by);
            REQUIRE(write_file(at.data_file(), bad).has_value());
            CHECK(failure_of(at) == kind::untrusted);
        }
    }
    SECTION("of a page that lost its mark")
    {
        for (const std::size_t page : {0u, 1u})
            for (const std::size_t offset : {10u, 16u, 20u}) {
                CAPTURE(page, offset);
                bad = good;
                bad[page * 4096 + offset] ^= std::byte{8};
                REQUIRE(write_file(at.data_file(), bad).has_value());
                CHECK(failure_of(at) == kind::untrusted);
            }
    }
    SECTION("and the good file still opens")
    {
        REQUIRE(write_file(at.data_file(), good).has_value());
        CHECK(at.open().now().of(journal::state::waiting).records == 5);
    }
}

// The newer page n shown as n - 2 is again a neighbour of the older one, n - 1, whose own meta row
// agrees: the newest commit is lost without a word. One flipped bit does it where n has bit 1 set.
TEST_CASE("a newer meta page that was set back by two is noticed", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 5);
    at.close();
    auto bad = read_file(at.data_file()).value();
    transaction_of(bad, transaction_of(bad, 0) > transaction_of(bad, 1) ? 0 : 1) -= 2;
    REQUIRE(write_file(at.data_file(), bad).has_value());
    const auto opened = at.try_open();
    CHECK_FALSE(opened.has_value());
    if (opened)
        CHECK((*opened)->now().of(journal::state::waiting).records == 5);
}

// Both pages are whole and neighbours, and what LMDB takes for the newest commit is the one before it.
TEST_CASE("an older meta page that was set on by two is noticed", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 5);
    at.close();
    auto bad = read_file(at.data_file()).value();
    transaction_of(bad, transaction_of(bad, 0) > transaction_of(bad, 1) ? 1 : 0) += 2;
    REQUIRE(write_file(at.data_file(), bad).has_value());
    CHECK(failure_of(at) == kind::untrusted);
}

TEST_CASE("a rotten byte of an envelope costs its record and no other", "[journal]")
{
    journal_fixture at;
    at.open();
    std::vector<bytes> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(noise(20'000, at.random));
        REQUIRE(finish(at.store->accept(submission_of(all.back()))).has_value());
    }
    at.close();
    auto file = read_file(at.data_file()).value();
    const auto part = bytes_view{all[1]}.subspan(9'000, 32); // within its third chunk
    auto found = std::ranges::search(file, part);
    REQUIRE_FALSE(found.empty());
    found.front() ^= std::byte{4};
    REQUIRE(write_file(at.data_file(), file).has_value());

    auto& store = at.open();
    const journal::place rotten{2};
    CHECK(finish(store.read_at(rotten, 0, 99'999)).error() == errc::rotten);
    CHECK(finish(store.read_at(rotten, 9'100, 1)).error() == errc::rotten);
    CHECK(finish(store.check_intact(rotten)).error() == errc::rotten);
    const auto its_key = finish(store.outgoing_of(rotten)).value().view.key;
    CHECK(finish(store.hash(its_key, 20'000)).error() == errc::rotten);
    CHECK(finish(store.hash(its_key, 8'000)).value().value() ==
          sha256(bytes_view{all[1]}.first(8'000)));
    CHECK((finish(store.read_at(rotten, 0, 8'000)).value() ==
           bytes(all[1].begin(), all[1].begin() + 8'000)));
    for (const std::uint64_t other : {1u, 3u})
        CHECK((finish(store.read_at(journal::place{other}, 0, 99'999)).value() == all[other - 1]));
    REQUIRE(finish(store.quarantine(rotten, journal::reason::rotten, "")).has_value());
    accept_some(at, 1);
    at.close();
    CHECK(at.failures.empty());
}

TEST_CASE("a rotten row costs its record, the others are read, queued and numbered on", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    at.close();
    rot_row(at, 2);
    auto& store = at.open();
    CHECK(finish(store.read_at(journal::place{2}, 0, 10)).error() == errc::rotten);
    CHECK(finish(store.outgoing_of(journal::place{2})).error() == errc::rotten);
    CHECK(finish(store.check_intact(journal::place{3})).has_value());
    CHECK(finish(store.load_queue()).value().size() == 3);
    CHECK(finish(store.accept(submission_of(noise(10, at.random)))).value().sequence == 4);
    const auto what = finish(store.outgoing_of(journal::place{1})).value();
    CHECK(finish(
              store.settle(what.view.place, receipt_for(what), bytes(1), everyone().centre->self()))
              .has_value());
    at.close();
    CHECK(at.failures.empty());
}

// upstream() walks all rows as soon as one is held or set aside, and gives up at the first rotten
// one: no reconcile ever again.
TEST_CASE("one rotten row does not keep a station from asking upstream while another is set aside",
          "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    REQUIRE(
        finish(at.store->quarantine(journal::place{1}, journal::reason::refused, "")).has_value());
    at.close();
    rot_row(at, 2);
    at.open();
    CHECK(finish(at.store->upstream()).has_value());
}

TEST_CASE("one rotten row at the centre does not keep its station from asking", "[journal]")
{
    journal_fixture at;
    at.options.node = "centre";
    at.options.has_upstream = false;
    at.options.identity = everyone().centre;
    at.open();
    sender from{everyone().station};
    vault::question asked;
    for (int i = 0; i < 3; ++i) {
        const auto data = noise(100, at.random);
        const auto what = from.next(data);
        REQUIRE(finish(at.store->complete(what, 0, data)).has_value());
        asked.unsettled.push_back(what.manifest.record);
        asked.heads = {{.epoch = from.epoch(), .sequence = 3, .hash = what.hash}};
    }
    at.close();
    rot_row(at, 3);
    at.open();
    const auto answer = finish(at.store->reconcile("office-1", asked));
    REQUIRE(answer.has_value());
    CHECK(answer->receipts.size() == 2);
    CHECK(answer->findings.empty());
}

TEST_CASE("a verdict on a record whose row is rotten does not hold up the others", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    std::vector<journal::told_verdict> said;
    for (std::uint64_t n = 1; n <= 3; ++n) {
        const auto what = finish(at.store->outgoing_of(journal::place{n})).value();
        REQUIRE(finish(at.store->settle(what.view.place, receipt_for(what), bytes(1),
                                        everyone().centre->self()))
                    .has_value());
        said.emplace_back(verdict_on(what.view, envelope::verdict_kind::opened));
    }
    at.close();
    rot_row(at, 2);
    at.open();
    REQUIRE(finish(at.store->take_verdicts(said, at.store->epoch(), 3)).has_value());
    CHECK(at.store->now().of(journal::state::opened).records == 2);
    CHECK(finish(at.store->upstream()).value().cursor_number == 3);
    const auto all = finish(at.store->ledger(0, 100)).value();
    CHECK(std::ranges::count(all, said[1].said.record, &journal::ledger_entry::record) == 2);
    CHECK(std::ranges::any_of(all, [&said](const auto& each) {
        return each.event == "verdict" &&
               each.detail.find(said[1].said.record.to_string()) != std::string::npos;
    }));
}

TEST_CASE("one rotten row does not hide all the others from a list", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    at.close();
    rot_row(at, 2);
    at.open();
    const auto listed = finish(at.store->list({}, std::nullopt, 100));
    REQUIRE(listed.has_value());
    CHECK(listed->size() >= 2);
}

TEST_CASE("a rotten row can be set aside, so that the queue is rid of it", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    at.close();
    rot_row(at, 2);
    at.open();
    const auto before = at.store->now();
    CHECK(finish(at.store->quarantine(journal::place{2}, journal::reason::rotten, "")).has_value());
    CHECK(finish(at.store->load_queue()).value().size() == 2);
    const auto now = at.store->now();
    CHECK(now.of(journal::state::waiting).records == 2);
    CHECK(now.of(journal::state::quarantined).records == 1);
    CHECK(now.of(journal::state::quarantined).bytes ==
          before.of(journal::state::waiting).bytes / 3);
    CHECK(finish(at.store->quarantine(journal::place{2}, journal::reason::rotten, "")).error() ==
          vault::errc::rotten);
}

// What take_custody() and erase_due() run on the pool is not guarded: what is thrown there ends us.
TEST_CASE("a custody statement over a rotten row does not end the process", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    at.close();
    rot_row(at, 2);
    at.open();
    finish(at.store->take_custody({.station = "office-1", .at = wall_now(), .epochs = {}},
                                  trust::role::centre, bytes(1), {}, {}));
    CHECK(at.store->now().of(journal::state::waiting).records >= 2);
}

// The first rotten row throws out of the whole batch, and the next batch begins with it again.
TEST_CASE("a rotten row among those due does not stop the others from being erased", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 3);
    const auto then = wall_now() - 1'000h;
    std::vector<journal::told_verdict> said;
    for (std::uint64_t n = 1; n <= 3; ++n) {
        const auto what = finish(at.store->outgoing_of(journal::place{n})).value();
        REQUIRE(finish(at.store->settle(what.view.place, receipt_for(what, then), bytes(1),
                                        everyone().centre->self()))
                    .has_value());
        said.emplace_back(verdict_on(what.view, envelope::verdict_kind::opened, then));
    }
    REQUIRE(finish(at.store->take_verdicts(said, at.store->epoch(), 3)).has_value());
    at.close();
    rot_row(at, 2);
    at.open();
    REQUIRE(finish(at.store->take_custody(custody_of_all(*at.store, then + 1h), trust::role::centre,
                                          bytes(1), {}, {}))
                .has_value());
    for (int i = 0; i < 3; ++i)
        (void)finish(at.store->erase_due(0ms));
    CHECK(at.store->now().of(journal::state::erased).records == 2);
}

TEST_CASE("a rotten index is the whole store's trouble: told once, and final", "[journal]")
{
    journal_fixture at;
    at.open();
    accept_some(at, 2);
    const auto epoch = at.store->epoch();
    at.close();
    meddle(at, [&epoch](auto& txn, const auto& t, auto&) {
        rot(txn, t.numbering, journal::numbering_key("office-1", epoch));
    });
    at.open();
    CHECK(finish(at.store->accept(submission_of(noise(10, at.random)))).error() ==
          errc::store_failed);
    CHECK(finish(at.store->set_paused(true)).error() == errc::store_failed);
    CHECK(finish(at.store->accept(submission_of(noise(10, at.random)))).error() ==
          errc::store_failed);
    CHECK(
        finish(at.store->check_intact(journal::place{1})).has_value()); // what is there can be read
    at.close();
    CHECK(at.failures.size() == 1);
}

TEST_CASE("a rotten meta row is not trusted", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto epoch = to_bytes(at.store->epoch().data());
    at.close();
    auto file = read_file(at.data_file()).value();
    auto here = file.begin();
    int found = 0;
    for (;;) {
        const auto hit = std::search(here, file.end(), epoch.begin(), epoch.end());
        if (hit == file.end())
            break;
        *hit ^= std::byte{1};
        here = hit + 1;
        ++found;
    }
    REQUIRE(found > 0);
    REQUIRE(write_file(at.data_file(), file).has_value());
    CHECK(failure_of(at) == kind::untrusted);
}

TEST_CASE("a store that is full says so after a restart too", "[journal]")
{
    journal_fixture at;
    at.options.quota_bytes = 1u << 20;
    at.open();
    for (int i = 0; i < 100; ++i)
        (void)finish(at.store->accept(submission_of(noise(50'000, at.random))));
    REQUIRE_FALSE(at.store->has_room());
    at.reopen();
    CHECK_FALSE(at.store->has_room());
    CHECK_FALSE(at.store->now().has_room);
}

TEST_CASE("an index entry that rotted costs its record, and never stands for another one",
          "[journal]")
{
    journal_fixture at;
    at.open();
    const auto id = record_id::random();
    const auto other = record_id::random();
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random), id))).has_value());
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random), other))).has_value());
    sender from{everyone().neighbour};
    const auto rotten = from.next(noise(50'000, at.random));
    const auto begun = from.next(noise(50'000, at.random));
    for (const auto& each : {rotten, begun})
        REQUIRE(finish(at.store->keep(each, 0, noise(20'000, at.random))).has_value());
    at.close();
    const vault::key here{at.options.node, id};
    meddle(at, [&](journal::transaction& txn, const journal::tables& t, auto&) {
        txn.put(t.by_id, journal::id_key(here), journal::key_builder{}.u64(2));
        txn.put(t.by_id, journal::id_key(rotten.key()), journal::key_builder{}.u64(4));
    });
    at.open();
    CHECK(finish(at.store->read(here, 0, 1'000)).error() == vault::errc::rotten);
    CHECK(finish(at.store->find(here)).error() == vault::errc::rotten);
    CHECK(finish(at.store->hold(here)).error() == vault::errc::rotten);
    CHECK(finish(at.store->accept(submission_of(noise(50'000, at.random), id))).error() ==
          vault::errc::rotten);
    CHECK(finish(at.store->discard(rotten.key())).error() == vault::errc::rotten);
    CHECK_FALSE(finish(at.store->show(other)).value().front().held);
    CHECK(finish(at.store->find(begun.key())).value().has_value());
    CHECK(finish(at.store->find({at.options.node, other})).value().has_value());
    CHECK(at.failures.empty());
}
