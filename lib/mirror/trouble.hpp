#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string_view>

namespace titip::mirror {

/// Why the second copy cannot be written now.
enum class trouble : std::uint8_t {
    none,
    not_mounted,   ///< no disk is there, or only the store's own
    not_marked,    ///< a disk is there that nobody said is for this
    other_station, ///< a disk is there that is another station's
    full,
    read_only,
    forbidden,   ///< the daemon may not write there: owner, mode, or the service's own confinement
    mark_ruined, ///< it has a mark, which is not what was written
    tampered,    ///< what has a name of ours there is a link, a device or the like
    hangs,       ///< an operation does not come back
    failed,      ///< what the system says is beside it
};
/// "none", "not-mounted", "not-marked", "other-station", "mark-ruined", "full", "read-only", "forbidden",
/// "tampered", "hangs", "failed".
std::string_view to_string(trouble) noexcept;

/// What an error of writing or reading there means for all records, not for one.
trouble trouble_of(const error_code& why) noexcept;

} // namespace titip::mirror
