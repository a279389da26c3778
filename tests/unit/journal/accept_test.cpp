#include "journal/support.hpp"

#include "journal/chunks.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace titip;
using namespace titip::tests;
using vault::errc;

namespace {

/// Every manifest of this store's own numbering, each believed and naming the one before it.
void check_chain(journal::store& store, std::uint64_t expected)
{
    const auto all = finish(store.list({}, std::nullopt, 100'000)).value();
    REQUIRE(all.size() == expected);
    digest previous{};
    std::uint64_t number = 0;
    for (const auto& each : all) {
        const auto what = finish(store.outgoing_of(each.place)).value();
        const auto checked = everyone().believed.verify(what.manifest_cms, wall_now());
        REQUIRE(checked.has_value());
        const auto& said = std::get<envelope::manifest>(checked->statement);
        CHECK(said.at == envelope::sequence{++number});
        CHECK(said.previous == previous);
        CHECK(said.record == each.key.record);
        CHECK(said.digest == each.digest);
        CHECK(said.size_bytes == each.size_bytes);
        CHECK(said.epoch == store.epoch());
        CHECK(checked->hash == what.manifest_hash);
        previous = checked->hash;
    }
}

} // namespace

TEST_CASE("a store says that it has room exactly when it takes another such record", "[journal]")
{
    const auto short_by = GENERATE(0u, 1u);
    CAPTURE(short_by);
    journal_fixture at;
    const auto data = noise(50'000, at.random);
    at.open();
    REQUIRE(finish(at.store->accept(submission_of(data))).has_value());
    at.options.quota_bytes =
        at.store->now().live_bytes + journal::stored_size(data.size()) - short_by;
    auto& store = at.reopen();
    const bool said = store.has_room();
    CHECK(said == finish(store.accept(submission_of(data))).has_value());
    CHECK(said == (short_by == 0));
}

TEST_CASE("accepted records are numbered 1, 2, 3 and wait", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    for (std::uint64_t n = 1; n <= 5; ++n) {
        const auto data = noise(1'000 * n, at.random);
        const auto got = finish(store.accept(submission_of(data))).value();
        CHECK(got.sequence == n);
        CHECK(got.place == journal::place{n});
        CHECK(got.epoch == store.epoch());
        CHECK(got.digest == sha256(data));
        CHECK(got.size_bytes == data.size());
        CHECK(got.is_new);
        CHECK((finish(store.read_at(got.place, 0, 99'999)).value() == data));
        CHECK(finish(store.check_intact(got.place)).has_value());
    }
    CHECK(finish(store.load_queue()).value().size() == 5);
    CHECK(store.now().of(journal::state::waiting).records == 5);
    CHECK(store.now().of(journal::state::waiting).bytes == 15'000);
    check_chain(store, 5);
}

TEST_CASE("a submission that is repeated gets the first answer again", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    auto offered = submission_of(noise(1'000, at.random));
    offered.warnings = {"odd-reason"};
    const auto first = finish(store.accept(offered)).value();
    auto resealed = offered; // sealing is randomised: the mac alone tells that it is the same
    resealed.sealed = noise(1'000, at.random);
    resealed.digest = sha256(resealed.sealed);
    const auto again = finish(store.accept(resealed)).value();
    CHECK_FALSE(again.is_new);
    CHECK(again.sequence == first.sequence);
    CHECK(again.place == first.place);
    CHECK(again.digest == first.digest);
    CHECK(again.accepted_at == first.accepted_at);
    CHECK(again.warnings == offered.warnings);
    CHECK(store.now().of(journal::state::waiting).records == 1);
    CHECK((finish(store.read_at(first.place, 0, 9'999)).value() == offered.sealed));
}

TEST_CASE("the same id with another body is a conflict, and uses no number", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    const auto first = submission_of(noise(1'000, at.random));
    REQUIRE(finish(store.accept(first)).has_value());
    const auto other = submission_of(noise(1'000, at.random), first.record);
    CHECK(finish(store.accept(other)).error() == errc::conflict);
    CHECK(finish(store.accept(submission_of(noise(10, at.random)))).value().sequence == 2);
    check_chain(store, 2);
}

TEST_CASE("what was accepted survives that the store goes right after the answer", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto epoch = at.store->epoch();
    const auto key = to_bytes(at.store->submission_key());
    std::vector<journal::submission> all;
    for (std::uint64_t n = 1; n <= 8; ++n) {
        all.push_back(submission_of(noise(5'000, at.random)));
        CHECK(finish(at.store->accept(all.back())).value().sequence == n);
        at.reopen();
    }
    CHECK(at.store->epoch() == epoch);
    CHECK((to_bytes(at.store->submission_key()) == key));
    for (const auto& each : all) {
        const auto known = finish(at.store->accept(each)).value();
        CHECK_FALSE(known.is_new);
        CHECK((finish(at.store->read_at(known.place, 0, 9'999)).value() == each.sealed));
    }
    CHECK(at.store->now().of(journal::state::waiting).records == 8);
    check_chain(*at.store, 8);
    at.close();
    CHECK(at.failures.empty());
}

TEST_CASE("records that come all at once get numbers without gaps", "[journal]")
{
    journal_fixture at;
    at.options.group_bytes = 64u << 10; // several transactions
    auto& store = at.open();
    std::vector<journal::submission> offered;
    for (int i = 0; i < 200; ++i)
        offered.push_back(submission_of(noise(2'000 + at.random() % 4'000, at.random)));
    for (int i = 0; i < 40; ++i) // repetitions among them
        offered.push_back(offered[at.random() % 200]);
    std::vector<asio::awaitable<result<journal::acceptance>>> work;
    for (const auto& each : offered)
        work.push_back(store.accept(each));
    std::set<std::uint64_t> numbers;
    std::size_t made = 0;
    for (const auto& each : finish_all(std::move(work))) {
        REQUIRE(each.has_value());
        numbers.insert(each->sequence);
        made += each->is_new ? 1 : 0;
    }
    CHECK(made == 200);
    CHECK(numbers.size() == 200);
    CHECK(*numbers.begin() == 1);
    CHECK(*numbers.rbegin() == 200);
    check_chain(store, 200);
}

TEST_CASE("each acceptance is told once, after the commit, in order", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    asio::io_context context;
    std::vector<journal::change> told;
    store.on_change(context.get_executor(),
                    [&told](const journal::change& each) { told.push_back(each); });
    std::vector<asio::awaitable<result<journal::acceptance>>> work;
    for (int i = 0; i < 10; ++i)
        work.push_back(store.accept(submission_of(noise(100, at.random))));
    finish_all(std::move(work));
    context.run();
    REQUIRE(told.size() == 10);
    for (std::size_t i = 0; i < told.size(); ++i) {
        CHECK(told[i].place == journal::place{i + 1});
        CHECK(told[i].state == journal::state::waiting);
        CHECK(told[i].event == "accepted");
    }
}

TEST_CASE("the lanes are queued urgent first, and by place within", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    using envelope::lane;
    for (const auto each :
         {lane::bulk, lane::ordinary, lane::urgent, lane::ordinary, lane::urgent}) {
        auto offered = submission_of(noise(100, at.random));
        offered.lane = each;
        REQUIRE(finish(store.accept(offered)).has_value());
    }
    std::vector<std::uint64_t> places;
    for (const auto& each : finish(store.load_queue()).value())
        places.push_back(static_cast<std::uint64_t>(each.place));
    CHECK(places == std::vector<std::uint64_t>{3, 5, 2, 4, 1});
    const auto first = finish(store.list({}, std::nullopt, 1)).value().at(0);
    CHECK(finish(store.oldest_waiting()).value() == first.accepted_at);
}

TEST_CASE("a store over its quota refuses new records, harms nothing and lets receipts through",
          "[journal]")
{
    journal_fixture at;
    at.options.quota_bytes = 1u << 20;
    auto& store = at.open();
    std::uint64_t accepted = 0;
    error_code refused;
    while (!refused && accepted < 1'000) {
        const auto got = finish(store.accept(submission_of(noise(50'000, at.random))));
        if (got)
            ++accepted;
        else
            refused = got.error();
    }
    CHECK(refused == errc::full);
    CHECK(accepted >= 10);
    CHECK(accepted <= 20);
    sender below{everyone().neighbour};
    const auto more = noise(50'000, at.random);
    CHECK(finish(store.keep(below.next(more), 0, more)).error() == errc::full);
    CHECK(finish(store.complete(below.next(more), 0, more)).error() == errc::full);

    for (std::uint64_t n = 1; n <= accepted; ++n)
        CHECK(finish(store.check_intact(journal::place{n})).has_value());
    const auto what = finish(store.outgoing_of(journal::place{1})).value();
    CHECK(finish(
              store.settle(what.view.place, receipt_for(what), bytes(3), everyone().centre->self()))
              .has_value());
    check_chain(store, accepted);
    at.close();
    CHECK(at.failures.empty());
}
