#pragma once

#include "base/bytes.hpp"

#include <optional>
#include <string>
#include <vector>

namespace titip::enrollment {

/// What must be known about the bytes of an Enrollment before protobuf parses them.
struct survey {
    struct text {
        std::string field;
        std::size_t offset = 0;
        std::size_t size = 0;
    };
    /// Protobuf refuses a whole message for one text that is not UTF-8, and does not say which.
    std::vector<text> not_utf8;
    /// More entries than most_biometrics; the walk ended there. An entry takes two bytes on the
    /// wire and a hundred when parsed: 8 MiB would become 400.
    bool too_many_biometrics = false;
};

/// A record has fourteen; a few more are reported one by one.
inline constexpr std::size_t most_biometrics = 64;

/// Nothing if the bytes are not a protobuf message.
std::optional<survey> survey_of(bytes_view submitted);

bool is_utf8(std::string_view text) noexcept;

} // namespace titip::enrollment
