#pragma once

#include "base/digest.hpp"
#include "base/time.hpp"

#include <string>

namespace titip::journal {

/// A certificate that is shut out for good: it was seen revoked once (trust::revocations).
struct revoked_certificate {
    digest certificate{}; ///< SHA-256
    std::string name;     ///< what it said: "station:NAME"; empty: an authority's, or not known
    std::string
        why; ///< "crl", "fingerprint"; empty: its row is rotten, and its key says that it is kept
    wall_time at{}; ///< since when it is kept
};

/// Half of the nation's offices. Each is a row of 150 bytes.
inline constexpr std::size_t most_revoked = 4'096;

} // namespace titip::journal
