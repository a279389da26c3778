#pragma once

#include "http/stream.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct ssl_st;
struct stack_st_X509;
struct x509_store_ctx_st;
struct x509_store_st;

namespace titip::http {

/// Who is at the other end of a Unix socket (SO_PEERCRED, SO_PEERGROUPS), as of connect().
struct credentials {
    uid_t uid = 0;
    std::vector<gid_t> groups; ///< primary and supplementary
};
result<credentials> peer_credentials(int native_handle);

class tls_context;

/// `verify` decides about a peer's certificate (the leaf) during the handshake, after OpenSSL has
/// judged the chain by itself: it is given the certificate and X509_V_OK or OpenSSL's reason, and
/// says whether to go on (dates are judged by trust::judge, not by the clock). A reason of dates
/// (X509_V_ERR_CERT_HAS_EXPIRED, _NOT_YET_VALID) is given only where all else is right; the dates
/// may be those of an authority above the certificate. Without `verify`, only X509_V_OK passes.
///
/// The same rule is asked before a session is resumed, by either side: one whose certificate would be
/// refused gets a whole handshake, which says why; and by stream::is_peer_believed(), of the context that
/// `present` gives. So `verify` is called more often than there are handshakes.
struct tls_options {
    x509_st* certificate = nullptr; ///< references are taken, the caller keeps its own
    evp_pkey_st* key = nullptr;
    x509_store_st* authorities = nullptr;
    std::function<bool(x509_st*, int openssl_reason)> verify;
    /// Of each certificate of a chain that is right, dates aside, authorities too: true is
    /// X509_V_ERR_CERT_REVOKED to `verify`. Null: none is.
    std::function<bool(x509_st*)> is_revoked{};
    /// The context that has taken this one's place, or this one; null, or giving null: this one.
    std::function<std::shared_ptr<tls_context>()> present{};
};

struct free_chain {
    void operator()(stack_st_X509* chain) const noexcept;
};
/// A peer's certificate with those above it, of which a context has found that each signed the next.
using proven_chain = std::unique_ptr<stack_st_X509, free_chain>;

/// A TLS 1.3 context; shared by all connections made with it, immutable once in use but for a
/// client's newest sessions, which the next connections to the same endpoint resume.
/// Threads: the socket thread only.
class tls_context {
public:
    static result<std::shared_ptr<tls_context>> server(const tls_options& options);
    static result<std::shared_ptr<tls_context>> client(const tls_options& options);
    ssl_ctx_st* native_handle() const noexcept { return native_; }
    ~tls_context();
    tls_context(const tls_context&) = delete;
    tls_context& operator=(const tls_context&) = delete;

    /// Whether a handshake would let in the peer of `connection` now, by the options that this context
    /// was made with. `proven`: what this context has found of it before, if anything; then only what may
    /// have changed is looked at, dates, revocation, `verify`: signatures cost 0.2 ms.
    bool believes_peer(ssl_st* connection, proven_chain& proven) const;
    /// The same for `leaf`, that of a session to be resumed, with which no others are kept.
    bool believes_session(ssl_st* connection, x509_st* leaf) const;
    /// The one in use now, to judge by; null: this one.
    std::shared_ptr<const tls_context> present() const { return present_ ? present_() : nullptr; }

    /// For a new connection to `peer` ("host:port"): resumes a session if there is one, and keeps
    /// those it is given. `peer` must outlive `connection`. Connections that begin together resume
    /// different sessions where there are as many, since a server may take each only once.
    void resume(ssl_st* connection, const std::string& peer);
    void keep(const std::string& peer, const ssl_session_st* session); ///< a copy of it

private:
    tls_context(ssl_ctx_st* native, const tls_options& options);
    static int verify_peer(x509_store_ctx_st* chain, void* of) noexcept;
    result<void> apply(const tls_options& options);
    void forget_sessions() noexcept;

    /// As many as mostly connect at once: a prober, two transfers, one for urgent records.
    static constexpr std::size_t most_sessions = 4;

    bool judge(x509_store_ctx_st* chain) const;
    int present_reason(const stack_st_X509* chain) const;
    bool accepts(x509_st* leaf, int reason) const;
    bool believes(ssl_st* connection, x509_st* leaf, stack_st_X509* others,
                  proven_chain* proven) const;

    ssl_ctx_st* native_;
    std::function<bool(x509_st*, int)> verify_;
    std::function<bool(x509_st*)> is_revoked_;
    std::function<std::shared_ptr<tls_context>()> present_;
    std::string sessions_of_;
    std::deque<ssl_session_st*> sessions_; ///< the next to be used first
};

/// Whether the peer's TLS alert says that it does not accept our certificate: fault::auth. In
/// TLS 1.3 a client learns it from its first read, after a handshake that went well.
bool is_refused_certificate(const error_code& ec) noexcept;

/// How far a connection attempt got, for the link's verdict.
enum class layer { resolve, route, tcp, tls, done };

struct connect_failure {
    layer at{};
    error_code reason;
    long verify_result = 0; ///< X509_V_ERR_... where TLS failed on the peer's certificate
};

struct endpoint {
    std::string host; ///< name or address; also what the certificate must name
    std::string port;
};

/// Socket options of the uplink: TCP_NODELAY, TCP_NOTSENT_LOWAT, TCP_USER_TIMEOUT, keep-alive.
struct tcp_options {
    std::size_t notsent_lowat_bytes = 128u << 10;
    milliseconds user_timeout = 60s;
    bool asks_once = false;          ///< for the address: without the resolver's repetitions
    unsigned most_segment_bytes = 0; ///< TCP_MAXSEG, both ways; 0: as path and interface say
};

/// Resolves (layer::resolve, timed_out where no answer came), connects (each address in turn) and
/// shakes hands, all within `limit`. The look-up runs on a thread that is left behind if it gets no
/// answer, so that stopping does not wait for it. Cancellation of the calling coroutine ends it at
/// once.
/// `reached` (may be null) is called when TCP is connected, before the handshake.
asio::awaitable<result<std::unique_ptr<stream>, connect_failure>>
connect_tls(endpoint to, std::shared_ptr<tls_context> context, tcp_options options,
            milliseconds limit, std::function<void()> reached = nullptr);

asio::awaitable<result<std::unique_ptr<stream>>> connect_unix(std::filesystem::path socket);

/// Accepts connections for ever; each is given to `take`, which runs it (and must not throw). At
/// most `most` at a time: further ones wait in the kernel's queue. Cancellation ends accepting and
/// all of them.
class listener {
public:
    virtual ~listener() = default;
    /// Runs until cancelled. The handshake of TLS happens inside, with a limit of 30 s, one
    /// coroutine a connection, so that a silent peer holds up nobody.
    /// Returns when the coroutines of all connections have ended, which cancellation asks them to.
    virtual asio::awaitable<void>
    run(std::function<asio::awaitable<void>(std::unique_ptr<stream>)> take) = 0;
    /// What it is bound to: "127.0.0.1:8443", a path.
    virtual std::string address() const = 0;
    /// For connections from now on.
    virtual void replace(std::shared_ptr<tls_context>) {}
};

/// `address` is "127.0.0.1:8443" or "[::]:8443", a number and not a name; port 0 lets the system
/// choose.
result<std::unique_ptr<listener>> listen_tls(asio::any_io_executor on, std::string_view address,
                                             std::shared_ptr<tls_context> context,
                                             std::size_t most);

/// Removes a stale socket file, but not one that somebody listens on, nor what is no socket (both
/// errc::address_in_use); removes its own when it is destroyed. The mode of the socket file is
/// 0666: roles are checked per connection, not by the file system.
result<std::unique_ptr<listener>> listen_unix(asio::any_io_executor on,
                                              std::filesystem::path socket, std::size_t most);

} // namespace titip::http
