#include "base/line.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace titip;

namespace {

std::string repeated(std::string_view text, int times)
{
    std::string out;
    for (int i = 0; i < times; ++i)
        out += text;
    return out;
}

} // namespace

TEST_CASE("text that is fit to be shown stays as it is", "[base]")
{
    for (const std::string each : {"", "too large", "Kabupaten Karimun: 2 \xe2\x82\xac",
                                   "\xf0\x9f\x93\xa6 \xe6\xbc\xa2\xe5\xad\x97", "a  b"})
        CHECK(to_line(each, 200) == each);
}

TEST_CASE("text is cut between characters, never within one", "[base]")
{
    CHECK(to_line("a" + repeated("\xc3\xa9", 150), 200) == "a" + repeated("\xc3\xa9", 99));
    CHECK(to_line(repeated("\xe2\x82\xac", 90), 200) == repeated("\xe2\x82\xac", 66));
    CHECK(to_line("\xf0\x9f\x93\xa6", 3).empty());
    CHECK(to_line("abc", 0).empty());
}

TEST_CASE("what is no text is one sign for each run of it", "[base]")
{
    CHECK(to_line("a\xff\xfe\x80z", 200) == "a\xef\xbf\xbdz");
    CHECK(to_line("\xc3", 200) == "\xef\xbf\xbd");                 // cut off
    CHECK(to_line("\xc0\xaf\xed\xa0\x80", 200) == "\xef\xbf\xbd"); // overlong; a surrogate
    CHECK(to_line("\xf4\x90\x80\x80", 200) == "\xef\xbf\xbd");     // above U+10FFFF
    CHECK(to_line(repeated("\x80", 5'000'000), 200) == "\xef\xbf\xbd");
    CHECK(to_line("\xff\xc3\xa9\xff", 200) == "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd");
}

TEST_CASE("nothing in a line moves a cursor, ends the line, or turns the writing", "[base]")
{
    CHECK(to_line("a\n\r\t\x1b[2Jz\x7f", 200) == "a    [2Jz ");
    CHECK(to_line("\xc2\x9b"
                  "31m",
                  200) == " 31m"); // CSI in one character
    CHECK(to_line("\xe2\x80\xa8|\xe2\x80\xae|\xe2\x81\xa6|\xd8\x9c", 200) == " | | | ");
    CHECK(to_line("\xe2\x81\xa9|", 200) == " |"); // U+2069, the last of the isolates
    CHECK(to_line(std::string_view{"\0x", 2}, 200) == " x");
}

TEST_CASE("whatever comes in, the same text comes out of a line again", "[base]")
{
    std::mt19937 random{11};
    for (int i = 0; i < 20'000; ++i) {
        std::string said;
        for (auto left = random() % 40; left > 0; --left)
            said += static_cast<char>(random() % 3 == 0 ? random() % 0x80 : 0x80 + random() % 0x80);
        const auto most = random() % 30;
        const auto line = to_line(said, most);
        REQUIRE(line.size() <= most);
        REQUIRE(to_line(line, most) == line);
    }
}
