#include "trust/revocations.hpp"

#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cctype>

using namespace titip;
using namespace titip::trust;
using envelope::owned;

namespace {

using certificate = std::shared_ptr<x509_st>;

certificate parsed(const bytes& pem)
{
    return envelope::read_certificates(pem).front();
}

struct cast {
    support::pki ca{"Test Authority"};
    authorities known = authorities::load(ca.authorities()).value();
    certificate office = parsed(ca.station("office-1").certificate);
    certificate other = parsed(ca.station("office-2").certificate);
    certificate hub = parsed(ca.relay("office-1").certificate);
};

const cast& shared()
{
    static const cast made;
    return made;
}

std::shared_ptr<revocation_list> list_of(std::string_view text, std::size_t not_understood = 0)
{
    auto out = std::make_shared<revocation_list>();
    std::vector<std::string> told;
    out->read(as_bytes(text), shared().known, told);
    INFO(text);
    CHECK(told.size() == not_understood);
    return out;
}

digest print_of(const certificate& which)
{
    digest out;
    X509_digest(which.get(), EVP_sha256(), reinterpret_cast<unsigned char*>(out.data()), nullptr);
    return out;
}

/// A list (CRL) of `by` with these.
std::string crl_of(const support::pki& by, const std::vector<certificate>& revoked,
                   bool is_critical = false, long next_update_s = -3'600)
{
    const auto issuer = parsed(by.authorities());
    const auto key = envelope::read_key(by.self().key);
    const owned<X509_CRL, X509_CRL_free> made{X509_CRL_new()};
    X509_CRL_set_version(made.get(), 1);
    X509_CRL_set_issuer_name(made.get(), X509_get_subject_name(issuer.get()));
    const owned<ASN1_TIME, ASN1_TIME_free> when{X509_gmtime_adj(nullptr, -3'600)};
    X509_CRL_set1_lastUpdate(made.get(), when.get());
    const owned<ASN1_TIME, ASN1_TIME_free> next{X509_gmtime_adj(nullptr, next_update_s)};
    X509_CRL_set1_nextUpdate(made.get(), next.get()); // dates do not count
    for (const auto& each : revoked) {
        auto* const entry = X509_REVOKED_new();
        auto* const serial = ASN1_INTEGER_dup(X509_get0_serialNumber(each.get()));
        X509_REVOKED_set_serialNumber(entry, serial);
        ASN1_INTEGER_free(serial);
        X509_REVOKED_set_revocationDate(entry, when.get());
        X509_CRL_add0_revoked(made.get(), entry);
    }
    if (is_critical) {
        const owned<ASN1_INTEGER, ASN1_INTEGER_free> base{ASN1_INTEGER_new()};
        ASN1_INTEGER_set(base.get(), 1);
        X509_CRL_add1_ext_i2d(made.get(), NID_delta_crl, base.get(), 1, 0);
    }
    X509_CRL_sort(made.get());
    REQUIRE(X509_CRL_sign(made.get(), key.get(), EVP_sha256()) > 0);
    const envelope::owned_bio out{BIO_new(BIO_s_mem())};
    PEM_write_bio_X509_CRL(out.get(), made.get());
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

std::string hex_of(const certificate& which)
{
    return to_hex(print_of(which));
}

/// With n - s in place of s: as good as the other, and anybody can make it.
certificate twin_of(const certificate& which, int curve = NID_X9_62_prime256v1)
{
    certificate out{X509_dup(which.get()), X509_free};
    const ASN1_BIT_STRING* bits = nullptr;
    X509_get0_signature(&bits, nullptr, out.get());
    const auto* at = ASN1_STRING_get0_data(bits);
    const owned<ECDSA_SIG, ECDSA_SIG_free> signature{
        d2i_ECDSA_SIG(nullptr, &at, ASN1_STRING_length(bits))};
    REQUIRE(signature);
    const owned<EC_GROUP, EC_GROUP_free> group{EC_GROUP_new_by_curve_name(curve)};
    auto* const r = BN_dup(ECDSA_SIG_get0_r(signature.get()));
    auto* const s = BN_new();
    BN_sub(s, EC_GROUP_get0_order(group.get()), ECDSA_SIG_get0_s(signature.get()));
    ECDSA_SIG_set0(signature.get(), r, s);
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(signature.get(), &der);
    ASN1_STRING_set(const_cast<ASN1_BIT_STRING*>(bits), der, size);
    OPENSSL_free(der);
    return out;
}

} // namespace

TEST_CASE("names, fingerprints and lists of authorities are read from one file", "[trust]")
{
    const auto& f = shared();
    CHECK_FALSE(list_of("")->find(f.office.get()).has_value());
    CHECK_FALSE(list_of("# office-1\n\n  # nobody\n")->find(f.office.get()).has_value());
    CHECK(list_of("office-1")->find(f.office.get()) == revoked_by::name);
    CHECK(list_of("office-1 # stolen\r\n")->find(f.hub.get()) == revoked_by::name);
    CHECK(list_of("relay:office-1")->find(f.hub.get()) == revoked_by::name);
    CHECK_FALSE(list_of("relay:office-1")->find(f.office.get()).has_value());
    CHECK_FALSE(list_of("office-1")->find(f.other.get()).has_value());
    CHECK(list_of(hex_of(f.office))->find(f.office.get()) == revoked_by::fingerprint);
    auto colons = hex_of(f.office);
    for (std::size_t i = colons.size() - 2; i > 0; i -= 2)
        colons.insert(i, ":");
    std::ranges::transform(colons, colons.begin(), [](char c) {
        return static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    });
    CHECK(list_of("sha256 Fingerprint=" + colons)->find(f.office.get()) == revoked_by::fingerprint);
    const auto crl = crl_of(f.ca, {f.office});
    CHECK(list_of(crl)->find(f.office.get()) == revoked_by::crl);
    CHECK_FALSE(list_of(crl)->find(f.other.get()).has_value());
    const auto all = list_of("office-2\n" + crl + "\n" + hex_of(f.hub) + "\n");
    for (const auto& each : {f.office, f.other, f.hub})
        CHECK(all->find(each.get()).has_value());
    CHECK(all->revoked_in_crls() == 1);
    CHECK(all->names() == 1);
    const auto sooner = crl_of(f.ca, {f.office}, false, 3'600);
    const auto later = crl_of(f.ca, {f.office}, false, 7'200);
    for (const auto& text : {sooner + later, later + sooner})
        CHECK(list_of(text)->next_update() < wall_now() + 2h - 1min);
    // In a role it can be a name only.
    CHECK(list_of("station:" + hex_of(f.office).substr(0, 40))->names() == 1);
}

TEST_CASE("what is not understood in a file of who is revoked is told, and the rest counts",
          "[trust]")
{
    const auto& f = shared();
    const support::pki foreign{"Another Authority"};
    const support::pki forger{"Test Authority"};
    const auto good = crl_of(f.ca, {f.office});
    const auto cut = good.substr(0, good.size() / 2);
    auto damaged = good;
    damaged[damaged.size() / 2] = damaged[damaged.size() / 2] == 'A' ? 'B' : 'A';
    const std::string certificate{as_text(f.ca.authorities())};
    const std::vector<std::string> wrong{cut,
                                         damaged,
                                         crl_of(foreign, {f.office}),
                                         crl_of(forger, {f.office}),
                                         crl_of(f.ca, {f.office}, true),
                                         certificate,
                                         good.substr(good.find('\n') + 1),
                                         "Office 1",
                                         hex_of(f.office).substr(2),
                                         hex_of(f.office).substr(0, 40), // SHA-1's length
                                         "relay:Office",
                                         "station:"};
    for (const auto& each : wrong) {
        auto out = std::make_shared<revocation_list>();
        std::vector<std::string> told;
        out->read(as_bytes("office-2\n" + each + "\n" + hex_of(f.hub) + "\n"), f.known, told);
        CAPTURE(each);
        CHECK_FALSE(told.empty());
        CHECK_FALSE(out->find(f.office.get()).has_value());
        CHECK(out->find(f.other.get()) == revoked_by::name);
        if (each != cut) // its end is where the next block begins, and there is none
            CHECK(out->find(f.hub.get()) == revoked_by::fingerprint);
    }
    std::vector<std::string> told;
    revocation_list{}.read(as_bytes(std::string{"\x30\x82\x01\x00", 4}), f.known, told);
    CHECK(told.size() == 1); // DER: one sentence, not one a line
    told.clear();
    std::string many;
    for (int i = 0; i < 1'000; ++i)
        many += "Office " + std::to_string(i) + "\n";
    revocation_list{}.read(as_bytes(many), f.known, told);
    CHECK(told.size() < 10);
}

TEST_CASE("a certificate is not let in by changing its signature into another that is as good",
          "[trust]")
{
    const auto& f = shared();
    const auto twin = twin_of(f.office);
    CHECK(print_of(twin) != print_of(f.office));
    const auto issuer = parsed(f.ca.authorities());
    REQUIRE(X509_verify(twin.get(), X509_get0_pubkey(issuer.get())) == 1);
    REQUIRE(f.known.check(twin.get(), wall_now()).has_value());
    CHECK(list_of(hex_of(f.office))->find(twin.get()) == revoked_by::fingerprint);
    CHECK(list_of(hex_of(twin))->find(f.office.get()) == revoked_by::fingerprint);
    revocations all;
    all.keep(print_of(f.office));
    CHECK(all.find(twin.get()) == revoked_by::kept);
    CHECK_FALSE(all.find(f.other.get()).has_value());
}

TEST_CASE("a twin is known whichever curve its authority's key is of", "[trust]")
{
    const support::pki ca{"Other Authority", {}, support::key_kind::p384};
    const auto office = parsed(ca.station("office-1").certificate);
    const auto twin = twin_of(office, NID_secp384r1);
    const auto issuer = parsed(ca.authorities());
    REQUIRE(X509_verify(twin.get(), X509_get0_pubkey(issuer.get())) == 1);
    CHECK(list_of(hex_of(office))->find(twin.get()) == revoked_by::fingerprint);
}

TEST_CASE("of two authorities of one name the list of either counts", "[trust]")
{
    const support::pki first{"Test Authority"};
    const support::pki second{"Test Authority"};
    auto both = first.authorities();
    both.insert(both.end(), second.authorities().begin(), second.authorities().end());
    const auto known = authorities::load(both).value();
    for (const auto* by : {&first, &second}) {
        const auto office = parsed(by->station("office-1").certificate);
        std::vector<std::string> told;
        revocation_list list;
        list.read(as_bytes(crl_of(*by, {office})), known, told);
        CHECK(told.empty());
        CHECK(list.find(office.get()) == revoked_by::crl);
    }
}

TEST_CASE("a certificate that was seen revoked stays so, a name only while it is listed", "[trust]")
{
    const auto& f = shared();
    std::vector<revocations::sighting> seen;
    revocations all{[&seen](const revocations::sighting& each) { seen.push_back(each); }};
    CHECK_FALSE(all.find(f.office.get()).has_value());
    all.replace(list_of("office-1"));
    CHECK(all.find(f.office.get()) == revoked_by::name);
    CHECK(seen.empty()); // a name is not kept

    all.replace(list_of(crl_of(f.ca, {f.office})));
    CHECK(all.find(f.office.get()) == revoked_by::crl);
    CHECK(all.find(f.office.get()) == revoked_by::crl);
    REQUIRE(seen.size() == 2); // until it is kept
    CHECK(seen[0].certificate == print_of(f.office));
    CHECK(seen[0].name == "station:office-1");
    all.keep(seen[0].certificate);
    CHECK(all.find(f.office.get()) == revoked_by::crl);
    CHECK(seen.size() == 2);
    CHECK(all.is_listed(print_of(f.office)));

    all.replace(list_of("")); // a later list that lacks it
    CHECK(all.find(f.office.get()) == revoked_by::kept);
    CHECK_FALSE(all.is_listed(print_of(f.office)));
    CHECK_FALSE(all.find(f.hub.get()).has_value()); // another certificate of that name
    all.forget(print_of(f.office));
    CHECK_FALSE(all.find(f.office.get()).has_value());
}
