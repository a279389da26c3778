#include "base/digest.hpp"
#include "base/file.hpp"
#include "envelope/seal.hpp"
#include "support/der_tree.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

/// Envelopes that an earlier titipd sealed, kept as they were (tests/unit/envelope/golden), with the keys that
/// open them. A new version of the form gets new files beside these: `TITIP_GOLDEN=DIR envelope_test
/// "[make-golden]"`, with the keys of that folder. They are named FORMAT-WHAT-RECIPIENT+RECIPIENT.cms.
using namespace titip;
using namespace titip::envelope;
using support::element;

namespace {

const std::filesystem::path golden = TITIP_SOURCE "/tests/unit/envelope/golden";

bytes part(const std::string& name)
{
    return read_file(golden / name).value();
}

std::vector<std::filesystem::path> golden_envelopes()
{
    std::vector<std::filesystem::path> out;
    for (const auto& each : std::filesystem::directory_iterator{golden})
        if (each.path().extension() == ".cms")
            out.push_back(each.path());
    std::ranges::sort(out);
    return out;
}

std::vector<std::string> recipients_of(const std::filesystem::path& file)
{
    auto rest = file.stem().string();
    rest.erase(0, rest.find('-') + 1); // the format
    rest.erase(0, rest.find('-') + 1); // what is in it
    std::vector<std::string> out;
    for (std::size_t end = 0; end != std::string::npos; rest.erase(0, end + 1)) {
        end = rest.find('+');
        out.push_back(rest.substr(0, end));
        if (end == std::string::npos)
            break;
    }
    return out;
}

bytes usual()
{
    return part("1-text-p256+rsa2048.cms");
}

element tree_of(bytes_view der)
{
    std::vector<element> out;
    REQUIRE(support::parse(der, out));
    REQUIRE(out.size() == 1);
    return std::move(out.front());
}

bytes der_of(const element& from)
{
    bytes out;
    support::write(from, out);
    return out;
}

element primitive(std::uint8_t tag, std::string_view content)
{
    return {.tag = tag, .content = to_bytes(as_bytes(content)), .children = {}};
}

element constructed(std::uint8_t tag, std::vector<element> children)
{
    return {.tag = tag, .content = {}, .children = std::move(children)};
}

/// The parts of an envelope for an RSA key and one P-256 key.
struct parts {
    explicit parts(bytes_view der = usual()) : whole(tree_of(der)) {}

    element& data() { return whole.children[1].children[0]; }
    element& recipients() { return data().children[1]; }
    element& transport() { return recipients().children[0]; }
    element& agreement() { return recipients().children[1]; }
    element& content() { return data().children[2]; }
    element& tag() { return data().children[3]; }

    element whole;
};

using namespace std::string_view_literals;
constexpr auto wrap_pad = "\x60\x86\x48\x01\x65\x03\x04\x01\x30"sv;
constexpr auto wrap_128 = "\x60\x86\x48\x01\x65\x03\x04\x01\x05"sv;
constexpr auto kdf_sha1 = "\x2b\x81\x05\x10\x86\x48\x3f\x00\x02"sv;
constexpr auto kdf_cofactor = "\x2b\x81\x04\x01\x0e\x01"sv;
constexpr auto rsa_v1_5 = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"sv;
constexpr auto sha1 = "\x2b\x0e\x03\x02\x1a"sv;
constexpr auto sha256_id = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv;
constexpr auto p_specified = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x09"sv;
constexpr auto p256 = "\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
constexpr auto aes_256_cbc = "\x60\x86\x48\x01\x65\x03\x04\x01\x2a"sv;
constexpr auto aes_256_ccm = "\x60\x86\x48\x01\x65\x03\x04\x01\x2f"sv;

bytes random_bytes(std::size_t size)
{
    bytes out(size);
    fill_random(out);
    return out;
}

element& wrapped_key(parts& p)
{
    return p.agreement().children[3].children[0].children[1];
}

void set_wrap(parts& p, std::string_view algorithm, std::size_t key_bytes)
{
    p.agreement().children[2].children[1].children[0] = primitive(0x06, algorithm);
    wrapped_key(p).content = random_bytes(key_bytes);
}

/// Everything here is CMS that OpenSSL reads, and no sealer of ours makes.
const std::map<std::string, std::function<void(parts&)>> forgeries{
    {"padded key wrap, 32 bytes", [](parts& p) { set_wrap(p, wrap_pad, 32); }},
    {"padded key wrap, 40 bytes", [](parts& p) { set_wrap(p, wrap_pad, 40); }},
    {"padded key wrap, 48 bytes", [](parts& p) { set_wrap(p, wrap_pad, 48); }},
    {"padded key wrap, 64 bytes", [](parts& p) { set_wrap(p, wrap_pad, 64); }},
    {"padded key wrap, 1040 bytes", [](parts& p) { set_wrap(p, wrap_pad, 1'040); }},
    {"key wrap of 128 bits", [](parts& p) { set_wrap(p, wrap_128, 24); }},
    {"a wrapped key of another length", [](parts& p) { wrapped_key(p).content.resize(48); }},
    {"key agreement without the wrap's name",
     [](parts& p) { p.agreement().children[2].children.pop_back(); }},
    {"key agreement with SHA-1",
     [](parts& p) { p.agreement().children[2].children[0] = primitive(0x06, kdf_sha1); }},
    {"key agreement with a cofactor",
     [](parts& p) { p.agreement().children[2].children[0] = primitive(0x06, kdf_cofactor); }},
    {"key agreement with something of the sender's beside it",
     [](parts& p) {
         auto& all = p.agreement().children;
         all.insert(all.begin() + 2, constructed(0xa1, {primitive(0x04, "sixteen bytes of")}));
     }},
    {"one key agreement for two",
     [](parts& p) {
         auto& keys = p.agreement().children[3].children;
         keys.push_back(keys.front());
     }},
    {"a sender's point on a curve that is named",
     [](parts& p) {
         auto& named = p.agreement().children[1].children[0].children[0].children;
         named.push_back(primitive(0x06, p256));
     }},
    {"a sender's point, compressed",
     [](parts& p) {
         auto& point = p.agreement().children[1].children[0].children[1].content;
         point.resize(34);
         point[1] = std::byte{2};
     }},
    {"a sender who is named by a key id",
     [](parts& p) {
         p.agreement().children[1].children[0] = primitive(0x80, "twenty bytes of a key");
     }},
    {"key agreement for a recipient named by issuer and number",
     [](parts& p) {
         p.agreement().children[3].children[0].children[0] =
             constructed(0x30, {constructed(0x30, {}), primitive(0x02, "\x01")});
     }},
    {"RSA with the older padding",
     [](parts& p) {
         p.transport().children[2] =
             constructed(0x30, {primitive(0x06, rsa_v1_5), primitive(0x05, "")});
     }},
    {"OAEP without parameters",
     [](parts& p) { p.transport().children[2].children[1].children.clear(); }},
    {"OAEP with SHA-1",
     [](parts& p) {
         p.transport().children[2].children[1].children[0] =
             constructed(0xa0, {constructed(0x30, {primitive(0x06, sha1)})});
     }},
    {"OAEP with a label that has no value",
     [](parts& p) {
         p.transport().children[2].children[1].children.push_back(
             constructed(0xa2, {constructed(0x30, {primitive(0x06, p_specified)})}));
     }},
    {"OAEP with a label",
     [](parts& p) {
         p.transport().children[2].children[1].children.push_back(constructed(
             0xa2, {constructed(0x30, {primitive(0x06, p_specified), primitive(0x04, "label")})}));
     }},
    {"a digest with a NULL beside it",
     [](parts& p) {
         p.transport().children[2].children[1].children[0] = constructed(
             0xa0, {constructed(0x30, {primitive(0x06, sha256_id), primitive(0x05, "")})});
     }},
    {"RSA for a recipient named by issuer and number",
     [](parts& p) {
         p.transport().children[0] = primitive(0x02, "\0"sv);
         p.transport().children[1] =
             constructed(0x30, {constructed(0x30, {}), primitive(0x02, "\x01")});
     }},
    {"an RSA key of 1,024 bits", [](parts& p) { p.transport().children[3].content.resize(128); }},
    {"an RSA key longer than any",
     [](parts& p) { p.transport().children[3].content.resize(2'049); }},
    {"a key that both have",
     [](parts& p) {
         auto& all = p.recipients().children;
         all.push_back(constructed(0xa2, {primitive(0x02, "\x04")}));
     }},
    {"a password",
     [](parts& p) {
         p.recipients().children.push_back(constructed(0xa3, {primitive(0x02, "\0"sv)}));
     }},
    {"another kind of recipient",
     [](parts& p) {
         p.recipients().children.push_back(constructed(0xa4, {primitive(0x06, sha1)}));
     }},
    {"recipients in another order",
     [](parts& p) { std::swap(p.recipients().children[0], p.recipients().children[1]); }},
    {"one recipient twice",
     [](parts& p) { p.recipients().children.push_back(p.recipients().children[1]); }},
    {"certificates of the sender's",
     [](parts& p) {
         auto& all = p.data().children;
         all.insert(all.begin() + 1, constructed(0xa0, {}));
     }},
    {"attributes beside the content",
     [](parts& p) {
         auto& all = p.data().children;
         all.insert(all.begin() + 3, constructed(0xa1, {constructed(0x30, {})}));
     }},
    {"attributes behind the tag",
     [](parts& p) { p.data().children.push_back(constructed(0xa2, {constructed(0x30, {})})); }},
    {"CBC",
     [](parts& p) {
         p.content().children[1] =
             constructed(0x30, {primitive(0x06, aes_256_cbc), primitive(0x04, "sixteen bytes of")});
     }},
    {"CCM", [](parts& p) { p.content().children[1].children[0] = primitive(0x06, aes_256_ccm); }},
    {"a nonce of 16 bytes",
     [](parts& p) { p.content().children[1].children[1].children[0].content.resize(16); }},
    {"a nonce longer than OpenSSL keeps",
     [](parts& p) { p.content().children[1].children[1].children[0].content.resize(1'000); }},
    {"a tag said to have 12 bytes",
     [](parts& p) { p.content().children[1].children[1].children[1].content[0] = std::byte{12}; }},
    {"a tag of 12 bytes", [](parts& p) { p.tag().content.resize(12); }},
    {"no tag", [](parts& p) { p.tag().content.clear(); }},
    {"the content elsewhere", [](parts& p) { p.content().children.pop_back(); }},
};

/// The same element of `at`, a copy of `whole`: its path by child numbers.
void each_path(const element& in, std::vector<std::size_t>& path,
               const std::function<void(const std::vector<std::size_t>&)>& told)
{
    for (std::size_t i = 0; i < in.children.size(); ++i) {
        path.push_back(i);
        told(path);
        each_path(in.children[i], path, told);
        path.pop_back();
    }
}

element& parent_of(element& whole, const std::vector<std::size_t>& path)
{
    auto* at = &whole;
    for (std::size_t i = 0; i + 1 < path.size(); ++i)
        at = &at->children[path[i]];
    return *at;
}

bool passes(const element& whole)
{
    return check_form(der_of(whole)).has_value();
}

} // namespace

TEST_CASE("envelopes of every version so far have the form, and open", "[envelope][golden]")
{
    const auto all = golden_envelopes();
    REQUIRE(all.size() >= 6);
    for (const auto& file : all) {
        CAPTURE(file.filename().string());
        const auto sealed = read_file(file).value();
        CHECK(check_form(sealed).has_value());
        for (const auto& each : recipients_of(file)) {
            CAPTURE(each);
            const auto got = open(sealed, part(each + ".pem"), part(each + ".key"));
            REQUIRE(got.has_value());
            CHECK(got->ids.station == "kab-karimun-03");
        }
    }
}

TEST_CASE("what CMS allows and no sealer makes is refused by its form, before a key touches it",
          "[envelope]")
{
    CHECK(der_of(parts{}.whole) == usual());
    const auto certificate = part("p256.pem");
    const auto key = part("p256.key");
    for (const auto& [name, forge] : forgeries) {
        CAPTURE(name);
        parts changed;
        forge(changed);
        const auto forged = der_of(changed.whole);
        REQUIRE(forged != usual());
        CHECK(check_form(forged).error() == errc::not_an_envelope);
        CHECK(open(forged, certificate, key).error() == errc::not_an_envelope);
    }
}

TEST_CASE("no element of an envelope can be left out, doubled, or be another", "[envelope]")
{
    const parts good;
    REQUIRE(passes(good.whole));
    std::vector<std::size_t> path;
    int looked_at = 0;
    each_path(good.whole, path, [&](const std::vector<std::size_t>& at) {
        CAPTURE(fmt::format("{}", fmt::join(at, ".")));
        ++looked_at;
        auto without = good.whole;
        auto& fewer = parent_of(without, at).children;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(at.back()));
        CHECK_FALSE(passes(without));
        auto twice = good.whole;
        auto& more = parent_of(twice, at).children;
        const auto copy = more[at.back()];
        more.insert(more.begin() + static_cast<std::ptrdiff_t>(at.back()), copy);
        CHECK_FALSE(passes(twice));
        for (int bit = 0; bit < 8; ++bit) {
            auto other = good.whole;
            parent_of(other, at).children[at.back()].tag ^= static_cast<std::uint8_t>(1 << bit);
            CHECK_FALSE(passes(other));
        }
    });
    CHECK(looked_at > 40);
}

TEST_CASE("each part that holds the ciphertext ends where the envelope does", "[envelope]")
{
    const auto good = usual();
    REQUIRE(check_form(good).has_value());
    // SEQUENCE, id-ct-authEnvelopedData, [0], SEQUENCE: lengths of two bytes each.
    for (const std::size_t last_of_length : {3u, 20u, 24u}) {
        CAPTURE(last_of_length);
        REQUIRE(good[last_of_length - 2] == std::byte{0x82});
        for (const auto bit : {std::byte{1}, std::byte{2}}) {
            auto other = good;
            other[last_of_length] ^= bit;
            CHECK_FALSE(check_form(other).has_value());
        }
    }
}

TEST_CASE("an envelope that lies in pieces has the form that it has as a whole", "[envelope]")
{
    const auto sealed = usual();
    const auto judge = [](bytes_view whole, std::size_t first) {
        return check_form(form_parts{.first = whole.first(first),
                                     .last = whole.last(form_end_bytes),
                                     .size_bytes = whole.size()})
            .has_value();
    };
    std::size_t shortest = sealed.size();
    while (shortest > 0 && judge(sealed, shortest - 1))
        --shortest;
    CHECK(sealed.size() - shortest >= form_end_bytes); // no byte of the content is asked for
    for (std::size_t first = 0; first < shortest; ++first)
        if (judge(sealed, first))
            FAIL("of " << first << " bytes of " << shortest << " it was told");
    for (const auto& [name, forge] : forgeries) {
        CAPTURE(name);
        parts changed;
        forge(changed);
        const auto forged = der_of(changed.whole);
        for (std::size_t first = 0; first <= forged.size(); ++first)
            if (judge(forged, first))
                FAIL("with the first " << first << " bytes it passes");
    }
    // The manifest's size is what the lengths have to fit, not what came.
    CHECK_FALSE(check_form(form_parts{.first = sealed,
                                      .last = bytes_view{sealed}.last(form_end_bytes),
                                      .size_bytes = sealed.size() + 1})
                    .has_value());
    CHECK(check_form(form_parts{.first = {}, .last = {}, .size_bytes = limit_bytes + 1}).error() ==
          errc::too_large);
}

TEST_CASE("make envelopes to be kept", "[.][make-golden]")
{
    const char* into = std::getenv("TITIP_GOLDEN");
    REQUIRE(into != nullptr);
    const inner_ids ids{record_id::parse("0198f2c1-3b3f-7032-a5c7-4403b3abe3ae").value(),
                        "kab-karimun-03"};
    const auto make = [&](std::string_view what, bytes_view enrollment,
                          const std::vector<std::string>& recipients) {
        std::vector<bytes> pem;
        for (const auto& each : recipients)
            pem.push_back(part(each + ".pem"));
        const auto name = fmt::format("1-{}-{}.cms", what, fmt::join(recipients, "+"));
        const auto sealed = sealer::load(pem).value().seal(ids, enrollment).value();
        REQUIRE(write_file(std::filesystem::path{into} / name, sealed).has_value());
    };
    const auto text = as_bytes("CONTOH, a synthetic enrollment"sv);
    make("text", text, {"p256", "rsa2048"});
    make("text", text, {"p256", "p256-second"});
    make("text", text, {"rsa2048", "rsa3072"});
    make("empty", {}, {"p256", "rsa2048"});
    make("long", bytes(70'000, std::byte{'C'}), {"p256", "rsa2048"});
    make("text", text, {"p256", "p256-second", "p256-short-id", "rsa2048", "rsa3072"});
}
