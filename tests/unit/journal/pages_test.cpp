#include "journal/meddling.hpp"

#include "base/file.hpp"
#include "journal/pages.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;

namespace {

std::vector<std::string> differences(const std::filesystem::path& file)
{
    const journal::page_file pages{file};
    return journal::check_pages(pages, journal::newest_snapshot(pages).value());
}

} // namespace

TEST_CASE("every page of a store is in use once or free, through a life of it", "[journal]")
{
    journal_fixture at;
    at.open();
    std::vector<vault::key> begun;
    for (int round = 0; round < 60; ++round) {
        const auto size = 500 + at.random() % 60'000;
        const auto data = noise(size, at.random);
        if (round % 3 == 0) {
            // From below, and given up in the middle: its pages come free.
            const auto offer = sender{everyone().neighbour}.next(data);
            REQUIRE(finish(at.store->keep(offer, 0, to_bytes(bytes_view{data}.first(size / 2))))
                        .has_value());
            REQUIRE(finish(at.store->discard(offer.key())).has_value());
        } else
            REQUIRE(finish(at.store->accept(submission_of(data))).has_value());
        const auto found = differences(at.data_file());
        REQUIRE(found == std::vector<std::string>{});
    }
}

TEST_CASE("a page that is not what was written is named, whichever it is", "[journal]")
{
    journal_fixture at;
    at.open();
    for (int i = 0; i < 40; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(300'000, at.random)))).has_value());
    at.close();
    const auto good = read_file(at.data_file()).value();
    REQUIRE(differences(at.data_file()).empty());
    const journal::page_file pages{at.data_file()};
    std::size_t looked_at = 0;
    for (journal::page_number each = 2; each < pages.size(); ++each) {
        journal::page p{};
        REQUIRE(pages.read(each, p));
        if (journal::number_of(p) != each || journal::kind_of(p) == journal::page_kind::overflow ||
            !journal::nodes_of(p))
            continue;
        auto bad = good;
        std::fill_n(bad.begin() + static_cast<std::ptrdiff_t>(each * 4096), 4096, std::byte{});
        REQUIRE(write_file(at.folder.path() / "bad.mdb", bad).has_value());
        // A page that is free now may hold anything.
        looked_at += differences(at.folder.path() / "bad.mdb").empty() ? 0 : 1;
    }
    CHECK(looked_at >= 30);
}

TEST_CASE("a page that leads to another one under a wrong key is named", "[journal]")
{
    // What is there is found all the same, or not; what comes next would be put where it is not found.
    journal_fixture at;
    at.open();
    for (int i = 0; i < 10; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(300'000, at.random)))).has_value());
    at.close();
    const auto good = read_file(at.data_file()).value();
    const journal::page_file pages{at.data_file()};
    std::size_t named = 0;
    for (journal::page_number each = 2; each < pages.size(); ++each) {
        journal::page p{};
        REQUIRE(pages.read(each, p));
        const auto nodes = journal::nodes_of(p);
        if (journal::number_of(p) != each || journal::kind_of(p) != journal::page_kind::branch ||
            !nodes)
            continue;
        for (std::size_t i = 1; i < nodes->size(); ++i)
            for (const int by : {-1, 1}) { // to the last key before it, or past its own first
                auto bad = good;
                const auto key = nodes->at(i).key;
                const auto last =
                    each * 4096 + static_cast<std::size_t>(key.data() - p.data()) + key.size() - 1;
                bad[last] = static_cast<std::byte>(std::to_integer<int>(bad[last]) + by);
                REQUIRE(write_file(at.folder.path() / "bad.mdb", bad).has_value());
                named += differences(at.folder.path() / "bad.mdb").empty() ? 0 : 1;
            }
    }
    CHECK(named >= 8); // old branches lie in free pages, where nobody looks
}

TEST_CASE("pages that no list has any more are named", "[journal]")
{
    journal_fixture at;
    at.open();
    for (int i = 0; i < 5; ++i)
        REQUIRE(finish(at.store->accept(submission_of(noise(50'000, at.random)))).has_value());
    at.close();
    auto data = read_file(at.data_file()).value();
    // The list of free pages forgotten, in both meta pages: an empty table.
    for (const std::size_t page : {0u, 4096u}) {
        const auto table = std::span{data}.subspan(page + 16 + 24, 48);
        std::ranges::fill(table.subspan(6, 34), std::byte{});
        std::ranges::fill(table.subspan(40), std::byte{0xff});
    }
    REQUIRE(write_file(at.folder.path() / "bad.mdb", data).has_value());
    const auto found = differences(at.folder.path() / "bad.mdb");
    REQUIRE_FALSE(found.empty());
    CHECK(found.front().find("neither in use nor free") != std::string::npos);
}
