#pragma once

#include "base/bytes.hpp"

#include <optional>
#include <string_view>

namespace titip::intake {

/// The value of one key of tus's Upload-Metadata: comma-separated pairs "key base64"; nothing if
/// the key is absent or its value is not base64.
std::optional<bytes> find_metadata(std::string_view header, std::string_view key);

} // namespace titip::intake
