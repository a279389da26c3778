#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <string_view>

namespace titip::envelope {

/// Reads DER (X.690) of a form that is known beforehand, without copies, and refuses whatever has
/// two encodings: lengths are definite and shortest. OpenSSL's parser is more lenient, so that
/// bytes could be changed without a signature noticing.
///
/// The first element that does not fit makes the reader fail for good: it then gives only empty
/// views, readers over those fail as well, and one look at finished() at the end is enough.
class der_reader {
public:
    static constexpr std::uint8_t bit_string = 0x03;
    static constexpr std::uint8_t octet_string = 0x04;
    static constexpr std::uint8_t sequence = 0x30;
    static constexpr std::uint8_t set = 0x31;
    static constexpr std::uint8_t tag_0 = 0xa0;           ///< [0], constructed
    static constexpr std::uint8_t tag_1 = 0xa1;           ///< [1], constructed
    static constexpr std::uint8_t tag_0_primitive = 0x80; ///< [0] IMPLICIT over a string

    explicit der_reader(bytes_view data) noexcept : rest_(data) {}

    /// The content of the next element, which must have this tag.
    bytes_view take(std::uint8_t tag) noexcept;
    /// The same with its tag and length.
    bytes_view take_whole(std::uint8_t tag) noexcept;
    /// Passes over the tag and length of the next element alone, whose content need not be all here;
    /// gives that length. 0 after a failure, as of an empty one.
    std::size_t enter(std::uint8_t tag) noexcept;
    /// Passes over exactly these bytes.
    void expect(std::string_view der) noexcept;

    /// The tag of the next element; 0, which no element here has, at the end or after a failure.
    std::uint8_t next_tag() const noexcept;
    /// Nothing failed, and nothing is left.
    bool finished() const noexcept { return !failed_ && rest_.empty(); }
    bool failed() const noexcept { return failed_; }
    /// How many bytes are not passed over yet.
    std::size_t left() const noexcept { return rest_.size(); }

private:
    struct element {
        std::size_t header_bytes;
        std::size_t content_bytes;
    };
    element measure_header(std::uint8_t tag) noexcept;
    element measure(std::uint8_t tag) noexcept;
    bytes_view advance(std::size_t size) noexcept;

    bytes_view rest_;
    bool failed_ = false;
};

} // namespace titip::envelope
