#include "support/pki.hpp"

#include "base/digest.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <stdexcept>

namespace titip::support {

namespace {

using shared_key = std::shared_ptr<EVP_PKEY>;
using shared_certificate = std::shared_ptr<X509>;

void require(bool good)
{
    if (!good)
        throw std::runtime_error("OpenSSL cannot make a certificate");
}

shared_key make_key(key_kind kind)
{
    const auto generate = [kind] {
        switch (kind) {
        case key_kind::p256:
            return EVP_EC_gen("P-256");
        case key_kind::p384:
            return EVP_EC_gen("P-384");
        case key_kind::rsa2048:
            return EVP_RSA_gen(2048);
        case key_kind::rsa1024:
            return EVP_RSA_gen(1024);
        }
        return static_cast<EVP_PKEY*>(nullptr);
    };
    shared_key out{generate(), EVP_PKEY_free};
    require(out != nullptr);
    return out;
}

void set_serial(X509* certificate)
{
    std::array<std::byte, 8> random;
    fill_random(random);
    random[0] = (random[0] & std::byte{0x7f}) | std::byte{0x40}; // positive, full length
    const std::unique_ptr<BIGNUM, decltype(&BN_free)> number{
        BN_bin2bn(as_uchar(random), static_cast<int>(random.size()), nullptr), BN_free};
    require(number &&
            BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void set_time(ASN1_TIME* to, wall_time from)
{
    const auto seconds = std::chrono::floor<std::chrono::seconds>(from).time_since_epoch().count();
    require(ASN1_TIME_adj(to, seconds, 0, 0) != nullptr);
}

struct parties {
    X509* issuer; ///< null: itself
    EVP_PKEY* issuer_key;
    EVP_PKEY* subject_key;
};

shared_certificate begin(std::string_view name, const parties& who, const dates& valid)
{
    shared_certificate out{X509_new(), X509_free};
    require(out && X509_set_version(out.get(), X509_VERSION_3) == 1 &&
            X509_set_pubkey(out.get(), who.subject_key) == 1);
    set_serial(out.get());
    set_time(X509_getm_notBefore(out.get()), valid.not_before);
    set_time(X509_getm_notAfter(out.get()), valid.not_after);
    require(X509_NAME_add_entry_by_txt(X509_get_subject_name(out.get()), "CN", MBSTRING_UTF8,
                                       as_uchar(as_bytes(name)), static_cast<int>(name.size()), -1,
                                       0) == 1);
    auto* issuer = who.issuer != nullptr ? who.issuer : out.get();
    require(X509_set_issuer_name(out.get(), X509_get_subject_name(issuer)) == 1);
    return out;
}

void add(X509* certificate, X509* issuer, int nid, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer != nullptr ? issuer : certificate, certificate, nullptr,
                   nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension{
        X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), X509_EXTENSION_free};
    require(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

void finish(X509* certificate, EVP_PKEY* issuer_key)
{
    require(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
}

template <class Write>
bytes to_pem(Write write)
{
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> out{BIO_new(BIO_s_mem()), BIO_free_all};
    require(out && write(out.get()) == 1);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return to_bytes(as_bytes({data, static_cast<std::size_t>(size)}));
}

credential to_credential(X509* certificate, EVP_PKEY* key)
{
    return {to_pem([=](BIO* out) { return PEM_write_bio_X509(out, certificate); }),
            to_pem([=](BIO* out) {
                return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
            })};
}

shared_certificate make_authority(std::string_view name, const parties& who, const dates& valid)
{
    const auto out = begin(name, who, valid);
    add(out.get(), who.issuer, NID_basic_constraints, "critical,CA:TRUE");
    add(out.get(), who.issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    add(out.get(), who.issuer, NID_subject_key_identifier, "hash");
    finish(out.get(), who.issuer_key);
    return out;
}

} // namespace

pki::pki(std::string_view name, const dates& valid, key_kind kind)
    : name_(name), key_(make_key(kind)),
      certificate_(make_authority(name, {nullptr, key_.get(), key_.get()}, valid)),
      self_(to_credential(certificate_.get(), key_.get()))
{
}

pki::pki(const pki& parent, std::string_view name, const dates& valid)
    : name_(name), key_(make_key(key_kind::p256)),
      certificate_(
          make_authority(name, {parent.certificate_.get(), parent.key_.get(), key_.get()}, valid)),
      self_(to_credential(certificate_.get(), key_.get()))
{
}

bytes pki::renewed(const dates& valid) const
{
    const auto made = make_authority(name_, {nullptr, key_.get(), key_.get()}, valid);
    return to_credential(made.get(), key_.get()).certificate;
}

credential pki::station(std::string_view name, const dates& valid) const
{
    return node({"titip:station:" + std::string{name}}, valid);
}

credential pki::relay(std::string_view name, const dates& valid) const
{
    return node({"titip:relay:" + std::string{name}}, valid);
}

credential pki::centre(const dates& valid) const
{
    return node({"titip:centre"}, valid);
}

credential pki::node(const std::vector<std::string>& uris, const dates& valid, key_kind kind) const
{
    const auto key = make_key(kind);
    const auto made = begin("Test Node", {certificate_.get(), key_.get(), key.get()}, valid);
    std::string names = "DNS:localhost,IP:127.0.0.1";
    for (const auto& each : uris)
        names += ",URI:" + each;
    add(made.get(), certificate_.get(), NID_basic_constraints, "critical,CA:FALSE");
    add(made.get(), certificate_.get(), NID_key_usage, "critical,digitalSignature");
    add(made.get(), certificate_.get(), NID_ext_key_usage, "serverAuth,clientAuth");
    add(made.get(), certificate_.get(), NID_subject_key_identifier, "hash");
    add(made.get(), certificate_.get(), NID_authority_key_identifier, "keyid");
    add(made.get(), certificate_.get(), NID_subject_alt_name, names);
    finish(made.get(), key_.get());
    return to_credential(made.get(), key.get());
}

credential recipient(key_kind kind, std::string_view common_name, const dates& valid)
{
    const auto key = make_key(kind);
    const auto made = begin(common_name, {nullptr, key.get(), key.get()}, valid);
    add(made.get(), nullptr, NID_subject_key_identifier, "hash");
    finish(made.get(), key.get());
    return to_credential(made.get(), key.get());
}

} // namespace titip::support
