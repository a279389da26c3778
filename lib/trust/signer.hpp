#pragma once

#include "base/digest.hpp"

namespace titip::trust {

/// SHA-256 of the certificate in a signed statement, to tell what one certificate signed from what others
/// did. Nothing is verified. What has not the form of identity::sign() has a digest of its own: that of
/// all its bytes.
digest signing_certificate(bytes_view cms);

} // namespace titip::trust
