#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "trust/error.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

struct x509_st;
struct evp_pkey_st;

namespace titip::trust {

enum class role { station, relay, centre };
std::string_view to_string(role) noexcept;

/// Who a certificate says its holder is: its one URI subject alternative name,
/// titip:station:NAME, titip:relay:NAME or titip:centre (whose name is "centre").
struct peer {
    trust::role role{};
    std::string name;
    friend bool operator==(const peer&, const peer&) = default;
};

/// Nothing if the certificate has no such name, a second URI of any kind, or a NAME that
/// is_node_name() refuses.
std::optional<peer> peer_of(x509_st* certificate);

/// A node's certificate and P-256 key, for TLS and for signing. Shared, immutable; SIGHUP makes a
/// new one. Threads: all functions from any thread.
class identity {
public:
    static result<identity> load(bytes_view certificate_pem, bytes_view key_pem);

    const peer& self() const noexcept { return self_; }
    x509_st* certificate() const noexcept { return certificate_.get(); }
    evp_pkey_st* key() const noexcept { return key_.get(); }
    wall_time not_after() const noexcept { return not_after_; }
    /// Whether our certificate's own dates hold at `t`: a receipt, custody statement or verdict
    /// signed at another time would be believed by nobody, ever.
    bool is_valid_at(wall_time t) const noexcept { return not_before_ <= t && t <= not_after_; }

    /// CMS SignedData, DER, over `content`: ECDSA P-256 with SHA-256, no signed attributes,
    /// certificate included; `openssl cms -verify -binary -inform DER -purpose any` checks it.
    bytes sign(bytes_view content) const;

private:
    identity() = default;
    std::shared_ptr<x509_st> certificate_;
    std::shared_ptr<evp_pkey_st> key_;
    peer self_;
    wall_time not_before_{};
    wall_time not_after_{};
};

} // namespace titip::trust
