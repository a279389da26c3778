#include "node/fit.hpp"

#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>

using namespace titip;
using namespace titip::node;
using Catch::Matchers::Contains;

namespace {

constexpr auto day = std::chrono::milliseconds{24h};

support::dates lasting(int days)
{
    return {wall_now() - 100 * day, wall_now() + days * day};
}

bytes both(const bytes& one, const bytes& other)
{
    auto out = one;
    out.insert(out.end(), other.begin(), other.end());
    return out;
}

/// The same certificate with this extension in place of its own, signed with `key`.
bytes with_extension(const bytes& certificate, const bytes& key, int nid, const char* value)
{
    const auto changed = envelope::read_certificates(certificate).at(0);
    if (const auto old = X509_get_ext_by_NID(changed.get(), nid, -1); old >= 0)
        X509_EXTENSION_free(X509_delete_ext(changed.get(), old));
    const envelope::owned<X509_EXTENSION, X509_EXTENSION_free> extension{
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value)};
    REQUIRE(extension);
    REQUIRE(X509_add_ext(changed.get(), extension.get(), -1) == 1);
    REQUIRE(X509_sign(changed.get(), envelope::read_key(key).get(), EVP_sha256()) > 0);
    const envelope::owned_bio out{BIO_new(BIO_s_mem())};
    REQUIRE(PEM_write_bio_X509(out.get(), changed.get()) == 1);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    return to_bytes(as_bytes({data, static_cast<std::size_t>(size)}));
}

/// A station whose files fit.
class office {
public:
    office()
    {
        std::string name = "/tmp/titip-fit.XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
        said.name = "office-1";
        said.identity = {folder / "node.pem", folder / "node.key", folder / "authorities.pem"};
        said.upstream.emplace().host = "titip.example";
        said.seal.emplace().recipients = {folder / "centre.pem", folder / "escrow.pem"};
        take(root.station("office-1"));
        write("authorities.pem", root.authorities());
        write("centre.pem", support::recipient(support::key_kind::p256, "Centre").certificate);
        write("escrow.pem", support::recipient(support::key_kind::rsa2048, "Escrow").certificate);
    }
    office(const office&) = delete;
    ~office() { std::filesystem::remove_all(folder); }

    void write(const std::string& name, const bytes& what) const
    {
        std::ofstream{folder / name} << as_text(what);
    }
    void take(const support::credential& own) const
    {
        write("node.pem", own.certificate);
        write("node.key", own.key);
    }
    std::vector<misfit> found(wall_time built = wall_now() - day,
                              wall_time clock = wall_now()) const
    {
        const auto m = load_materials(said);
        INFO((m ? std::string{} : m.error().sentence));
        REQUIRE(m.has_value());
        return find_misfits(said, *m, trust::clock_watch{built}.reckon(clock, monotonic::now()));
    }
    /// The one that there is.
    std::string only(bool is_wrong) const
    {
        const auto all = found();
        REQUIRE(all.size() == 1);
        CHECK(all[0].is_wrong == is_wrong);
        return all[0].sentence;
    }

    std::filesystem::path folder;
    support::pki root{"Root", lasting(4'000)};
    config said;
};

} // namespace

TEST_CASE("files that fit together give no word", "[node]")
{
    CHECK(office{}.found().empty());
}

TEST_CASE("a certificate that none of the authorities issued is wrong", "[node]")
{
    const office here;
    here.write("authorities.pem", support::pki{"Root"}.authorities()); // of the same name
    CHECK_THAT(here.only(true), Contains("[identity] certificate") && Contains("node.pem") &&
                                    Contains("was issued by no authority") &&
                                    Contains("authorities.pem"));
}

TEST_CASE("an intermediate only in the certificate's own file is wrong, and said where it belongs",
          "[node]")
{
    const office here;
    const support::pki hub{here.root, "Hub", lasting(900)};
    auto own = hub.station("office-1");
    own.certificate = both(own.certificate, hub.authorities());
    here.take(own);
    CHECK_THAT(here.only(true),
               Contains("stands only in this file") && Contains("[identity] authorities"));
    here.write("authorities.pem", both(here.root.authorities(), hub.authorities()));
    CHECK_THAT(here.only(false), Contains("only the first is used"));
}

TEST_CASE("the end of an authority warns five days before, and is wrong after", "[node]")
{
    office here;
    here.root = support::pki{"Short", lasting(5)};
    here.take(here.root.station("office-1", lasting(400)));
    here.write("authorities.pem", here.root.authorities());
    CHECK_THAT(here.only(false), Contains("[identity] authorities: ") && Contains("CN=Short") &&
                                     Contains("expires on"));
    const auto later = wall_now() + 6 * day;
    const auto certain = here.found(later, later);
    REQUIRE(certain.size() == 1);
    CHECK(certain[0].is_wrong);
    CHECK_THAT(certain[0].sentence, Contains("CN=Short has expired on"));
    // Only the clock says so.
    const auto doubtful = here.found(wall_now() - day, later);
    REQUIRE(doubtful.size() == 1);
    CHECK(doubtful[0].is_wrong);
    CHECK_THAT(doubtful[0].sentence,
               Contains("set the clock if it is wrong") && !Contains("has expired"));
}

TEST_CASE("a clock that must be wrong is said before all that it would make wrong", "[node]")
{
    const office here;
    const auto all = here.found(wall_now() - day, wall_time{});
    REQUIRE(all.size() == 1);
    CHECK_THAT(all[0].sentence,
               Contains("the clock of this machine says") && Contains("it must be wrong"));
}

TEST_CASE("a certificate that holds only from tomorrow is one where the clock is believed",
          "[node]")
{
    const office here;
    here.take(here.root.station("office-1", {wall_now() + day, wall_now() + 400 * day}));
    CHECK_THAT(here.only(true), Contains("[identity] certificate: ") &&
                                    Contains("is valid only from") && Contains("check the clock"));
    // A clock that must be wrong says nothing of what has begun: it is set first.
    for (const auto clock : {wall_time{}, wall_now() + 20 * 366 * day}) {
        const auto all = here.found(wall_now() - day, clock);
        REQUIRE(all.size() == 1);
        CHECK_THAT(all[0].sentence, Contains("the clock of this machine says"));
    }
}

TEST_CASE("a recipient receives in the way of its key, or is named", "[node]")
{
    const office here;
    const auto take = [&here](support::key_kind kind, const char* usage) {
        const auto made = support::recipient(kind, "Escrow");
        here.write("escrow.pem", with_extension(made.certificate, made.key, NID_key_usage, usage));
    };
    using support::key_kind;
    for (const auto& [kind, usage] : {std::pair{key_kind::rsa2048, "critical,keyEncipherment"},
                                      std::pair{key_kind::p256, "critical,keyAgreement"},
                                      std::pair{key_kind::p256, "digitalSignature,keyAgreement"}}) {
        CAPTURE(usage);
        take(kind, usage);
        CHECK(here.found().empty());
    }
    for (const auto& [kind, usage] : {std::pair{key_kind::rsa2048, "critical,keyAgreement"},
                                      std::pair{key_kind::p256, "critical,keyEncipherment"},
                                      std::pair{key_kind::rsa2048, "digitalSignature"}}) {
        CAPTURE(usage);
        take(kind, usage);
        CHECK_THAT(here.only(false), Contains("CN=Escrow is not meant to receive (keyUsage)"));
    }
}

TEST_CASE("a recipient's authority that ends soon is named", "[node]")
{
    const office here;
    const support::pki other{"Short", lasting(5)};
    here.write("authorities.pem", both(here.root.authorities(), other.authorities()));
    here.write("centre.pem", other.node({"titip:station:r"}, lasting(400)).certificate);
    const auto all = here.found();
    REQUIRE(all.size() == 2);
    CHECK_THAT(all[0].sentence, Contains("is not meant to receive (keyUsage)"));
    CHECK_THAT(all[1].sentence, Contains("CN=Short expires on"));
}

TEST_CASE("a recipient that is this machine, or the escrow's double, or nobody's is found",
          "[node]")
{
    const office here;
    const auto own = here.root.station("office-1");
    here.take(own);
    here.write("escrow.pem", own.certificate);
    const auto all = here.found();
    REQUIRE_FALSE(all.empty());
    CHECK(all[0].is_wrong);
    CHECK_THAT(all[0].sentence, Contains("[seal] recipients") && Contains("this node's own key"));

    const support::pki stranger{"Stranger", lasting(900)};
    here.write("escrow.pem", stranger.node({"titip:station:r"}).certificate);
    const auto others = here.found();
    CHECK(std::ranges::any_of(others, [](const auto& each) {
        return each.sentence.find("was issued by an authority that is not in") !=
                   std::string::npos &&
               !each.is_wrong;
    }));

    const support::pki twin{"Twin", lasting(900)};
    here.write("centre.pem", twin.authorities());
    here.write("escrow.pem", twin.renewed(lasting(800)));
    const auto same = here.found();
    CHECK(std::ranges::any_of(same, [](const auto& each) {
        return each.sentence.find("have the same key") != std::string::npos;
    }));
}

TEST_CASE("a centre whose certificate has a name to be called by gives no word", "[node]")
{
    office here;
    here.said.name = "centre";
    here.said.upstream.reset();
    here.said.seal.reset();
    here.said.listen.emplace().address = "0.0.0.0:8443";
    here.take(here.root.centre());
    CHECK_THAT(here.only(false), Contains("[relays]: there is no such table"));
    here.said.relays.emplace();
    CHECK(here.found().empty()); // clocks_test.py has one without
}

TEST_CASE("a server is called by a name or by an address, and one without either is wrong",
          "[node]")
{
    office here;
    here.said.name = "centre";
    here.said.upstream.reset();
    here.said.seal.reset();
    here.said.listen.emplace().address = "0.0.0.0:8443";
    here.said.relays.emplace();
    auto own = here.root.centre();
    const auto found = [&](const char* names) {
        own.certificate =
            with_extension(own.certificate, here.root.self().key, NID_subject_alt_name, names);
        here.take(own);
        return here.found();
    };
    CHECK(found("URI:titip:centre,IP:10.0.0.1").empty());
    CHECK(found("IP:2001:db8::1,URI:titip:centre").empty());
    CHECK(found("URI:titip:centre,DNS:titip.example").empty());
    const auto none = found("URI:titip:centre,email:centre@titip.example");
    REQUIRE(none.size() == 1);
    CHECK(none[0].is_wrong);
    CHECK_THAT(none[0].sentence, Contains("names no DNS name and no address"));
}

TEST_CASE("the name in the upstream's URL must be able to be one", "[node]")
{
    for (const auto* good :
         {"titip.example", "localhost", "kab-1.go.id", "10.0.0.1", "::1", "2001:db8::1",
          "fe80::1%eth0", "xn--80ak6aa92e.com", "1.titip.id", "a"})
        CHECK(is_plausible_host(good));
    for (const auto* bad :
         {"", "titip_example", "10.0.0", "999.1.1.1", "10.0.0.1.", "titip..id", ".id", "titip.id.",
          "-a.id", "a-.id", "titip id", "titip.id,", ":::1", "t\xc3\xa9.id", "12345"})
        CHECK_FALSE(is_plausible_host(bad));
    CHECK_FALSE(is_plausible_host(std::string(64, 'a') + ".id"));
    office here;
    here.said.upstream->host = "titip_example";
    CHECK_THAT(here.only(true), Contains("[upstream] url: \"titip_example\""));
    here.said.upstream->host = "0.0.0.0";
    CHECK_THAT(here.only(true), Contains("no address that can be reached"));
}

TEST_CASE(
    "what is not understood in a file of trust is told, and so is a list that names this node",
    "[node]")
{
    office here;
    here.said.identity.revoked = {here.folder / "revoked"};
    CHECK_THAT(here.only(true), Contains("[identity] revoked") && Contains("No such file"));
    here.write("revoked", to_bytes(as_bytes("office-2\nOffice 3\n")));
    CHECK_THAT(here.only(true), Contains("line 2: neither a node's name nor a fingerprint"));
    here.write("revoked", to_bytes(as_bytes("office-1\n")));
    CHECK_THAT(here.only(true), Contains("names this node's own certificate"));
    here.write("revoked", {});
    CHECK(here.found().empty());
    here.write("authorities.pem",
               both(here.root.authorities(), here.root.station("office-9").certificate));
    CHECK_THAT(here.only(true),
               Contains("[identity] authorities") && Contains("is no certificate of an authority"));
}

TEST_CASE(
    "a node that others hand records to is told of relays without rights, where there is no table",
    "[node]")
{
    CHECK_THAT(no_rights({}), Contains("each relay may bring the records of every station"));
    CHECK_THAT(no_rights({"hub-1", "hub-2"}), Contains("each relay (hub-1, hub-2) may"));
    CHECK(is_of_rights(no_rights({"hub-1"})));
    CHECK_FALSE(is_of_rights("[identity] revoked: no"));
}
