#include "journal/meddling.hpp"
#include "journal/scrubber.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;
using journal::place;
using journal::state;

namespace {

/// A station with three records: the first delivered, the others waiting.
class scrub_fixture : public journal_fixture {
public:
    scrub_fixture()
    {
        open();
        for (int i = 0; i < 3; ++i)
            REQUIRE(finish(store->accept(submission_of(noise(9'000, random)))).has_value());
        const auto what = finish(store->outgoing_of(place{1})).value();
        REQUIRE(finish(store->settle(what.view.place, receipt_for(what), bytes(1),
                                     everyone().centre->self()))
                    .has_value());
        close();
    }

    void rot_bytes_of(std::uint64_t n)
    {
        meddle(*this, [n](auto& txn, const auto& t, auto&) {
            const auto key = journal::cursor{txn, t.chunks}.seek(journal::place_key(place{n}));
            const auto copy = to_bytes(key.value().key);
            auto value = to_bytes(key.value().value);
            value.back() ^= std::byte{1};
            txn.put(t.chunks, copy, value);
        });
    }

    journal::scrubber::options scrub_options() const
    {
        return {.progress = folder.path() / "scrub",
                .bytes_per_s = 1u << 30,
                .between_passes = 1ms,
                .when_busy = 1ms};
    }

    /// Scrubs until so many records were looked at.
    void scrub(journal::scrubber& with, std::uint64_t records)
    {
        asio::cancellation_signal end;
        bool has_ended = false;
        asio::co_spawn(home(), with.run(),
                       asio::bind_cancellation_slot(
                           end.slot(), [&](const std::exception_ptr&) { has_ended = true; }));
        const auto wanted = with.now().checked_records + records;
        run_until([&] { return with.now().checked_records >= wanted; });
        end.emit(asio::cancellation_type::terminal);
        run_until([&] { return has_ended; });
    }

    journal::record_view at(std::uint64_t n)
    {
        return finish(store->outgoing_of(place{n})).value().view;
    }
};

} // namespace

TEST_CASE("what is rotten and held nowhere else is set aside by the scrub", "[journal]")
{
    scrub_fixture f;
    f.rot_bytes_of(2);
    f.open();
    journal::scrubber scrubber{*f.store, f.scrub_options()};
    f.scrub(scrubber, 4);
    CHECK(f.at(2).state == state::quarantined);
    CHECK(f.at(2).reason == journal::reason::rotten);
    CHECK(f.at(3).state == state::waiting);
    CHECK(scrubber.now().rotten_records == 1);
    CHECK(scrubber.now().differences.empty());
}

TEST_CASE("rot in what the next custodian holds goes to the ledger, and to nobody's desk",
          "[journal]")
{
    scrub_fixture f;
    f.rot_bytes_of(1);
    f.open();
    journal::scrubber scrubber{*f.store, f.scrub_options()};
    f.scrub(scrubber, 7); // more than one pass: it is told once
    CHECK(f.at(1).state == state::delivered);
    CHECK(f.at(1).rotten_at != wall_time{});
    CHECK(scrubber.now().rotten_records == 1);
    std::size_t told = 0;
    for (const auto& each : finish(f.store->ledger(0, 100)).value())
        told += each.event == "rotten" ? 1 : 0;
    CHECK(told == 1);
    CHECK(finish(f.store->audit()).value().empty());
}

TEST_CASE("a part that is still arriving is looked at as far as it has come", "[journal]")
{
    scrub_fixture f;
    f.open();
    const auto data = noise(20'000, f.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(f.store->keep(offer, 0, to_bytes(bytes_view{data}.first(7'000)))).has_value());
    journal::scrubber scrubber{*f.store, f.scrub_options()};
    f.scrub(scrubber, 5);
    CHECK(scrubber.now().rotten_records == 0);
}

TEST_CASE("a scrub goes on after a restart where it was, and says how old its oldest look is",
          "[journal]")
{
    scrub_fixture f;
    f.open();
    for (int i = 0; i < 100; ++i)
        REQUIRE(finish(f.store->accept(submission_of(noise(50, f.random)))).has_value());
    auto options = f.scrub_options();
    options.between_passes = 24h;
    const auto before = wall_now();
    {
        journal::scrubber scrubber{*f.store, options};
        f.scrub(scrubber, 64); // which is when it notes how far it is
        CHECK(scrubber.now().oldest_check >= before - 1min);
        CHECK(scrubber.now().oldest_check <= wall_now());
    }
    journal::scrubber scrubber{*f.store, options};
    f.scrub(scrubber, 39); // and not from the first on, which would be 103 more
    CHECK(scrubber.now().checked_records == 39);
    f.close();
    f.open();
}

TEST_CASE("what came and went is counted from the ledger", "[journal]")
{
    scrub_fixture f;
    f.open();
    const auto all = finish(f.store->growth_since(wall_now() - 24h)).value();
    CHECK(all.accepted_bytes >= 3 * 9'000);
    CHECK(all.erased_bytes == 0);
    CHECK(all.since != wall_time{});
    const auto none = finish(f.store->growth_since(wall_now() + 24h)).value();
    CHECK(none.accepted_bytes == 0);
    CHECK(none.since == wall_time{});
}
