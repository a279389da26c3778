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

/// Zeroes every version of a row that says more than that its record is arriving.
void forget_that_it_arrived(const journal_fixture& at, std::uint64_t place)
{
    auto data = read_file(at.data_file()).value();
    const journal::page_file pages{at.data_file()};
    std::size_t forgotten = 0;
    for (journal::page_number each = 2; each < pages.size(); ++each) {
        journal::page p{};
        if (!pages.read(each, p) || journal::kind_of(p) != journal::page_kind::leaf)
            continue;
        for (const auto& node : journal::readable_nodes_of(p)) {
            if (node.key.size() != 8 || journal::read_u64(node.key) != place)
                continue;
            bytes far(journal::page_header_bytes + node.size_bytes);
            if (node.elsewhere != 0)
                REQUIRE(pages.read(node.elsewhere, far));
            v1::Row row;
            try {
                journal::open_row(journal::seed::row, node.key,
                                  node.elsewhere == 0
                                      ? node.value
                                      : bytes_view{far}.subspan(journal::page_header_bytes),
                                  row);
            } catch (const journal::rotten_row&) {
                continue;
            }
            if (row.state() == v1::ARRIVING)
                continue;
            const auto page = node.elsewhere == 0 ? each : node.elsewhere;
            std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(page * 4096), 4096, std::byte{});
            ++forgotten;
        }
    }
    REQUIRE(forgotten > 0);
    REQUIRE(write_file(at.data_file(), data).has_value());
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
    forget_that_it_arrived(at, 1);

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
