#include "trust/chain.hpp"

#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"
#include "envelope/statement.hpp"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <new>

namespace titip::trust {

namespace {

using envelope::owned;

constexpr std::size_t most_subject_bytes = 120;
constexpr int most_ways =
    8; ///< each later than the one before; an authority is renewed once or twice

std::string subject_of(const X509* certificate)
{
    const envelope::owned_bio out{BIO_new(BIO_s_mem())};
    // Escapes what is not printable ASCII.
    if (!out ||
        X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0)
        return {};
    char* data = nullptr;
    const auto size = BIO_get_mem_data(out.get(), &data);
    std::string text(data, static_cast<std::size_t>(std::max(size, 0L)));
    if (text.size() > most_subject_bytes)
        text = text.substr(0, most_subject_bytes) + "...";
    std::ranges::replace(text, '"', '\'');
    return text.empty() ? "(no name)" : text;
}

int tolerate_dates(int good, X509_STORE_CTX* context)
{
    const int error = X509_STORE_CTX_get_error(context);
    return good == 1 || error == X509_V_ERR_CERT_HAS_EXPIRED ||
           error == X509_V_ERR_CERT_NOT_YET_VALID;
}

std::vector<chain_link> way_at(x509_st* certificate, x509_store_st* authorities, wall_time at)
{
    const owned<X509_STORE_CTX, X509_STORE_CTX_free> context{X509_STORE_CTX_new()};
    if (!context || X509_STORE_CTX_init(context.get(), authorities, certificate, nullptr) != 1)
        throw std::bad_alloc{};
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
    X509_STORE_CTX_set_time(context.get(), 0, seconds);
    X509_STORE_CTX_set_verify_cb(context.get(), tolerate_dates);
    std::vector<chain_link> out;
    if (X509_verify_cert(context.get()) != 1)
        return out;
    const auto* chain = X509_STORE_CTX_get0_chain(context.get());
    for (int i = 0; i < sk_X509_num(chain); ++i)
        out.push_back(link_of(sk_X509_value(chain, i)));
    return out;
}

} // namespace

chain_link link_of(x509_st* certificate)
{
    const envelope::quiet_errors quiet;
    const auto valid = envelope::validity_of(certificate);
    chain_link out{.subject = subject_of(certificate), .from = valid.from, .until = valid.until};
    if (X509_digest(certificate, EVP_sha256(),
                    reinterpret_cast<unsigned char*>(out.fingerprint.data()), nullptr) != 1)
        throw std::bad_alloc{};
    return out;
}

const chain_link& first_to_end(const std::vector<chain_link>& chain)
{
    return *std::ranges::min_element(chain, {}, &chain_link::until);
}

std::vector<chain_link> chain_of(x509_st* certificate, x509_store_st* authorities, wall_time at)
{
    const envelope::quiet_errors quiet;
    at = std::clamp(at, wall_time{}, envelope::last_time); // X.509's calendar
    auto best = way_at(certificate, authorities, at);
    for (int i = 0; i < most_ways && !best.empty(); ++i) {
        const auto& end = first_to_end(best);
        if (end.until < at || end.until >= envelope::last_time || end == best.front())
            break; // nothing of it is valid, nothing can end later
        at = end.until + 1s;
        auto longer = way_at(certificate, authorities, at);
        if (longer.empty() || first_to_end(longer).until <= end.until)
            break;
        best = std::move(longer);
    }
    return best;
}

std::vector<watched> all_of(const chains& which)
{
    std::vector<watched> out;
    const auto add = [&out](const std::vector<chain_link>& chain, bool watched::*serves) {
        for (const auto& each : chain) {
            auto at = std::ranges::find(out, each, &watched::certificate);
            if (at == out.end())
                at = out.insert(out.end(),
                                {.certificate = each, .is_authority = &each != &chain.front()});
            (*at).*serves = true;
        }
    };
    add(which.node, &watched::serves_node);
    add(which.upstream, &watched::serves_upstream);
    for (const auto& each : which.recipients)
        add(each, &watched::serves_recipient);
    return out;
}

bool ends_soon(const chain_link& which, wall_time now) noexcept
{
    constexpr std::chrono::days soon{30};
    return which.until < now || std::chrono::ceil<std::chrono::days>(which.until - now) < soon;
}

bool has_ended(const chain_link& which, wall_time now) noexcept
{
    return std::chrono::floor<std::chrono::seconds>(now) > which.until;
}

} // namespace titip::trust
