#include "base/name.hpp"

#include <algorithm>

namespace titip {

bool is_node_name(std::string_view text) noexcept
{
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    };
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, fits) &&
           text.front() != '-' && text.back() != '-';
}

} // namespace titip
