#include "journal/support.hpp"
#include "journal/writing.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <map>

using namespace titip;
using namespace titip::tests;
using envelope::verdict_kind;
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

class station_fixture : public journal_fixture {
public:
    station_fixture() { open(); }

    journal::place accept(std::size_t size_bytes = 5'000)
    {
        return finish(store->accept(submission_of(noise(size_bytes, random)))).value().place;
    }
    journal::record_view at(journal::place p) { return finish(store->outgoing_of(p)).value().view; }
    result<void> settle(journal::place p, const trust::peer& by, wall_time held_at = wall_now())
    {
        const auto what = finish(store->outgoing_of(p)).value();
        return finish(
            store->settle(p, receipt_for(what, held_at), to_bytes(as_bytes("receipt")), by));
    }
    void take(journal::place p, verdict_kind kind, wall_time at_time = wall_now())
    {
        REQUIRE(finish(store->take_verdicts({verdict_on(at(p), kind, at_time)}, store->epoch(), 1))
                    .has_value());
    }
    /// The upstream's clock, as it signs it.
    void upstream_says(wall_time now)
    {
        REQUIRE(finish(store->take_custody(custody_of_all(*store, now), trust::role::centre,
                                           bytes(1), {}, {}))
                    .has_value());
    }
};

} // namespace

TEST_CASE("a relay's receipt makes a record relayed, the centre's makes it delivered", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    const auto held_at = wall_now() + 5min;
    REQUIRE(f.settle(p, relay()).has_value());
    CHECK(f.at(p).state == state::relayed);
    CHECK(f.at(p).receipt_by == "hub-1");
    CHECK(finish(f.store->load_queue()).value().empty());
    const auto relayed_at = f.at(p).delivered_at;
    REQUIRE(f.settle(p, relay(), held_at + 1h).has_value()); // the first receipt stands
    CHECK(f.at(p).delivered_at == relayed_at);
    REQUIRE(f.settle(p, centre(), held_at).has_value());
    CHECK(f.at(p).state == state::delivered);
    CHECK(f.at(p).receipt_by == "centre");
    CHECK(f.at(p).delivered_at == held_at);
    REQUIRE(f.settle(p, relay()).has_value()); // late, and no step back
    CHECK(f.at(p).state == state::delivered);
    CHECK((finish(f.store->receipt_of(f.at(p).key)).value() == to_bytes(as_bytes("receipt"))));
}

TEST_CASE("only a receipt over what is held here ends custody", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    const auto what = finish(f.store->outgoing_of(p)).value();
    const auto settle = [&](auto change) {
        auto said = receipt_for(what);
        change(said);
        return finish(f.store->settle(p, said, bytes(1), centre()));
    };
    const auto other = sha256(as_bytes("other"));
    CHECK(settle([&](auto& r) { r.digest = other; }).error() == errc::conflict);
    CHECK(settle([&](auto& r) { r.manifest_hash = other; }).error() == errc::conflict);
    CHECK(settle([&](auto& r) { r.record = record_id::random(); }).error() == errc::conflict);
    CHECK(settle([&](auto& r) { r.station = "office-2"; }).error() == errc::conflict);
    CHECK(f.at(p).state == state::waiting);
    CHECK(finish(f.store->load_queue()).value().size() == 1);
}

TEST_CASE("a late receipt overrides hold and quarantine", "[journal]")
{
    station_fixture f;
    const auto held = f.accept();
    const auto set_aside = f.accept();
    REQUIRE(finish(f.store->hold(f.at(held).key)).has_value());
    REQUIRE(finish(f.store->quarantine(set_aside, journal::reason::refused, "why")).has_value());
    REQUIRE(f.settle(held, relay()).has_value());
    REQUIRE(f.settle(set_aside, centre()).has_value());
    CHECK(f.at(held).state == state::relayed);
    CHECK_FALSE(f.at(held).held);
    CHECK(f.at(set_aside).state == state::delivered);
    CHECK(f.at(set_aside).reason == journal::reason::none);
    CHECK(f.at(set_aside).note.empty());
}

TEST_CASE("what the centre could not open is not sent again", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    REQUIRE(f.settle(p, centre()).has_value());
    f.take(p, verdict_kind::open_failed);
    REQUIRE(f.at(p).state == state::quarantined);
    CHECK(f.at(p).reason == journal::reason::open_failed);
    CHECK(finish(f.store->retry(f.at(p).key)).error() == errc::wrong_state);
    CHECK(f.at(p).state == state::quarantined);
}

TEST_CASE("hold, release and retry are allowed where they mean something", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    const auto key = f.at(p).key;
    const auto in_queue = [&] { return finish(f.store->load_queue()).value().size() == 1; };
    const vault::key stranger{"office-1", record_id::random()};
    CHECK(finish(f.store->hold(stranger)).error() == errc::unknown);
    CHECK(finish(f.store->release(stranger)).error() == errc::unknown);
    CHECK(finish(f.store->retry(stranger)).error() == errc::unknown);

    CHECK(finish(f.store->retry(key)).error() == errc::wrong_state);
    CHECK(finish(f.store->release(key)).has_value()); // already so
    CHECK(in_queue());
    REQUIRE(finish(f.store->hold(key)).has_value());
    REQUIRE(finish(f.store->hold(key)).has_value());
    CHECK(f.at(p).held);
    CHECK_FALSE(in_queue());
    CHECK(f.store->now().of(state::waiting).held == 1);
    f.reopen();
    CHECK(f.at(p).held);
    REQUIRE(finish(f.store->release(key)).has_value());
    CHECK(in_queue());

    CHECK(finish(f.store->count_failure(p)).value() == 1);
    CHECK(finish(f.store->count_failure(p)).value() == 2);
    REQUIRE(finish(f.store->quarantine(p, journal::reason::mismatch, std::string(500, 'x')))
                .has_value());
    CHECK(f.at(p).state == state::quarantined);
    CHECK(f.at(p).reason == journal::reason::mismatch);
    CHECK(f.at(p).note.size() == 200);
    CHECK_FALSE(in_queue());
    CHECK(finish(f.store->hold(key)).error() == errc::wrong_state);
    CHECK(finish(f.store->release(key)).error() == errc::wrong_state);
    CHECK(finish(f.store->quarantine(p, journal::reason::refused, "")).error() ==
          errc::wrong_state);
    REQUIRE(finish(f.store->retry(key)).has_value());
    CHECK(f.at(p).state == state::waiting);
    CHECK(f.at(p).reason == journal::reason::none);
    CHECK(f.at(p).record_failures == 0);
    CHECK(in_queue());

    REQUIRE(f.settle(p, centre()).has_value());
    for (const auto& refused :
         {finish(f.store->hold(key)), finish(f.store->release(key)), finish(f.store->retry(key))})
        CHECK(refused.error() == errc::wrong_state);
}

TEST_CASE("the upstream hears which numbers are held or set aside here", "[journal]")
{
    station_fixture f;
    for (int i = 0; i < 6; ++i)
        f.accept();
    for (const std::uint64_t n : {2u, 3u})
        REQUIRE(finish(f.store->hold(f.at(journal::place{n}).key)).has_value());
    for (const std::uint64_t n : {4u, 6u})
        REQUIRE(finish(f.store->quarantine(journal::place{n}, journal::reason::refused, ""))
                    .has_value());
    const auto said = finish(f.store->upstream()).value();
    REQUIRE(said.heads.size() == 1);
    CHECK(said.heads[0].epoch == f.store->epoch());
    CHECK(said.heads[0].sequence == 6);
    CHECK(said.heads[0].hash ==
          finish(f.store->outgoing_of(journal::place{6})).value().manifest_hash);
    REQUIRE(said.kept.size() == 3);
    CHECK(said.kept[0].first == 2);
    CHECK(said.kept[0].last == 3);
    CHECK_FALSE(said.kept[0].is_quarantined);
    CHECK(said.kept[1].first == 4);
    CHECK(said.kept[1].last == 4);
    CHECK(said.kept[1].is_quarantined);
    CHECK(said.kept[2].first == 6);
}

TEST_CASE("of more ranges than a request may hold, the upstream hears the newest", "[journal]")
{
    station_fixture f;
    std::vector<asio::awaitable<result<journal::acceptance>>> accepted;
    for (std::size_t i = 0; i < 2 * vault::most_kept + 4; ++i)
        accepted.push_back(f.store->accept(submission_of(noise(10, f.random))));
    finish_all(std::move(accepted));
    std::vector<asio::awaitable<result<void>>> set_aside;
    for (std::uint64_t n = 2; n <= 2 * vault::most_kept + 4; n += 2)
        set_aside.push_back(f.store->quarantine(journal::place{n}, journal::reason::refused, ""));
    finish_all(std::move(set_aside));
    const auto said = finish(f.store->upstream()).value();
    REQUIRE(said.kept.size() == vault::most_kept);
    CHECK(said.kept.front().first == 6);
    CHECK(said.kept.back().last == 2 * vault::most_kept + 4);
}

TEST_CASE(
    "however much of others waits at a relay, so many rows are read for what waits of its own",
    "[journal]")
{
    station_fixture f;
    for (int i = 0; i < 3; ++i)
        f.accept(100);
    // Numbers that come backwards: of no two of them a range can be made.
    const sender below{everyone().neighbour};
    const auto take = [&](std::uint64_t first, std::uint64_t last) {
        std::vector<asio::awaitable<result<bytes>>> work;
        for (auto n = last; n >= first; --n) {
            auto data = noise(10, f.random);
            auto what = below.offer_at(n, {}, data);
            work.push_back(f.store->complete(std::move(what), 0, std::move(data)));
        }
        for (const auto& each : finish_all(std::move(work)))
            REQUIRE(each.has_value());
    };
    const auto told = [&] {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
        for (const auto& each : finish(f.store->upstream()).value().waiting)
            out.emplace_back(each.first, each.last);
        return out;
    };
    using ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
    constexpr auto most_looks = 2 * vault::most_kept;
    take(10'000, 10'000 + most_looks - 2);
    CHECK(told() == ranges{{1, 3}});
    take(5'000, 5'000);
    CHECK(told().empty()); // too many of others came after them
    f.accept(100);
    CHECK(told() == ranges{{4, 4}});
    // The upstream then calls 1 to 3 a gap. Here it is known that they wait.
    envelope::custody said{.station = "office-1", .at = wall_now(), .epochs = {}};
    said.epochs.push_back({.epoch = f.store->epoch(), .ranges = {}});
    const vault::finding gap{.what = vault::finding::kind::gap,
                             .station = "office-1",
                             .epoch = f.store->epoch(),
                             .first = 1,
                             .last = 3};
    REQUIRE(
        finish(f.store->take_custody(said, trust::role::centre, bytes(1), {gap}, {})).has_value());
    CHECK(f.store->now().findings.empty());
}

TEST_CASE("of more epochs than a request may name, the upstream hears of the newest", "[journal]")
{
    station_fixture f;
    std::vector<epoch_id> epochs;
    for (std::size_t i = 0; i < vault::most_heads + 2; ++i) {
        sender from{everyone().station};
        const auto data = noise(10, f.random);
        REQUIRE(finish(f.store->complete(from.next(data), 0, data)).has_value());
        epochs.push_back(from.epoch());
    }
    const auto said = finish(f.store->upstream()).value();
    REQUIRE(said.heads.size() == vault::most_heads);
    CHECK(said.heads.front().epoch == epochs[2]);
    CHECK(said.heads.back().epoch == epochs.back());
}

TEST_CASE("the verdict opened makes a delivered record opened, and the cursor is kept", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    REQUIRE(f.settle(p, centre()).has_value());
    const auto opened_at = wall_now() + 1h;
    const auto upstream_epoch = epoch_id::random();
    const auto verdict = verdict_on(f.at(p), verdict_kind::opened, opened_at);
    REQUIRE(finish(f.store->take_verdicts({verdict, verdict}, upstream_epoch, 17)).has_value());
    CHECK(f.at(p).state == state::opened);
    CHECK(f.at(p).opened_at == opened_at);
    CHECK(f.at(p).verdicts == std::vector{verdict_kind::opened});
    f.reopen();
    const auto said = finish(f.store->upstream()).value();
    CHECK(said.cursor_epoch == upstream_epoch);
    CHECK(said.cursor_number == 17);
}

TEST_CASE("opened before the receipt is remembered until the receipt comes", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    f.take(p, verdict_kind::opened);
    CHECK(f.at(p).state == state::waiting);
    REQUIRE(f.settle(p, relay()).has_value());
    CHECK(f.at(p).state == state::relayed); // a relay's receipt never permits erasing
    f.upstream_says(wall_now() + 24h);
    CHECK(finish(f.store->erase_due(0ms)).value() == 0);
    REQUIRE(f.settle(p, centre()).has_value());
    CHECK(f.at(p).state == state::opened);
}

TEST_CASE("a verdict for other bytes, or for a record that is not here, changes no record",
          "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    REQUIRE(f.settle(p, centre()).has_value());
    auto other = verdict_on(f.at(p), verdict_kind::opened);
    other.digest = sha256(as_bytes("other"));
    auto stranger = verdict_on(f.at(p), verdict_kind::opened);
    stranger.record = record_id::random();
    REQUIRE(finish(f.store->take_verdicts({other, stranger}, f.store->epoch(), 2)).has_value());
    CHECK(f.at(p).state == state::delivered);
    CHECK(f.at(p).verdicts.empty());
    CHECK(finish(f.store->upstream()).value().cursor_number == 2);
}

TEST_CASE("the later number counts, and a record that needs a person is counted and listed",
          "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    const auto other = f.accept();
    REQUIRE(f.settle(p, centre()).has_value());
    const auto epoch = epoch_id::random();
    const auto take = [&](verdict_kind kind, std::uint64_t number) {
        const auto said = verdict_on(f.at(p), kind, from_ms(static_cast<std::int64_t>(number)));
        REQUIRE(finish(f.store->take_verdicts({{said, number}}, epoch, number)).has_value());
    };
    const auto listed = [&] {
        return finish(f.store->list({.needs_person = true}, std::nullopt, 9)).value().size();
    };
    CHECK_FALSE(f.store->now().needs_person); // not counted yet
    take(verdict_kind::opened, 1);
    take(verdict_kind::duplicate, 2);
    REQUIRE(finish(f.store->count_needs_person()).has_value());
    CHECK(f.store->now().needs_person == 1u);
    CHECK(listed() == 1);
    take(verdict_kind::print_ready, 3);
    CHECK(f.store->now().needs_person == 0u);
    CHECK(listed() == 0);
    take(verdict_kind::duplicate, 4); // A, B, A: once more, and later
    CHECK(f.at(p).standing == std::vector{verdict_kind::opened, verdict_kind::duplicate});
    CHECK(f.store->now().needs_person == 1u);
    f.reopen();
    REQUIRE(finish(f.store->count_needs_person()).has_value());
    CHECK(f.store->now().needs_person == 1u);
    CHECK(f.at(p).judgements.size() == 4); // nothing is removed
    CHECK(finish(f.store->story(f.at(p).key.record)).value().size() == 6);

    // Opened, and not after all: the bytes here stay until it is opened.
    take(verdict_kind::open_failed, 5);
    CHECK(f.at(p).state == state::quarantined);
    CHECK(f.at(p).reason == journal::reason::open_failed);
    take(verdict_kind::opened, 6);
    CHECK(f.at(p).state == state::opened);
    take(verdict_kind::open_failed, 5); // told again
    CHECK(f.at(p).state == state::opened);
    CHECK(f.at(other).standing.empty());
    CHECK(finish(f.store->audit()).value().empty());
}

TEST_CASE("a record that the centre could not open is set aside, its bytes kept", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    REQUIRE(f.settle(p, centre()).has_value());
    f.take(p, verdict_kind::open_failed);
    CHECK(f.at(p).state == state::quarantined);
    CHECK(f.at(p).reason == journal::reason::open_failed);
    CHECK(finish(f.store->check_intact(p)).has_value());
    f.upstream_says(wall_now() + 24h);
    CHECK(finish(f.store->erase_due(0ms)).value() == 0);
}

TEST_CASE("a record that the centre could open after all is opened, or goes for its receipt",
          "[journal]")
{
    station_fixture f;
    const auto received = f.accept();
    const auto waiting = f.accept();
    REQUIRE(f.settle(received, centre()).has_value());
    for (const auto p : {received, waiting}) {
        f.take(p, verdict_kind::open_failed);
        REQUIRE(f.at(p).state == state::quarantined);
        f.take(p, verdict_kind::opened);
        CHECK(f.at(p).reason == journal::reason::none);
    }
    CHECK(f.at(received).state == state::opened);
    CHECK(f.at(received).opened_at != wall_time{});
    CHECK(f.at(waiting).state == state::waiting);
    CHECK(finish(f.store->load_queue()).value().size() == 1);
    REQUIRE(f.settle(waiting, centre()).has_value());
    CHECK(f.at(waiting).state == state::opened);
}

TEST_CASE("that the centre opened a record does not end a quarantine for another reason",
          "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    REQUIRE(finish(f.store->quarantine(p, journal::reason::rotten, "")).has_value());
    f.take(p, verdict_kind::opened);
    CHECK(f.at(p).state == state::quarantined);
    CHECK(f.at(p).reason == journal::reason::rotten);
}

TEST_CASE("what comes and goes is counted by day, for a week and the day that has begun",
          "[journal]")
{
    v1::Meta meta;
    const auto count_on = [&](int day, std::uint64_t accepted, std::uint64_t erased) {
        journal::count_day(meta, wall_time{} + day * 24h + 9h, accepted, erased);
    };
    const auto days = [&] {
        std::vector<std::array<std::uint64_t, 3>> out;
        for (const auto& each : meta.days())
            out.push_back({static_cast<std::uint64_t>(each.day()), each.accepted_bytes(),
                           each.erased_bytes()});
        return out;
    };
    using expected = std::vector<std::array<std::uint64_t, 3>>;
    count_on(100, 5, 0);
    count_on(100, 7, 2);
    CHECK(days() == expected{{100, 12, 2}});
    count_on(101, 1, 0);
    count_on(107, 3, 0);
    CHECK(days() == expected{{100, 12, 2}, {101, 1, 0}, {107, 3, 0}});
    count_on(108, 4, 0);
    CHECK(days() == expected{{101, 1, 0}, {107, 3, 0}, {108, 4, 0}});
    count_on(473, 9, 0); // the clock is set a year ahead, and back
    count_on(109, 6, 0);
    CHECK(days() == expected{{109, 6, 0}});
}

TEST_CASE("bytes are erased only after the upstream's own clock has passed the retention",
          "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    const auto never_opened = f.accept();
    const auto opened_at = wall_now() - 1'000h;
    REQUIRE(f.settle(p, centre(), opened_at).has_value());
    REQUIRE(f.settle(never_opened, centre(), opened_at).has_value());
    f.take(p, verdict_kind::opened, opened_at);
    const auto key = f.at(p).key;

    CHECK(finish(f.store->erase_due(24h)).value() ==
          0); // the upstream has not said what time it is
    f.upstream_says(opened_at + 24h - 1ms);
    CHECK(finish(f.store->erase_due(24h)).value() == 0);
    f.upstream_says(opened_at + 24h);
    f.upstream_says(opened_at); // an older statement does not turn the clock back
    CHECK(finish(f.store->erase_due(24h)).value() == 1);
    CHECK(finish(f.store->erase_due(24h)).value() == 0);

    CHECK(f.at(p).state == state::erased);
    CHECK(f.at(p).erased_at != wall_time{});
    std::uint64_t accepted = 0;
    std::uint64_t erased = 0;
    for (const auto& each : f.store->now().days) { // it may be midnight
        accepted += each.accepted_bytes;
        erased += each.erased_bytes;
    }
    CHECK(erased >= f.at(p).size_bytes);
    CHECK(accepted == 2 * erased);
    CHECK(f.at(never_opened).state == state::delivered);
    CHECK(finish(f.store->read(key, 0, 10)).error() == errc::erased);
    CHECK(finish(f.store->read_at(p, 0, 10)).error() == errc::erased);
    CHECK((finish(f.store->receipt_of(key)).value() == to_bytes(as_bytes("receipt"))));
    CHECK_FALSE(finish(f.store->manifest_of(key)).value().manifest_cms.empty());
    CHECK(f.store->now().of(state::erased).records == 1);
    CHECK(f.store->now().of(state::erased).bytes == 0);
    CHECK(f.store->now().newest_signed == opened_at + 24h);
}

TEST_CASE("an upstream whose clock jumps forward ends no retention", "[journal]")
{
    station_fixture f;
    const auto received = f.accept();
    const auto opened_first = f.accept();
    REQUIRE(f.settle(received, centre()).has_value());
    f.take(received, verdict_kind::opened);
    f.upstream_says(wall_now() + std::chrono::years{1});
    f.take(opened_first, verdict_kind::opened);
    REQUIRE(f.settle(opened_first, centre()).has_value());
    CHECK(finish(f.store->erase_due(30 * 24h)).value() == 0);
    // Nor does it keep for a year what is opened after it.
    CHECK(f.at(opened_first).opened_at <= wall_now());
    CHECK(finish(f.store->erase_due(0ms)).value() == 2);
}

TEST_CASE("a custody statement shows which receipts were lost and which records upstream has lost",
          "[journal]")
{
    station_fixture f;
    std::vector<journal::place> all;
    for (int i = 0; i < 5; ++i)
        all.push_back(f.accept());
    REQUIRE(f.settle(all[0], centre(), wall_now() - 1h).has_value());
    REQUIRE(f.settle(all[3], centre(), wall_now() - 1h).has_value());
    const envelope::custody said{
        .station = "office-1",
        .at = wall_now(),
        .epochs = {{.epoch = f.store->epoch(),
                    .ranges = {{envelope::sequence{1}, envelope::sequence{2},
                                finish(f.store->outgoing_of(all[1])).value().manifest_hash}}}}};
    const auto covered =
        finish(f.store->take_custody(said, trust::role::centre, bytes(1), {}, {})).value();
    REQUIRE(covered.size() == 1);
    CHECK(covered[0].place == all[1]);
    CHECK((covered[0].key == f.at(all[1]).key));
    const auto findings = f.store->now().findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].what == vault::finding::kind::not_held);
    CHECK(findings[0].first == 4);
    CHECK(findings[0].last == 4);
    REQUIRE(finish(f.store->take_custody(said, trust::role::centre, bytes(1), {}, {})).has_value());
    CHECK(f.store->now().findings.size() == 1); // known already
}

TEST_CASE("what was received while the custody statement was made is not lost", "[journal]")
{
    station_fixture f;
    const auto said_at = wall_now();
    const auto told = [&](const std::vector<vault::finding>& findings = {}) {
        const envelope::custody said{.station = "office-1", .at = said_at, .epochs = {}};
        REQUIRE(finish(f.store->take_custody(said, trust::role::centre, bytes(1), findings, {}))
                    .has_value());
        return f.store->now().findings.size();
    };
    for (const auto held_at : {said_at + 1min, said_at, said_at - 9min})
        REQUIRE(f.settle(f.accept(), centre(), held_at).has_value());
    CHECK(told() == 0);
    vault::finding gap{.what = vault::finding::kind::gap,
                       .station = "office-1",
                       .epoch = f.store->epoch(),
                       .first = 1,
                       .last = 3};
    CHECK(told({gap}) == 0);
    REQUIRE(f.settle(f.accept(), centre(), said_at - 11min).has_value());
    gap.last = 4;
    CHECK(told({gap}) == 2);
}

TEST_CASE("that findings are full is told in the ledger, once", "[journal]")
{
    station_fixture f;
    const auto told = [&](std::uint64_t number) {
        const vault::finding fork{.what = vault::finding::kind::fork,
                                  .station = "office-1",
                                  .epoch = f.store->epoch(),
                                  .first = number,
                                  .last = number};
        const envelope::custody said{.station = "office-1", .at = wall_now(), .epochs = {}};
        REQUIRE(finish(f.store->take_custody(said, trust::role::centre, bytes(1), {fork}, {}))
                    .has_value());
        return finish(f.store->ledger(0, 1'000)).value();
    };
    for (std::uint64_t number = 1; number <= 64; ++number)
        told(number);
    CHECK(told(64).back().detail == "no room for another of office-1");
    CHECK(told(65).size() == 65);
    CHECK(told(65).size() == 65);
    CHECK(f.store->now().standing_findings == 64);
    CHECK(f.store->now().findings.size() == 8); // of one station
    // Nothing is lost: the nearest became wider.
    CHECK(finish(f.store->findings_about("office-1")).value().back().last == 65);
}

TEST_CASE("the ledger tells a record's story in order", "[journal]")
{
    station_fixture f;
    const auto p = f.accept();
    f.accept();
    const auto key = f.at(p).key;
    REQUIRE(finish(f.store->hold(key)).has_value());
    REQUIRE(finish(f.store->release(key)).has_value());
    REQUIRE(finish(f.store->quarantine(p, journal::reason::refused, "")).has_value());
    REQUIRE(finish(f.store->retry(key)).has_value());
    REQUIRE(f.settle(p, relay()).has_value());
    REQUIRE(f.settle(p, centre()).has_value());
    f.take(p, verdict_kind::opened);
    std::vector<std::string> events;
    for (const auto& each : finish(f.store->story(key.record)).value())
        events.emplace_back(each.event);
    CHECK(events == std::vector<std::string>{"accepted", "hold", "release", "quarantine", "retry",
                                             "relayed", "delivered", "verdict"});
    REQUIRE(finish(f.store->note_outage(false, "dns", 90s)).has_value());
    const auto all = finish(f.store->ledger(0, 100)).value();
    for (std::size_t i = 0; i < all.size(); ++i)
        CHECK(all[i].number == i + 1);
    CHECK(all.back().event == "outage-ended");
    CHECK(all.back().detail == "dns");
    CHECK(all.back().duration == 90s);
    CHECK(finish(f.store->ledger(all.size() - 1, 100)).value().size() == 1);
    CHECK(finish(f.store->ledger(0, 3)).value().size() == 3);
}

TEST_CASE("an operator's pause survives a restart", "[journal]")
{
    station_fixture f;
    CHECK_FALSE(f.store->now().paused);
    REQUIRE(finish(f.store->set_paused(true)).has_value());
    f.reopen();
    CHECK(f.store->now().paused);
    REQUIRE(finish(f.store->set_paused(false)).has_value());
    CHECK_FALSE(f.store->now().paused);
}

namespace {

/// What may become of a record, said apart from the journal.
struct naive_record {
    journal::state state = state::waiting;
    bool held = false;
    bool is_opened = false;

    bool hold()
    {
        if (state != state::waiting)
            return false;
        return held = true;
    }
    bool release()
    {
        if (state != state::waiting)
            return false;
        held = false;
        return true;
    }
    bool quarantine()
    {
        if (state == state::quarantined || state == state::opened || state == state::erased)
            return false;
        state = state::quarantined;
        return true;
    }
    bool retry()
    {
        if (state != state::quarantined)
            return false;
        state = state::waiting;
        return true;
    }
    void settle(bool centre)
    {
        if (state == state::delivered || state == state::opened || state == state::erased)
            return;
        if (state == state::relayed && !centre)
            return;
        held = false;
        state = !centre ? state::relayed : is_opened ? state::opened : state::delivered;
    }
    void open()
    {
        is_opened = true;
        if (state == state::delivered)
            state = state::opened;
    }
};

/// The totals, counted row by row.
void check_totals(journal::store& store)
{
    std::array<journal::tally, journal::state_count> counted{};
    for (const auto& each : finish(store.list({}, std::nullopt, 100'000)).value()) {
        auto& one = counted[static_cast<std::size_t>(each.state)];
        ++one.records;
        one.held += each.held ? 1 : 0;
        one.bytes += each.state == state::erased     ? 0
                     : each.state == state::arriving ? each.stored_bytes
                                                     : each.size_bytes;
    }
    const auto now = store.now();
    for (std::size_t i = 1; i < journal::state_count; ++i) {
        const auto s = static_cast<state>(i);
        INFO(journal::to_string(s));
        REQUIRE(now.of(s).records == counted[i].records);
        REQUIRE(now.of(s).bytes == counted[i].bytes);
        REQUIRE(now.of(s).held == counted[i].held);
    }
}

void check_queue(journal::store& store, const std::map<journal::place, naive_record>& model)
{
    std::vector<journal::place> expected;
    for (const auto& [p, each] : model)
        if (each.state == state::waiting && !each.held)
            expected.push_back(p);
    std::vector<journal::place> found;
    for (const auto& each : finish(store.load_queue()).value())
        found.push_back(each.place);
    REQUIRE(found == expected);
}

} // namespace

TEST_CASE("after any course of events states, queue and totals are those of a recount", "[journal]")
{
    const auto seed = GENERATE(range(1u, 5u));
    CAPTURE(seed);
    station_fixture f;
    f.random.seed(seed);
    std::map<journal::place, naive_record> model;
    sender below{everyone().neighbour};
    std::optional<vault::offer> arriving;
    std::uint64_t arrived = 0;
    auto upstream_clock = wall_now() - 1'000h;
    for (int step = 0; step < 400; ++step) {
        CAPTURE(step);
        const auto one = f.random() % 12;
        if (model.empty() || one == 0) {
            model.emplace(f.accept(1 + f.random() % 9'000), naive_record{});
            continue;
        }
        auto& [p, expected] =
            *std::next(model.begin(), static_cast<std::ptrdiff_t>(f.random() % model.size()));
        const auto key = f.at(p).key;
        switch (one) {
        case 1:
            REQUIRE(finish(f.store->hold(key)).has_value() == expected.hold());
            break;
        case 2:
            REQUIRE(finish(f.store->release(key)).has_value() == expected.release());
            break;
        case 3:
            REQUIRE(finish(f.store->quarantine(p, journal::reason::refused, "")).has_value() ==
                    expected.quarantine());
            break;
        case 4:
            REQUIRE(finish(f.store->retry(key)).has_value() == expected.retry());
            break;
        case 5:
        case 6:
        case 7: {
            const bool centre_says = f.random() % 2 == 0;
            REQUIRE(f.settle(p, centre_says ? centre() : relay(), upstream_clock).has_value());
            expected.settle(centre_says);
            break;
        }
        case 8:
            f.take(p, verdict_kind::opened, upstream_clock);
            expected.open();
            break;
        case 9:
            if (f.random() % 4 == 0) {
                upstream_clock += 1h;
                f.upstream_says(upstream_clock);
                while (finish(f.store->erase_due(0ms)).value() > 0) {
                }
                for (auto& [where, each] : model)
                    if (each.state == state::opened)
                        each.state = state::erased;
            }
            break;
        case 10: // something from below that is never whole
            if (!arriving) {
                arriving = below.next(bytes(100'000));
                arrived = 0;
            }
            REQUIRE(finish(f.store->keep(*arriving, arrived, noise(777, f.random))).has_value());
            arrived += 777;
            break;
        default:
            if (arriving) {
                REQUIRE(finish(f.store->discard(arriving->key())).has_value());
                arriving.reset();
            }
            break;
        }
        REQUIRE(f.at(p).state == expected.state);
        REQUIRE(f.at(p).held == expected.held);
        if (step % 10 == 0) {
            check_totals(*f.store);
            check_queue(*f.store, model);
            REQUIRE(finish(f.store->audit()).value().empty());
        }
        if (step % 100 == 99)
            f.reopen();
    }
    check_totals(*f.store);
    check_queue(*f.store, model);
}
