#include "envelope/der.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace std::string_view_literals;
using envelope::der_reader;

TEST_CASE("DER is read element by element, and what it holds is what was written", "[envelope]")
{
    der_reader outer{as_bytes("\x30\x06\x04\x01x\x02\x01\x05"sv)};
    der_reader inner{outer.take(der_reader::sequence)};
    CHECK(inner.next_tag() == der_reader::octet_string);
    CHECK(as_text(inner.take(der_reader::octet_string)) == "x");
    CHECK_FALSE(inner.finished());
    inner.expect("\x02\x01\x05"sv);
    CHECK(inner.finished());
    CHECK(outer.finished());
}

TEST_CASE("long lengths are read in their shortest form", "[envelope]")
{
    for (const std::size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 65'535u, 65'536u}) {
        CAPTURE(size);
        std::string der = "\x04";
        if (size < 128)
            der += static_cast<char>(size);
        else if (size < 256)
            der += {'\x81', static_cast<char>(size)};
        else if (size < 65'536)
            der += {'\x82', static_cast<char>(size >> 8), static_cast<char>(size)};
        else
            der += {'\x83', static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                    static_cast<char>(size)};
        der.append(size, 'x');
        der_reader whole{as_bytes(der)};
        CHECK(whole.take_whole(der_reader::octet_string).size() == der.size());
        CHECK(whole.finished());
        der_reader content{as_bytes(der)};
        CHECK(content.take(der_reader::octet_string).size() == size);
        der.pop_back();
        der_reader cut{as_bytes(der)};
        CHECK(cut.take(der_reader::octet_string).empty());
        CHECK_FALSE(cut.finished());
    }
}

TEST_CASE("a length with more than one encoding, or none, is refused", "[envelope]")
{
    for (const auto der :
         {"\x04\x81\x01x"sv, "\x04\x82\x00\x01x"sv, "\x04\x80x\0\0"sv, "\x04\x85\0\0\0\0\x01x"sv,
          "\x04\xffx"sv, "\x04"sv, ""sv, "\x04\x82\x01"sv, "\x04\x84\xff\xff\xff\xffx"sv}) {
        CAPTURE(to_hex(as_bytes(der)));
        der_reader reader{as_bytes(der)};
        CHECK(reader.take(der_reader::octet_string).empty());
        CHECK_FALSE(reader.finished());
    }
    const std::string padded = std::string{"\x04\x82\x00\x80", 4} + std::string(0x80, 'x');
    der_reader reader{as_bytes(padded)};
    CHECK(reader.take(der_reader::octet_string).empty());
}

TEST_CASE("after the first misfit a DER reader gives nothing more", "[envelope]")
{
    der_reader reader{as_bytes("\x04\x01x\x04\x01y"sv)};
    CHECK(reader.take(der_reader::set).empty());
    CHECK(reader.take(der_reader::octet_string).empty());
    CHECK(reader.next_tag() == 0);
    CHECK_FALSE(reader.finished());

    der_reader other{as_bytes("\x04\x01x"sv)};
    other.expect("\x04\x01y"sv);
    CHECK(other.take_whole(der_reader::octet_string).empty());
    CHECK_FALSE(other.finished());
}
