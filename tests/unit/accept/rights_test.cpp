#include "accept/rights.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <regex>

using namespace titip;
using accept::rights;
using trust::role;

TEST_CASE("without a table each relay may offer all stations' records, and a station its own",
          "[accept]")
{
    const rights all;
    CHECK(all.may_offer({role::relay, "hub"}, "office-1"));
    CHECK(all.is_known({role::relay, "hub"}));
    CHECK(all.may_offer({role::station, "office-1"}, "office-1"));
    CHECK_FALSE(all.may_offer({role::station, "office-1"}, "office-2"));
    CHECK_FALSE(all.may_offer({role::centre, "centre"}, "centre"));
}

TEST_CASE("with a table a relay may offer what it names, and a station still its own", "[accept]")
{
    const rights some{rights::table{{"hub", {"kab-karimun-*", "kota-batam-01"}}, {"idle", {}}}};
    CHECK(some.may_offer({role::relay, "hub"}, "kab-karimun-03"));
    CHECK(some.may_offer({role::relay, "hub"}, "kota-batam-01"));
    CHECK_FALSE(some.may_offer({role::relay, "hub"}, "kota-batam-011"));
    CHECK_FALSE(some.may_offer({role::relay, "hub"}, "kab-karimun"));
    CHECK_FALSE(some.may_offer({role::relay, "hub"}, "x-kab-karimun-03"));
    CHECK_FALSE(some.may_offer({role::relay, "other"}, "kab-karimun-03"));
    CHECK_FALSE(some.may_offer({role::relay, "idle"}, "kab-karimun-03"));
    CHECK(some.is_known({role::relay, "idle"}));
    CHECK_FALSE(some.is_known({role::relay, "other"}));
    // A name is a right in its own role only.
    CHECK_FALSE(some.may_offer({role::station, "hub"}, "kab-karimun-03"));
    CHECK(some.may_offer({role::station, "hub"}, "hub"));
    CHECK_FALSE(some.may_offer({role::relay, "hub"}, "hub"));
    CHECK(some.is_known({role::station, "other"}));
}

TEST_CASE("a pattern matches as a regular expression of the same meaning does", "[accept]")
{
    const auto seed = GENERATE(range(1u, 9u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto text = [&random](std::string_view of, std::size_t most) {
        std::string out;
        for (auto n = random() % most; n > 0; --n)
            out += of[random() % of.size()];
        return out;
    };
    std::size_t matched = 0;
    for (int i = 0; i < 2'000; ++i) {
        const auto pattern = text("ab*", 7);
        const auto name = text("ab", 7);
        const auto expression = std::regex_replace(pattern, std::regex{"\\*"}, ".*");
        CAPTURE(pattern, name);
        const rights one{rights::table{{"hub", {pattern}}}};
        const bool is_match = one.may_offer({role::relay, "hub"}, name);
        REQUIRE(is_match == std::regex_match(name, std::regex{expression}));
        matched += is_match ? 1 : 0;
    }
    CHECK(matched > 100);
}

TEST_CASE("a pattern is a name, in which * may stand", "[accept]")
{
    for (const auto* good : {"*", "kab-karimun-*", "kab-karimun-03", "*-03", "a*b*c"})
        CHECK(rights::is_pattern(good));
    for (const auto* bad : {"", "Kab", "kab karimun", "kab?", "[a]", "kab/03"})
        CHECK_FALSE(rights::is_pattern(bad));
    CHECK_FALSE(rights::is_pattern(std::string(64, 'a')));
}
