#include "enrollment/container.hpp"

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

// FBI IAFIS-IC-0110 V3.1: SOI, segments, EOI.
std::optional<flaw> examine_wsq(bytes_view data)
{
    if (!begins(data, "\xff\xa0\xff"sv))
        return flaw::other_format;
    return ends(data, "\xff\xa1"sv) ? std::nullopt : std::optional{flaw::cut_off};
}

// ISO/IEC 15444-1 annex A: SOC, then SIZ with the size of the reference grid, ..., EOC.
std::optional<flaw> examine_codestream(bytes_view data)
{
    constexpr std::size_t width_at = 8;
    constexpr std::size_t height_at = 12;
    if (!begins(data, "\xff\x4f\xff\x51"sv))
        return flaw::other_format;
    if (data.size() < height_at + 4 || !ends(data, "\xff\xd9"sv))
        return flaw::cut_off;
    if (number_at(data, width_at, 4) == 0 || number_at(data, height_at, 4) == 0)
        return flaw::no_image;
    return std::nullopt;
}

// Annex I: boxes of length, type and content; length 1 means that 64 bits follow the type, and
// 0 that the box is the last.
std::optional<flaw> examine_boxes(bytes_view rest)
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
        if (begins(rest.subspan(4), "jp2c"sv))
            return examine_codestream(rest.first(size).subspan(header_bytes));
        rest = rest.subspan(size);
    }
    return flaw::no_image;
}

std::optional<flaw> examine_jpeg_2000(bytes_view data)
{
    constexpr auto signature = "\0\0\0\x0cjP  \r\n\x87\n"sv;
    if (begins(data, signature))
        return examine_boxes(data.subspan(signature.size()));
    return examine_codestream(data);
}

// ISO/IEC 15948: the signature, IHDR first, IEND (whose CRC never changes) last.
std::optional<flaw> examine_png(bytes_view data)
{
    constexpr auto start = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"sv;
    constexpr auto end = "\0\0\0\0IEND\xae\x42\x60\x82"sv;
    if (!begins(data, start))
        return flaw::other_format;
    if (data.size() < start.size() + 17 + end.size() || !ends(data, end))
        return flaw::cut_off;
    if (number_at(data, start.size(), 4) == 0 || number_at(data, start.size() + 4, 4) == 0)
        return flaw::no_image;
    return std::nullopt;
}

} // namespace

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
