#include "base/line.hpp"

#include <cstdint>

namespace titip {

namespace {

constexpr std::string_view replacement{"\xef\xbf\xbd"}; // U+FFFD

struct character {
    std::size_t size = 0; ///< bytes; 0: it is none
    std::uint32_t code = 0;
};

/// RFC 3629: neither overlong forms nor surrogates, and nothing above U+10FFFF.
character first_of(std::string_view text)
{
    const auto at = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto lead = at(0);
    if (lead < 0x80)
        return {1, lead};
    const std::size_t size = lead >= 0xc2 && lead <= 0xdf   ? 2
                             : lead >= 0xe0 && lead <= 0xef ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                            : 0;
    if (size == 0 || text.size() < size)
        return {};
    std::uint32_t code = lead & (0xffu >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
        if ((at(i) & 0xc0) != 0x80)
            return {};
        code = code << 6 | (at(i) & 0x3fu);
    }
    const bool is_overlong = code < (size == 2 ? 0x80u : size == 3 ? 0x800u : 0x10000u);
    const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return is_overlong || is_surrogate || code > 0x10ffff ? character{} : character{size, code};
}

bool is_unfit(std::uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

} // namespace

std::string to_line(std::string_view said, std::size_t most_bytes)
{
    std::string out;
    bool was_none = false;
    while (!said.empty()) {
        const auto next = first_of(said);
        const bool is_none = next.size == 0;
        const auto put = is_none               ? replacement
                         : is_unfit(next.code) ? std::string_view{" "}
                                               : said.substr(0, next.size);
        if (!is_none || !was_none) {
            if (out.size() + put.size() > most_bytes)
                break;
            out += put;
        }
        was_none = is_none;
        said.remove_prefix(is_none ? 1 : next.size);
    }
    return out;
}

} // namespace titip
