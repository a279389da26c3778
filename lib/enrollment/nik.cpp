#include "enrollment/nik.hpp"

#include <algorithm>

namespace titip::enrollment {

namespace {

unsigned number(std::string_view digits) noexcept
{
    unsigned out = 0;
    for (const char c : digits)
        out = out * 10 + static_cast<unsigned>(c - '0');
    return out;
}

} // namespace

bool is_digits(std::string_view text, std::size_t count) noexcept
{
    return text.size() == count &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<nik> nik::parse(std::string_view text)
{
    if (!is_digits(text, 16))
        return std::nullopt;
    return nik{.region = std::string{text.substr(0, 6)},
               .day = number(text.substr(6, 2)),
               .month = number(text.substr(8, 2)),
               .year_of_century = number(text.substr(10, 2)),
               .serial = number(text.substr(12))};
}

} // namespace titip::enrollment
