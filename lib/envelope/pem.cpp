#include "envelope/pem.hpp"

#include "envelope/openssl.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <optional>
#include <string_view>

namespace titip::envelope {

namespace {

owned_bio source(bytes_view data)
{
    return owned_bio{BIO_new_mem_buf(data.data(), static_cast<int>(data.size()))};
}

bool ended_well() noexcept
{
    const auto last = ERR_peek_last_error();
    return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

int no_passphrase(char*, int, int, void*) noexcept
{
    return -1;
}

std::optional<wall_time> to_wall_time(const ASN1_TIME* time) noexcept
{
    std::tm calendar{};
    if (ASN1_TIME_to_tm(time, &calendar) != 1)
        return std::nullopt;
    return wall_time{std::chrono::seconds{timegm(&calendar)}};
}

} // namespace

std::vector<std::shared_ptr<x509_st>> read_certificates(bytes_view pem)
{
    const quiet_errors quiet;
    const auto in = source(pem);
    if (!in)
        return {};
    std::vector<std::shared_ptr<x509_st>> out;
    while (auto* next = PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr))
        out.emplace_back(next, X509_free);
    if (!ended_well())
        return {};
    return out;
}

std::shared_ptr<evp_pkey_st> read_key(bytes_view pem)
{
    const quiet_errors quiet;
    const auto in = source(pem);
    if (!in)
        return nullptr;
    auto* key = PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, nullptr);
    if (key == nullptr)
        return nullptr;
    return {key, EVP_PKEY_free};
}

bool is_p256(const evp_pkey_st* key) noexcept
{
    char group[32] = {};
    std::size_t size = 0;
    return key != nullptr && EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
           std::string_view{group, size} == "prime256v1";
}

validity validity_of(const x509_st* certificate) noexcept
{
    const auto from = to_wall_time(X509_get0_notBefore(certificate));
    const auto until = to_wall_time(X509_get0_notAfter(certificate));
    if (!from || !until)
        return {wall_time::max(), wall_time::min()};
    return {*from, *until};
}

} // namespace titip::envelope
