#include "enrollment/nik.hpp"

#include <catch2/catch.hpp>

using titip::enrollment::nik;

TEST_CASE("a NIK is read into its parts", "[enrollment]")
{
    const auto man = nik::parse("9901020512900001");
    REQUIRE(man);
    CHECK(man->region == "990102");
    CHECK(man->birth_day() == 5);
    CHECK(man->month == 12);
    CHECK(man->year_of_century == 90);
    CHECK(man->serial == 1);
    CHECK_FALSE(man->is_female());
}

TEST_CASE("women have forty added to the day in their NIK", "[enrollment]")
{
    const auto woman = nik::parse("9901027112900001");
    REQUIRE(woman);
    CHECK(woman->is_female());
    CHECK(woman->birth_day() == 31);
    CHECK(woman->has_day());
}

TEST_CASE("days, months and serial numbers that do not exist are told", "[enrollment]")
{
    const auto days = [](const char* text) { return nik::parse(text)->has_day(); };
    CHECK_FALSE(days("9901020012900001"));
    CHECK(days("9901020112900001"));
    CHECK(days("9901023112900001"));
    CHECK_FALSE(days("9901023212900001"));
    CHECK_FALSE(days("9901024012900001"));
    CHECK(days("9901024112900001"));
    CHECK_FALSE(days("9901027212900001"));
    CHECK_FALSE(days("9901029912900001"));
    CHECK_FALSE(nik::parse("9901020100900001")->has_month());
    CHECK_FALSE(nik::parse("9901020113900001")->has_month());
    CHECK_FALSE(nik::parse("9901020112900000")->has_serial());
}

TEST_CASE("nothing but sixteen digits is a NIK", "[enrollment]")
{
    CHECK_FALSE(nik::parse(""));
    CHECK_FALSE(nik::parse("990102051290000"));
    CHECK_FALSE(nik::parse("99010205129000011"));
    CHECK_FALSE(nik::parse("990102051290000 "));
    CHECK_FALSE(nik::parse("-901020512900001"));
}
