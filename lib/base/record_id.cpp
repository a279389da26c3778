#include "base/record_id.hpp"

#include "base/digest.hpp"

#include <algorithm>
#include <cstring>

namespace titip {

namespace {

int hex_value(char c) noexcept
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool is_dash_place(std::size_t i) noexcept
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

} // namespace

std::optional<record_id> record_id::parse(std::string_view text) noexcept
{
    if (text.size() != 36)
        return std::nullopt;
    record_id out;
    std::size_t nibble = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_dash_place(i)) {
            if (text[i] != '-')
                return std::nullopt;
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0)
            return std::nullopt;
        out.value_[nibble / 2] |= std::byte(nibble % 2 == 0 ? value << 4 : value);
        ++nibble;
    }
    if (out == record_id{})
        return std::nullopt;
    return out;
}

std::optional<record_id> record_id::from_bytes(bytes_view data) noexcept
{
    record_id out;
    if (data.size() != out.value_.size())
        return std::nullopt;
    std::ranges::copy(data, out.value_.begin());
    if (out == record_id{})
        return std::nullopt;
    return out;
}

record_id record_id::random()
{
    record_id out;
    fill_random(out.value_);
    out.value_[6] = (out.value_[6] & std::byte{0x0f}) | std::byte{0x40};
    out.value_[8] = (out.value_[8] & std::byte{0x3f}) | std::byte{0x80};
    return out;
}

std::string record_id::to_string() const
{
    const auto hex = to_hex(value_);
    return hex.substr(0, 8) + '-' + hex.substr(8, 4) + '-' + hex.substr(12, 4) + '-' +
           hex.substr(16, 4) + '-' + hex.substr(20);
}

std::optional<epoch_id> epoch_id::from_bytes(bytes_view data) noexcept
{
    epoch_id out;
    if (data.size() != out.value_.size())
        return std::nullopt;
    std::ranges::copy(data, out.value_.begin());
    return out;
}

epoch_id epoch_id::random()
{
    epoch_id out;
    fill_random(out.value_);
    return out;
}

} // namespace titip

std::size_t std::hash<titip::record_id>::operator()(const titip::record_id& id) const noexcept
{
    // UUIDs are mostly random; the last eight bytes are in every version that we know.
    std::size_t out = 0;
    std::memcpy(&out, id.data().data() + 8, sizeof out);
    return out;
}
