#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string_view>

namespace titip::mirror {

/// Why the second copy cannot be written now.
enum class trouble : std::uint8_t {
    none,
    not_mounted, ///< no such folder, or it lies on the disk of the store itself
    full,
    read_only,
    failed, ///< what the system says is beside it
};
/// "none", "not-mounted", "full", "read-only", "failed".
std::string_view to_string(trouble) noexcept;

/// What an error of writing or reading there means for all records, not for one.
trouble trouble_of(const error_code& why) noexcept;

} // namespace titip::mirror
