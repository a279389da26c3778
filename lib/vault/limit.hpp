#pragma once

#include "base/result.hpp"

namespace titip::vault {

/// Why a custodian takes no more of *one station* for now, although it has room: what one peer can
/// make grow has an end. Nothing was written, custody stays with the caller. All compare with
/// fault::admission.
enum class limit {
    numbers = 1, ///< its numbers have so many holes that another may not be opened
    arriving,    ///< it has begun so many records that another may not be begun
    share,       ///< the node is nearly full, and this station has more than an equal share of it
};
boost::system::error_code make_error_code(limit) noexcept;

/// Whether `why` is one of these.
bool is_limit(const boost::system::error_code& why) noexcept;

} // namespace titip::vault

template <>
struct boost::system::is_error_code_enum<titip::vault::limit> : std::true_type {
};
