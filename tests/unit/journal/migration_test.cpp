#include "journal/meddling.hpp"

#include "base/file.hpp"
#include "journal/salvage.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstdlib>

/// From format 1, whose findings lie in Meta, to format 2. tests/crash/format_test ends it at each point.
using namespace titip;
using namespace titip::tests;
using kind = vault::finding::kind;

namespace {

/// A store of format 1, as an earlier version left it.
class old_fixture : public journal_fixture {
public:
    old_fixture()
    {
        const std::filesystem::path golden{TITIP_SOURCE "/tests/unit/journal/golden"};
        std::filesystem::create_directories(options.directory);
        const auto unpack = fmt::format(
            "gzip -dc '{}' > '{}'", (golden / "format-1.mdb.gz").string(), data_file().string());
        REQUIRE(std::system(unpack.c_str()) == 0);
        std::filesystem::copy_file(golden / "format-1.lock", options.directory / "titipd.lock");
    }
    /// Where LMDB puts its pages says nothing of what a commit writes: the row itself does.
    std::size_t meta_bytes() const
    {
        const auto env = journal::environment::open_read_only(options.directory);
        const journal::transaction txn{env->get(), journal::transaction::mode::read};
        const auto t = journal::find_tables(txn);
        return txn.get(t.meta, journal::key_builder{}.text("meta")).value().size();
    }
    std::vector<journal::kept_finding> about(const std::string& station)
    {
        return finish(store->findings_about(station)).value();
    }
};

v1::Finding& add(v1::Meta& meta, std::string station, v1::Finding::Kind what, std::uint64_t first,
                 std::uint64_t last, std::string epoch = std::string(16, 'e'))
{
    auto& out = *meta.add_findings();
    out.set_kind(what);
    out.set_station(std::move(station));
    out.set_epoch(std::move(epoch));
    out.set_first(first);
    out.set_last(last);
    out.set_noticed_at_ms(1'764'000'000'000);
    return out;
}

} // namespace

TEST_CASE("a store of format 1 becomes one of format 2 when it is opened, and says so", "[journal]")
{
    old_fixture at;
    auto& store = at.open();
    CHECK(store.now().format == 2);
    const auto findings = at.about("office-1");
    CHECK(findings.size() == 5);
    CHECK(at.about("office-2").size() == 1);
    CHECK(store.now().standing_findings == 6);
    const auto ledger = finish(store.ledger(0, 10'000)).value();
    CHECK(ledger.back().event == "format");
    CHECK(ledger.back().detail == "1 to 2");
    at.reopen();
    CHECK(finish(at.store->ledger(0, 10'000)).value().size() == ledger.size()); // once
    CHECK(at.about("office-1") == findings);
}

TEST_CASE("a Meta of a hundred megabytes comes out small, with what this node can have noticed",
          "[journal]")
{
    old_fixture at;
    meddle(at, [](auto&, const auto&, v1::Meta& meta) {
        for (int i = 0; i < 24; ++i)
            add(meta, std::string(4u << 20, 'x'), v1::Finding::FORK, 1, 1);
        add(meta, "office-1", static_cast<v1::Finding::Kind>(77), 1, 1);
        add(meta, "office-1", v1::Finding::GAP, 1, 1, "short");
        add(meta, "office-1", v1::Finding::GAP, 9, 3);
        add(meta, "office-99", v1::Finding::GAP, 1, 1); // no record of it is here
        add(meta, "office-2", v1::Finding::FORK, 77, 77);
        meta.set_custody(std::string(5u << 20, 'c'));
    });
    REQUIRE(at.meta_bytes() > 100u << 20);
    auto& store = at.open();
    CHECK(at.about("office-1").size() == 5);
    const auto others = at.about("office-2");
    REQUIRE(others.size() == 2);
    CHECK(others.back().first == 77);
    CHECK(at.about("office-99").empty());
    CHECK(store.now().standing_findings == 7);
    REQUIRE(finish(store.accept(submission_of(noise(500, at.random)))).has_value());
    CHECK(finish(store.audit()).value().empty());
    at.close();
    CHECK(at.meta_bytes() < 4'000);
    CHECK(finish(at.open().audit()).value().empty());
}

TEST_CASE("of 300,000 findings in Meta each station keeps its share", "[journal]")
{
    old_fixture at;
    meddle(at, [](auto&, const auto&, v1::Meta& meta) {
        for (std::uint64_t n = 0; n < 300'000; ++n)
            add(meta, "office-2", v1::Finding::FORK, 5 * n + 1'000, 5 * n + 1'000);
    });
    at.open();
    const auto kept = at.about("office-2");
    CHECK(kept.size() == 64);
    CHECK(kept.back().last == 5 * 299'999 + 1'000); // the nearest became wider
    CHECK(at.about("office-1").size() == 5);
    CHECK(finish(at.store->audit()).value().empty());
}

TEST_CASE("what was noticed while there was no space for format 2 is in its table afterwards",
          "[journal]")
{
    old_fixture at;
    meddle(at, [](auto&, const auto&, v1::Meta& meta) {
        meta.set_next_finding(4);
        auto& row = *meta.add_unplaced();
        row.set_number(3);
        row.set_station("office-2");
        row.set_kind(v1::Finding::FORK);
        row.set_epoch(std::string(16, 'e'));
        row.set_first(40);
        row.set_last(41);
    });
    auto& store = at.open();
    const auto kept = at.about("office-2");
    REQUIRE(kept.size() == 2);
    CHECK(kept.front().number == 3);
    CHECK(kept.front().first == 40);
    CHECK(finish(store.acknowledge(3, "uid 7", "the office knows")).value().acknowledged_by ==
          "uid 7");
    CHECK(finish(store.audit()).value().empty());
}

TEST_CASE("all that was in Meta is counted, as kept or as left out, and none of it stays there",
          "[journal]")
{
    old_fixture at;
    meddle(at, [](auto& txn, const auto& t, v1::Meta& meta) {
        meta.clear_findings();
        for (int i = 1; i <= 70; ++i) // each of an epoch of its own: 64 have a place
            add(meta, "office-2", v1::Finding::FORK, 1, 1, std::string(16, static_cast<char>(i)));
        add(meta, "office-99", v1::Finding::FORK, 1, 1);
        auto& row = *meta.add_unplaced();
        row.set_number(3);
        row.set_station("office-1");
        row.set_kind(v1::Finding::FORK);
        row.set_epoch(std::string(16, 'e'));
        row.set_first(40);
        row.set_last(41);
        auto tables = t;
        const auto done = journal::migrate(txn, tables, meta, wall_now());
        CHECK(done.kept == 64);
        CHECK(done.left_out == 7);
        CHECK(meta.findings_size() == 0);
        CHECK(meta.unplaced_size() == 0);
    });
}

TEST_CASE("a finding that takes the place of an acknowledged one is shown, and that one is gone",
          "[journal]")
{
    journal_fixture at;
    at.options.node = "centre";
    at.options.has_upstream = false;
    at.options.identity = everyone().centre;
    auto& store = at.open();
    const auto fork = [&] { // each in an epoch of its own
        const sender from{everyone().station};
        for (int twice = 0; twice < 2; ++twice) {
            const auto data = noise(10, at.random);
            REQUIRE(finish(store.complete(from.offer_at(4, {}, data), 0, data)).has_value());
        }
    };
    for (int i = 0; i < 64; ++i)
        fork();
    const auto first = finish(store.findings_about("office-1")).value().front().number;
    REQUIRE(finish(store.acknowledge(first, "uid 7", "the office knows")).has_value());
    REQUIRE(store.now().standing_findings == 63);
    fork();
    CHECK(store.now().standing_findings == 64);
    const auto kept = finish(store.findings_about("office-1")).value();
    CHECK(kept.size() == 64);
    CHECK(std::ranges::count(kept, first, &journal::kept_finding::number) == 0);
    CHECK(finish(store.audit()).value().empty());
}

TEST_CASE("a finding is acknowledged by its number, and the ledger has it", "[journal]")
{
    old_fixture at;
    auto& store = at.open();
    const auto before = store.now().standing_findings;
    const auto first = at.about("office-2").front();
    CHECK(finish(store.acknowledge(999, "uid 7", "why")).error() == vault::errc::unknown);
    const auto done = finish(store.acknowledge(first.number, "uid 7", "both offices were called"));
    REQUIRE(done.has_value());
    CHECK(done->station == "office-2");
    CHECK(store.now().standing_findings == before - 1);
    const auto line = finish(store.ledger(0, 10'000)).value().back();
    CHECK(line.event == "acknowledged");
    CHECK(line.detail.find("by uid 7: both offices were called") != std::string::npos);
    // Once more: as it is.
    CHECK(finish(store.acknowledge(first.number, "uid 8", "again")).value().acknowledged_by ==
          "uid 7");
    CHECK(finish(store.ledger(0, 10'000)).value().back().number == line.number);
    at.reopen();
    CHECK(at.store->now().standing_findings == before - 1);
    CHECK(at.about("office-2").front().acknowledged_why == "both offices were called");
}

TEST_CASE("a custody statement that is large is not written with each record", "[journal]")
{
    old_fixture at;
    auto& store = at.open();
    const auto said = custody_of_all(store);
    const auto take = [&](std::size_t size) {
        REQUIRE(finish(store.take_custody(said, trust::role::centre, bytes(size, std::byte{1}), {},
                                          {}, "centre"))
                    .has_value());
    };
    take(4u << 20);
    at.close();
    CHECK(at.meta_bytes() < 4'000);
    auto& again = at.open();
    REQUIRE(finish(again.take_custody(said, trust::role::centre, bytes(16u << 10, std::byte{1}), {},
                                      {}, "centre"))
                .has_value());
    at.close();
    CHECK(at.meta_bytes() > 16u << 10);
}

TEST_CASE("a station that takes all its places leaves another's fork where it is seen", "[journal]")
{
    journal_fixture at;
    at.options.node = "centre";
    at.options.has_upstream = false;
    at.options.identity = everyone().centre;
    auto& store = at.open();
    const auto fork = [&](const sender& from) { // each in an epoch of its own
        for (int twice = 0; twice < 2; ++twice) {
            const auto data = noise(10, at.random);
            REQUIRE(finish(store.complete(from.offer_at(4, {}, data), 0, data)).has_value());
        }
    };
    for (int i = 0; i < 70; ++i)
        fork(sender{everyone().station});
    fork(sender{everyone().neighbour});
    CHECK(at.store->now().standing_findings == 65);
    const auto shown = at.store->now().findings;
    CHECK(std::ranges::count(shown, "office-1", &journal::kept_finding::station) == 8);
    CHECK(std::ranges::count(shown, "office-2", &journal::kept_finding::station) == 1);
    const auto kept = finish(store.findings_about("office-2")).value();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].proof.size() == 128); // both manifests
    CHECK(finish(store.audit()).value().empty());
}

TEST_CASE("a gap that fills is no alarm any more, by what the upstream signs", "[journal]")
{
    journal_fixture at;
    auto& store = at.open();
    for (int i = 0; i < 3; ++i)
        REQUIRE(finish(store.accept(submission_of(noise(300, at.random)))).has_value());
    const auto all = custody_of_all(store);
    const vault::finding gap{
        .what = kind::gap, .station = "office-1", .epoch = store.epoch(), .first = 4, .last = 5};
    const envelope::custody nothing{.station = "office-1", .at = wall_now(), .epochs = {}};
    const auto take = [&](const envelope::custody& said, std::vector<vault::finding> told) {
        REQUIRE(finish(store.take_custody(said, trust::role::centre, bytes(9), std::move(told), {},
                                          "centre"))
                    .has_value());
    };
    take(nothing, {gap});
    REQUIRE(store.now().findings.size() == 1);
    CHECK(store.now().findings[0].told_by == "centre");
    CHECK(store.now().findings[0].proof.empty()); // what it signed says nothing of it
    take(all, {});                                // 1 to 3
    CHECK(store.now().findings.size() == 1);
    for (int i = 0; i < 2; ++i)
        REQUIRE(finish(store.accept(submission_of(noise(300, at.random)))).has_value());
    take(custody_of_all(store), {});
    CHECK(store.now().findings.empty());
    const auto kept = finish(store.findings_about("office-1")).value();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].settled_at != wall_time{});
    CHECK(finish(store.ledger(0, 1'000)).value().back().event == "settled");
    CHECK(finish(store.acknowledge(kept[0].number, "uid 7", "late")).error() ==
          vault::errc::wrong_state);
}

TEST_CASE("out of a store of either format the same records are saved", "[journal]")
{
    old_fixture at;
    const auto saved_in = [&at] {
        std::set<std::string> saved;
        const auto done = journal::salvage(
            at.options.directory,
            {.save = [&saved](const journal::salvaged& each) -> result<void> {
                 saved.insert(each.key.station + each.key.record.to_string());
                 return {};
             },
             .save_bare = [](const journal::bare_envelope&) -> result<void> { return {}; },
             .lose = [](const journal::loss& each) { FAIL(each.why); },
             .progress = {}});
        REQUIRE(done.has_value());
        CHECK(done->is_all());
        CHECK(done->bare == 0);
        return saved;
    };
    const auto before = saved_in();
    REQUIRE(before.size() > 20);
    at.open();
    REQUIRE(finish(at.store->acknowledge(at.about("office-1").front().number, "uid 7", "known"))
                .has_value());
    at.close();
    CHECK(saved_in() == before);
}
