#pragma once

#include "base/digest.hpp"
#include "http/server.hpp"
#include "vault/vault.hpp"

#include <cstdint>

namespace titip::intake {

/// Bytes of bodies in memory, over all connections. Who finds it exhausted commits what it has,
/// which always goes on, so that waiting for memory cannot lock up.
class memory_budget {
public:
    explicit memory_budget(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}
    bool is_exhausted() const noexcept { return used_bytes_ > limit_bytes_; }

    class share {
    public:
        explicit share(memory_budget& of) : of_(&of) {}
        share(share&& other) noexcept : of_(other.of_), bytes_(std::exchange(other.bytes_, 0)) {}
        share& operator=(share&&) = delete;
        ~share() { of_->used_bytes_ -= bytes_; }
        void grow(std::size_t by)
        {
            bytes_ += by;
            of_->used_bytes_ += by;
        }
        void clear() { of_->used_bytes_ -= std::exchange(bytes_, 0); }

    private:
        memory_budget* of_;
        std::size_t bytes_ = 0;
    };

private:
    std::size_t limit_bytes_;
    std::size_t used_bytes_ = 0;
};

/// How the body of one upload ended.
struct arrival {
    bool is_whole = false;    ///< all bytes are here, and have the manifest's digest
    bool is_mismatch = false; ///< all bytes are here, and have another digest
    error_code failed;        ///< of the connection or the vault; what came has been committed
    std::uint64_t offset = 0; ///< durable
    bytes rest;               ///< if whole: from `offset` to the end
    memory_budget::share memory;
};

/// Receives a body from `offset` to the end of the record. It is kept in memory and normally
/// committed once, complete; a prefix is committed when the connection breaks, when 5 s have passed
/// since the last commit, or when memory is short. Hashed as it comes, while the bytes are in the
/// cache.
asio::awaitable<arrival> receive(vault::vault& into, vault::offer what, std::uint64_t offset,
                                 std::uint64_t body_bytes, http::server_connection& from,
                                 memory_budget& budget);

} // namespace titip::intake
