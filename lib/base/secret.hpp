#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <utility>

namespace titip {

/// Bytes that no other may see, a private key or a record in the clear: written over when they are let
/// go. Moved, never copied.
class secret {
public:
    secret() = default;
    explicit secret(bytes data) noexcept : data_(std::move(data)) {}
    secret(secret&& other) noexcept : data_(std::exchange(other.data_, {})) {}
    secret& operator=(secret&& other) noexcept
    {
        std::swap(data_, other.data_);
        return *this;
    }
    ~secret();
    bytes_view view() const noexcept { return data_; }

private:
    bytes data_;
};

/// A whole file, which may be a pipe; errc::file_too_large past `limit_bytes`, of which as much is taken
/// at once: a buffer that grew would leave what it had behind.
result<secret> read_secret(const std::filesystem::path& path, std::size_t limit_bytes);

/// Before a secret is read: from here on no core of this process is written, and no other process of the
/// same user may look into it (PR_SET_DUMPABLE; root still can). For good.
void keep_memory_to_ourselves() noexcept;

/// From here on whatever OpenSSL gives back is written over first: its decoders leave a key's bytes behind.
/// Before it has taken any memory, so before the constructors of static objects; false: it was too late.
bool cleanse_what_openssl_frees() noexcept;

} // namespace titip
