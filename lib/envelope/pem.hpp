#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"

#include <memory>
#include <vector>

struct x509_st;
struct evp_pkey_st;

/// Certificates and keys as they lie in files.
namespace titip::envelope {

/// All certificates in `pem`, in order; other kinds of blocks are passed over. Empty if there is
/// none, or if one is broken.
std::vector<std::shared_ptr<x509_st>> read_certificates(bytes_view pem);

/// Null if there is no key, or if it is encrypted: a daemon has nobody to ask for a passphrase.
std::shared_ptr<evp_pkey_st> read_key(bytes_view pem);

bool is_p256(const evp_pkey_st* key) noexcept;

/// From and until when a certificate is valid, both inclusive, to the second.
struct validity {
    wall_time from;
    wall_time until;
};

/// A date that cannot be read gives a validity that holds at no time.
validity validity_of(const x509_st* certificate) noexcept;

} // namespace titip::envelope
