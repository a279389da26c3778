#include "journal/gaps.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>
#include <random>
#include <set>

using namespace titip::journal;

namespace {

constexpr auto greatest = std::numeric_limits<std::uint64_t>::max();

std::vector<stretch> rest_of(stretch hole, const std::vector<stretch>& kept)
{
    std::vector<stretch> out;
    visit_rest(hole, kept, [&out](stretch each) {
        out.push_back(each);
        return true;
    });
    return out;
}

} // namespace

TEST_CASE("what is kept is merged, and what makes no sense left out", "[journal]")
{
    CHECK(merged({{5, 6}, {1, 2}, {3, 3}, {9, 8}, {6, 7}}) == std::vector<stretch>{{1, 3}, {5, 7}});
    CHECK(merged({{4, greatest}, {greatest, greatest}, {0, 1}, {0, 0}}) ==
          std::vector<stretch>{{0, 1}, {4, greatest}});
}

TEST_CASE("no number that a peer may say overflows", "[journal]")
{
    CHECK(rest_of({1, greatest}, {{0, greatest}}).empty());
    CHECK(rest_of({1, greatest}, {}) == std::vector<stretch>{{1, greatest}});
    CHECK(rest_of({1, greatest - 1}, {{greatest, greatest}}) ==
          std::vector<stretch>{{1, greatest - 1}});
    CHECK(rest_of({0, greatest}, {{1, greatest - 1}}) ==
          std::vector<stretch>{{0, 0}, {greatest, greatest}});
}

TEST_CASE("what is not kept of a hole is what a look at each number finds", "[journal]")
{
    std::mt19937 random{3};
    for (int round = 0; round < 2'000; ++round) {
        constexpr std::uint64_t numbers = 24;
        std::vector<stretch> said;
        std::set<std::uint64_t> kept;
        for (auto left = random() % 5; left > 0; --left) {
            const stretch each{random() % numbers, random() % numbers};
            said.push_back(each);
            for (auto n = each.first; n <= each.last; ++n)
                kept.insert(n);
        }
        const auto first = random() % numbers;
        const stretch hole{first, first + random() % numbers};
        std::set<std::uint64_t> expected;
        for (auto n = hole.first; n <= hole.last; ++n)
            if (!kept.contains(n))
                expected.insert(n);
        std::set<std::uint64_t> found;
        auto rest = rest_of(hole, merged(said));
        for (const auto& each : rest)
            for (auto n = each.first; n <= each.last; ++n)
                REQUIRE(found.insert(n).second);
        REQUIRE(found == expected);
        REQUIRE(merged(rest) == rest); // ascending, and none that could be one with the next
    }
}

TEST_CASE("nothing more is looked at once enough is known", "[journal]")
{
    std::vector<stretch> kept;
    for (std::uint64_t n = 2; n < 100'000; n += 2)
        kept.push_back({n, n});
    std::size_t seen = 0;
    visit_rest({1, greatest}, kept, [&seen](stretch) { return ++seen < 64; });
    CHECK(seen == 64);
}
