#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct x509_st;
struct evp_pkey_st;

/// Throw-away certificates for tests and benches, made in memory: the dates of checked-in files
/// would run out. Throws std::runtime_error if OpenSSL fails.
namespace titip::support {

/// The default holds from a day ago for 825 days.
struct dates {
    wall_time not_before = wall_now() - 24h;
    wall_time not_after = wall_now() + 824 * 24h;
};

enum class key_kind { p256, rsa2048, p384, rsa1024 };

/// A certificate and its private key, both PEM.
struct credential {
    bytes certificate;
    bytes key;
};

/// An authority and what it issues.
class pki {
public:
    /// A root.
    explicit pki(std::string_view name = "Test Authority", const dates& valid = {},
                 key_kind kind = key_kind::p256);
    /// An intermediate below `parent`.
    pki(const pki& parent, std::string_view name, const dates& valid = {});

    /// Its certificate, PEM.
    const bytes& authorities() const { return self_.certificate; }
    /// Its certificate and key.
    const credential& self() const { return self_; }
    /// A root of the same name and key under other dates: an authority that was renewed.
    bytes renewed(const dates& valid) const;

    credential station(std::string_view name, const dates& valid = {}) const;
    credential relay(std::string_view name, const dates& valid = {}) const;
    credential centre(const dates& valid = {}) const;

    /// Any URI alternative names, beside DNS:localhost and IP:127.0.0.1, which all nodes have.
    credential node(const std::vector<std::string>& uris, const dates& valid = {},
                    key_kind kind = key_kind::p256) const;

private:
    std::string name_;
    std::shared_ptr<evp_pkey_st> key_;
    std::shared_ptr<x509_st> certificate_;
    credential self_;
};

/// A self-made certificate to seal to, with a subject key identifier.
credential recipient(key_kind kind, std::string_view common_name = "Test Recipient",
                     const dates& valid = {});

} // namespace titip::support
