#pragma once

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "base/record_id.hpp"
#include "base/secret.hpp"
#include "envelope/error.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct x509_st;
struct evp_pkey_st;

namespace titip::envelope {

/// The largest sealed envelope that travels (DESIGN: words).
inline constexpr std::size_t limit_bytes = 8u << 20;

/// What the plaintext begins with, so that an envelope moved under another manifest is noticed.
struct inner_ids {
    record_id record;
    std::string station;
    friend bool operator==(const inner_ids&, const inner_ids&) = default;
};

/// Makes sealed envelopes: CMS AuthEnvelopedData (RFC 5083, AES-256-GCM RFC 5084), DER, to every
/// recipient named at construction. P-256 keys by ECDH with the X9.63 KDF over SHA-256, RSA keys by
/// OAEP with SHA-256; recipients are named by subject key identifier. `openssl cms -decrypt` opens
/// it. No copy of the plaintext is made; the ciphertext is held twice for a moment.
///
/// Threads: seal() from any number at once.
///
/// Throws: std::runtime_error if memory or the random generator fails.
class sealer {
public:
    /// The SHA-256 of each certificate in one file of recipients: what load() tells them apart by.
    /// errc::bad_recipient as load().
    static result<std::vector<digest>> fingerprints(const bytes& pem);

    /// From PEM certificates, one or more in each of `pem`. Fewer than two different ones in all:
    /// errc::bad_recipient; so is a key that is neither P-256 nor RSA of at least 2,048 bits, and a
    /// certificate without a subject key identifier.
    /// Dates are not looked at: an expired certificate goes on sealing (node alarms).
    static result<sealer> load(const std::vector<bytes>& pem);

    /// The sealed envelope over Sealed{ids, enrollment}; `enrollment` are the bytes as submitted.
    /// errc::too_large if it would exceed limit_bytes.
    result<bytes> seal(const inner_ids& ids, bytes_view enrollment) const;

    /// For alarms: the earliest end of validity among the recipients, milliseconds since 1970.
    std::int64_t earliest_expiry_ms() const noexcept;

private:
    explicit sealer(std::vector<std::shared_ptr<x509_st>> recipients);
    std::vector<std::shared_ptr<x509_st>> recipients_;
};

struct opened {
    inner_ids ids;
    secret enrollment; ///< as it was submitted
};

/// Opens with a recipient's certificate and private key (PEM). Releases exactly what was sealed, or
/// nothing: errc::not_for_us for changed content, tag or key, errc::not_an_envelope for what
/// check_form() refuses, errc::wrong_ids for a plaintext that does not begin with well-formed ids,
/// errc::bad_recipient for a certificate or key that cannot be read (an encrypted key is one). What it made
/// of the key and of the plaintext is written over before it returns, but for what it gives.
///
/// One part no recipient can check alone: how the content key is wrapped for the *others*, and the
/// version numbers and names beside it. Changing them does not change what is released. Only the
/// manifest's digest covers every byte, so compare it first.
result<opened> open(bytes_view sealed, bytes_view certificate_pem, bytes_view key_pem);

/// Whether `sealed` has exactly the form that a sealer gives it, as far as one without a key can see: DER
/// AuthEnvelopedData with AES-256-GCM, a nonce of 12 bytes and a tag of 16; two recipients or more, in
/// DER's order, each with the algorithms, parameters and lengths that sealer names; nothing beside it.
/// Else errc::not_an_envelope, or errc::too_large.
///
/// Rationale: whatever else CMS allows reaches code of the library that no honest envelope ever reaches,
/// in the one process that has the recipient's key (CVE-2026-63072, -28389, -28390 are of that kind).
///
/// Looks at some twenty headers and as many a recipient; copies nothing.
result<void> check_form(bytes_view sealed);

/// What check_form() needs of an envelope that lies in pieces.
struct form_parts {
    bytes_view first; ///< from its begin: all of it, or at least most_form_bytes
    bytes_view last;  ///< to its end: form_end_bytes
    std::size_t size_bytes = 0;
};
/// What stands before the ciphertext: some 600 bytes; a recipient needs at most 2,150. No file of
/// recipients that a station reads (1 MiB of PEM) gives more than this.
inline constexpr std::size_t most_form_bytes = 1u << 20;
inline constexpr std::size_t form_end_bytes = 18; ///< the tag, with its header
result<void> check_form(const form_parts& sealed);

} // namespace titip::envelope
