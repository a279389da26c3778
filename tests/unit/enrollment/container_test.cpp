#include "enrollment/container.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <string>

using namespace titip;
using namespace std::literals;
using enrollment::container;
using enrollment::flaw;

namespace {

std::optional<flaw> examine(container format, const std::string& data)
{
    return enrollment::examine(format, as_bytes(data));
}

struct sample {
    container format;
    std::string data;      ///< the shortest that is right
    std::size_t length_at; ///< the last byte of its length
    std::size_t count_at;  ///< the last byte of its number of images
};

std::array<sample, 6> records()
{
    const auto image = "image"s;
    return {
        sample{container::finger_record,
               "FIR\0"
               "010\0\0\0\0\0\0\x25\0\0\0\x1f\x1"s +
                   std::string(13, '\0') + image,
               13, 18},
        sample{container::finger_record,
               "FIR\0"
               "020\0\0\0\0\x15\0\x1\0\x1"s +
                   image,
               11, 13},
        sample{container::face_record,
               "FAC\0"
               "010\0\0\0\0\x13\0\x1"s +
                   image,
               11, 13},
        sample{container::face_record,
               "FAC\0"
               "030\0\0\0\0\x16\0\x1\0\0\0"s +
                   image,
               11, 13},
        sample{container::iris_record,
               "IIR\0"
               "010\0\0\0\0\x32\0\0\x1"s +
                   std::string(30, '\0') + image,
               11, 14},
        sample{container::iris_record,
               "IIR\0"
               "020\0\0\0\0\x15\0\x1\0\x1"s +
                   image,
               11, 13},
    };
}

const std::string stream = "\xff\x4f\xff\x51\0\x29\0\0\0\0\2\x80\0\0\1\xe0...\xff\xd9"s;
const std::string jp2_signature = "\0\0\0\x0cjP  \r\n\x87\n"s;
const std::string png = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\2\x58\0\0\0\xc8\1\0\0\0\0crc4"
                        "\0\0\0\0IEND\xae\x42\x60\x82"s;

std::string jp2_of(const std::string& boxes)
{
    return jp2_signature + boxes;
}

std::string jp2c(std::size_t size)
{
    return "\0\0\0"s + static_cast<char>(size) + "jp2c" + stream;
}

} // namespace

TEST_CASE("all known editions of the ISO records are taken", "[enrollment]")
{
    for (const auto& each : records()) {
        CAPTURE(each.data);
        CHECK(examine(each.format, each.data) == std::nullopt);
    }
}

TEST_CASE("an ISO record must be as long as it says", "[enrollment]")
{
    for (const auto& each : records()) {
        CAPTURE(each.data);
        CHECK(examine(each.format, each.data.substr(0, each.data.size() - 1)) == flaw::cut_off);
        CHECK(examine(each.format, each.data + "x") == flaw::wrong_length);
        CHECK(examine(each.format, each.data.substr(0, 9)) == flaw::cut_off);
        auto longer = each.data;
        longer[8] = '\1'; // the first byte of the length counts as well
        CHECK(examine(each.format, longer) == flaw::cut_off);
    }
}

TEST_CASE("an ISO record holds at least one image", "[enrollment]")
{
    for (auto each : records()) {
        CAPTURE(each.data);
        auto empty = each.data;
        empty[each.count_at] = '\0';
        CHECK(examine(each.format, empty) == flaw::no_image);
        auto header = each.data.substr(0, each.data.size() - 5);
        header[each.length_at] = static_cast<char>(header.size());
        CHECK(examine(each.format, header) == flaw::no_image);
    }
}

TEST_CASE("ISO records of other kinds and editions are told apart", "[enrollment]")
{
    for (auto each : records()) {
        each.data[5] = '7';
        CHECK(examine(each.format, each.data) == flaw::unknown_version);
        each.data[1] = 'X';
        CHECK(examine(each.format, each.data) == flaw::other_format);
    }
    // 2011 is 030 for faces alone.
    auto records_now = records();
    records_now[3].data[5] = '2';
    CHECK(examine(container::face_record, records_now[3].data) == flaw::unknown_version);
    CHECK(examine(container::iris_record, records_now[0].data) == flaw::other_format);
}

TEST_CASE("a WSQ image begins and ends with its markers", "[enrollment]")
{
    CHECK(examine(container::wsq, "\xff\xa0\xff\xa2...\xff\xa1"s) == std::nullopt);
    CHECK(examine(container::wsq, "\xff\xa0\xff\xa2..."s) == flaw::cut_off);
    CHECK(examine(container::wsq, "\xff\xd8\xff\xe0...\xff\xd9"s) == flaw::other_format);
    CHECK(examine(container::wsq, "\xff\xa0"s) == flaw::other_format);
}

TEST_CASE("a bare JPEG 2000 codestream has a size and an end", "[enrollment]")
{
    CHECK(examine(container::jpeg_2000, stream) == std::nullopt);
    CHECK(examine(container::jpeg_2000, stream.substr(0, stream.size() - 1)) == flaw::cut_off);
    CHECK(examine(container::jpeg_2000, "\xff\x4f\xff\x51\xff\xd9"s) == flaw::cut_off);
    auto flat = stream;
    flat.replace(8, 4, 4, '\0');
    CHECK(examine(container::jpeg_2000, flat) == flaw::no_image);
    CHECK(examine(container::jpeg_2000, "\xff\xd8\xff\xe0"s) == flaw::other_format);
}

TEST_CASE("a JP2 file is followed box by box to its codestream", "[enrollment]")
{
    const auto other = "\0\0\0\x0cxxxxabcd"s;
    const auto size = stream.size() + 8;
    CHECK(examine(container::jpeg_2000, jp2_of(other + jp2c(size))) == std::nullopt);
    CHECK(examine(container::jpeg_2000, jp2_of(jp2c(size) + other)) == std::nullopt);
    CHECK(examine(container::jpeg_2000, jp2_of(other + jp2c(0))) == std::nullopt);
    const auto wide = "\0\0\0\1jp2c\0\0\0\0\0\0\0"s + static_cast<char>(stream.size() + 16);
    CHECK(examine(container::jpeg_2000, jp2_of(wide + stream)) == std::nullopt);
    CHECK(examine(container::jpeg_2000, jp2_of(other)) == flaw::no_image);
    CHECK(examine(container::jpeg_2000, jp2_of(other + jp2c(size + 1))) == flaw::cut_off);
    CHECK(examine(container::jpeg_2000, jp2_of(jp2c(size - 1))) == flaw::cut_off);
    CHECK(examine(container::jpeg_2000, jp2_of(jp2c(7))) == flaw::wrong_length);
    CHECK(examine(container::jpeg_2000, jp2_of("\0\0\0"s)) == flaw::cut_off);
    CHECK(examine(container::jpeg_2000, jp2_of("\0\0\0\1jp2c\xff\xff\xff\xff\xff\xff\xff\xff"s)) ==
          flaw::cut_off);
}

TEST_CASE("a PNG has its header first, a size, and its end", "[enrollment]")
{
    CHECK(examine(container::png, png) == std::nullopt);
    CHECK(examine(container::png, png.substr(0, png.size() - 1)) == flaw::cut_off);
    CHECK(examine(container::png, png + "x") == flaw::padded);
    auto flat = png;
    flat.replace(20, 4, 4, '\0');
    CHECK(examine(container::png, flat) == flaw::no_image);
    auto other = png;
    other[12] = 'J';
    CHECK(examine(container::png, other) == flaw::other_format);
}

TEST_CASE("no format is found in nothing", "[enrollment]")
{
    for (int format = 1; format <= 6; ++format)
        CHECK(examine(static_cast<container>(format), "") == flaw::other_format);
}
