#include "require.hpp"

#include "base/name.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"
#include "vault/support.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

using namespace titip;
using fuzz::require;

namespace {

struct signer {
    std::shared_ptr<const trust::identity> who;
    bool is_ours = true;
};

/// Also such as bear our names under an authority that is not ours.
const std::vector<signer>& signers()
{
    static const auto all = [] {
        const auto& ours = tests::everyone();
        const support::pki other{"Test Authority"};
        return std::vector<signer>{
            {ours.station},
            {ours.neighbour},
            {ours.relay},
            {ours.centre},
            {tests::identity_of(other.station("office-1")), false},
            {tests::identity_of(other.relay("hub-1")), false},
            {tests::identity_of(other.centre()), false},
        };
    }();
    return all;
}

/// The rule of docs/protocol.md once more.
bool may_say(const trust::peer& by, const envelope::statement& said)
{
    const bool is_custodian = by.role != trust::role::station;
    if (const auto* manifest = std::get_if<envelope::manifest>(&said))
        return !is_custodian && by.name == manifest->station;
    if (const auto* withdrawal = std::get_if<envelope::withdrawal>(&said))
        return !is_custodian && by.name == withdrawal->station;
    if (std::holds_alternative<envelope::verdict>(said))
        return by.role == trust::role::centre;
    return is_custodian;
}

/// Of a certificate that holds now.
bool is_of_now(const envelope::statement& said)
{
    const auto is_near = [](wall_time at) {
        return at > wall_now() - 23h && at < wall_now() + 820 * 24h;
    };
    if (const auto* receipt = std::get_if<envelope::receipt>(&said))
        return is_near(receipt->held_at);
    if (const auto* custody = std::get_if<envelope::custody>(&said))
        return is_near(custody->at);
    if (const auto* verdict = std::get_if<envelope::verdict>(&said))
        return is_near(verdict->at);
    return true;
}

/// The same, said now: no input has a time at which certificates hold that were made just before.
bytes at_present(bytes_view content)
{
    auto said = envelope::decode(content);
    if (!said)
        return to_bytes(content);
    if (auto* receipt = std::get_if<envelope::receipt>(&*said))
        receipt->held_at = wall_now();
    if (auto* custody = std::get_if<envelope::custody>(&*said))
        custody->at = wall_now();
    if (auto* verdict = std::get_if<envelope::verdict>(&*said))
        verdict->at = wall_now();
    return envelope::encode(*said);
}

/// Believed exactly if who signed it is ours, the content is a statement, and its signer may say it.
void check_statement(const signer& by, bytes_view content)
{
    const auto cms = by.who->sign(content);
    const auto got = tests::everyone().believed.verify(cms, wall_now());
    const auto said = envelope::decode(content);
    if (!got) {
        require(!by.is_ours || !said || !may_say(by.who->self(), *said) || !is_of_now(*said));
        return;
    }
    require(by.is_ours && said && got->statement == *said && got->signer == by.who->self() &&
            may_say(got->signer, *said) && got->hash == envelope::hash_of(content) &&
            !got->chain.empty());
}

/// A changed byte anywhere is refused.
void check_changed(const signer& by, bytes_view content, unsigned seed)
{
    auto cms = by.who->sign(content);
    const auto as_signed = cms;
    std::minstd_rand random{seed};
    for (auto left = random() % 3 + 1; left > 0; --left) {
        const auto at = random() % cms.size();
        switch (random() % 4) {
        case 0:
            cms.erase(cms.begin() + static_cast<std::ptrdiff_t>(at));
            break;
        case 1:
            cms.insert(cms.begin() + static_cast<std::ptrdiff_t>(at), cms[at]);
            break;
        default:
            cms[at] ^= std::byte(1u << random() % 8);
        }
    }
    require(cms == as_signed || !tests::everyone().believed.verify(cms, wall_now()));
}

std::string stand_in(const std::string& uri, std::size_t which)
{
    return std::string(uri.size(), which == 0 ? 'U' : 'V');
}

/// With any bytes in the place of each name: OpenSSL itself makes no such certificate.
bytes renamed(const bytes& certificate, const support::credential& issuer,
              const std::vector<std::string>& uris)
{
    using envelope::owned;
    const auto as_made = envelope::read_certificates(certificate).front();
    unsigned char* encoded = nullptr;
    const int size = i2d_X509(as_made.get(), &encoded);
    require(size > 0);
    std::string der{reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(size)};
    OPENSSL_free(encoded);
    for (std::size_t i = 0; i < uris.size(); ++i)
        fuzz::replace_all(der, stand_in(uris[i], i), uris[i]);
    const auto* position = as_uchar(as_bytes(der));
    const owned<X509, X509_free> made{d2i_X509(nullptr, &position, size)};
    const auto key = envelope::read_key(issuer.key);
    const owned<BIO, BIO_free_all> out{BIO_new(BIO_s_mem())};
    require(made && key && X509_sign(made.get(), key.get(), EVP_sha256()) > 0 &&
            PEM_write_bio_X509(out.get(), made.get()) == 1);
    char* pem = nullptr;
    const auto length = BIO_get_mem_data(out.get(), &pem);
    return to_bytes(as_bytes({pem, static_cast<std::size_t>(length)}));
}

/// A certificate that our authority, or another one, has made out to any names.
void check_certificate(bool is_ours, const std::vector<std::string>& uris, bytes_view content)
{
    static const support::pki foreign;
    const auto& authority = is_ours ? tests::everyone().authority : foreign;
    std::vector<std::string> stand_ins;
    for (std::size_t i = 0; i < uris.size(); ++i)
        stand_ins.push_back(stand_in(uris[i], i));
    auto made = authority.node(stand_ins);
    made.certificate = renamed(made.certificate, authority.self(), uris);
    const auto who = trust::identity::load(made.certificate, made.key);
    if (!who) {
        // One name that is ours to give is always enough.
        require(uris.size() != 1 || uris.front() != "titip:centre");
        return;
    }
    require(uris.size() == 1);
    const auto& self = who->self();
    const auto named = self.role == trust::role::centre
                           ? std::string{"titip:centre"}
                           : "titip:" + std::string{to_string(self.role)} + ":" + self.name;
    require(uris.front() == named && is_node_name(self.name));
    check_statement({std::make_shared<const trust::identity>(*who), is_ours}, content);
    const auto checked = tests::everyone().believed.check(who->certificate(), wall_now());
    require(checked.has_value() == is_ours && (!checked || *checked == self));
}

} // namespace

/// What somebody says, signed once more after each change of it: believed of whom it is of, and of nobody
/// else. The first byte says what is changed beside the content, the next ones by whom it is signed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr std::size_t options = 3;
    if (size < options)
        return 0;
    bytes_view content{reinterpret_cast<const std::byte*>(data) + options, size - options};
    const auto& by = signers()[data[1] % signers().size()];
    switch (data[0] % 8) {
    case 1:
        check_changed(by, at_present(content), data[2]);
        break;
    case 2: {
        constexpr std::size_t least_uri_bytes =
            10; // a stand-in is found in the certificate by its length
        std::vector<std::string> uris;
        for (int left = data[2] % 2 + 1; left > 0 && !content.empty(); --left) {
            const auto length = std::min<std::size_t>(std::to_integer<std::size_t>(content.front()),
                                                      content.size() - 1);
            uris.emplace_back(as_text(content.subspan(1, length)));
            content = content.subspan(1 + length);
            if (length < least_uri_bytes)
                return 0;
        }
        check_certificate(data[1] % 4 != 3, uris, at_present(content));
        break;
    }
    default:
        check_statement(by, data[2] % 4 == 3 ? to_bytes(content) : at_present(content));
    }
    return 0;
}
