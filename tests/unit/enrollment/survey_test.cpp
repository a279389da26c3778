#include "enrollment/survey.hpp"

#include <catch2/catch.hpp>

using titip::enrollment::is_utf8;

TEST_CASE("UTF-8 is told from what only looks like it", "[enrollment]")
{
    for (const auto* good : {"", "BUDI", "\xc3\x89", "\xe2\x82\xac", "\xee\x80\x80",
                             "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "a\xc3\x89z"})
        CHECK(is_utf8(good));
    for (const auto* bad : {
             "\xc9",             // Latin-1
             "\x80",             // a continuation without a lead
             "\xc0\xaf",         // overlong
             "\xe0\x9f\xbf",     // overlong
             "\xf0\x8f\xbf\xbf", // overlong
             "\xed\xa0\x80",     // a surrogate
             "\xf4\x90\x80\x80", // past U+10FFFF
             "\xf5\x80\x80\x80",
             "\xc3",
             "\xe2\x82",
             "\xf0\x9f\x98",
             "\xc3\xc3",
             "\xe2\x82z",
         })
        CHECK_FALSE(is_utf8(bad));
}
