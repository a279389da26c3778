#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <vector>

/// DER taken apart and put together again, with lengths that fit: what tests change elements in.
namespace titip::support {

struct element {
    std::uint8_t tag = 0;
    bytes content;                 ///< of a primitive one
    std::vector<element> children; ///< of a constructed one that could be read
};

inline bool is_constructed(std::uint8_t tag)
{
    return (tag & 0x20) != 0;
}

inline bool parse(bytes_view data, std::vector<element>& out, int depth = 0)
{
    constexpr int deepest = 24;
    while (!data.empty()) {
        const auto at = [&](std::size_t i) { return std::to_integer<std::size_t>(data[i]); };
        if (data.size() < 2 || depth > deepest)
            return false;
        std::size_t header = 2;
        std::size_t size = at(1);
        if (size >= 0x80) {
            const auto digits = size - 0x80;
            if (digits == 0 || digits > 4 || data.size() < 2 + digits)
                return false;
            size = 0;
            for (std::size_t i = 0; i < digits; ++i)
                size = size << 8 | at(2 + i);
            header += digits;
        }
        if (data.size() - header < size)
            return false;
        element next;
        next.tag = static_cast<std::uint8_t>(at(0));
        const auto content = data.subspan(header, size);
        if (!is_constructed(next.tag) || !parse(content, next.children, depth + 1)) {
            next.children.clear();
            next.content = to_bytes(content);
        }
        out.push_back(std::move(next));
        data = data.subspan(header + size);
    }
    return true;
}

inline void write(const element& from, bytes& out)
{
    bytes content = from.content;
    for (const auto& each : from.children)
        write(each, content);
    out.push_back(std::byte{from.tag});
    const auto size = content.size();
    if (size < 0x80) {
        out.push_back(static_cast<std::byte>(size));
    } else {
        int digits = 1;
        while (size >> (8 * digits) != 0)
            ++digits;
        out.push_back(static_cast<std::byte>(0x80 + digits));
        for (int i = digits; i-- > 0;)
            out.push_back(static_cast<std::byte>(size >> (8 * i) & 0xff));
    }
    out.insert(out.end(), content.begin(), content.end());
}

} // namespace titip::support
