#include "trust/identity.hpp"

#include "base/name.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"

#include <openssl/cms.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdexcept>
#include <string_view>

namespace titip::trust {

namespace {

using envelope::owned;

std::optional<peer> parse_uri(std::string_view uri)
{
    using namespace std::string_view_literals;
    if (uri == "titip:centre")
        return peer{role::centre, "centre"};
    for (const auto each : {role::station, role::relay}) {
        const auto prefix = "titip:" + std::string{to_string(each)} + ':';
        if (uri.starts_with(prefix) && is_node_name(uri.substr(prefix.size())))
            return peer{each, std::string{uri.substr(prefix.size())}};
    }
    return std::nullopt;
}

void require(bool good)
{
    if (!good)
        throw std::runtime_error("OpenSSL cannot sign");
}

} // namespace

std::string_view to_string(role value) noexcept
{
    switch (value) {
    case role::station:
        return "station";
    case role::relay:
        return "relay";
    case role::centre:
        return "centre";
    }
    return "unknown";
}

std::optional<peer> peer_of(x509_st* certificate)
{
    const envelope::quiet_errors quiet;
    const owned<GENERAL_NAMES, GENERAL_NAMES_free> names{static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    std::optional<std::string_view> uri;
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const auto* name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_URI)
            continue;
        if (uri)
            return std::nullopt;
        const auto* text = name->d.uniformResourceIdentifier;
        uri = {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
               static_cast<std::size_t>(ASN1_STRING_length(text))};
    }
    return uri ? parse_uri(*uri) : std::nullopt;
}

result<identity> identity::load(bytes_view certificate_pem, bytes_view key_pem)
{
    const envelope::quiet_errors quiet;
    const auto certificates = envelope::read_certificates(certificate_pem);
    if (certificates.empty())
        return errc::no_certificate;
    const auto self = peer_of(certificates.front().get());
    if (!self)
        return errc::bad_certificate;
    identity out;
    out.certificate_ = certificates.front();
    out.key_ = envelope::read_key(key_pem);
    if (!out.key_)
        return errc::bad_key;
    if (!envelope::is_p256(out.key_.get()))
        return errc::key_kind;
    if (X509_check_private_key(out.certificate_.get(), out.key_.get()) != 1)
        return errc::other_key;
    out.self_ = *self;
    const auto valid = envelope::validity_of(out.certificate_.get());
    out.not_before_ = valid.from;
    out.not_after_ = valid.until;
    return out;
}

bytes identity::sign(bytes_view content) const
{
    const envelope::quiet_errors quiet;
    const void* data = content.data() != nullptr ? content.data() : as_bytes("").data();
    const envelope::owned_bio in{BIO_new_mem_buf(data, static_cast<int>(content.size()))};
    require(in != nullptr);
    const owned<CMS_ContentInfo, CMS_ContentInfo_free> cms{
        CMS_sign(certificate_.get(), key_.get(), nullptr, in.get(),
                 CMS_BINARY | CMS_NOATTR | CMS_NOSMIMECAP)};
    require(cms != nullptr);
    const int size = i2d_CMS_ContentInfo(cms.get(), nullptr);
    require(size > 0);
    bytes out(static_cast<std::size_t>(size));
    auto* position = reinterpret_cast<unsigned char*>(out.data());
    require(i2d_CMS_ContentInfo(cms.get(), &position) == size);
    return out;
}

} // namespace titip::trust
