#include "journal/meddling.hpp"
#include "journal/spans.hpp"

#include "base/file.hpp"
#include "journal/examine.hpp"
#include "journal/pages.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;
using Catch::Matchers::Contains;

namespace {

/// Three records of this station, the first opened upstream, and one from below.
void fill(journal_fixture& at)
{
    at.open();
    for (int i = 0; i < 3; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(9'000, at.random)))).has_value());
    const auto what = finish(at.store->outgoing_of(journal::place{1})).value();
    REQUIRE(finish(at.store->settle(what.view.place, receipt_for(what), bytes(1),
                                    everyone().centre->self()))
                .has_value());
    const auto opened = verdict_on(what.view, envelope::verdict_kind::opened);
    REQUIRE(finish(at.store->take_verdicts({opened}, at.store->epoch(), 1)).has_value());
    const auto data = noise(5'000, at.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(at.store->complete(offer, 0, data)).has_value());
    at.close();
}

std::vector<std::string> differences(journal_fixture& at)
{
    at.open();
    auto out = finish(at.store->audit()).value();
    at.close();
    return out;
}

} // namespace

TEST_CASE("an audit of a store that nobody touched names nothing", "[journal]")
{
    journal_fixture at;
    CHECK(differences(at).empty());
    fill(at);
    CHECK(differences(at).empty());
}

TEST_CASE("an audit names what is missing from an index, and what is too much in it", "[journal]")
{
    using journal::tables;
    const auto index = GENERATE(&tables::by_id, &tables::by_sequence, &tables::queue,
                                &tables::opened, &tables::numbering);
    const bool is_missing = GENERATE(true, false);
    journal_fixture at;
    fill(at);
    meddle(at, [&](journal::transaction& txn, const tables& t, auto&) {
        const auto entry = journal::cursor{txn, t.*index}.first().value();
        const auto key = to_bytes(entry.key);
        const auto value = to_bytes(entry.value);
        auto other = key;
        other.front() ^= std::byte{0x40};
        if (is_missing)
            txn.erase(t.*index, key);
        else if (index == &tables::numbering) // its checksum covers the key
            txn.put(t.*index, other,
                    journal::seal_row(journal::seed::numbering, other, v1::Numbering{}));
        else
            txn.put(t.*index, other, value);
    });
    CHECK_FALSE(differences(at).empty());
}

TEST_CASE("an audit names sums, heads and chains that the rows do not bear out", "[journal]")
{
    journal_fixture at;
    fill(at);
    const auto number_of = [](auto& txn, const auto& t, auto change) {
        const auto entry = journal::cursor{txn, t.numbering}.first().value();
        const auto key = to_bytes(entry.key);
        v1::Numbering numbering;
        journal::open_row(journal::seed::numbering, key, entry.value, numbering);
        change(numbering);
        txn.put(t.numbering, key, journal::seal_row(journal::seed::numbering, key, numbering));
    };
    SECTION("a sum of bytes")
    {
        meddle(at, [](auto&, const auto&, v1::Meta& meta) {
            auto& tally = journal::tally_of(meta, journal::state::waiting);
            tally.set_bytes(tally.bytes() + 1);
        });
    }
    SECTION("a place that was given already")
    {
        meddle(at, [](auto&, const auto&, v1::Meta& meta) { meta.set_next_place(3); });
    }
    SECTION("a head")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            number_of(txn, t, [](v1::Numbering& n) { n.set_head(n.head() + 1); });
        });
    }
    const auto range_of = [](auto& txn, const auto& t, auto change) {
        journal::cursor walk{txn, t.numbering};
        for (auto each = walk.first(); each; each = walk.next()) {
            const auto place = journal::read_numbering_key(each->key);
            if (!place || place->what != journal::numbering_place::kind::span)
                continue;
            const auto key = to_bytes(each->key);
            v1::Numbering::Span span;
            journal::open_row(journal::seed::numbering, key, each->value, span);
            if (change(span))
                txn.put(t.numbering, key, journal::seal_row(journal::seed::numbering, key, span));
            else
                txn.erase(t.numbering, key);
            return;
        }
    };
    SECTION("a chain")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            range_of(txn, t, [](v1::Numbering::Span& span) {
                span.set_last_hash(std::string(32, 'x'));
                return true;
            });
        });
    }
    SECTION("a range")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            range_of(txn, t, [](v1::Numbering::Span&) { return false; });
        });
    }
    SECTION("how many ranges a station has")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            auto account = journal::read_account(txn, t, "office-1");
            account.set_spans(account.spans() + 1);
            journal::write_account(txn, t, "office-1", account);
        });
    }
    SECTION("an entry of the ledger")
    {
        meddle(at, [](auto& txn, const auto& t, auto&) {
            txn.erase(t.ledger, journal::key_builder{}.u64(2));
        });
    }
    SECTION("a row")
    {
        meddle(at, [](auto& txn, const auto& t, auto&) {
            txn.erase(t.rows, journal::place_key(journal::place{2}));
        });
    }
    SECTION("all bytes of a record")
    {
        meddle(at, [](auto& txn, const auto& t, auto&) {
            journal::erase_chunks(txn, t, journal::place{2}, 9'000);
        });
    }
    SECTION("bytes of no record")
    {
        meddle(at, [](auto& txn, const auto& t, auto&) {
            journal::append_chunks(txn, t, journal::place{77}, 0, bytes(100));
        });
    }
    CHECK_FALSE(differences(at).empty());
}

TEST_CASE("an audit of an epoch of which no record is found by its number names that", "[journal]")
{
    journal_fixture at;
    fill(at);
    meddle(at, [](journal::transaction& txn, const journal::tables& t, auto&) {
        const auto key = to_bytes(journal::cursor{txn, t.by_sequence}.last().value().key);
        txn.erase(t.by_sequence, key); // of the neighbour's only one
    });
    CHECK_FALSE(differences(at).empty());
}

TEST_CASE("who works with a store whose index is rotten ends, and who examines it names it",
          "[journal]")
{
    journal_fixture at;
    fill(at);
    meddle(at, [](journal::transaction& txn, const journal::tables& t, auto&) {
        const auto entry = journal::cursor{txn, t.numbering}.first().value();
        const auto key = to_bytes(entry.key);
        auto value = to_bytes(entry.value);
        value.back() ^= std::byte{1};
        txn.put(t.numbering, key, value);
    });
    std::vector<std::string> named;
    journal::examine(at.options.directory, at.options.node, [&named](const journal::remark& said) {
        if (said.what == journal::remark::kind::difference)
            named.push_back(said.text);
    });
    REQUIRE(named.size() == 2);
    CHECK_THAT(named[0], Contains("does not match its checksum"));
    CHECK_THAT(named[1], Contains("1 epochs and 1 ranges of numbers, 0 and 1 are here"));
    at.open();
    CHECK_FALSE(finish(at.store->audit()).has_value());
    at.close();
    CHECK(at.failures.size() == 1);
}

TEST_CASE("a tree that leads back into itself is not walked for ever", "[journal]")
{
    journal_fixture at;
    at.open();
    for (int i = 0; i < 100; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(100, at.random)))).has_value());
    at.close();
    auto data = read_file(at.data_file()).value();
    {
        // Each branch of the newest rows leads to its first child only.
        const journal::page_file pages{at.data_file()};
        std::size_t changed = 0;
        for (journal::page_number each = 2; each < pages.size(); ++each) {
            journal::page p{};
            REQUIRE(pages.read(each, p));
            const auto nodes = journal::nodes_of(p);
            if (journal::number_of(p) != each ||
                journal::kind_of(p) != journal::page_kind::branch || !nodes)
                continue;
            const auto header_of = [&](std::size_t i) {
                return data.begin() + static_cast<std::ptrdiff_t>(each * 4096) +
                       (nodes->at(i).key.data() - p.data()) - 8;
            };
            for (std::size_t i = 1; i < nodes->size(); ++i, ++changed)
                std::copy_n(header_of(0), 6, header_of(i));
        }
        REQUIRE(changed > 0);
    }
    REQUIRE(write_file(at.data_file(), data).has_value());
    std::size_t differences = 0;
    journal::examine(at.options.directory, at.options.node, [&](const journal::remark& said) {
        differences += said.text.find("MDB_CORRUPTED") != std::string::npos ? 1 : 0;
    });
    CHECK(differences > 0);
}

TEST_CASE("an examination is never silent for longer than a few pages take", "[journal]")
{
    // Silence is what a disk that hangs is known by.
    journal_fixture at;
    at.open();
    constexpr std::uint64_t records = 500;
    for (std::uint64_t i = 0; i < records; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(100, at.random)))).has_value());
    at.close();
    std::map<std::string, std::uint64_t> told;
    journal::examine(at.options.directory, at.options.node,
                     [&told](const journal::remark& said) { ++told[said.text]; });
    CHECK(told.size() == 3); // only progress
    CHECK(told["pages"] >= 4);
    CHECK(told["rows"] >= records / 64);
    CHECK(told["records"] >= records);
}
