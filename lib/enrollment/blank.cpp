#include "enrollment/blank.hpp"

#include <algorithm>
#include <array>

namespace titip::enrollment {

namespace {

using namespace std::literals;

// Spaces of Unicode (Zs, Zl, Zp) beyond ASCII, and what has no width.
constexpr std::array spaces{"\u00a0"sv, "\u00ad"sv, "\u1680"sv, "\u2000"sv, "\u2001"sv, "\u2002"sv,
                            "\u2003"sv, "\u2004"sv, "\u2005"sv, "\u2006"sv, "\u2007"sv, "\u2008"sv,
                            "\u2009"sv, "\u200a"sv, "\u200b"sv, "\u200c"sv, "\u200d"sv, "\u200e"sv,
                            "\u200f"sv, "\u2028"sv, "\u2029"sv, "\u202f"sv, "\u205f"sv, "\u2060"sv,
                            "\u2800"sv, "\u3000"sv, "\u3164"sv, "\ufeff"sv};
constexpr std::array dashes{"\u2010"sv, "\u2011"sv, "\u2012"sv, "\u2013"sv, "\u2014"sv, "\u2015"sv,
                            "\u2018"sv, "\u2019"sv, "\u2026"sv, "\u2212"sv, "\u00b7"sv, "\u00af"sv};

bool is_space(char c) noexcept
{
    return (c >= '\0' && c <= ' ') || c == '\x7f';
}

bool is_sign(char c) noexcept
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

// The size of what `text` begins with if that is one of `these`, else 0.
template <std::size_t N>
std::size_t leading(std::string_view text, const std::array<std::string_view, N>& these) noexcept
{
    const auto found =
        std::ranges::find_if(these, [text](auto each) { return text.starts_with(each); });
    return found == these.end() ? 0 : found->size();
}

} // namespace

bool is_spaces(std::string_view text) noexcept
{
    while (!text.empty()) {
        const auto size = is_space(text.front()) ? 1 : leading(text, spaces);
        if (size == 0)
            return false;
        text.remove_prefix(size);
    }
    return true;
}

bool is_punctuation(std::string_view text) noexcept
{
    while (!text.empty()) {
        auto size = is_space(text.front()) || is_sign(text.front()) ? 1 : leading(text, spaces);
        if (size == 0)
            size = leading(text, dashes);
        if (size == 0)
            return false;
        text.remove_prefix(size);
    }
    return true;
}

} // namespace titip::enrollment
