#include "base/digest.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <new>
#include <stdexcept>

namespace titip {

namespace {

void require(bool good)
{
    if (!good)
        throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

unsigned char* out_of(digest& value)
{
    return reinterpret_cast<unsigned char*>(value.data());
}

} // namespace

digest sha256(bytes_view data)
{
    digest out;
    require(EVP_Digest(data.data(), data.size(), out_of(out), nullptr, EVP_sha256(), nullptr) == 1);
    return out;
}

digest hmac_sha256(bytes_view key, bytes_view data)
{
    digest out;
    unsigned size = 0;
    require(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_uchar(data),
                 data.size(), out_of(out), &size) != nullptr);
    return out;
}

std::optional<digest> to_digest(bytes_view data) noexcept
{
    digest out;
    if (data.size() != out.size())
        return std::nullopt;
    std::ranges::copy(data, out.begin());
    return out;
}

void fill_random(std::span<std::byte> out)
{
    require(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()),
                       static_cast<int>(out.size())) == 1);
}

hasher::hasher() : context_(EVP_MD_CTX_new())
{
    require(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void hasher::update(bytes_view data)
{
    require(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
}

digest hasher::value() const
{
    const std::unique_ptr<evp_md_ctx_st, release> copy{EVP_MD_CTX_new()};
    digest out;
    require(copy && EVP_MD_CTX_copy_ex(copy.get(), context_.get()) == 1 &&
            EVP_DigestFinal_ex(copy.get(), out_of(out), nullptr) == 1);
    return out;
}

void hasher::release::operator()(evp_md_ctx_st* context) const noexcept
{
    EVP_MD_CTX_free(context);
}

} // namespace titip
