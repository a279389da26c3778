#include "journal/meddling.hpp"
#include "journal/stalled.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;
using journal::place;
using journal::state;

namespace {

/// A centre at which one upload of office-1 was begun.
class stalled_fixture : public journal_fixture {
public:
    stalled_fixture()
    {
        options.node = "centre";
        options.has_upstream = false;
        options.identity = everyone().centre;
        open();
        data = noise(9'000, random);
        begun = from.next(data);
        REQUIRE(finish(store->keep(begun, 0, first(5'000))).has_value());
    }
    bytes first(std::size_t size) const { return to_bytes(bytes_view{data}.first(size)); }
    std::vector<journal::record_view> stalled_before(wall_time when)
    {
        return finish(store->stalled(place{}, when)).value().found;
    }

    sender from{everyone().station};
    bytes data;
    vault::offer begun;
};

} // namespace

TEST_CASE("an upload has the time of its newest byte, also over a restart", "[journal]")
{
    stalled_fixture at;
    const auto kept = wall_now();
    at.reopen();
    const auto found = at.stalled_before(kept + 1ms);
    REQUIRE(found.size() == 1);
    CHECK(found[0].key == at.begun.key());
    CHECK(found[0].sequence == 1);
    CHECK(found[0].stored_bytes == 5'000);
    CHECK(kept - found[0].last_byte_at < 1h);
    CHECK(at.stalled_before(found[0].last_byte_at).empty());

    while (wall_now() <= found[0].last_byte_at)
        ;
    auto more = to_bytes(bytes_view{at.data}.subspan(5'000, 1'000));
    REQUIRE(finish(at.store->keep(at.begun, 5'000, std::move(more))).has_value());
    CHECK(at.stalled_before(found[0].last_byte_at + 1ms).empty());
    REQUIRE(
        finish(at.store->complete(at.begun, 6'000, to_bytes(bytes_view{at.data}.subspan(6'000))))
            .has_value());
    CHECK(at.stalled_before(wall_now() + 1h).empty());
}

TEST_CASE("an upload of before such times were kept counts from the first start that keeps them",
          "[journal]")
{
    stalled_fixture at;
    at.close();
    meddle(at, [](auto& txn, const auto& t, auto& meta) {
        const auto key = journal::place_key(place{1});
        v1::Row row;
        journal::open_row(journal::seed::row, key, txn.get(t.rows, key).value(), row);
        row.clear_last_byte_at_ms();
        txn.put(t.rows, key, journal::seal_row(journal::seed::row, key, row));
        meta.clear_last_bytes_noted_since_ms();
    });
    const auto before = wall_now();
    at.open();
    auto found = at.stalled_before(wall_now() + 1h);
    REQUIRE(found.size() == 1);
    const auto since = found[0].last_byte_at;
    CHECK(since >= before);
    at.reopen(); // the next start does not begin anew
    found = at.stalled_before(wall_now() + 1h);
    REQUIRE(found.size() == 1);
    CHECK(found[0].last_byte_at == since);
}

TEST_CASE("an operator gives up an upload that is not complete, and nothing else", "[journal]")
{
    stalled_fixture at;
    const auto whole = at.from.next(at.data);
    REQUIRE(finish(at.store->complete(whole, 0, at.data)).has_value());
    CHECK(finish(at.store->discard_for(whole.key(), "by uid 7: gone")).error() ==
          vault::errc::already_complete);
    CHECK(finish(at.store->discard_for({"office-2", at.begun.key().record}, "by uid 7: gone"))
              .error() == vault::errc::unknown);

    const auto used = at.store->now().live_bytes;
    REQUIRE(finish(at.store->discard_for(at.begun.key(), "by uid 7: gone")).has_value());
    CHECK(at.store->now().live_bytes < used);
    CHECK(at.store->now().of(state::arriving).records == 0);
    const auto told = finish(at.store->ledger(0, 100)).value().back();
    CHECK(told.event == "discarded");
    CHECK(told.record == at.begun.key().record);
    CHECK(told.detail == "by uid 7: gone");
    CHECK(finish(at.store->audit()).value().empty());

    // Who goes on from the middle is told that it is not there, and begins anew.
    auto middle = to_bytes(bytes_view{at.data}.subspan(5'000, 1'000));
    CHECK(finish(at.store->keep(at.begun, 5'000, std::move(middle))).error() ==
          vault::errc::wrong_offset);
    REQUIRE(finish(at.store->complete(at.begun, 0, at.data)).has_value());
}

TEST_CASE("uploads that stall are found in the end, and forgotten when they go on", "[journal]")
{
    stalled_fixture at;
    journal::stalled_uploads watched{*at.store, {.after = -1h, .first = 1ms, .between = 1ms}};
    asio::cancellation_signal end;
    bool has_ended = false;
    asio::co_spawn(home(), watched.run(),
                   asio::bind_cancellation_slot(
                       end.slot(), [&](const std::exception_ptr&) { has_ended = true; }));
    run_until([&] { return watched.now().count == 1; });
    CHECK(watched.now().oldest.at(0).key == at.begun.key());
    watched.on_change({.place = watched.now().oldest.at(0).place});
    CHECK(watched.now().count == 0);
    run_until([&] { return watched.now().count == 1; });
    REQUIRE(finish(at.store->discard_for(at.begun.key(), "gone")).has_value());
    run_until([&] { return watched.now().count == 0; });
    end.emit(asio::cancellation_type::terminal);
    run_until([&] { return has_ended; });
}

namespace {

/// A look has been made; then it ends.
journal::stalled_uploads::view look_at(journal::store& store, milliseconds after)
{
    journal::stalled_uploads watched{store, {.after = after, .first = 1ms, .between = 1ms}};
    asio::cancellation_signal end;
    bool has_ended = false;
    asio::co_spawn(home(), watched.run(),
                   asio::bind_cancellation_slot(
                       end.slot(), [&](const std::exception_ptr&) { has_ended = true; }));
    run_until([&] { return watched.now().count > 0; });
    const auto out = watched.now();
    end.emit(asio::cancellation_type::terminal);
    run_until([&] { return has_ended; });
    return out;
}

/// `minutes_ago` of each place: when its last byte came.
void set_last_bytes(stalled_fixture& at, const std::map<std::uint64_t, int>& minutes_ago)
{
    at.close();
    meddle(at, [&](auto& txn, const auto& t, auto& meta) {
        for (const auto& [n, ago] : minutes_ago) {
            const auto key = journal::place_key(place{n});
            v1::Row row;
            journal::open_row(journal::seed::row, key, txn.get(t.rows, key).value(), row);
            row.set_last_byte_at_ms(to_ms(wall_now() - std::chrono::minutes{ago}));
            txn.put(t.rows, key, journal::seal_row(journal::seed::row, key, row));
        }
        meta.set_last_bytes_noted_since_ms(1);
    });
    at.open();
}

} // namespace

TEST_CASE("an upload that got a byte not long ago does not stall", "[journal]")
{
    stalled_fixture at;
    REQUIRE(finish(at.store->keep(at.from.next(at.data), 0, at.first(1'000))).has_value());
    set_last_bytes(at, {{1, 50}, {2, 70}});
    const auto found = look_at(*at.store, 1h);
    CHECK(found.count == 1);
    REQUIRE(found.oldest.size() == 1);
    CHECK(found.oldest[0].place == place{2});
}

TEST_CASE("of many uploads that stall those are shown whose last byte is the oldest", "[journal]")
{
    stalled_fixture at;
    constexpr auto shown = journal::stalled_uploads::most_shown;
    std::map<std::uint64_t, int> minutes_ago{{1, 60}}; // the newest
    std::vector<place> oldest;
    for (std::uint64_t n = 2; n <= shown + 1; ++n) {
        REQUIRE(finish(at.store->keep(at.from.next(at.data), 0, at.first(1'000))).has_value());
        minutes_ago[n] = 60 + static_cast<int>(n);
        oldest.insert(oldest.begin(), place{n});
    }
    set_last_bytes(at, minutes_ago);
    const auto found = look_at(*at.store, 30min);
    CHECK(found.count == shown + 1);
    std::vector<place> places;
    for (const auto& each : found.oldest)
        places.push_back(each.place);
    CHECK(places == oldest);
}
