#pragma once

#include "http/message.hpp"

#include <algorithm>

namespace titip::http {

/// Appends "name: value". What would end the line is sent as a space: a value that came from
/// outside must not become a header of ours.
inline void append_field(std::string& head, std::string_view name, std::string_view value)
{
    head.append(name).append(": ");
    const std::size_t begin = head.size();
    head.append(value);
    std::replace_if(
        head.begin() + static_cast<std::ptrdiff_t>(begin), head.end(),
        [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    head.append("\r\n");
}

inline void append_fields(std::string& head, const fields& all)
{
    for (const auto& [name, value] : all.all())
        append_field(head, name, value);
}

} // namespace titip::http
