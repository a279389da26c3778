#include "trust/revocations.hpp"

#include "base/name.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem_blocks.hpp"

#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <new>

namespace titip::trust {

namespace {

using envelope::owned;

/// One of what is said about a file. More say nothing that these do not.
constexpr std::size_t most_told = 8;

void tell(std::vector<std::string>& into, std::string sentence)
{
    if (into.size() < most_told)
        into.push_back(std::move(sentence));
}

digest encoded_digest(const X509* certificate)
{
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size <= 0)
        throw std::bad_alloc{};
    const owned<unsigned char, [](unsigned char* p) { OPENSSL_free(p); }> release{der};
    return sha256(std::as_bytes(std::span{der, static_cast<std::size_t>(size)}));
}

/// Of the curves that authorities' keys may be of.
const std::array<owned<BIGNUM, BN_free>, 3>& orders()
{
    const auto order_of = [](int curve) {
        const owned<EC_GROUP, EC_GROUP_free> group{EC_GROUP_new_by_curve_name(curve)};
        owned<BIGNUM, BN_free> out{group ? BN_dup(EC_GROUP_get0_order(group.get())) : nullptr};
        if (!out)
            throw std::bad_alloc{};
        return out;
    };
    static const std::array<owned<BIGNUM, BN_free>, 3> all{
        order_of(NID_X9_62_prime256v1), order_of(NID_secp384r1), order_of(NID_secp521r1)};
    return all;
}

/// (r, n - s) of (r, s), where both can be of a curve with this order; empty: they cannot.
std::vector<unsigned char> other_half(const ECDSA_SIG* signature, const BIGNUM* order)
{
    const auto* r = ECDSA_SIG_get0_r(signature);
    const auto* s = ECDSA_SIG_get0_s(signature);
    if (BN_cmp(r, order) >= 0 || BN_cmp(s, order) >= 0)
        return {};
    owned<BIGNUM, BN_free> same{BN_dup(r)};
    owned<BIGNUM, BN_free> other{BN_new()};
    const owned<ECDSA_SIG, ECDSA_SIG_free> out{ECDSA_SIG_new()};
    if (!same || !other || !out || BN_sub(other.get(), order, s) != 1 ||
        ECDSA_SIG_set0(out.get(), same.get(), other.get()) != 1)
        throw std::bad_alloc{};
    same.release(); // out owns them
    other.release();
    std::vector<unsigned char> der(
        static_cast<std::size_t>(std::max(i2d_ECDSA_SIG(out.get(), nullptr), 0)));
    auto* position = der.data();
    i2d_ECDSA_SIG(out.get(), &position);
    return der;
}

std::optional<wall_time> to_wall_time(const ASN1_TIME* time)
{
    std::tm calendar{};
    if (!time || ASN1_TIME_to_tm(time, &calendar) != 1)
        return std::nullopt;
    return wall_time{std::chrono::seconds{timegm(&calendar)}};
}

std::string name_of(const X509_NAME* name)
{
    constexpr std::size_t most_bytes = 120;
    const envelope::owned_bio out{BIO_new(BIO_s_mem())};
    if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0)
        return {};
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return std::string(data, std::min(static_cast<std::size_t>(std::max(size, 0L)), most_bytes));
}

} // namespace

std::optional<digest> parse_fingerprint(std::string_view text)
{
    if (const auto sign = text.find('='); sign != text.npos)
        text.remove_prefix(sign + 1);
    digest out;
    std::size_t digits = 0;
    for (const char c : text) {
        if (c == ':' && digits % 2 == 0 && digits > 0)
            continue;
        const auto value = c >= '0' && c <= '9'   ? c - '0'
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                  : -1;
        if (value < 0 || digits == 2 * out.size())
            return std::nullopt;
        auto& byte = out[digits / 2];
        byte = digits % 2 == 0 ? std::byte(value << 4) : byte | std::byte(value);
        ++digits;
    }
    return digits == 2 * out.size() ? std::optional{out} : std::nullopt;
}

std::string_view to_string(revoked_by value) noexcept
{
    switch (value) {
    case revoked_by::crl:
        return "crl";
    case revoked_by::fingerprint:
        return "fingerprint";
    case revoked_by::name:
        return "name";
    case revoked_by::kept:
        return "kept";
    }
    return "unknown";
}

std::set<digest> fingerprints_of(x509_st* certificate)
{
    const envelope::quiet_errors quiet;
    std::set<digest> out{encoded_digest(certificate)};
    const ASN1_BIT_STRING* bits = nullptr;
    X509_get0_signature(&bits, nullptr, certificate);
    const auto* position = bits ? ASN1_STRING_get0_data(bits) : nullptr;
    const owned<ECDSA_SIG, ECDSA_SIG_free> signature{
        position ? d2i_ECDSA_SIG(nullptr, &position, ASN1_STRING_length(bits)) : nullptr};
    if (!signature)
        return out; // RSA, Ed25519: one signature only
    // Its issuer's curve is not known here. Of another curve a twin is nobody's.
    for (const auto& order : orders()) {
        const auto der = other_half(signature.get(), order.get());
        if (der.empty())
            continue;
        const owned<X509, X509_free> twin{X509_dup(certificate)};
        if (!twin)
            throw std::bad_alloc{};
        const ASN1_BIT_STRING* to = nullptr;
        X509_get0_signature(&to, nullptr, twin.get());
        if (ASN1_STRING_set(const_cast<ASN1_BIT_STRING*>(to), der.data(),
                            static_cast<int>(der.size())) != 1)
            throw std::bad_alloc{};
        out.insert(encoded_digest(twin.get()));
    }
    return out;
}

bool revocation_list::read_line(std::string_view text)
{
    text = text.substr(0, text.find('#'));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    if (text.empty())
        return true;
    if (const auto fingerprint = parse_fingerprint(text)) {
        fingerprints_.insert(*fingerprint);
        return true;
    }
    std::optional<role> in;
    for (const auto each : {role::station, role::relay, role::centre})
        if (const auto prefix = std::string{to_string(each)} + ':'; text.starts_with(prefix)) {
            in = each;
            text.remove_prefix(prefix.size());
            break;
        }
    // A fingerprint that lost a digit, or one by SHA-1, would be a name that nobody has.
    constexpr std::size_t shortest_fingerprint = 32;
    const bool is_hex = text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
    if (!is_node_name(text) || (!in && is_hex && text.size() >= shortest_fingerprint))
        return false;
    names_.emplace(in, text);
    return true;
}

/// Why it is not understood; empty: it is.
std::string revocation_list::read_crl(bytes_view der, const authorities& issuers)
{
    const auto* position = as_uchar(der);
    const std::shared_ptr<X509_CRL> crl{
        d2i_X509_CRL(nullptr, &position, static_cast<long>(der.size())), X509_CRL_free};
    if (!crl || position != as_uchar(der) + der.size())
        return "a revocation list (CRL) that is damaged";
    const auto* issuer = X509_CRL_get_issuer(crl.get());
    for (int i = 0; i < X509_CRL_get_ext_count(crl.get()); ++i)
        if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl.get(), i)) != 0)
            return fmt::format(
                "a revocation list (CRL) of {} that holds for a part only (a delta, or an "
                "issuingDistributionPoint): ask its authority for a whole one",
                name_of(issuer));
    const owned<STACK_OF(X509), [](STACK_OF(X509) * all) { sk_X509_pop_free(all, X509_free); }>
        known{X509_STORE_get1_all_certs(issuers.store())};
    bool is_known = false;
    bool is_signed = false;
    for (int i = 0; i < sk_X509_num(known.get()); ++i) {
        auto* const each = sk_X509_value(known.get(), i);
        if (X509_NAME_cmp(X509_get_subject_name(each), issuer) != 0)
            continue;
        is_known = true;
        is_signed = is_signed || X509_CRL_verify(crl.get(), X509_get0_pubkey(each)) == 1;
    }
    if (!is_known)
        return fmt::format("a revocation list (CRL) of {}, which is none of [identity] authorities",
                           name_of(issuer));
    if (!is_signed)
        return fmt::format("a revocation list (CRL) that {} has not signed", name_of(issuer));
    in_crls_ +=
        static_cast<std::size_t>(std::max(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl.get())), 0));
    if (const auto next = to_wall_time(X509_CRL_get0_nextUpdate(crl.get())))
        next_update_ = std::min(next_update_.value_or(*next), *next);
    crls_.push_back(crl);
    return {};
}

void revocation_list::read(bytes_view file, const authorities& issuers,
                           std::vector<std::string>& not_understood)
{
    const envelope::quiet_errors quiet;
    const auto text = as_text(file);
    const auto is_text = [](char c) {
        return static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\r' || c == '\t';
    };
    if (!std::ranges::all_of(text, is_text)) {
        tell(not_understood,
             "it is no text: a list in DER has to be made PEM, openssl crl -inform DER");
        return;
    }
    const auto found = envelope::read_blocks(file);
    for (const auto& each : found.blocks) {
        std::string wrong;
        if (each.label == "X509 CRL" && !each.der.empty())
            wrong = read_crl(each.der, issuers);
        else if (each.label.empty() || each.der.empty())
            wrong = fmt::format("a block ({}) that is damaged or cut in two",
                                each.label.empty() ? "without a beginning" : each.label);
        else
            wrong = fmt::format("a block {}, which is no revocation list (X509 CRL)", each.label);
        if (!wrong.empty())
            tell(not_understood, fmt::format("line {}: {}", each.line, wrong));
    }
    for (const auto& each : found.outside)
        if (!read_line(each.text))
            tell(not_understood,
                 fmt::format("line {}: neither a node's name nor a fingerprint (SHA-256)",
                             each.line));
}

std::optional<revoked_by> revocation_list::find(x509_st* certificate) const
{
    return find(certificate,
                fingerprints_.empty() ? std::set<digest>{} : fingerprints_of(certificate));
}

std::optional<revoked_by> revocation_list::find(x509_st* certificate,
                                                const std::set<digest>& prints) const
{
    const envelope::quiet_errors quiet;
    for (const auto& each : crls_) {
        X509_REVOKED* entry = nullptr;
        if (X509_NAME_cmp(X509_CRL_get_issuer(each.get()), X509_get_issuer_name(certificate)) ==
                0 &&
            X509_CRL_get0_by_cert(each.get(), &entry, certificate) == 1)
            return revoked_by::crl;
    }
    for (const auto& each : prints)
        if (fingerprints_.contains(each))
            return revoked_by::fingerprint;
    if (const auto who = names_.empty() ? std::nullopt : peer_of(certificate))
        if (names_.contains({std::nullopt, who->name}) || names_.contains({who->role, who->name}))
            return revoked_by::name;
    return std::nullopt;
}

void revocations::replace(std::shared_ptr<const revocation_list> listed)
{
    const std::lock_guard guard{mutex_};
    listed_ = std::move(listed);
    seen_listed_.clear();
}

void revocations::keep(const digest& certificate)
{
    const std::lock_guard guard{mutex_};
    kept_.insert(certificate);
}

void revocations::forget(const digest& certificate)
{
    const std::lock_guard guard{mutex_};
    kept_.erase(certificate);
    seen_listed_.erase(certificate);
}

std::set<digest> revocations::prints_of(x509_st* certificate) const
{
    const auto own = encoded_digest(certificate);
    {
        const std::lock_guard guard{mutex_};
        if (const auto known = prints_.find(own); known != prints_.end())
            return known->second;
    }
    auto all = fingerprints_of(certificate);
    const std::lock_guard guard{mutex_};
    if (prints_.size() >= most_remembered)
        prints_.clear();
    prints_.emplace(own, all);
    return all;
}

std::optional<revoked_by> revocations::find(x509_st* certificate) const
{
    const auto listed = this->listed();
    const auto is_any_kept = [this] {
        const std::lock_guard guard{mutex_};
        return !kept_.empty();
    }();
    std::set<digest> prints;
    if (is_any_kept || !listed->fingerprints().empty())
        prints = prints_of(certificate);
    const auto found = listed->find(certificate, prints);
    const bool is_for_good = found && *found != revoked_by::name;
    {
        const std::lock_guard guard{mutex_};
        for (const auto& each : prints) {
            if (!kept_.contains(each))
                continue;
            if (is_for_good)
                seen_listed_.insert(each);
            return is_for_good ? found : revoked_by::kept;
        }
    }
    if (is_for_good && told_) {
        const auto who = peer_of(certificate);
        told_(
            {.certificate = encoded_digest(certificate),
             .why = *found,
             .name = who ? fmt::format("{}:{}", to_string(who->role), who->name) : std::string{}});
    }
    return found;
}

bool revocations::is_listed(const digest& certificate) const
{
    const std::lock_guard guard{mutex_};
    return listed_->fingerprints().contains(certificate) || seen_listed_.contains(certificate);
}

std::shared_ptr<const revocation_list> revocations::listed() const
{
    const std::lock_guard guard{mutex_};
    return listed_;
}

} // namespace titip::trust
