#include "journal/salvage.hpp"

#include "base/file.hpp"
#include "journal/chunks.hpp"
#include "journal/meddling.hpp"
#include "journal/pages.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;

namespace {

struct salvage {
    std::vector<journal::salvaged> saved;
    std::vector<journal::loss> lost;
    journal::salvage_count count;

    explicit salvage(const std::filesystem::path& directory)
    {
        const auto done = journal::salvage(
            directory,
            {.save = [this](const journal::salvaged& what) -> result<void> {
                 saved.push_back(what);
                 return {};
             },
             .save_bare = [](const journal::bare_envelope&) -> result<void> { return {}; },
             .lose = [this](const journal::loss& what) { lost.push_back(what); },
             .progress = {}});
        REQUIRE(done.has_value());
        count = *done;
    }
};

/// Zeroes each page, of now or before, with a node of which `is_one` says so: the value's own if it has
/// one. `value` is empty if the disk would not give it.
void forget(const journal_fixture& at,
            const std::function<bool(bytes_view key, bytes_view value)>& is_one)
{
    auto data = read_file(at.data_file()).value();
    const journal::page_file pages{at.data_file()};
    std::size_t forgotten = 0;
    for (journal::page_number each = 2; each < pages.size(); ++each) {
        journal::page p{};
        if (!pages.read(each, p) || journal::kind_of(p) != journal::page_kind::leaf)
            continue;
        for (const auto& node : journal::readable_nodes_of(p)) {
            bytes far(journal::page_header_bytes + node.size_bytes);
            const bool is_far = node.elsewhere != 0 && pages.read(node.elsewhere, far);
            if (!is_one(node.key,
                        is_far ? bytes_view{far}.subspan(journal::page_header_bytes) : node.value))
                continue;
            const auto page = is_far ? node.elsewhere : each;
            std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(page * 4096), 4096, std::byte{});
            ++forgotten;
        }
    }
    REQUIRE(forgotten > 0);
    REQUIRE(write_file(at.data_file(), data).has_value());
}

std::optional<v1::Row> row_in(bytes_view key, bytes_view value)
{
    v1::Row out;
    try {
        if (key.size() != 8)
            return std::nullopt;
        journal::open_row(journal::seed::row, key, value, out);
    } catch (const journal::rotten_row&) {
        return std::nullopt;
    }
    return out;
}

} // namespace

TEST_CASE("a record whose bytes are all here is saved, though only its beginning is known",
          "[journal]")
{
    // A receipt was given for it: nobody else may have it any more.
    journal_fixture at;
    at.open();
    const auto data = noise(50'000, at.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(at.store->keep(offer, 0, to_bytes(bytes_view{data}.first(20'000)))).has_value());
    REQUIRE(finish(at.store->complete(offer, 20'000, to_bytes(bytes_view{data}.subspan(20'000))))
                .has_value());
    at.close();
    REQUIRE(salvage{at.options.directory}.saved.size() == 1);
    forget(at, [](bytes_view key, bytes_view value) {
        const auto row = row_in(key, value);
        return row && row->state() != v1::ARRIVING;
    });

    const salvage got{at.options.directory};
    REQUIRE(got.saved.size() == 1);
    CHECK((got.saved.front().envelope == data));
    CHECK((got.saved.front().manifest_cms == offer.cms));
    CHECK(got.count.arriving == 0);
}

TEST_CASE("a record that is arriving is its sender's, and no loss", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto data = noise(50'000, at.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(at.store->keep(offer, 0, to_bytes(bytes_view{data}.first(20'000)))).has_value());
    at.close();
    const salvage got{at.options.directory};
    CHECK(got.saved.empty());
    CHECK(got.lost.empty());
    CHECK(got.count.arriving == 1);
    CHECK(got.count.is_all());
}

TEST_CASE("a record that only the queue knows any more is named by its id", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto id = record_id::random();
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random), id))).has_value());
    at.close();
    forget(at, [&id](bytes_view key, bytes_view value) {
        return row_in(key, value) ||
               (key.size() > 17 && std::ranges::equal(key.last(16), id.data()));
    });
    const salvage got{at.options.directory};
    REQUIRE(got.lost.size() == 1);
    REQUIRE(got.lost.front().key.has_value());
    CHECK(got.lost.front().key->record == id);
}

TEST_CASE("an upload that was given up is no loss, and no upload", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto data = noise(50'000, at.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(at.store->keep(offer, 0, to_bytes(bytes_view{data}.first(20'000)))).has_value());
    REQUIRE(finish(at.store->discard(offer.key())).has_value());
    at.close();
    SECTION("though its row is still to be seen") {}
    SECTION("nor where only an index and its bytes are")
    {
        forget(at, [](bytes_view key, bytes_view value) { return row_in(key, value).has_value(); });
    }
    const salvage got{at.options.directory};
    CHECK(got.lost.empty());
    CHECK(got.count.arriving == 0);
    CHECK(got.count.is_all());
}

TEST_CASE("a record that was erased is no loss, though only the ledger says so", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto id = record_id::random();
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random), id))).has_value());
    constexpr wall_time long_ago{std::chrono::milliseconds{1'700'000'000'000}};
    const auto what = finish(at.store->outgoing_of(journal::place{1})).value();
    REQUIRE(finish(at.store->settle(what.view.place, receipt_for(what, long_ago), bytes(600),
                                    everyone().centre->self()))
                .has_value());
    const auto said = verdict_on(what.view, envelope::verdict_kind::opened, long_ago);
    REQUIRE(finish(at.store->take_verdicts({said}, at.store->epoch(), 1)).has_value());
    REQUIRE(finish(at.store->take_custody(custody_of_all(*at.store, wall_now()),
                                          trust::role::centre, bytes(700), {}, {}))
                .has_value());
    REQUIRE(finish(at.store->erase_due(std::chrono::hours{1})).has_value());
    at.close();
    const auto is_last_word = [](bytes_view key, bytes_view value) {
        const auto row = row_in(key, value);
        return key.size() == 12 || (row && row->state() == v1::ERASED); // a chunk, or its row
    };
    SECTION("with an older row")
    {
        forget(at, is_last_word);
    }
    SECTION("with none")
    {
        forget(at, [](bytes_view key, bytes_view value) { return row_in(key, value).has_value(); });
    }
    const salvage got{at.options.directory};
    CHECK(got.lost.empty());
    CHECK(got.count.erased == 1);
    CHECK(got.count.is_all());
}

TEST_CASE("an index entry that rotted accuses no record that is here", "[journal]")
{
    journal_fixture at;
    at.open();
    const auto id = record_id::random();
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random), id))).has_value());
    REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random)))).has_value());
    at.close();
    const auto whole = read_file(at.data_file()).value();
    const std::uint64_t elsewhere = GENERATE(3u, 1u << 20);
    const auto rot = [&](bytes_view name) {
        auto data = whole;
        std::size_t many = 0;
        for (auto from = data.begin();; ++many) {
            from = std::search(from, data.end(), name.begin(), name.end());
            if (from == data.end())
                break;
            from += static_cast<std::ptrdiff_t>(name.size());
            const auto value = journal::key_builder{}.u64(elsewhere);
            std::ranges::copy(bytes_view{value}, from);
        }
        REQUIRE(many > 0);
        REQUIRE(write_file(at.data_file(), data).has_value());
    };
    rot(journal::id_key({at.options.node, id}));
    const salvage got{at.options.directory};
    CHECK(got.saved.size() == 2);
    CHECK(got.lost.empty());
    CHECK(got.count.is_all());
}

TEST_CASE("a lost upload does not stand for a complete record that vanished", "[journal]")
{
    journal_fixture at;
    at.open();
    sender from{everyone().neighbour};
    const auto data = noise(3 * journal::chunk_payload_bytes, at.random);
    const auto complete = from.next(data);
    REQUIRE(finish(at.store->complete(complete, 0, data)).has_value());
    const auto offer = from.next(noise(50'000, at.random));
    REQUIRE(finish(at.store->keep(offer, 0, noise(20'000, at.random))).has_value());
    at.close();
    forget(at, [&](bytes_view key, bytes_view value) {
        const bool is_chunk_of_first =
            key.size() == 12 && journal::read_u64(key) == 1 && value.size() > 4'000;
        return row_in(key, value) || is_chunk_of_first ||
               (key.size() > 17 && value.size() == 8); // the indexes
    });
    const salvage got{at.options.directory};
    CHECK(got.lost.size() == 1);
    CHECK(got.count.vanished == 1);
}

TEST_CASE("a record is saved under a place that a commit cut short by the power had used",
          "[journal]")
{
    journal_fixture at;
    at.open();
    REQUIRE(finish(at.store->accept(submission_of(noise(9'000, at.random)))).has_value());
    at.close();
    const auto before = read_file(at.data_file()).value();
    const auto lock_file = at.options.directory / "titipd.lock";
    const auto lock = read_file(lock_file).value();
    at.open();
    REQUIRE(finish(at.store->accept(submission_of(noise(300'000, at.random)))).has_value());
    at.close();
    // All pages of the commits after have reached the disk, but none of their meta pages.
    auto after = read_file(at.data_file()).value();
    std::ranges::copy(std::span{before}.first(2 * 4096), after.begin());
    REQUIRE(write_file(at.data_file(), after).has_value());
    REQUIRE(write_file(lock_file, lock).has_value());
    at.open();
    const auto id = record_id::random();
    REQUIRE(finish(at.store->accept(submission_of(noise(100'000, at.random), id))).has_value());
    const auto envelope = finish(at.store->read({at.options.node, id}, 0, 1u << 20)).value();
    at.close();

    SECTION("with all its pages")
    {
        const salvage got{at.options.directory};
        CHECK(got.lost.empty());
        REQUIRE(got.saved.size() == 2);
        CHECK(got.saved.back().key.record == id);
        CHECK((got.saved.back().envelope == envelope));
        CHECK(got.count.is_all());
    }
    SECTION("though nothing tells which of the two was committed")
    {
        auto data = read_file(at.data_file()).value();
        std::fill_n(data.begin(), 2 * 4096, std::byte{});
        REQUIRE(write_file(at.data_file(), data).has_value());
        const salvage got{at.options.directory};
        REQUIRE(got.saved.size() >= 2);
        CHECK(std::ranges::any_of(got.saved, [&](const journal::salvaged& each) {
            return each.key.record == id && each.envelope == envelope;
        }));
    }
}
