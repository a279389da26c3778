#include "trust/identity.hpp"

#include "base/fault.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::trust;
using support::key_kind;

namespace {

const support::pki& shared_authority()
{
    static const support::pki made;
    return made;
}

result<identity> load(const support::credential& from)
{
    return identity::load(from.certificate, from.key);
}

} // namespace

TEST_CASE("a node is who its certificate says", "[trust]")
{
    const auto& ca = shared_authority();
    const support::dates valid{from_ms(1'790'000'000'000), from_ms(1'800'000'000'000)};
    const auto station = load(ca.station("kab-karimun-03", valid)).value();
    CHECK(station.self() == peer{role::station, "kab-karimun-03"});
    CHECK(station.not_after() == valid.not_after);
    CHECK(load(ca.relay("kab-karimun")).value().self() == peer{role::relay, "kab-karimun"});
    CHECK(load(ca.centre()).value().self() == peer{role::centre, "centre"});
    CHECK(to_string(role::relay) == "relay");
}

TEST_CASE("a certificate that names no node, or more than one, is refused", "[trust]")
{
    using uris = std::vector<std::string>;
    for (const auto& each :
         {uris{}, uris{"titip:station:a", "titip:station:b"},
          uris{"titip:station:a", "https://example.test/"}, uris{"titip:station:"},
          uris{"titip:station:Upper"}, uris{"titip:centre:a"}, uris{"titip:escrow:a"},
          uris{"https://example.test/"}, uris{"titip:station:a:b"}}) {
        CAPTURE(each);
        const auto made = load(shared_authority().node(each));
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error() == errc::bad_certificate);
    }
    const auto good = shared_authority().centre();
    CHECK(identity::load({}, good.key).error() == errc::no_certificate);
    CHECK(identity::load(good.key, good.key).error() == errc::no_certificate);
}

TEST_CASE("a key that is another's, of another kind, encrypted or missing is refused", "[trust]")
{
    const auto& ca = shared_authority();
    const auto good = ca.station("a");
    CHECK(load(good).has_value());
    CHECK(identity::load(good.certificate, ca.station("a").key).error() == errc::other_key);
    CHECK(identity::load(good.certificate, {}).error() == errc::bad_key);
    CHECK(identity::load(good.certificate, good.certificate).error() == errc::bad_key);
    for (const auto kind : {key_kind::p384, key_kind::rsa2048})
        CHECK(load(ca.node({"titip:station:a"}, {}, kind)).error() == errc::key_kind);
    const auto encrypted = as_bytes("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                    "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n"
                                    "-----END ENCRYPTED PRIVATE KEY-----\n");
    CHECK(identity::load(good.certificate, encrypted).error() == errc::bad_key);
}

TEST_CASE("only a foreign peer or a wrong role says that we are not accepted", "[trust]")
{
    for (const auto each : {errc::foreign, errc::wrong_role})
        CHECK(make_error_code(each) == fault::auth);
    for (const auto each : {errc::bad_certificate, errc::bad_key, errc::bad_signature,
                            errc::expired, errc::not_yet_valid, errc::bad_authorities})
        for (const auto kind :
             {fault::link, fault::record, fault::auth, fault::admission, fault::store})
            CHECK(make_error_code(each) != kind);
}
