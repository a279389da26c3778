#include "journal/marker.hpp"

#include "base/file.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <fstream>

using namespace titip;
using namespace titip::tests;
using journal::marker;

namespace {

std::string line_of(const temporary_folder& at)
{
    const auto text = read_file(at.path() / "untrusted").value();
    const auto line = as_text(text);
    return std::string{line.substr(0, line.find_last_not_of(" \n") + 1)};
}

void write_line(const temporary_folder& at, std::string_view text)
{
    std::ofstream{at.path() / "untrusted"} << text;
}

} // namespace

TEST_CASE("of a store that nobody has spoken against nothing is known", "[journal]")
{
    const temporary_folder at;
    CHECK_FALSE(marker{at.path()}.standing());
    CHECK(line_of(at) == "no");
    write_line(at, "");
    CHECK_FALSE(marker{at.path()}.standing());
    write_line(at, std::string(512, '\0'));
    CHECK_FALSE(marker{at.path()}.standing());
}

TEST_CASE("the first reason against a store stands until an operator's word", "[journal]")
{
    const temporary_folder at;
    {
        marker m{at.path()};
        m.begin_opening();
        CHECK(m.distrust("a sync failed"));
        CHECK(m.distrust("and something after it"));
        m.end_opening();
    }
    {
        marker m{at.path()};
        REQUIRE(m.standing().has_value());
        CHECK(m.standing()->why == "a sync failed");
        CHECK(wall_now() - m.standing()->since < 1min);
        m.end_opening(); // of a start that opened nothing
        CHECK(m.standing().has_value());
        CHECK(m.trust().has_value());
    }
    CHECK_FALSE(marker{at.path()}.standing());
}

TEST_CASE("a doubt ends where another store was put in place, and stands if it was not",
          "[journal]")
{
    const temporary_folder at;
    const auto said = at.path() / "restored";
    marker m{at.path()};
    REQUIRE(m.distrust("a sync failed"));
    const auto doubt = m.standing().value();
    CHECK_FALSE(m.is_of_another_store(doubt));
    std::filesystem::create_directory(said);
    CHECK_FALSE(m.is_of_another_store(doubt));
    std::filesystem::remove(said);
    REQUIRE(write_file(said, as_bytes("what is this")).has_value());
    CHECK_FALSE(m.is_of_another_store(doubt));
    REQUIRE(write_file(said, {}).has_value());
    std::filesystem::last_write_time(said, std::chrono::file_clock::from_sys(doubt.since + 1s));
    CHECK(m.is_of_another_store(doubt));
    std::filesystem::last_write_time(said, std::chrono::file_clock::from_sys(doubt.since - 1s));
    CHECK_FALSE(m.is_of_another_store(doubt));

    REQUIRE(m.trust().has_value());
    m.begin_opening();
    m.put_back(doubt);
    m.end_opening();
    REQUIRE(m.standing().has_value());
    CHECK(m.standing()->why == "a sync failed");
    CHECK(m.standing()->since == doubt.since);
}

TEST_CASE("a reason of any length is one line of one sector", "[journal]")
{
    const temporary_folder at;
    CHECK(marker{at.path()}.distrust(std::string(2'000, 'x')));
    CHECK(std::filesystem::file_size(at.path() / "untrusted") == 512);
    CHECK(marker{at.path()}.standing()->why.starts_with("xxx"));
}

TEST_CASE("openings that come to no end are counted, and eight are enough", "[journal]")
{
    const temporary_folder at;
    for (unsigned i = 0; i < marker::most_openings; ++i) {
        marker m{at.path()};
        REQUIRE_FALSE(m.standing());
        m.begin_opening();
    }
    CHECK(marker{at.path()}.standing()->why.find("8 times") != std::string::npos);
}

TEST_CASE("an opening that came to its end begins the count again", "[journal]")
{
    const temporary_folder at;
    for (unsigned i = 0; i < 3 * marker::most_openings; ++i) {
        marker m{at.path()};
        REQUIRE_FALSE(m.standing());
        m.begin_opening();
        if (i % (marker::most_openings - 1) == 0)
            m.end_opening();
    }
}
