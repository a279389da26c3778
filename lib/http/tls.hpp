#pragma once

#include "http/timed_stream.hpp"
#include "http/transport.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <functional>

namespace titip::http {

/// A socket with TLS on it. Nothing but the handshake may be done before the handshake.
class tls_stream final : public timed_stream<asio::ssl::stream<asio::ip::tcp::socket>> {
public:
    /// As the server.
    tls_stream(asio::ip::tcp::socket socket, std::shared_ptr<tls_context> context);
    /// As the client of `to`, whose host the certificate must name.
    tls_stream(asio::ip::tcp::socket socket, std::shared_ptr<tls_context> context,
               const endpoint& to);

    asio::awaitable<error_code> handshake(asio::ssl::stream_base::handshake_type as,
                                          milliseconds limit);
    /// Before the handshake, as the server: it must end within `limit` from the moment on when the
    /// peer's ClientHello is here, whole. `then` is called at that moment; it outlives the handshake.
    void expect_hello(milliseconds limit, std::function<void()> then);
    long verify_result() const noexcept;

    asio::awaitable<void> shutdown() override;
    x509_st* peer_certificate() const noexcept override;
    bool is_peer_believed() const override;

private:
    using base = timed_stream<asio::ssl::stream<asio::ip::tcp::socket>>;
    error_code plain(const error_code& ec) const noexcept override;
    ssl_st* native() const noexcept;

    std::shared_ptr<tls_context> context_;
    mutable std::shared_ptr<const tls_context> proven_by_; ///< null: nobody asked yet
    mutable proven_chain proven_;
    std::string peer_; ///< whose session to resume
    milliseconds limit_from_hello_{};
    std::function<void()> at_hello_;
};

/// Whatever the system does not know is left alone: these make a link better, not possible.
void set_options(asio::ip::tcp::socket& socket, const tcp_options& options) noexcept;

} // namespace titip::http
