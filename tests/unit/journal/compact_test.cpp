#include "journal/compact.hpp"
#include "journal/examine.hpp"
#include "journal/marker.hpp"
#include "journal/meddling.hpp"

#include "base/file.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace titip;
using namespace titip::tests;
using journal::open_failure;

namespace {

/// Records of which most were erased, so that most of the file is free.
void fill(journal_fixture& at, int records)
{
    at.open();
    for (int i = 0; i < records; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(40'000, at.random)))).has_value());
    const auto then = wall_now() - 1'000h;
    for (int n = 1; n < records; ++n) {
        const auto what = finish(at.store->outgoing_of(journal::place(n))).value();
        REQUIRE(finish(at.store->settle(what.view.place, receipt_for(what, then), bytes(1),
                                        everyone().centre->self()))
                    .has_value());
        const auto said = verdict_on(what.view, envelope::verdict_kind::opened, then);
        REQUIRE(finish(at.store->take_verdicts({said}, at.store->epoch(), static_cast<unsigned>(n)))
                    .has_value());
    }
    REQUIRE(finish(at.store->take_custody(custody_of_all(*at.store), trust::role::centre, bytes(1),
                                          {}, {}))
                .has_value());
    while (finish(at.store->erase_due(1h)).value() > 0)
        ;
}

std::string text_of(journal_fixture& at)
{
    std::string out = at.store->epoch().to_string();
    for (const auto& each : finish(at.store->list({}, std::nullopt, 1000)).value()) {
        out += fmt::format("\n{} {} {} {}", each.key.record.to_string(), each.sequence,
                           journal::to_string(each.state), to_hex(each.digest));
        if (each.state == journal::state::waiting)
            out += to_hex(sha256(finish(at.store->read(each.key, 0, each.size_bytes)).value()));
    }
    for (const auto& each : finish(at.store->ledger(0, 10'000)).value())
        out += fmt::format("\n{} {}", each.number, each.event);
    return out;
}

} // namespace

TEST_CASE("a compacted store is smaller, holds the same, and goes on", "[journal]")
{
    journal_fixture at;
    const int records = GENERATE(12, 13); // the newest commit stands in either meta page
    fill(at, records);
    const auto before = text_of(at);
    at.close();
    const auto done = journal::compact(at.options.directory);
    REQUIRE(done.has_value());
    CHECK(done->bytes_after < done->bytes_before / 2);
    CHECK(std::filesystem::file_size(at.data_file()) == done->bytes_after);
    CHECK_FALSE(std::filesystem::exists(at.options.directory / "compacting"));
    std::size_t differences = 0;
    journal::examine(at.options.directory, at.options.node, [&](const journal::remark& said) {
        differences += said.what == journal::remark::kind::progress ? 0 : 1;
    });
    CHECK(differences == 0);
    at.open();
    CHECK(text_of(at) == before);
    CHECK(finish(at.store->audit()).value().empty());
    const auto next = finish(at.store->accept(submission_of(noise(9'000, at.random)))).value();
    CHECK(next.sequence == static_cast<std::uint64_t>(records) + 1);
    at.reopen(); // two commits on, each in its page
    CHECK(finish(at.store->audit()).value().empty());
    CHECK(at.store->now().of(journal::state::waiting).records == 2);
}

TEST_CASE("a store that is open, or absent, is not compacted", "[journal]")
{
    journal_fixture at;
    CHECK_FALSE(journal::compact(at.options.directory).has_value());
    CHECK_FALSE(std::filesystem::exists(at.data_file()));
    at.open();
    const auto refused = journal::compact(at.options.directory);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what == open_failure::kind::in_use);
}

TEST_CASE("a store that lost a commit is not compacted, and stays as it was", "[journal]")
{
    journal_fixture at;
    fill(at, 4);
    at.close();
    auto bad = read_file(at.data_file()).value();
    auto& first = transaction_of(bad, 0);
    auto& second = transaction_of(bad, 1);
    (first > second ? second : first) += 2;
    REQUIRE(write_file(at.data_file(), bad).has_value());
    const auto refused = journal::compact(at.options.directory);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what == open_failure::kind::untrusted);
    CHECK((read_file(at.data_file()).value() == bad));
}

TEST_CASE("what a compaction that was killed has left is in nobody's way", "[journal]")
{
    journal_fixture at;
    fill(at, 4);
    at.close();
    const auto left = at.options.directory / "compacting";
    std::filesystem::create_directory(left);
    REQUIRE(write_file(left / "data.mdb", bytes(50'000)).has_value());
    if (GENERATE(true, false))
        CHECK(journal::compact(at.options.directory).has_value());
    at.open();
    CHECK_FALSE(std::filesystem::exists(left));
    CHECK(at.store->now().of(journal::state::waiting).records == 1);
}

TEST_CASE("a store that is not trusted is not compacted", "[journal]")
{
    // What is free in it may hold the last good version of a row: salvage looks there.
    journal_fixture at;
    fill(at, 3);
    at.close();
    const auto before = read_file(at.data_file()).value();
    REQUIRE(journal::marker{at.options.directory}.distrust("a sync failed"));
    const auto done = journal::compact(at.options.directory);
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().what == open_failure::kind::untrusted);
    CHECK(done.error().sentence.find("a sync failed") != std::string::npos);
    CHECK((read_file(at.data_file()).value() == before));
}
