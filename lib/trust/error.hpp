#pragma once

#include "base/result.hpp"

namespace titip::trust {

enum class errc {
    bad_certificate = 1, ///< a certificate that names no node, or is none at all
    bad_key = 2,         ///< not PEM, or encrypted
    bad_signature = 3,   ///< not CMS SignedData over its content by the certificate in it
    foreign = 4,         ///< the signer's certificate was not issued by one of our authorities
    expired = 5,         ///< right but for its dates, at the time to judge by
    not_yet_valid = 6,   ///< the same: our clock, or theirs, is wrong
    wrong_role = 7,      ///< this signer may not say this
    bad_authorities = 8, ///< no certificate of an authority in the file
    other_key = 9,       ///< good, and of another certificate
    key_kind = 10,       ///< not P-256
    no_certificate = 11, ///< not PEM, or nothing in it that is a certificate
    revoked = 12,        ///< it, or an authority above it, is shut out here
};

/// Compares with fault::auth for foreign, wrong_role and revoked, with none for the others.
boost::system::error_code make_error_code(errc) noexcept;

} // namespace titip::trust

template <>
struct boost::system::is_error_code_enum<titip::trust::errc> : std::true_type {
};
