#include "journal/support.hpp"

#include "journal/custody.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <set>

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
};

struct span {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    friend bool operator==(const span&, const span&) = default;
};

/// What is held, said in the plainest way: every number by itself.
struct naive_custody {
    std::set<std::uint64_t> held;
    std::set<std::uint64_t> broken; ///< numbers that do not name the one before them
    std::set<std::uint64_t> kept;

    std::vector<span> ranges() const
    {
        std::vector<span> out;
        for (const auto n : held)
            if (!out.empty() && out.back().last + 1 == n && !broken.contains(n))
                out.back().last = n;
            else
                out.push_back({n, n});
        return out;
    }

    std::vector<span> gaps() const
    {
        std::vector<span> out;
        for (std::uint64_t n = 1; !held.empty() && n < *held.rbegin(); ++n) {
            if (held.contains(n) || kept.contains(n))
                continue;
            if (!out.empty() && out.back().last + 1 == n)
                out.back().last = n;
            else
                out.push_back({n, n});
        }
        return out;
    }

    std::vector<span> broken_chains() const
    {
        std::vector<span> out;
        for (const auto n : broken)
            if (held.contains(n) && held.contains(n - 1))
                out.push_back({n, n});
        return out;
    }
};

template <class Findings>
std::vector<span> of_kind(const Findings& all, finding::kind wanted)
{
    std::vector<span> out;
    for (const auto& each : all)
        if (each.what == wanted)
            out.push_back({each.first, each.last});
    return out;
}

std::vector<span> ranges_of(const vault::answer& answer, const epoch_id& epoch)
{
    std::vector<span> out;
    const auto said = said_in<envelope::custody>(answer.custody_cms);
    for (const auto& each : said.epochs)
        if (each.epoch == epoch)
            for (const auto& range : each.ranges)
                out.push_back({envelope::number(range.first), envelope::number(range.last)});
    return out;
}

/// A station's numbering of which some manifests name a wrong one before them.
std::vector<vault::offer> make_chain(const sender& from, std::size_t length,
                                     const std::vector<bytes>& data, naive_custody& model,
                                     std::mt19937_64& random)
{
    std::vector<vault::offer> out;
    digest previous{};
    for (std::size_t i = 0; i < length; ++i) {
        auto named = previous;
        if (i > 0 && random() % 6 == 0) {
            named = sha256(noise(8, random));
            model.broken.insert(i + 1);
        }
        out.push_back(from.offer_at(i + 1, named, data[i]));
        previous = out.back().hash;
    }
    return out;
}

} // namespace

TEST_CASE("whatever order records arrive in, custody names exactly what is held", "[journal]")
{
    const auto seed = GENERATE(range(1u, 9u));
    CAPTURE(seed);
    centre_fixture at;
    at.random.seed(seed);
    constexpr std::size_t length = 40;
    const sender from{everyone().station};
    naive_custody model;
    std::vector<bytes> data;
    for (std::size_t i = 0; i < length; ++i)
        data.push_back(noise(20, at.random));
    const auto chain = make_chain(from, length, data, model, at.random);

    vault::question asked;
    for (std::uint64_t n = 1; n <= length; ++n)
        if (at.random() % 10 == 0) {
            model.kept.insert(n);
            asked.kept.push_back({.epoch = from.epoch(), .first = n, .last = n});
        }
    std::vector<std::size_t> order(length);
    for (std::size_t i = 0; i < length; ++i)
        order[i] = i;
    std::ranges::shuffle(order, at.random);
    order.resize(length - 5); // some never come
    for (const auto i : order) {
        REQUIRE(finish(at.store->complete(chain[i], 0, data[i])).has_value());
        model.held.insert(i + 1);
        const auto answer = finish(at.store->reconcile("office-1", asked)).value();
        REQUIRE(ranges_of(answer, from.epoch()) == model.ranges());
        REQUIRE(of_kind(answer.findings, finding::kind::gap) == model.gaps());
        REQUIRE(of_kind(answer.findings, finding::kind::broken_chain) == model.broken_chains());
        const auto said = said_in<envelope::custody>(answer.custody_cms);
        for (const auto& range : said.epochs.at(0).ranges)
            REQUIRE(range.last_hash == chain[envelope::number(range.last) - 1].hash);
    }
    at.reopen();
    const auto answer = finish(at.store->reconcile("office-1", asked)).value();
    CHECK(ranges_of(answer, from.epoch()) == model.ranges());
}

TEST_CASE("what a custody statement covers and leaves out is every number once", "[journal]")
{
    std::mt19937_64 random{11};
    const auto epoch = epoch_id::random();
    for (int round = 0; round < 200; ++round) {
        naive_custody model;
        for (std::uint64_t n = 1; n <= 30; ++n)
            if (random() % 2 == 0)
                model.held.insert(n);
        envelope::epoch_custody said{.epoch = epoch, .ranges = {}};
        for (const auto& each : model.ranges())
            said.ranges.push_back(
                {envelope::sequence{each.first}, envelope::sequence{each.last}, digest{}});
        const journal::epoch_custody_view view{{.station = "office-1", .at = {}, .epochs = {said}},
                                               epoch};
        const auto gaps = view.gaps();
        for (std::uint64_t n = 1; n <= 32; ++n) {
            const bool missing = std::ranges::any_of(
                gaps, [n](const auto& each) { return each.first <= n && n <= each.second; });
            REQUIRE(view.covers(n) == model.held.contains(n));
            REQUIRE(missing == !model.held.contains(n));
        }
        const journal::epoch_custody_view other{{.station = "office-1", .at = {}, .epochs = {said}},
                                                epoch_id::random()};
        CHECK_FALSE(other.covers(1));
    }
}

TEST_CASE("a station whose head is behind what is here has lost its newest records", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    vault::offer second;
    for (int i = 1; i <= 3; ++i) {
        const auto data = noise(10, at.random);
        const auto what = from.next(data);
        if (i == 2)
            second = what;
        REQUIRE(finish(at.store->complete(what, 0, data)).has_value());
    }
    const auto ask = [&](std::uint64_t head, const digest& hash) {
        return finish(at.store->reconcile(
                          "office-1",
                          {.heads = {{.epoch = from.epoch(), .sequence = head, .hash = hash}}}))
            .value()
            .findings;
    };
    const auto rolled_back = ask(2, second.hash);
    REQUIRE(rolled_back.size() == 1);
    CHECK(rolled_back[0].what == finding::kind::later_head);
    CHECK(rolled_back[0].station == "office-1");
    CHECK(rolled_back[0].epoch == from.epoch());
    CHECK(rolled_back[0].first == 2);
    CHECK(rolled_back[0].last == 3);
    CHECK(of_kind(ask(0, {}), finding::kind::later_head) == std::vector<span>{{0, 3}});

    const auto forked = ask(2, sha256(as_bytes("another")));
    CHECK(of_kind(forked, finding::kind::fork) == std::vector<span>{{2, 2}});
    CHECK(of_kind(ask(3, sha256(as_bytes("another"))), finding::kind::fork) ==
          std::vector<span>{{3, 3}});
    CHECK(ask(4, {}).empty()); // more is there than has come: that is what a backlog is
}

TEST_CASE("two records under one number are both kept, and the fork is a finding", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    const auto first = noise(10, at.random);
    const auto second = noise(10, at.random);
    const auto one = from.offer_at(1, {}, first);
    const auto other = from.offer_at(1, {}, second);
    REQUIRE(finish(at.store->complete(one, 0, first)).has_value());
    REQUIRE(finish(at.store->complete(other, 0, second)).has_value());
    CHECK((finish(at.store->read(one.key(), 0, 99)).value() == first));
    CHECK((finish(at.store->read(other.key(), 0, 99)).value() == second));
    CHECK(of_kind(at.store->now().findings, finding::kind::fork) == std::vector<span>{{1, 1}});
}

TEST_CASE("each epoch of a station is numbered by itself", "[journal]")
{
    centre_fixture at;
    sender before{everyone().station};
    sender after{everyone().station};
    for (auto* from : {&before, &after, &before}) {
        const auto data = noise(10, at.random);
        REQUIRE(finish(at.store->complete(from->next(data), 0, data)).has_value());
    }
    const auto answer = finish(at.store->reconcile("office-1", {})).value();
    CHECK(ranges_of(answer, before.epoch()) == std::vector<span>{{1, 2}});
    CHECK(ranges_of(answer, after.epoch()) == std::vector<span>{{1, 1}});
}

TEST_CASE("verdicts are numbered for each station, and a cursor goes on from the one it names",
          "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(10, at.random);
    const auto what = from.next(data);
    REQUIRE(finish(at.store->complete(what, 0, data)).has_value());
    using envelope::verdict_kind;
    CHECK(at.store->newest_verdict("office-1") == 0);
    const auto opened =
        finish(at.store->judge(what.key(), what.manifest.digest, verdict_kind::opened)).value();
    REQUIRE(finish(at.store->judge(what.key(), what.manifest.digest, verdict_kind::print_ready))
                .has_value());
    CHECK(at.store->newest_verdict("office-1") == 2);
    CHECK(at.store->newest_verdict("office-2") == 0);

    const auto ask = [&at](std::optional<epoch_id> epoch, std::uint64_t after) {
        return finish(
                   at.store->reconcile("office-1", {.cursor_epoch = epoch, .cursor_number = after}))
            .value();
    };
    const auto all = ask(std::nullopt, 0);
    REQUIRE(all.verdicts.size() == 2);
    CHECK(all.store_epoch == at.store->epoch());
    CHECK((all.verdicts[0].cms == opened));
    const auto said = said_in<envelope::verdict>(all.verdicts[0].cms);
    CHECK(said.kind == verdict_kind::opened);
    CHECK(said.digest == what.manifest.digest);
    CHECK(said.station == "office-1");
    CHECK(ask(all.store_epoch, 2).verdicts.empty());
    const auto rest = ask(all.store_epoch, 1).verdicts;
    REQUIRE(rest.size() == 1);
    CHECK(rest[0].number == 2);
    CHECK(ask(epoch_id::random(), 2).verdicts.size() ==
          2); // another store's count says nothing here
    CHECK(ask(std::nullopt, 2).verdicts.size() == 2);
    at.reopen();
    CHECK(at.store->newest_verdict("office-1") == 2);
    CHECK(ask(all.store_epoch, 0).verdicts.size() == 2);
}

TEST_CASE("more verdicts than fit one answer come in pages, each once", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    sender neighbour{everyone().neighbour};
    using envelope::verdict_kind;
    std::vector<asio::awaitable<result<bytes>>> received;
    std::vector<asio::awaitable<result<bytes>>> judged;
    constexpr std::size_t records = 140;
    for (std::size_t i = 0; i < records; ++i)
        for (auto* each : {&from, &neighbour}) {
            const auto data = noise(10, at.random);
            const auto what = each->next(data);
            received.push_back(at.store->complete(what, 0, data));
            for (const auto kind : {verdict_kind::opened, verdict_kind::print_ready,
                                    verdict_kind::duplicate, verdict_kind::enrollment_failure})
                judged.push_back(at.store->judge(what.key(), what.manifest.digest, kind, true));
        }
    finish_all(std::move(received));
    for (const auto& each : finish_all(std::move(judged)))
        REQUIRE(each.has_value());
    REQUIRE(at.store->newest_verdict("office-1") == 4 * records);
    REQUIRE(at.store->newest_verdict("office-2") == 4 * records);

    std::vector<std::size_t> pages;
    std::uint64_t expected = 1;
    vault::question asked{.cursor_epoch = at.store->epoch()};
    for (bool more = true; more;) {
        const auto answer = finish(at.store->reconcile("office-1", asked)).value();
        pages.push_back(answer.verdicts.size());
        for (const auto& each : answer.verdicts)
            REQUIRE(each.number == expected++);
        asked.cursor_number = expected - 1;
        more = answer.more;
    }
    CHECK(pages == std::vector<std::size_t>{256, 256, 48});
}

TEST_CASE("only a digest that is held, of a record that is whole, can be judged", "[journal]")
{
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(100, at.random);
    const auto what = from.next(data);
    using envelope::verdict_kind;
    const auto judge = [&](const digest& of) {
        return finish(at.store->judge(what.key(), of, verdict_kind::opened));
    };
    CHECK(judge(what.manifest.digest).error() == vault::errc::unknown);
    REQUIRE(finish(at.store->keep(what, 0, to_bytes(bytes_view{data}.first(50)))).has_value());
    CHECK(judge(what.manifest.digest).error() == vault::errc::wrong_state);
    REQUIRE(
        finish(at.store->complete(what, 50, to_bytes(bytes_view{data}.subspan(50)))).has_value());
    CHECK(judge(sha256(as_bytes("other"))).error() == vault::errc::conflict);
    CHECK(at.store->newest_verdict("office-1") == 0);
    CHECK(judge(what.manifest.digest).has_value());
    CHECK(judge(what.manifest.digest).has_value());
    CHECK(at.store->newest_verdict("office-1") == 1); // saying it again is not another verdict
    CHECK(at.store->now().of(journal::state::opened).records == 1);
}

TEST_CASE(
    "a number that still waits here is on its way, any other that is missing above is a finding",
    "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    for (int i = 0; i < 4; ++i)
        REQUIRE(finish(store.accept(submission_of(noise(9'000, at.random)))).has_value());
    const auto delivered = finish(store.outgoing_of(journal::place{3})).value();
    REQUIRE(finish(store.settle(journal::place{3}, receipt_for(delivered, wall_now() - 1h),
                                bytes(3), everyone().centre->self()))
                .has_value());
    const auto told = [&](std::uint64_t first, std::uint64_t last) {
        const finding gap{.what = finding::kind::gap,
                          .station = "office-1",
                          .epoch = store.epoch(),
                          .first = first,
                          .last = last,
                          .noticed_at = wall_now()};
        const envelope::custody said{
            .station = "office-1",
            .at = wall_now(),
            .epochs = {{.epoch = store.epoch(),
                        .ranges = {{envelope::sequence{3}, envelope::sequence{3},
                                    delivered.manifest_hash}}}}};
        REQUIRE(
            finish(store.take_custody(said, trust::role::centre, bytes(3), {gap}, {})).has_value());
        return of_kind(store.now().findings, finding::kind::gap);
    };
    CHECK(told(1, 2).empty());
    CHECK(told(4, 4).empty());
    CHECK(told(2, 3) == std::vector<span>{{2, 3}});         // 3 was delivered
    CHECK(told(5, 6) == std::vector<span>{{2, 3}, {5, 6}}); // no numbers of ours
}

TEST_CASE("whatever numbers a peer chooses, each hole is told to its end", "[journal]")
{
    centre_fixture at;
    const sender from{everyone().station};
    for (const std::uint64_t number : {6'000u, 1'000'000u, 2'000'000u}) {
        const auto data = noise(10, at.random);
        REQUIRE(finish(at.store->complete(from.offer_at(number, {}, data), 0, data)).has_value());
    }
    const auto answer = finish(at.store->reconcile("office-1", {})).value();
    CHECK(of_kind(answer.findings, finding::kind::gap) ==
          std::vector<span>{{1, 5'999}, {6'001, 999'999}, {1'000'001, 1'999'999}});
}

TEST_CASE("a centre whose certificate does not hold now signs nothing, and takes no record",
          "[journal]")
{
    const auto now = wall_now();
    const auto valid =
        GENERATE_COPY(support::dates{now - 48h, now - 24h}, support::dates{now + 24h, now + 48h});
    centre_fixture at;
    sender from{everyone().station};
    const auto data = noise(100, at.random);
    const auto whole = from.next(data);
    const auto next = from.next(data);
    REQUIRE(finish(at.store->complete(whole, 0, data)).has_value());
    REQUIRE(finish(at.store->keep(next, 0, to_bytes(bytes_view{data}.first(50)))).has_value());

    at.store->replace_identity(identity_of(everyone().authority.centre(valid)));
    CHECK_FALSE(
        finish(at.store->complete(next, 50, to_bytes(bytes_view{data}.subspan(50)))).has_value());
    CHECK_FALSE(
        finish(at.store->judge(whole.key(), whole.manifest.digest, envelope::verdict_kind::opened))
            .has_value());
    CHECK_FALSE(finish(at.store->reconcile("office-1", {})).has_value());
    CHECK(finish(at.store->complete(whole, 0, data)).has_value()); // signed while it held

    at.store->replace_identity(everyone().centre);
    CHECK(finish(at.store->complete(next, 50, to_bytes(bytes_view{data}.subspan(50)))).has_value());
}

TEST_CASE("erasing a record never shrinks what custody says", "[journal]")
{
    journal_fixture at;
    at.options.node = "hub-1";
    at.options.identity = everyone().relay;
    auto& store = at.open();
    sender from{everyone().station};
    const auto data = noise(5'000, at.random);
    const auto what = from.next(data);
    REQUIRE(finish(store.complete(what, 0, data)).has_value());
    const auto here = finish(store.manifest_of(what.key())).value();
    REQUIRE(finish(store.settle(here.view.place, receipt_for(here), bytes(3),
                                everyone().centre->self()))
                .has_value());
    REQUIRE(finish(store.take_verdicts({verdict_on(here.view, envelope::verdict_kind::opened)},
                                       store.epoch(), 1))
                .has_value());
    const auto later = wall_now() + 1h;
    REQUIRE(finish(store.take_custody(custody_of_all(store, later, "hub-1"), trust::role::centre,
                                      bytes(3), {}, {}))
                .has_value());
    REQUIRE(finish(store.erase_due(0ms)).value() == 1);
    CHECK(finish(store.read(what.key(), 0, 10)).error() == vault::errc::erased);
    CHECK(ranges_of(finish(store.reconcile("office-1", {})).value(), from.epoch()) ==
          std::vector<span>{{1, 1}});
    CHECK(finish(store.find(what.key())).value()->complete);
    CHECK_FALSE(finish(store.find(what.key())).value()->receipt.empty());
}
