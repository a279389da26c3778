#pragma once

#include <string_view>

namespace titip::enrollment {

/// Of a text in UTF-8: whether it is nothing but spaces, and other signs that show nothing.
bool is_spaces(std::string_view text) noexcept;

/// Whether it is nothing but those and dashes, dots, commas and the like.
bool is_punctuation(std::string_view text) noexcept;

} // namespace titip::enrollment
