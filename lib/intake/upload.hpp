#pragma once

#include "base/digest.hpp"
#include "http/server.hpp"
#include "intake/turnstile.hpp"
#include "vault/vault.hpp"

#include <cstdint>

namespace titip::intake {

/// How the body of one upload ended.
struct arrival {
    bool is_whole = false;    ///< all bytes are here, and have the manifest's digest
    bool is_mismatch = false; ///< all bytes are here, and have another digest
    bool has_form = false;    ///< if whole: it is what a sealer makes (envelope::check_form)
    error_code failed;        ///< of the connection or the vault; what came has been committed
    std::uint64_t offset = 0; ///< durable
    bytes rest;               ///< if whole: from `offset` to the end
    turnstile::place place;
};

/// Receives a body from `offset` to the end of the record. It is kept in memory and normally
/// committed once, complete; a prefix is committed when the connection breaks, when 5 s have passed
/// since the last commit, or when memory is short. Hashed as it comes, while the bytes are in the
/// cache.
asio::awaitable<arrival> receive(vault::vault& into, vault::offer what, std::uint64_t offset,
                                 std::uint64_t body_bytes, http::server_connection& from,
                                 turnstile::place place);

} // namespace titip::intake
