#pragma once

#include "base/result.hpp"

namespace titip::envelope {

/// Why bytes were refused. The numbers are part of the control API: never reuse one.
enum class errc {
    not_an_envelope = 1, ///< not DER, not AuthEnvelopedData, or something follows it
    not_for_us = 2,      ///< no recipient fits the key, or the tag does not match: nothing released
    wrong_ids = 3,       ///< the ids inside are not those expected
    bad_recipient = 4,   ///< a certificate whose key cannot receive: neither P-256 nor RSA >= 2048
    bad_statement = 5,   ///< not a Statement, or a field of it is missing or out of its range
    too_large = 6,       ///< over envelope::limit_bytes
};

boost::system::error_code make_error_code(errc) noexcept;

} // namespace titip::envelope

template <>
struct boost::system::is_error_code_enum<titip::envelope::errc> : std::true_type {
};
