#include "trust/authorities.hpp"

#include "envelope/der.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"
#include "envelope/pem_blocks.hpp"
#include "trust/chain.hpp"
#include "trust/signer.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

namespace titip::trust {

namespace {

using envelope::der_reader;
using envelope::owned;
using envelope::validity;

std::shared_ptr<X509> share(X509* certificate)
{
    X509_up_ref(certificate);
    return {certificate, X509_free};
}

// The parts of CMS SignedData that differ from one statement to the next.
struct signed_parts {
    bytes_view content;
    bytes_view certificate;
    bytes_view signer_id; ///< IssuerAndSerialNumber
    bytes_view signature;
};

// Takes exactly the form that identity::sign() makes. Much of SignedData is covered by no
// signature, and OpenSSL reads it leniently (versions, unsigned attributes, further certificates,
// BER): a reader that leaves no choice keeps the bytes that travel unique for what they say.
std::optional<signed_parts> take_apart(bytes_view cms)
{
    using namespace std::string_view_literals;
    constexpr auto signed_data = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"sv;
    constexpr auto id_data = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"sv;
    constexpr auto version_1 = "\x02\x01\x01"sv;
    constexpr auto sha_256 = "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv;
    constexpr auto ecdsa_with_sha_256 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"sv;

    der_reader file{cms};
    der_reader info{file.take(der_reader::sequence)};
    info.expect(signed_data);
    der_reader wrapped{info.take(der_reader::tag_0)};
    der_reader data{wrapped.take(der_reader::sequence)};
    data.expect(version_1);
    der_reader digests{data.take(der_reader::set)};
    digests.expect(sha_256);
    der_reader inner{data.take(der_reader::sequence)};
    inner.expect(id_data);
    der_reader content{inner.take(der_reader::tag_0)};
    der_reader certificates{data.take(der_reader::tag_0)};
    der_reader signers{data.take(der_reader::set)};
    der_reader signer{signers.take(der_reader::sequence)};
    signer.expect(version_1);

    signed_parts out;
    out.content = content.take(der_reader::octet_string);
    out.certificate = certificates.take_whole(der_reader::sequence);
    out.signer_id = signer.take_whole(der_reader::sequence);
    signer.expect(sha_256);
    signer.expect(ecdsa_with_sha_256);
    out.signature = signer.take(der_reader::octet_string);

    const bool is_whole = file.finished() && info.finished() && wrapped.finished() &&
                          data.finished() && digests.finished() && inner.finished() &&
                          content.finished() && certificates.finished() && signers.finished() &&
                          signer.finished();
    if (!is_whole)
        return std::nullopt;
    return out;
}

bool encodes_as(const X509* certificate, bytes_view der)
{
    unsigned char* encoded = nullptr;
    const int size = i2d_X509(certificate, &encoded);
    const owned<unsigned char, [](unsigned char* p) { OPENSSL_free(p); }> release{encoded};
    return size > 0 &&
           std::ranges::equal(std::span{encoded, static_cast<std::size_t>(size)}, der, {}, {},
                              [](std::byte b) { return std::to_integer<unsigned char>(b); });
}

// Null for what is not the one encoding of a certificate.
std::shared_ptr<X509> parse_certificate(bytes_view der)
{
    const auto* position = as_uchar(der);
    const std::shared_ptr<X509> out{d2i_X509(nullptr, &position, static_cast<long>(der.size())),
                                    X509_free};
    return out && encodes_as(out.get(), der) ? out : nullptr;
}

digest fingerprint(const X509* certificate)
{
    digest out;
    if (X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(out.data()),
                    nullptr) != 1)
        throw std::bad_alloc{};
    return out;
}

// Whether IssuerAndSerialNumber names this certificate, to the byte.
bool names(bytes_view signer_id, X509* certificate)
{
    const auto encode = [](auto* value, auto function) {
        bytes out(static_cast<std::size_t>(std::max(function(value, nullptr), 0)));
        auto* position = reinterpret_cast<unsigned char*>(out.data());
        function(value, &position);
        return out;
    };
    const auto issuer = encode(X509_get_issuer_name(certificate), i2d_X509_NAME);
    const auto serial = encode(X509_get0_serialNumber(certificate), i2d_ASN1_INTEGER);
    der_reader outer{signer_id};
    der_reader id{outer.take(der_reader::sequence)};
    id.expect(as_text(issuer));
    id.expect(as_text(serial));
    return id.finished();
}

bool holds(bytes_view signature, bytes_view content, X509* certificate)
{
    auto* key = X509_get0_pubkey(certificate);
    if (!envelope::is_p256(key))
        return false;
    const owned<EVP_MD_CTX, EVP_MD_CTX_free> context{EVP_MD_CTX_new()};
    return context &&
           EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
           EVP_DigestVerify(context.get(), as_uchar(signature), signature.size(), as_uchar(content),
                            content.size()) == 1;
}

int tolerate_dates(int good, X509_STORE_CTX* context)
{
    const int error = X509_STORE_CTX_get_error(context);
    return good == 1 || error == X509_V_ERR_CERT_HAS_EXPIRED ||
           error == X509_V_ERR_CERT_NOT_YET_VALID;
}

struct way {
    std::vector<std::shared_ptr<X509>> chain;
    validity dates; // when all of them are valid
};

// From `certificate` to an authority; nothing if none leads there. Of several ways the one valid at `at`
// is taken: an authority that was renewed with its old key is in the file twice.
std::optional<way> chain_of(X509_STORE* store, X509* certificate, wall_time at)
{
    const owned<X509_STORE_CTX, X509_STORE_CTX_free> context{X509_STORE_CTX_new()};
    if (!context || X509_STORE_CTX_init(context.get(), store, certificate, nullptr) != 1)
        throw std::bad_alloc{};
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
    X509_STORE_CTX_set_time(context.get(), 0, seconds);
    X509_STORE_CTX_set_verify_cb(context.get(), tolerate_dates);
    if (X509_verify_cert(context.get()) != 1)
        return std::nullopt;
    way out{.chain = {}, .dates = {wall_time::min(), wall_time::max()}};
    const auto* chain = X509_STORE_CTX_get0_chain(context.get());
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        const auto each = envelope::validity_of(sk_X509_value(chain, i));
        out.dates.from = std::max(out.dates.from, each.from);
        out.dates.until = std::min(out.dates.until, each.until);
        out.chain.push_back(share(sk_X509_value(chain, i)));
    }
    return out;
}

// The last second counts as a whole, as in OpenSSL.
bool has_ended(const validity& dates, wall_time at)
{
    return std::chrono::floor<std::chrono::seconds>(at) > dates.until;
}

bool contains(const validity& dates, wall_time at)
{
    return at >= dates.from && !has_ended(dates, at);
}

// A signed time, or that of the one who judges: what a station says of its own clock in a withdrawal
// must not make the withdrawal void. Nothing: dates do not count.
std::optional<wall_time> time_of(const envelope::statement& statement, wall_time judged_at)
{
    struct visitor {
        wall_time judged_at;
        std::optional<wall_time> operator()(const envelope::manifest&) const { return {}; }
        std::optional<wall_time> operator()(const envelope::withdrawal&) const { return judged_at; }
        std::optional<wall_time> operator()(const envelope::receipt& r) const { return r.held_at; }
        std::optional<wall_time> operator()(const envelope::custody& c) const { return c.at; }
        std::optional<wall_time> operator()(const envelope::verdict& v) const { return v.at; }
    };
    return std::visit(visitor{judged_at}, statement);
}

bool may_say(const peer& signer, const envelope::statement& statement)
{
    struct visitor {
        const peer& signer;
        bool is_station(const std::string& name) const
        {
            return signer.role == role::station && signer.name == name;
        }
        bool is_custodian() const
        {
            return signer.role == role::relay || signer.role == role::centre;
        }
        bool operator()(const envelope::manifest& m) const { return is_station(m.station); }
        bool operator()(const envelope::withdrawal& w) const { return is_station(w.station); }
        bool operator()(const envelope::receipt&) const { return is_custodian(); }
        bool operator()(const envelope::custody&) const { return is_custodian(); }
        bool operator()(const envelope::verdict&) const { return signer.role == role::centre; }
    };
    return std::visit(visitor{signer}, statement);
}

} // namespace

// Certificates that were found to lead to an authority: a station's manifests come by the thousand,
// and parsing and checking its certificate costs more than checking a signature.
class authorities::known_certificates {
public:
    struct entry {
        std::shared_ptr<X509> certificate;
        peer who;
        validity dates; ///< of the whole chain
        std::vector<std::shared_ptr<X509>> chain;
    };

    std::optional<entry> find(const digest& fingerprint)
    {
        const std::scoped_lock lock{mutex_};
        const auto found = entries_.find(fingerprint);
        if (found == entries_.end())
            return std::nullopt;
        return found->second;
    }

    void remember(const digest& fingerprint, entry value)
    {
        const std::scoped_lock lock{mutex_};
        if (entries_.size() >= most_entries)
            entries_.clear(); // rare, and one check a certificate fills it again
        entries_.insert_or_assign(fingerprint, std::move(value));
    }

private:
    // A regency's stations several times over; about 2 kB each.
    static constexpr std::size_t most_entries = 256;

    std::mutex mutex_;
    std::map<digest, entry> entries_;
};

namespace {

// One sentence: why this block is no authority's certificate; else it is added.
std::string add(X509_STORE* to, const envelope::pem_block& from)
{
    if (from.label.empty() || from.der.empty())
        return fmt::format("a block ({}) that is damaged or cut in two",
                           from.label.empty() ? "without a beginning" : from.label);
    if (from.label == "X509 CRL")
        return "a revocation list (CRL), which belongs into a file of [identity] revoked";
    if (from.label != "CERTIFICATE" && from.label != "X509 CERTIFICATE" &&
        from.label != "TRUSTED CERTIFICATE")
        return fmt::format("a block {}, which is no certificate", from.label);
    const auto* position = as_uchar(from.der);
    const auto size = static_cast<long>(from.der.size());
    const owned<X509, X509_free> certificate{from.label == "TRUSTED CERTIFICATE"
                                                 ? d2i_X509_AUX(nullptr, &position, size)
                                                 : d2i_X509(nullptr, &position, size)};
    if (!certificate || position != as_uchar(from.der) + from.der.size())
        return "a certificate that is damaged";
    if (X509_check_ca(certificate.get()) != 1)
        return fmt::format("{} is no certificate of an authority",
                           link_of(certificate.get()).subject);
    if (X509_STORE_add_cert(to, certificate.get()) != 1)
        throw std::bad_alloc{};
    return {};
}

} // namespace

result<authorities> authorities::load(bytes_view pem, std::vector<std::string>* not_understood)
{
    constexpr std::size_t most_told = 8; // more say nothing that these do not
    const envelope::quiet_errors quiet;
    authorities out;
    out.store_ = {X509_STORE_new(), X509_STORE_free};
    if (!out.store_)
        throw std::bad_alloc{};
    std::size_t understood = 0;
    for (const auto& each : envelope::read_blocks(pem).blocks) {
        const auto wrong = add(out.store_.get(), each);
        if (wrong.empty()) {
            ++understood;
            continue;
        }
        if (!not_understood)
            return errc::bad_authorities;
        if (not_understood->size() < most_told)
            not_understood->push_back(fmt::format("line {}: {}", each.line, wrong));
    }
    if (understood == 0)
        return errc::bad_authorities;
    // Each one in the file is believed, an intermediate without its root too.
    X509_STORE_set_flags(out.store_.get(), X509_V_FLAG_PARTIAL_CHAIN);
    // 112 bits: no SHA-1, no RSA below 2,048 bits anywhere in a chain.
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(out.store_.get()), 2);
    out.known_ = std::make_shared<known_certificates>();
    return out;
}

result<authorities::judgement>
authorities::judge_certificate(x509_st* certificate, const digest& fingerprint,
                               std::optional<wall_time> judged_at) const
{
    const auto at = std::clamp(judged_at.value_or(wall_time{}), wall_time{},
                               envelope::last_time); // X.509's calendar
    if (const auto known = known_->find(fingerprint);
        known && (!judged_at || contains(known->dates, at)))
        return judgement{known->who, known->chain};
    auto found = chain_of(store_.get(), certificate, at);
    if (!found)
        return errc::foreign;
    if (judged_at && has_ended(found->dates, at))
        return errc::expired;
    if (judged_at && at < found->dates.from)
        return errc::not_yet_valid;
    auto who = peer_of(certificate);
    if (!who)
        return errc::bad_certificate;
    known_->remember(fingerprint, {share(certificate), *who, found->dates, found->chain});
    return judgement{std::move(*who), std::move(found->chain)};
}

result<peer> authorities::check(x509_st* certificate, wall_time judged_at) const
{
    const envelope::quiet_errors quiet;
    auto judged = judge_certificate(certificate, fingerprint(certificate), judged_at);
    if (!judged)
        return judged.error();
    return std::move(judged->who);
}

result<verified> authorities::verify(bytes_view cms, wall_time judged_at) const
{
    const envelope::quiet_errors quiet;
    const auto parts = take_apart(cms);
    if (!parts)
        return errc::bad_signature;
    const auto fingerprint = sha256(parts->certificate);
    const auto known = known_->find(fingerprint);
    const auto certificate = known ? known->certificate : parse_certificate(parts->certificate);
    if (!certificate || !names(parts->signer_id, certificate.get()) ||
        !holds(parts->signature, parts->content, certificate.get()))
        return errc::bad_signature;
    auto statement = envelope::decode(parts->content);
    if (!statement)
        return statement.error();
    auto signer = judge_certificate(certificate.get(), fingerprint, time_of(*statement, judged_at));
    if (!signer)
        return signer.error();
    if (!may_say(signer->who, *statement))
        return errc::wrong_role;
    return verified{std::move(*statement), std::move(signer->who),
                    envelope::hash_of(parts->content), envelope::validity_of(certificate.get()),
                    std::move(signer->chain)};
}

digest signing_certificate(bytes_view cms)
{
    const auto parts = take_apart(cms);
    return sha256(parts ? parts->certificate : cms);
}

} // namespace titip::trust
