#include "node/fit.hpp"

#include "base/file.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"

#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include <arpa/inet.h>

namespace titip::node {

namespace {

class findings {
public:
    template <class... Args>
    void wrong(fmt::format_string<Args...> format, Args&&... args)
    {
        all.push_back({true, false, fmt::format(format, std::forward<Args>(args)...)});
    }
    template <class... Args>
    void look(fmt::format_string<Args...> format, Args&&... args)
    {
        all.push_back({false, false, fmt::format(format, std::forward<Args>(args)...)});
    }
    void date(bool is_wrong, std::string sentence)
    {
        all.push_back({is_wrong, true, std::move(sentence)});
    }
    std::vector<misfit> all;
};

/// `key`: what the certificate belongs to. Each is looked at once, whatever stands on it.
void look_at_dates(const trust::watched& each, const trust::reckoning& now, findings& out)
{
    const auto& it = each.certificate;
    const auto key = each.is_authority  ? "[identity] authorities"
                     : each.serves_node ? "[identity] certificate"
                                        : "[seal] recipients";
    const auto until = to_rfc3339(it.until);
    if (trust::has_ended(it, now.floor))
        out.date(true, fmt::format("{}: {} has expired on {}: a new certificate is needed", key,
                                   it.subject, until));
    else if (trust::has_ended(it, now.likely))
        out.date(true, fmt::format(
                           "{}: {} ends on {}, and this machine's clock says {}: set the clock if "
                           "it is wrong; if it is right, a new certificate is needed",
                           key, it.subject, until, to_rfc3339(now.likely)));
    else if (trust::ends_soon(it, now.likely))
        out.date(false, fmt::format("{}: {} expires on {}: a new certificate is needed "
                                    "before that day",
                                    key, it.subject, until));
    if (it.from > now.likely && now.is_by_clock)
        out.date(true, fmt::format("{}: {} is valid only from {} on, and this machine's "
                                   "clock says {}: check the clock",
                                   key, it.subject, to_rfc3339(it.from), to_rfc3339(now.likely)));
}

void look_at_clock(const trust::reckoning& now, wall_time clock, findings& out)
{
    if (now.clock == trust::clock_state::behind || now.clock == trust::clock_state::ahead)
        out.date(true, fmt::format(
                           "the clock of this machine says {}; it must be wrong: this program was "
                           "made on {}: set it",
                           to_rfc3339(clock), to_rfc3339(now.floor)));
}

bool has_address(x509_st* certificate)
{
    const envelope::owned<GENERAL_NAMES, GENERAL_NAMES_free> names{static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const auto type = sk_GENERAL_NAME_value(names.get(), i)->type;
        if (type == GEN_DNS || type == GEN_IPADD)
            return true;
    }
    return false;
}

void look_at_own(const config& from, const materials& m, wall_time at, findings& out)
{
    auto* const own = m.identity->certificate();
    const auto file = from.identity.certificate.string();
    const auto pem = read_file(from.identity.certificate, 1u << 20);
    const auto all =
        pem ? envelope::read_certificates(*pem) : std::vector<std::shared_ptr<x509_st>>{};
    const auto is_led = !trust::chain_of(own, m.authorities->store(), at).empty();
    if (!is_led) {
        const auto is_issuer = [own](const auto& each) {
            return each.get() != own && X509_check_issued(each.get(), own) == X509_V_OK;
        };
        if (std::any_of(all.begin() + (all.empty() ? 0 : 1), all.end(), is_issuer))
            out.wrong("[identity] certificate: \"{}\": the authority that issued it stands only in "
                      "this file, where nobody looks: put it into [identity] authorities, \"{}\", "
                      "here and at every other node",
                      file, from.identity.authorities.string());
        else
            out.wrong("[identity] certificate: \"{}\" was issued by no authority in \"{}\": one of "
                      "the two files is of another set, or an old one",
                      file, from.identity.authorities.string());
    } else if (all.size() > 1)
        out.look("[identity] certificate: \"{}\" holds {} certificates: only the first is used; "
                 "those of authorities belong into [identity] authorities",
                 file, all.size());
    if ((X509_get_extension_flags(own) & EXFLAG_KUSAGE) != 0 &&
        (X509_get_key_usage(own) & KU_DIGITAL_SIGNATURE) == 0)
        out.wrong("[identity] certificate: \"{}\" may not be used to sign (keyUsage): ask for one "
                  "with digitalSignature",
                  file);
    if (from.listen && X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) != 1)
        out.wrong("[identity] certificate: \"{}\" may not be used by a server (extendedKeyUsage), "
                  "and [listen] makes this node one: ask for one with serverAuth",
                  file);
    if (from.upstream && X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) != 1)
        out.wrong("[identity] certificate: \"{}\" may not be used by a client (extendedKeyUsage), "
                  "and [upstream] makes this node one: ask for one with clientAuth",
                  file);
    if (from.listen && !has_address(own))
        out.wrong(
            "[identity] certificate: \"{}\" names no DNS name and no address: nodes below "
            "compare it with the name in their [upstream] url and refuse it; ask for one with "
            "that name",
            file);
}

bool may_receive(x509_st* certificate)
{
    if ((X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) == 0)
        return true;
    const auto wanted = EVP_PKEY_is_a(X509_get0_pubkey(certificate), "RSA") == 1
                            ? KU_KEY_ENCIPHERMENT
                            : KU_KEY_AGREEMENT;
    return (X509_get_key_usage(certificate) & static_cast<std::uint32_t>(wanted)) != 0;
}

bool is_same_key(x509_st* one, x509_st* other)
{
    return EVP_PKEY_eq(X509_get0_pubkey(one), X509_get0_pubkey(other)) == 1;
}

void look_at_recipients(const materials& m, wall_time at, findings& out)
{
    const auto& all = m.recipients;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto* const each = all[i].get();
        const auto subject = trust::link_of(each).subject;
        if (is_same_key(each, m.identity->certificate()))
            out.wrong("[seal] recipients: {} has this node's own key: whoever takes this machine "
                      "can read every record on it; name the centre's certificate and an escrow's",
                      subject);
        if (!may_receive(each))
            out.look("[seal] recipients: {} is not meant to receive (keyUsage): ask for one with "
                     "keyAgreement (P-256) or keyEncipherment (RSA)",
                     subject);
        for (std::size_t j = 0; j < i; ++j)
            if (is_same_key(each, all[j].get()))
                out.look("[seal] recipients: {} and {} have the same key: whoever loses it loses "
                         "both; an escrow needs a key of its own",
                         trust::link_of(all[j].get()).subject, subject);
        if (X509_self_signed(each, 1) != 1 &&
            trust::chain_of(each, m.authorities->store(), at).empty())
            out.look("[seal] recipients: {} was issued by an authority that is not in [identity] "
                     "authorities: make sure that it is the centre's before a record is taken",
                     subject);
    }
}

bool is_label(std::string_view text)
{
    return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
           std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-';
           });
}

/// One that says "anywhere", to which nothing can be connected.
bool is_no_address(const std::string& host)
{
    ::in_addr four{};
    ::in6_addr six{};
    return (::inet_pton(AF_INET, host.c_str(), &four) == 1 && four.s_addr == 0) ||
           (::inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six));
}

} // namespace

bool is_plausible_host(std::string_view host)
{
    const std::string text{host};
    ::in_addr four{};
    ::in6_addr six{};
    if (::inet_pton(AF_INET, text.c_str(), &four) == 1)
        return true;
    const auto zone = text.find('%'); // fe80::1%eth0
    if (::inet_pton(AF_INET6, text.substr(0, zone).c_str(), &six) == 1)
        return true;
    if (host.empty() || host.size() > 253)
        return false;
    std::string_view last;
    while (!host.empty()) {
        const auto dot = std::min(host.find('.'), host.size());
        last = host.substr(0, dot);
        if (!is_label(last))
            return false;
        host.remove_prefix(std::min(dot + 1, host.size()));
        if (host.empty() && text.back() == '.')
            return false; // no certificate names one with its dot at the end
    }
    // A name that ends in a number is an address with a slip in it.
    return !std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
}

trust::chains chains_of(const materials& m, wall_time at)
{
    trust::chains out;
    out.node = trust::chain_of(m.identity->certificate(), m.authorities->store(), at);
    if (out.node.empty())
        out.node = {trust::link_of(m.identity->certificate())};
    for (const auto& each : m.recipients) {
        auto chain = trust::chain_of(each.get(), m.authorities->store(), at);
        if (chain.empty())
            chain = {trust::link_of(each.get())};
        out.recipients.push_back(std::move(chain));
    }
    return out;
}

namespace {

constexpr std::string_view rights_key = "[relays]: ";

/// The file is not understood, or it shuts out what this node stands on itself.
void look_at_revoked(const config& from, const materials& m, wall_time at, findings& out)
{
    for (const auto& each : m.not_understood)
        out.wrong("{}", each);
    if (m.revoked && m.revoked->find(m.identity->certificate()))
        out.wrong(
            "[identity] revoked: it names this node's own certificate, \"{}\": others refuse it "
            "too where they have the same list; a new key and certificate are needed",
            from.identity.certificate.string());
    if (m.revoked && m.revoked->next_update() && *m.revoked->next_update() < at)
        out.look("[identity] revoked: a list of its authority (CRL) was to be replaced by a newer "
                 "one on "
                 "{}: fetch that one; until then this one goes on counting",
                 to_rfc3339(*m.revoked->next_update()));
}

} // namespace

std::string no_rights(const std::set<std::string>& relays)
{
    constexpr std::size_t most_named = 5;
    std::vector<std::string> names;
    for (const auto& each : relays)
        if (names.size() < most_named)
            names.push_back(each);
    return fmt::format(
        "{}there is no such table, so each relay{} may bring the records of every station, "
        "ask about them and give up what is incomplete: name for each relay the stations "
        "below it",
        rights_key,
        names.empty() ? std::string{}
                      : fmt::format(" ({}{})", fmt::join(names, ", "),
                                    names.size() < relays.size() ? ", ..." : ""));
}

bool is_of_rights(std::string_view sentence) noexcept
{
    return sentence.starts_with(rights_key);
}

std::vector<misfit> find_misfits(const config& from, const materials& m,
                                 const trust::reckoning& now)
{
    const envelope::quiet_errors quiet;
    findings out;
    look_at_clock(now, wall_now(), out);
    look_at_own(from, m, now.likely, out);
    look_at_recipients(m, now.likely, out);
    look_at_revoked(from, m, now.likely, out);
    if (from.listen && !from.relays)
        out.look("{}", no_rights({}));
    if (from.upstream && !is_plausible_host(from.upstream->host))
        out.wrong("[upstream] url: \"{}\" can be neither an address nor a name: correct it",
                  from.upstream->host);
    else if (from.upstream && is_no_address(from.upstream->host))
        out.wrong("[upstream] url: \"{}\" is no address that can be reached: name the upstream's",
                  from.upstream->host);
    for (const auto& each : trust::all_of(chains_of(m, now.likely)))
        look_at_dates(each, now, out);
    return out.all;
}

} // namespace titip::node
