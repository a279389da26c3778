#include "trust/authorities.hpp"

#include "base/fault.hpp"
#include "base/file.hpp"
#include "envelope/pem.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>

#include <openssl/err.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

using namespace titip;
using namespace titip::trust;
using envelope::sequence;

namespace {

constexpr auto begins = from_ms(1'790'000'000'000);
constexpr auto ends = from_ms(1'800'000'000'000);
constexpr auto within = from_ms(1'795'000'000'000);
constexpr support::dates short_lived{begins, ends};
constexpr support::dates long_lived{from_ms(1'500'000'000'000), from_ms(2'500'000'000'000)};

struct fixture {
    support::pki ca{"Test Authority", long_lived};
    authorities trusted = authorities::load(ca.authorities()).value();
    identity station = load(ca.station("kab-karimun-03", short_lived));
    identity relay = load(ca.relay("kab-karimun", short_lived));
    identity centre = load(ca.centre(short_lived));

    static identity load(const support::credential& from)
    {
        return identity::load(from.certificate, from.key).value();
    }
};

const fixture& shared()
{
    static const fixture made;
    return made;
}

digest filled(int value)
{
    digest out;
    out.fill(std::byte(value));
    return out;
}

envelope::manifest some_manifest()
{
    envelope::manifest out;
    out.record = record_id::random();
    out.station = "kab-karimun-03";
    out.epoch = epoch_id::random();
    out.at = sequence{1};
    out.taken_at = within;
    out.size_bytes = 812'345;
    out.digest = filled(1);
    return out;
}

envelope::receipt some_receipt(wall_time held_at = within)
{
    const auto m = some_manifest();
    return {m.record, m.station, m.epoch, m.at, m.digest, m.size_bytes, filled(2), held_at};
}

envelope::custody some_custody()
{
    return {"kab-karimun-03", within, {}};
}

envelope::verdict some_verdict()
{
    return {record_id::random(), "kab-karimun-03", filled(3), envelope::verdict_kind::opened,
            within};
}

envelope::withdrawal some_withdrawal(wall_time at = within)
{
    const auto m = some_manifest();
    return {m.record, m.station, m.epoch, m.at, m.digest, "recorded twice", "clerk-7", at};
}

bytes sign(const identity& signer, const envelope::statement& value)
{
    return signer.sign(envelope::encode(value));
}

error_code error_of(const identity& signer, const envelope::statement& value, wall_time at = within)
{
    const auto got = shared().trusted.verify(sign(signer, value), at);
    return got ? error_code{} : got.error();
}

struct folder {
    std::filesystem::path path;
    folder()
    {
        auto name = (std::filesystem::temp_directory_path() / "titip-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~folder() { std::filesystem::remove_all(path); }
    folder(const folder&) = delete;
};

} // namespace

TEST_CASE("a signed statement gives back what was said, and who said it", "[trust]")
{
    const auto& f = shared();
    const envelope::statement said = some_manifest();
    const auto content = envelope::encode(said);
    const auto got = f.trusted.verify(f.station.sign(content), within);
    REQUIRE(got.has_value());
    CHECK(got->statement == said);
    CHECK(got->signer == peer{role::station, "kab-karimun-03"});
    CHECK(got->hash == sha256(content));
}

TEST_CASE("each may say what is theirs to say, and nothing else", "[trust]")
{
    const auto& f = shared();
    const auto other = fixture::load(f.ca.station("kab-karimun-04", short_lived));
    const auto may = [](const identity& signer, const envelope::statement& value) {
        const auto error = error_of(signer, value);
        if (error) {
            CHECK(error == errc::wrong_role);
            CHECK(error == fault::auth);
        }
        return !error;
    };
    for (const envelope::statement& each :
         {envelope::statement{some_manifest()}, envelope::statement{some_withdrawal()}}) {
        CHECK(may(f.station, each));
        CHECK_FALSE(may(other, each));
        CHECK_FALSE(may(f.relay, each));
        CHECK_FALSE(may(f.centre, each));
    }
    for (const envelope::statement& each :
         {envelope::statement{some_receipt()}, envelope::statement{some_custody()}}) {
        CHECK_FALSE(may(f.station, each));
        CHECK(may(f.relay, each));
        CHECK(may(f.centre, each));
    }
    CHECK_FALSE(may(f.station, some_verdict()));
    CHECK_FALSE(may(f.relay, some_verdict()));
    CHECK(may(f.centre, some_verdict()));
    // A relay that bears a station's name is still no station.
    CHECK_FALSE(may(fixture::load(f.ca.relay("kab-karimun-03", short_lived)), some_manifest()));
}

TEST_CASE("a signer of an authority that is not ours is foreign", "[trust]")
{
    const support::pki theirs{"Test Authority", long_lived}; // the same name, another key
    const auto stranger = fixture::load(theirs.centre(short_lived));
    CHECK(error_of(stranger, some_verdict()) == errc::foreign);
    CHECK(error_of(stranger, some_verdict()) == fault::auth);
    const auto self_made = support::recipient(support::key_kind::p256);
    const auto certificate = envelope::read_certificates(self_made.certificate).front();
    CHECK(shared().trusted.check(certificate.get(), within).error() == errc::foreign);
}

TEST_CASE("dates alone are told apart from foreignness, to the second", "[trust]")
{
    const auto& f = shared();
    // A fresh certificate each time, then once more, when it is already known.
    for (const bool is_known : {false, true}) {
        CAPTURE(is_known);
        const auto fresh = fixture::load(f.ca.relay("hub", short_lived));
        const auto check = [&](wall_time at) {
            const auto got = f.trusted.check(fresh.certificate(), at);
            return got ? error_code{} : got.error();
        };
        if (is_known)
            REQUIRE_FALSE(check(within));
        CHECK(check(begins - 1ms) == errc::not_yet_valid);
        CHECK_FALSE(check(begins));
        CHECK_FALSE(check(ends + 999ms));
        CHECK(check(ends + 1s) == errc::expired);
        CHECK(check(ends + 1s) != fault::auth);
        CHECK(check(wall_time{}) == errc::not_yet_valid);
        CHECK(check(wall_time::min()) == errc::not_yet_valid);
        CHECK(check(wall_time::max()) == errc::expired);
        CHECK(f.trusted.check(fresh.certificate(), within).value() == peer{role::relay, "hub"});
    }
}

TEST_CASE("a foreign certificate is foreign whatever its dates", "[trust]")
{
    const support::pki theirs{"Test Authority", long_lived};
    const auto stranger = fixture::load(theirs.centre(short_lived));
    for (const auto at : {begins - 24h, within, ends + 24h})
        CHECK(shared().trusted.check(stranger.certificate(), at).error() == errc::foreign);
}

TEST_CASE("an authority that has expired makes what it issued expired", "[trust]")
{
    const support::pki old{"Old Authority", short_lived};
    const auto trusted = authorities::load(old.authorities()).value();
    const auto node = fixture::load(old.centre(long_lived));
    CHECK(trusted.check(node.certificate(), within).has_value());
    CHECK(trusted.check(node.certificate(), ends + 1s).error() == errc::expired);
    CHECK(trusted.check(node.certificate(), begins - 1s).error() == errc::not_yet_valid);

    // Renewed with its old key, and both in the file, in either order: no day without trust.
    const auto next = old.renewed({ends, ends + 24h});
    for (const bool old_first : {true, false}) {
        auto both = old_first ? old.authorities() : next;
        const auto& second = old_first ? next : old.authorities();
        both.insert(both.end(), second.begin(), second.end());
        const auto trusts_both = authorities::load(both).value();
        CHECK(trusts_both.check(node.certificate(), within).has_value());
        CHECK(trusts_both.check(node.certificate(), ends + 1h).has_value());
    }
}

TEST_CASE("receipts, custody and verdicts verify for ever, as of their signing time", "[trust]")
{
    const auto& f = shared();
    for (const auto at : {wall_time{}, within, ends + std::chrono::years{50}}) {
        CHECK_FALSE(error_of(f.relay, some_receipt(), at));
        CHECK_FALSE(error_of(f.relay, some_custody(), at));
        CHECK_FALSE(error_of(f.centre, some_verdict(), at));
    }
    CHECK(error_of(f.relay, some_receipt(ends + 1s)) == errc::expired);
    CHECK(error_of(f.relay, some_receipt(begins - 1s)) == errc::not_yet_valid);
}

TEST_CASE("withdrawals are judged at the judge's time", "[trust]")
{
    const auto& f = shared();
    const auto said = some_withdrawal(from_ms(1'000)); // the office's clock stands at 1970
    CHECK_FALSE(error_of(f.station, said, within));
    CHECK(error_of(f.station, said, ends + 1s) == errc::expired);
    CHECK(error_of(f.station, said, begins - 1s) == errc::not_yet_valid);
}

TEST_CASE("no date counts for a manifest, neither its own nor its signer's", "[trust]")
{
    const auto& f = shared();
    for (const auto taken_at :
         {from_ms(1), begins - 1s, within, ends + 1s, from_ms(4'300'000'000'000)})
        for (const auto at :
             {wall_time{}, begins - 1s, within, ends + 1s, ends + std::chrono::years{50}}) {
            auto said = some_manifest();
            said.taken_at = taken_at;
            CHECK_FALSE(error_of(f.station, said, at));
            // Of a certificate that nobody has seen valid.
            CHECK_FALSE(
                error_of(fixture::load(f.ca.station("kab-karimun-03", short_lived)), said, at));
        }
}

TEST_CASE("no date of the chain counts for a manifest, though for a receipt it does", "[trust]")
{
    const support::pki regency{shared().ca, "Regency Authority", short_lived};
    const support::pki old{"Old Authority", short_lived};
    for (const auto* above : {&regency, &old}) {
        const auto station = fixture::load(above->station("kab-karimun-03", long_lived));
        const auto hub = fixture::load(above->relay("hub", long_lived));
        const auto trusted = authorities::load(above->authorities()).value();
        for (const auto at : {begins - 1s, within, ends + 1s}) {
            CHECK(trusted.verify(sign(station, some_manifest()), at).has_value());
            CHECK(trusted.verify(sign(hub, some_receipt(at)), within).has_value() ==
                  (at == within));
        }
    }
}

TEST_CASE("believed for a manifest, a certificate is no better for anything else", "[trust]")
{
    const auto& f = shared();
    const auto station = fixture::load(f.ca.station("kab-karimun-03", short_lived));
    for (int i = 0; i < 2; ++i) { // the second time it is known
        CHECK_FALSE(error_of(station, some_manifest(), ends + 1s));
        CHECK(f.trusted.check(station.certificate(), ends + 1s).error() == errc::expired);
        CHECK(f.trusted.check(station.certificate(), begins - 1s).error() == errc::not_yet_valid);
        CHECK(error_of(station, some_withdrawal(), ends + 1s) == errc::expired);
    }
}

TEST_CASE("who signed a manifest, and for which authority, counts whatever the dates", "[trust]")
{
    const auto& f = shared();
    const support::pki theirs{"Test Authority", long_lived};
    const auto foreign = fixture::load(theirs.station("kab-karimun-03", short_lived));
    const auto other = fixture::load(f.ca.station("kab-karimun-04", short_lived));
    const auto weak =
        f.ca.node({"titip:station:kab-karimun-03"}, short_lived, support::key_kind::p384);
    const auto nobody = f.ca.node({}, short_lived);
    const auto namesake = fixture::load(f.ca.relay("kab-karimun-03", short_lived));
    for (const auto at : {within, ends + 1s}) {
        CHECK(error_of(namesake, some_manifest(), at) == errc::wrong_role);
        CHECK(error_of(foreign, some_manifest(), at) == errc::foreign);
        CHECK(error_of(other, some_manifest(), at) == errc::wrong_role);
        CHECK(error_of(f.relay, some_manifest(), at) == errc::wrong_role);
        auto changed = sign(f.station, some_manifest());
        changed[changed.size() / 2] ^= std::byte{1};
        CHECK_FALSE(f.trusted.verify(changed, at).has_value());
    }
    CHECK_FALSE(identity::load(weak.certificate, weak.key).has_value());
    CHECK_FALSE(identity::load(nobody.certificate, nobody.key).has_value());
}

TEST_CASE("what a statement's signer's certificate says of its dates is told", "[trust]")
{
    const auto& f = shared();
    const auto got = f.trusted.verify(sign(f.station, some_manifest()), ends + 1s);
    REQUIRE(got.has_value());
    CHECK(got->dates.from == begins);
    CHECK(got->dates.until == ends);
}

TEST_CASE("what is signed but says nothing is refused", "[trust]")
{
    const auto& f = shared();
    for (const auto content : {std::string_view{}, std::string_view{"hello"}}) {
        const auto got = f.trusted.verify(f.centre.sign(as_bytes(content)), within);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == envelope::errc::bad_statement);
    }
}

TEST_CASE("an authority below a root is believed by itself, and leads to its root", "[trust]")
{
    const support::pki regency{shared().ca, "Regency Authority", long_lived};
    const auto node = fixture::load(regency.centre(short_lived));
    const auto only_below = authorities::load(regency.authorities()).value();
    CHECK(only_below.check(node.certificate(), within).has_value());
    CHECK(only_below.check(shared().centre.certificate(), within).error() == errc::foreign);

    // Above it alone the chain is not whole: statements carry one certificate only.
    CHECK(shared().trusted.check(node.certificate(), within).error() == errc::foreign);
    auto both = regency.authorities();
    const auto& root = shared().ca.authorities();
    both.insert(both.end(), root.begin(), root.end());
    CHECK(authorities::load(both).value().check(node.certificate(), within).has_value());
}

TEST_CASE("a node with a weak key is foreign, though our authority issued it", "[trust]")
{
    const auto weak =
        shared().ca.node({"titip:station:a"}, short_lived, support::key_kind::rsa1024);
    const auto certificate = envelope::read_certificates(weak.certificate).front();
    CHECK(shared().trusted.check(certificate.get(), within).error() == errc::foreign);
}

TEST_CASE("a certificate of ours that names no node signs nothing", "[trust]")
{
    const auto& f = shared();
    const auto nobody = f.ca.node({}, short_lived);
    const auto certificate = envelope::read_certificates(nobody.certificate).front();
    CHECK(f.trusted.check(certificate.get(), within).error() == errc::bad_certificate);
}

TEST_CASE("a flipped bit anywhere in a signed statement is refused", "[trust]")
{
    const auto& f = shared();
    for (const auto& good : {sign(f.station, some_manifest()), sign(f.relay, some_receipt())}) {
        REQUIRE(f.trusted.verify(good, within).has_value());
        for (std::size_t i = 0; i < good.size() * 8; ++i) {
            auto flipped = good;
            flipped[i / 8] ^= std::byte(1u << i % 8);
            if (f.trusted.verify(flipped, within))
                FAIL("bit " << i << " of byte " << i / 8 << " is not noticed");
        }
    }
    CHECK(ERR_peek_error() == 0);
}

TEST_CASE("a signed statement that is cut or continued is refused", "[trust]")
{
    const auto& f = shared();
    auto good = sign(f.relay, some_receipt());
    for (std::size_t size = 0; size < good.size(); ++size)
        if (f.trusted.verify(bytes_view{good}.first(size), within))
            FAIL("cut to " << size << " bytes it still verifies");
    good.push_back(std::byte{});
    CHECK(f.trusted.verify(good, within).error() == errc::bad_signature);
}

TEST_CASE("changed and random bytes never break the verifier", "[trust]")
{
    const auto& f = shared();
    const auto good = sign(f.relay, some_receipt());
    std::mt19937 random{20'181'124};
    const auto below = [&](std::size_t n) { return std::size_t{random()} % n; };
    for (int i = 0; i < 3'000; ++i) {
        auto bad = good;
        for (auto n = below(6) + 1; n > 0; --n)
            bad[below(bad.size())] ^= std::byte(below(255) + 1);
        if (bad != good)
            CHECK_FALSE(f.trusted.verify(bad, within).has_value());
    }
    for (int i = 0; i < 3'000; ++i) {
        bytes noise(below(300));
        fill_random(noise);
        CHECK_FALSE(f.trusted.verify(noise, within).has_value());
    }
}

TEST_CASE("another encoding of the same signed statement is refused", "[trust]")
{
    const auto& f = shared();
    const folder here;
    REQUIRE(write_file(here.path / "content", envelope::encode(some_receipt())).has_value());
    // Longer than the signer's, so that it comes after it (DER sorts a SET OF).
    const auto other = f.ca.station(std::string(63, 'z'), short_lived).certificate;
    REQUIRE(write_file(here.path / "other", other).has_value());
    const auto relay = f.ca.relay("kab-karimun", short_lived);
    REQUIRE(write_file(here.path / "crt", relay.certificate).has_value());
    REQUIRE(write_file(here.path / "key", relay.key).has_value());
    const auto sign_with = [&](const std::string& options) {
        const auto command =
            "cd " + here.path.string() +
            " && openssl cms -sign -binary -nodetach -outform DER -in content -signer crt"
            " -inkey key -out out " +
            options;
        REQUIRE(std::system(command.c_str()) == 0);
        return f.trusted.verify(read_file(here.path / "out").value(), within);
    };
    CHECK(sign_with("-md sha256 -noattr").has_value());
    for (const auto* each : {"-md sha256", "-md sha256 -noattr -stream", "-md sha384 -noattr",
                             "-md sha256 -noattr -keyid", "-md sha256 -noattr -nocerts",
                             "-md sha256 -noattr -certfile other"}) {
        CAPTURE(each);
        const auto got = sign_with(each);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error() == errc::bad_signature);
    }
}

TEST_CASE("openssl alone verifies any statement, without our software", "[trust]")
{
    const auto& f = shared();
    const folder here;
    REQUIRE(write_file(here.path / "ca", f.ca.authorities()).has_value());
    for (const auto& [signer, said] :
         {std::pair{&f.station, envelope::statement{some_manifest()}},
          std::pair{&f.relay, envelope::statement{some_receipt()}},
          std::pair{&f.relay, envelope::statement{some_custody()}},
          std::pair{&f.centre, envelope::statement{some_verdict()}},
          std::pair{&f.station, envelope::statement{some_withdrawal()}}}) {
        const auto content = envelope::encode(said);
        REQUIRE(write_file(here.path / "in", signer->sign(content)).has_value());
        const auto command =
            "cd " + here.path.string() +
            " && openssl cms -verify -binary -inform DER -in in -CAfile ca -purpose any -attime " +
            std::to_string(to_ms(within) / 1'000) + " -out out 2>/dev/null";
        REQUIRE(std::system(command.c_str()) == 0);
        CHECK(read_file(here.path / "out").value() == content);
    }
}

TEST_CASE("a file without a single authority, or with something else in it, is refused", "[trust]")
{
    const auto& f = shared();
    CHECK(authorities::load({}).error() == errc::bad_authorities);
    CHECK(authorities::load(as_bytes("nothing")).error() == errc::bad_authorities);
    const auto node = f.ca.centre().certificate;
    CHECK(authorities::load(node).error() == errc::bad_authorities);
    auto mixed = f.ca.authorities();
    mixed.insert(mixed.end(), node.begin(), node.end());
    CHECK(authorities::load(mixed).error() == errc::bad_authorities);
    CHECK(f.trusted.store() != nullptr);
}

TEST_CASE("with what is no authority's certificate the rest of the file counts, and it is told",
          "[trust]")
{
    const auto& f = shared();
    const std::string root{as_text(f.ca.authorities())};
    const std::string node{as_text(f.ca.centre().certificate)};
    const std::string key{as_text(f.ca.centre().key)};
    const auto cut = root.substr(0, root.size() / 2);
    const auto headless = root.substr(root.find('\n') + 1);
    const std::string list = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    for (const auto& wrong : {node, key, cut, headless, list}) {
        CAPTURE(wrong);
        for (const auto& text : {root + wrong, wrong + "\n" + root}) {
            CHECK(authorities::load(as_bytes(text)).error() == errc::bad_authorities);
            std::vector<std::string> told;
            const auto loaded = authorities::load(as_bytes(text), &told);
            REQUIRE(loaded.has_value());
            CHECK_FALSE(told.empty());
            CHECK(loaded->verify(sign(f.station, some_manifest()), within).has_value());
        }
        std::vector<std::string> told;
        CHECK(authorities::load(as_bytes(wrong), &told).error() == errc::bad_authorities);
    }
    std::vector<std::string> told;
    CHECK(authorities::load(as_bytes("Certificate:\n    Data:\n" + root + "\nthe end\n"), &told)
              .has_value());
    CHECK(told.empty()); // what openssl -text prints between them
}

TEST_CASE("more certificates than are remembered are judged all the same", "[trust]")
{
    const auto& f = shared();
    const auto trusted = authorities::load(f.ca.authorities()).value();
    for (int i = 0; i < 600; ++i) {
        const auto name = "station-" + std::to_string(i);
        const auto node = f.ca.station(name, short_lived);
        const auto certificate = envelope::read_certificates(node.certificate).front();
        for (int again = 0; again < 2; ++again)
            if (trusted.check(certificate.get(), within).value() != peer{role::station, name})
                FAIL(name << " was taken for another");
    }
}

TEST_CASE("many threads verify at once with one set of authorities", "[trust]")
{
    const auto& f = shared();
    const auto manifest = sign(f.station, some_manifest());
    const auto receipt = sign(f.relay, some_receipt());
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int n = 0; n < 50; ++n) {
                good += f.trusted.verify(manifest, within).has_value();
                good += f.trusted.verify(receipt, within).has_value();
                good += sign(f.station, some_manifest()).size() > 0;
            }
        });
    for (auto& each : threads)
        each.join();
    CHECK(good == 4 * 50 * 3);
}
