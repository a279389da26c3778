#pragma once

#include "base/result.hpp"

namespace titip::vault {

/// Why a custodian refused. The numbers are part of the control API: never reuse one.
enum class errc {
    full = 1,             ///< quota or disk: nothing was written, custody stays with the caller
    conflict = 2,         ///< this id is already here with other bytes
    wrong_offset = 3,     ///< the durable prefix does not end there: ask for it, and go on from it
    unknown = 4,          ///< no such record here
    already_complete = 5, ///< a complete record cannot be discarded
    rotten = 6,           ///< stored bytes no longer match their checksum
    wrong_state = 7,      ///< the record is not in a state that allows this
    store_failed = 8,     ///< a write or sync failed: final for this process
    erased = 9,       ///< the bytes are gone, as they should be; the row and its receipts are here
    cannot_sign = 10, ///< by the clock here our own certificate does not hold: what we signed now
                      ///< would not be believed; nothing was written, try again later
    loop = 11,        ///< the receipt is of the node that brought the record here: it counts on us
    contradicts = 12, ///< a verdict holds that excludes this one: say that it is to replace it
};

/// full and cannot_sign compare with fault::admission, store_failed with fault::store, the others with
/// fault::record.
boost::system::error_code make_error_code(errc) noexcept;

} // namespace titip::vault

template <>
struct boost::system::is_error_code_enum<titip::vault::errc> : std::true_type {
};
