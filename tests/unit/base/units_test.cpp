#include "base/units.hpp"

#include "base/time.hpp"

#include <catch2/catch.hpp>

#include <limits>

using namespace titip;

TEST_CASE("sizes are read with their units", "[base]")
{
    CHECK(parse_size_bytes("4096 B") == 4096);
    CHECK(parse_size_bytes("500 MB") == 500'000'000);
    CHECK(parse_size_bytes("64 GiB") == 64ull << 30);
    CHECK(parse_size_bytes("64GiB") == 64ull << 30);
    CHECK(parse_size_bytes("3 kB") == 3'000);
    CHECK(parse_size_bytes("3 KiB") == 3'072);
    CHECK(parse_size_bytes("2 MiB") == 2u << 20);
    CHECK(parse_size_bytes("1 TB") == 1'000'000'000'000);
    CHECK(parse_size_bytes("1 TiB") == 1ull << 40);
    CHECK(parse_size_bytes("0 B") == 0);
    for (const std::string_view bad :
         {"", "64", "GiB", "64 gib", "64 GB ", " 64 GB", "64  GB", "-1 GB", "+1 GB", "1.5 GB",
          "1e3 B", "64 GBs", "99999999999999999999 B", "9999999999 TB", "0x10 B"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_size_bytes(bad).has_value());
    }
}

TEST_CASE("durations are read with their units", "[base]")
{
    CHECK(parse_duration("250 ms") == 250ms);
    CHECK(parse_duration("45 s") == 45s);
    CHECK(parse_duration("1 second") == 1s);
    CHECK(parse_duration("5 min") == 5min);
    CHECK(parse_duration("5 minutes") == 5min);
    CHECK(parse_duration("2 h") == 2h);
    CHECK(parse_duration("1 hour") == 1h);
    CHECK(parse_duration("30 days") == 30 * 24h);
    CHECK(parse_duration("1d") == 24h);
    for (const std::string_view bad : {"", "30", "days", "-1 s", "1.5 h", "1 week", "1 month",
                                       "1 m", "99999999999999999 days"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_duration(bad).has_value());
    }
}

TEST_CASE("sizes are shown in three digits", "[base]")
{
    CHECK(show_size(0) == "0 B");
    CHECK(show_size(999) == "999 B");
    CHECK(show_size(1'000) == "1.00 kB");
    CHECK(show_size(9'994) == "9.99 kB");
    CHECK(show_size(9'996) == "10.0 kB");
    CHECK(show_size(99'960) == "100 kB");
    CHECK(show_size(812'345) == "812 kB");
    CHECK(show_size(999'600) == "1.00 MB");
    CHECK(show_size(1'234'000'000) == "1.23 GB");
    CHECK(show_size(1'234'567'890'123'456) == "1235 TB");
}

TEST_CASE("durations are shown in the units that matter", "[base]")
{
    CHECK(show_duration(-5s) == "0 s");
    CHECK(show_duration(0ms) == "0 s");
    CHECK(show_duration(45'999ms) == "45 s");
    CHECK(show_duration(60s) == "1 min");
    CHECK(show_duration(12min + 59s) == "12 min");
    CHECK(show_duration(2h + 5min) == "2 h 5 min");
    CHECK(show_duration(24h) == "1 day 0 h");
    CHECK(show_duration(3 * 24h + 4h + 59min) == "3 days 4 h");
}

TEST_CASE("times are shown in UTC, to the second, and never fail", "[base]")
{
    CHECK(to_rfc3339(from_ms(0)) == "1970-01-01T00:00:00Z");
    CHECK(to_rfc3339(from_ms(1'795'500'000'999)) == "2026-11-24T06:00:00Z");
    CHECK(to_rfc3339(from_ms(951'782'400'000)) == "2000-02-29T00:00:00Z");
    for (const auto odd :
         {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
          std::int64_t{253'402'300'800'000}, std::numeric_limits<std::int64_t>::max()})
        CHECK(to_rfc3339(from_ms(odd)) == "(no date)");
    CHECK(to_ms(from_ms(1'234)) == 1'234);
    CHECK(wall_now() > from_ms(1'700'000'000'000));
}
