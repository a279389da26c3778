#pragma once

#include "base/bytes.hpp"

#include <array>
#include <memory>
#include <optional>

struct evp_md_ctx_st;

namespace titip {

/// A SHA-256.
using digest = std::array<std::byte, 32>;

digest sha256(bytes_view data);

/// HMAC-SHA-256 (RFC 2104).
digest hmac_sha256(bytes_view key, bytes_view data);

/// Nothing if `data` is not 32 bytes.
std::optional<digest> to_digest(bytes_view data) noexcept;

/// Cryptographically strong random bytes. Ends the program if the system has none to give.
void fill_random(std::span<std::byte> out);

/// SHA-256 over bytes that come in pieces.
class hasher {
public:
    hasher();
    void update(bytes_view data);
    /// The digest of what came so far; more may follow.
    digest value() const;

private:
    struct release {
        void operator()(evp_md_ctx_st*) const noexcept;
    };
    std::unique_ptr<evp_md_ctx_st, release> context_;
};

} // namespace titip
