#include "journal/salvage.hpp"

#include "base/file.hpp"
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
