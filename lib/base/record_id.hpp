#pragma once

#include "base/bytes.hpp"

#include <array>
#include <compare>
#include <functional>
#include <optional>
#include <string>

namespace titip {

/// A record's name, chosen by the capture program: any RFC 9562 UUID but the nil one. Nothing reads
/// a time or an order from it.
class record_id {
public:
    static constexpr std::size_t size_bytes = 16;

    /// The 36-character form, in either case; nothing for anything else.
    static std::optional<record_id> parse(std::string_view text) noexcept;
    static std::optional<record_id> from_bytes(bytes_view data) noexcept;
    /// A fresh UUID version 4.
    static record_id random();

    bytes_view data() const noexcept { return value_; }
    /// Lower-case, 36 characters.
    std::string to_string() const;

    friend auto operator<=>(const record_id&, const record_id&) = default;

private:
    std::array<std::byte, size_bytes> value_{};
};

/// A random value born with a store; a place in a numbering is (station, epoch, sequence).
class epoch_id {
public:
    static std::optional<epoch_id> from_bytes(bytes_view data) noexcept;
    static epoch_id random();
    bytes_view data() const noexcept { return value_; }
    std::string to_string() const { return to_hex(value_); }

    friend auto operator<=>(const epoch_id&, const epoch_id&) = default;

private:
    std::array<std::byte, 16> value_{};
};

} // namespace titip

template <>
struct std::hash<titip::record_id> {
    std::size_t operator()(const titip::record_id&) const noexcept;
};
