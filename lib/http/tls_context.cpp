#include "http/transport.hpp"

#include <boost/asio/ssl/error.hpp>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cassert>
#include <memory>
#include <new>
#include <set>

namespace titip::http {

namespace {

error_code openssl_error()
{
    return {static_cast<int>(ERR_get_error()), asio::error::get_ssl_category()};
}

bool is_about_dates(int reason) noexcept
{
    return reason == X509_V_ERR_CERT_HAS_EXPIRED || reason == X509_V_ERR_CERT_NOT_YET_VALID;
}

int peer_index()
{
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

/// Goes on behind a failure of dates, so that nothing worse stays unseen behind it: OpenSSL stops at the
/// first error, and that may come before the leaf's signature has been checked.
int pass_dates(int is_right, X509_STORE_CTX* chain)
{
    return is_right == 1 || is_about_dates(X509_STORE_CTX_get_error(chain)) ? 1 : 0;
}

/// As OpenSSL, from the authority down: the leaf's own dates have the last word.
int reason_of_dates(const STACK_OF(X509) * chain)
{
    int out = X509_V_OK;
    for (int i = sk_X509_num(chain) - 1; i >= 0; --i) {
        const X509* const each = sk_X509_value(chain, i);
        if (X509_cmp_current_time(X509_get0_notBefore(each)) > 0)
            out = X509_V_ERR_CERT_NOT_YET_VALID;
        if (X509_cmp_current_time(X509_get0_notAfter(each)) < 0)
            out = X509_V_ERR_CERT_HAS_EXPIRED;
    }
    return out;
}

/// Whether the client of this ticket would be let in now. If not, it is as if there were no ticket: the
/// whole handshake that follows says why.
SSL_TICKET_RETURN judge_ticket(SSL* connection, SSL_SESSION* session, const unsigned char*,
                               std::size_t, SSL_TICKET_STATUS found, void* of)
{
    const bool is_one = found == SSL_TICKET_SUCCESS || found == SSL_TICKET_SUCCESS_RENEW;
    X509* const leaf = is_one ? SSL_SESSION_get0_peer(session) : nullptr;
    if (!leaf || !static_cast<const tls_context*>(of)->believes_session(connection, leaf))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return found == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int keep_session(SSL* connection, SSL_SESSION* session) noexcept
{
    const auto* peer = static_cast<const std::string*>(SSL_get_ex_data(connection, peer_index()));
    void* of = SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));
    if (!peer || !of)
        return 0;
    static_cast<tls_context*>(of)->keep(*peer, session);
    return 0; // OpenSSL keeps its own
}

} // namespace

tls_context::tls_context(ssl_ctx_st* native, const tls_options& options)
    : native_(native), verify_(options.verify), is_revoked_(options.is_revoked),
      present_(options.present)
{
}

/// Of a chain that is right but for its dates: what may change while a connection stands.
int tls_context::present_reason(const STACK_OF(X509) * chain) const
{
    for (int i = 0; is_revoked_ && i < sk_X509_num(chain); ++i)
        if (is_revoked_(sk_X509_value(chain, i)))
            return X509_V_ERR_CERT_REVOKED;
    return reason_of_dates(chain);
}

bool tls_context::accepts(x509_st* leaf, int reason) const
{
    return verify_ ? verify_(leaf, reason) : reason == X509_V_OK;
}

/// In place of X509_verify_cert, for the handshake and whatever asks later.
bool tls_context::judge(x509_store_ctx_st* chain) const
{
    X509_STORE_CTX_set_verify_cb(chain, pass_dates);
    int reason = X509_V_ERR_UNSPECIFIED;
    if (X509_verify_cert(chain) == 1)
        reason = present_reason(X509_STORE_CTX_get0_chain(chain));
    else if (const int why = X509_STORE_CTX_get_error(chain);
             why != X509_V_OK && !is_about_dates(why))
        reason = why;
    const bool accepted = accepts(X509_STORE_CTX_get0_cert(chain), reason);
    const int refusal = reason == X509_V_OK ? X509_V_ERR_APPLICATION_VERIFICATION : reason;
    // What it leaves as the chain's error becomes the alert and SSL_get_verify_result().
    X509_STORE_CTX_set_error(chain, accepted ? X509_V_OK : refusal);
    return accepted;
}

int tls_context::verify_peer(x509_store_ctx_st* chain, void* of) noexcept
{
    return static_cast<const tls_context*>(of)->judge(chain) ? 1 : 0;
}

/// As OpenSSL makes the chain's context in a handshake (ssl_verify_cert_chain): the same store, level,
/// purpose and, at a client, host.
bool tls_context::believes(ssl_st* connection, x509_st* leaf, STACK_OF(X509) * others,
                           proven_chain* proven) const
{
    if (!leaf)
        return false;
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> chain{
        X509_STORE_CTX_new(), X509_STORE_CTX_free};
    if (!chain ||
        X509_STORE_CTX_init(chain.get(), SSL_CTX_get_cert_store(native_), leaf, others) != 1)
        throw std::bad_alloc{};
    auto* const rules = X509_STORE_CTX_get0_param(chain.get());
    X509_VERIFY_PARAM_set_auth_level(rules, SSL_get_security_level(connection));
    X509_STORE_CTX_set_default(chain.get(),
                               SSL_is_server(connection) ? "ssl_client" : "ssl_server");
    X509_VERIFY_PARAM_set1(rules, SSL_get0_param(connection));
    const bool is_good = judge(chain.get());
    if (is_good && proven)
        proven->reset(X509_STORE_CTX_get1_chain(chain.get()));
    ERR_clear_error();
    return is_good;
}

bool tls_context::believes_session(ssl_st* connection, x509_st* leaf) const
{
    return believes(connection, leaf, nullptr, nullptr);
}

bool tls_context::believes_peer(ssl_st* connection, proven_chain& proven) const
{
    if (proven)
        return accepts(sk_X509_value(proven.get(), 0), present_reason(proven.get()));
    return believes(connection, SSL_get0_peer_certificate(connection),
                    SSL_get_peer_cert_chain(connection), &proven);
}

void free_chain::operator()(STACK_OF(X509) * chain) const noexcept
{
    sk_X509_pop_free(chain, X509_free);
}

tls_context::~tls_context()
{
    forget_sessions();
    SSL_CTX_free(native_);
}

result<void> tls_context::apply(const tls_options& options)
{
    SSL_CTX_set_app_data(native_, this);
    SSL_CTX_set_cert_verify_callback(native_, verify_peer, this);
    if (SSL_CTX_set_min_proto_version(native_, TLS1_3_VERSION) != 1)
        return openssl_error();
    if (options.authorities)
        SSL_CTX_set1_cert_store(native_, options.authorities);
    if (!options.certificate)
        return {};
    if (SSL_CTX_use_certificate(native_, options.certificate) != 1 ||
        SSL_CTX_use_PrivateKey(native_, options.key) != 1)
        return openssl_error();
    return {};
}

result<std::shared_ptr<tls_context>> tls_context::server(const tls_options& options)
{
    ERR_clear_error();
    SSL_CTX* const native = SSL_CTX_new(TLS_server_method());
    if (!native)
        return openssl_error();
    std::shared_ptr<tls_context> made{new tls_context{native, options}};
    SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Sessions live in the tickets that clients keep; nothing piles up here. The id is what OpenSSL
    // insists on for resuming where client certificates are asked for.
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_ticket_cb(native, nullptr, judge_ticket, made.get());
    static constexpr unsigned char id[] = "titip";
    SSL_CTX_set_session_id_context(native, id, sizeof id - 1);
    // Most connections of a crowd are silent at any moment: 33 kB each.
    SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
    if (const auto applied = made->apply(options); !applied)
        return applied.error();
    return made;
}

result<std::shared_ptr<tls_context>> tls_context::client(const tls_options& options)
{
    ERR_clear_error();
    SSL_CTX* const native = SSL_CTX_new(TLS_client_method());
    if (!native)
        return openssl_error();
    std::shared_ptr<tls_context> made{new tls_context{native, options}};
    SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(native, keep_session);
    if (const auto applied = made->apply(options); !applied)
        return applied.error();
    return made;
}

void tls_context::resume(ssl_st* connection, const std::string& peer)
{
    SSL_set_ex_data(connection, peer_index(), const_cast<std::string*>(&peer));
    // Another peer's session would pass for this one without a look at its certificate.
    if (sessions_of_ != peer)
        return;
    // OpenSSL takes a session back once it has been resumed: so one that does harm does it once.
    // One whose handshake did not come to its end is tried again. And one whose peer would be refused now
    // would stay without the handshake that says so.
    std::erase_if(sessions_, [this, connection](ssl_session_st* each) {
        X509* const leaf = SSL_SESSION_get0_peer(each);
        const bool is_spent =
            SSL_SESSION_is_resumable(each) != 1 || !leaf || !believes_session(connection, leaf);
        if (is_spent)
            SSL_SESSION_free(each);
        return is_spent;
    });
    if (sessions_.empty())
        return;
    // The next of those that begin meanwhile takes another.
    SSL_set_session(connection, sessions_.front());
    std::rotate(sessions_.begin(), sessions_.begin() + 1, sessions_.end());
}

void tls_context::keep(const std::string& peer, const ssl_session_st* session)
{
    if (sessions_of_ != peer)
        forget_sessions();
    sessions_of_ = peer;
    // A copy: OpenSSL declares a connection's newest session not resumable when the connection is
    // freed without a goodbye, and ours mostly end with the link.
    if (auto* const copy = SSL_SESSION_dup(session))
        sessions_.push_front(copy);
    if (sessions_.size() <= most_sessions)
        return;
    SSL_SESSION_free(sessions_.back());
    sessions_.pop_back();
}

void tls_context::forget_sessions() noexcept
{
    for (auto* const each : sessions_)
        SSL_SESSION_free(each);
    sessions_.clear();
}

bool is_refused_certificate(const error_code& ec) noexcept
{
    if (ec.category() != asio::error::get_ssl_category())
        return false;
    switch (ERR_GET_REASON(static_cast<unsigned long>(static_cast<unsigned>(ec.value())))) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

} // namespace titip::http
