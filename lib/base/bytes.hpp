#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titip {

using bytes = std::vector<std::byte>;
using bytes_view = std::span<const std::byte>;

inline bytes_view as_bytes(std::string_view text) noexcept
{
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view as_text(bytes_view data) noexcept
{
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// For C libraries that count bytes in unsigned char.
inline const unsigned char* as_uchar(bytes_view data) noexcept
{
    return reinterpret_cast<const unsigned char*>(data.data());
}

inline bytes to_bytes(bytes_view data)
{
    return {data.begin(), data.end()};
}

/// Lower-case hexadecimal.
std::string to_hex(bytes_view data);

/// RFC 4648 section 4, padded, without line breaks.
std::string to_base64(bytes_view data);
std::optional<bytes> from_base64(std::string_view text);

} // namespace titip
