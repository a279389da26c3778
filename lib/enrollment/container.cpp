#include "enrollment/container.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace titip::enrollment {

namespace {

using namespace std::literals;

std::uint64_t number_at(bytes_view data, std::size_t offset, std::size_t size) noexcept
{
    std::uint64_t out = 0;
    for (const auto each : data.subspan(offset, size))
        out = out << 8 | std::to_integer<std::uint64_t>(each);
    return out;
}

bool begins(bytes_view data, std::string_view with) noexcept
{
    return as_text(data).starts_with(with);
}

bool ends(bytes_view data, std::string_view with) noexcept
{
    return as_text(data).ends_with(with);
}

// General headers of the ISO/IEC 19794 records. The 2005 finger record alone has a length of
// six bytes; editions of 2011 count representations where those of 2005 count fingers, faces or
// eyes. Checked against NIST's biomdi (2005) and MOSIP's biometrics-util (2011).
struct edition {
    container format;
    std::string_view magic;
    std::string_view version;
    std::size_t header_bytes;
    std::size_t length_bytes;
    std::size_t count_at;
    std::size_t count_bytes;
};
constexpr std::array editions{
    edition{container::finger_record, "FIR\0"sv, "010\0"sv, 32, 6, 18, 1},
    edition{container::finger_record, "FIR\0"sv, "020\0"sv, 16, 4, 12, 2},
    edition{container::face_record, "FAC\0"sv, "010\0"sv, 14, 4, 12, 2},
    edition{container::face_record, "FAC\0"sv, "030\0"sv, 17, 4, 12, 2},
    edition{container::iris_record, "IIR\0"sv, "010\0"sv, 45, 4, 14, 1},
    edition{container::iris_record, "IIR\0"sv, "020\0"sv, 16, 4, 12, 2},
};

std::optional<flaw> examine_record(const edition& e, bytes_view data)
{
    if (data.size() < e.header_bytes)
        return flaw::cut_off;
    const auto length = number_at(data, 8, e.length_bytes);
    if (length > data.size())
        return flaw::cut_off;
    if (length < data.size())
        return flaw::wrong_length;
    if (number_at(data, e.count_at, e.count_bytes) == 0 || length == e.header_bytes)
        return flaw::no_image;
    return std::nullopt;
}

std::optional<flaw> examine_iso(container format, bytes_view data)
{
    auto found = flaw::other_format;
    for (const auto& each : editions) {
        if (each.format != format || !begins(data, each.magic))
            continue;
        if (begins(data.subspan(each.magic.size()), each.version))
            return examine_record(each, data);
        found = flaw::unknown_version;
    }
    return found;
}

// What is there of an image that does not end as it should. A file that was filled up to whole
// blocks lacks nothing: it must not be told as one that is cut off.
flaw wrong_end(bytes_view data, std::string_view end) noexcept
{
    const auto text = as_text(data);
    const auto last = text.find_last_not_of(text.back());
    return last != text.npos && text.substr(0, last + 1).ends_with(end) ? flaw::padded
                                                                        : flaw::cut_off;
}

// FBI IAFIS-IC-0110 V3.1: SOI, segments, EOI.
std::optional<flaw> examine_wsq(bytes_view data)
{
    constexpr auto end = "\xff\xa1"sv;
    if (!begins(data, "\xff\xa0\xff"sv))
        return flaw::other_format;
    return ends(data, end) ? std::nullopt : std::optional{wrong_end(data, end)};
}

// ISO/IEC 15444-1 annex A: SOC, then SIZ with the size of the reference grid, ..., EOC.
std::optional<flaw> examine_codestream(bytes_view data)
{
    constexpr std::size_t width_at = 8;
    constexpr std::size_t height_at = 12;
    if (!begins(data, "\xff\x4f\xff\x51"sv))
        return flaw::other_format;
    constexpr auto end = "\xff\xd9"sv;
    if (data.size() < height_at + 4)
        return flaw::cut_off;
    if (!ends(data, end))
        return wrong_end(data, end);
    if (number_at(data, width_at, 4) == 0 || number_at(data, height_at, 4) == 0)
        return flaw::no_image;
    return std::nullopt;
}

// Annex I: boxes of length, type and content; length 1 means that 64 bits follow the type, and
// 0 that the box is the last. Finds the codestream in them.
std::optional<flaw> look_into_boxes(bytes_view rest, bytes_view& codestream)
{
    while (!rest.empty()) {
        if (rest.size() < 8)
            return flaw::cut_off;
        std::size_t header_bytes = 8;
        auto size = number_at(rest, 0, 4);
        if (size == 1) {
            header_bytes = 16;
            if (rest.size() < header_bytes)
                return flaw::cut_off;
            size = number_at(rest, 8, 8);
        } else if (size == 0) {
            size = rest.size();
        }
        if (size < header_bytes)
            return flaw::wrong_length;
        if (size > rest.size())
            return flaw::cut_off;
        if (begins(rest.subspan(4), "jp2c"sv)) {
            codestream = rest.first(size).subspan(header_bytes);
            return std::nullopt;
        }
        rest = rest.subspan(size);
    }
    return flaw::no_image;
}

constexpr auto jp2_signature = "\0\0\0\x0cjP  \r\n\x87\n"sv;

std::optional<flaw> examine_jpeg_2000(bytes_view data)
{
    if (!begins(data, jp2_signature))
        return examine_codestream(data);
    bytes_view codestream;
    if (const auto found = look_into_boxes(data.subspan(jp2_signature.size()), codestream))
        return found;
    return examine_codestream(codestream);
}

// ISO/IEC 15948: the signature, IHDR first, IEND (whose CRC never changes) last.
std::optional<flaw> examine_png(bytes_view data)
{
    constexpr auto start = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"sv;
    constexpr auto end = "\0\0\0\0IEND\xae\x42\x60\x82"sv;
    if (!begins(data, start))
        return flaw::other_format;
    if (data.size() < start.size() + 17 + end.size())
        return flaw::cut_off;
    if (!ends(data, end))
        return as_text(data).find(end) == std::string_view::npos ? flaw::cut_off : flaw::padded;
    if (number_at(data, start.size(), 4) == 0 || number_at(data, start.size() + 4, 4) == 0)
        return flaw::no_image;
    return std::nullopt;
}

std::optional<picture> sized(bytes_view data, std::size_t width_at, std::size_t height_at,
                             std::size_t bytes_each)
{
    if (data.size() < std::max(width_at, height_at) + bytes_each)
        return std::nullopt;
    return picture{static_cast<std::uint32_t>(number_at(data, width_at, bytes_each)),
                   static_cast<std::uint32_t>(number_at(data, height_at, bytes_each)), false};
}

std::optional<picture> picture_of_wsq(bytes_view data)
{
    constexpr std::size_t most_segments = 64; // a few tables and comments stand before the frame
    std::size_t at = 2;
    for (std::size_t i = 0; i < most_segments && data.size() >= at + 4; ++i) {
        const auto segment = data.subspan(at);
        if (begins(segment, "\xff\xa2"sv)) // SOF: length, black, white, height, width
            return sized(segment, 8, 6, 2);
        at += 2 + number_at(segment, 2, 2);
    }
    return std::nullopt;
}

// Even packets that say nothing take a few bytes for each tile, resolution and layer.
bool is_blank_codestream(std::size_t size, const picture& shown) noexcept
{
    return size < 150 + std::uint64_t{shown.width} * shown.height / 600;
}

std::optional<picture> picture_of_codestream(bytes_view data)
{
    constexpr std::size_t width_at = 8; // and height; the offsets of the image area follow
    auto out = sized(data, width_at, width_at + 4, 4);
    const auto offset = sized(data, width_at + 8, width_at + 12, 4);
    if (!out || !offset)
        return std::nullopt;
    out->width -= std::min(out->width, offset->width);
    out->height -= std::min(out->height, offset->height);
    out->is_blank = is_blank_codestream(data.size(), *out);
    return out;
}

std::optional<picture> picture_of_jpeg_2000(bytes_view data)
{
    if (!begins(data, jp2_signature))
        return picture_of_codestream(data);
    bytes_view codestream;
    if (look_into_boxes(data.subspan(jp2_signature.size()), codestream))
        return std::nullopt;
    return picture_of_codestream(codestream);
}

std::optional<picture> picture_of_png(bytes_view data)
{
    constexpr std::size_t width_at = 16;
    constexpr std::size_t depth_at = 24; // and the type of colour
    constexpr std::array<std::uint64_t, 7> channels{1, 1, 3, 1, 2, 1, 4};
    auto out = sized(data, width_at, width_at + 4, 4);
    if (!out || data.size() < depth_at + 2)
        return std::nullopt;
    const auto colour = number_at(data, depth_at + 1, 1);
    const auto bits =
        number_at(data, depth_at, 1) * channels[colour < channels.size() ? colour : 0];
    const double raw_bytes = out->height * (1 + static_cast<double>(out->width * bits) / 8);
    // Deflate makes of equal bytes a thousandth; of a pen's few strokes it leaves ten times more.
    out->is_blank = static_cast<double>(data.size()) < 120 + raw_bytes / 400;
    return out;
}

// Of the editions of 2005, whose headers are of fixed sizes; and of an image of JPEG 2000 or PNG
// that stands near the beginning of another.
std::optional<picture> picture_of_iso(bytes_view data)
{
    if (begins(data, "FIR\0"
                     "010\0"sv))
        return sized(data, 32 + 9, 32 + 11, 2);
    if (begins(data, "IIR\0"
                     "010\0"sv))
        return sized(data, 23, 25, 2);
    if (begins(data, "FAC\0"
                     "010\0"sv) &&
        data.size() >= 14 + 6) {
        const auto points = number_at(data, 14 + 4, 2);
        return sized(data, 14 + 20 + 8 * points + 2, 14 + 20 + 8 * points + 4, 2);
    }
    constexpr std::size_t most_header_bytes = 1'024;
    const auto text = as_text(data.first(std::min(data.size(), most_header_bytes)));
    if (const auto at = text.find("\xff\x4f\xff\x51"sv); at != text.npos)
        return picture_of_codestream(data.subspan(at));
    if (const auto at = text.find("\x89PNG\r\n\x1a\n"sv); at != text.npos)
        return picture_of_png(data.subspan(at));
    return std::nullopt;
}

} // namespace

std::optional<picture> picture_of(container format, bytes_view data)
{
    switch (format) {
    case container::finger_record:
    case container::face_record:
    case container::iris_record:
        return picture_of_iso(data);
    case container::wsq:
        return picture_of_wsq(data);
    case container::jpeg_2000:
        return picture_of_jpeg_2000(data);
    case container::png:
        return picture_of_png(data);
    }
    return std::nullopt;
}

std::optional<flaw> examine(container format, bytes_view data)
{
    switch (format) {
    case container::finger_record:
    case container::face_record:
    case container::iris_record:
        return examine_iso(format, data);
    case container::wsq:
        return examine_wsq(data);
    case container::jpeg_2000:
        return examine_jpeg_2000(data);
    case container::png:
        return examine_png(data);
    }
    return flaw::other_format;
}

} // namespace titip::enrollment
