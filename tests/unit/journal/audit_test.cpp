#include "journal/meddling.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;

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
    SECTION("a chain")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            number_of(txn, t, [](v1::Numbering& n) {
                n.mutable_spans()->rbegin()->set_last_hash(std::string(32, 'x'));
            });
        });
    }
    SECTION("a range")
    {
        meddle(at, [&](auto& txn, const auto& t, auto&) {
            number_of(txn, t, [](v1::Numbering& n) { n.mutable_spans()->RemoveLast(); });
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
