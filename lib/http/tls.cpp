#include "http/tls.hpp"

#include "base/bell.hpp"
#include "http/listening.hpp"
#include "http/message.hpp"
#include "http/refusals.hpp"

#include <boost/asio/ssl/error.hpp>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <list>

#include <netinet/tcp.h>

namespace titip::http {

namespace {

using asio::ip::tcp;

constexpr milliseconds handshake_limit = 30s;

/// Server: as long as its own limit on no progress.
constexpr tcp_options accepted_options{.user_timeout = 6min};

ssl_st* new_ssl(const tls_context& context)
{
    ssl_st* const made = SSL_new(context.native_handle());
    if (!made)
        throw std::bad_alloc{};
    return made;
}

/// The certificate must name the host. An address is compared with addresses, and not sent as
/// server name, which RFC 6066 reserves for names.
void expect_host(ssl_st* connection, const std::string& host)
{
    SSL_set_hostflags(connection, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host.c_str()) == 1)
        return;
    SSL_set1_host(connection, host.c_str());
    SSL_set_tlsext_host_name(connection, host.c_str());
}

template <class Value>
void set(int socket, int level, int option, Value value) noexcept
{
    ::setsockopt(socket, level, option, &value, sizeof value);
}

} // namespace

tls_stream::tls_stream(tcp::socket socket, std::shared_ptr<tls_context> context)
    : base(std::move(socket), new_ssl(*context)), context_(std::move(context))
{
}

tls_stream::tls_stream(tcp::socket socket, std::shared_ptr<tls_context> context, const endpoint& to)
    : tls_stream(std::move(socket), std::move(context))
{
    peer_ = to.host + ':' + to.port;
    expect_host(native(), to.host);
    context_->resume(native(), peer_);
}

ssl_st* tls_stream::native() const noexcept
{
    return const_cast<asio::ssl::stream<tcp::socket>&>(next_).native_handle();
}

asio::awaitable<error_code> tls_stream::handshake(asio::ssl::stream_base::handshake_type as,
                                                  milliseconds limit)
{
    const watchdog::step running{reading_, limit};
    const auto [ec] = co_await next_.async_handshake(as, asio::as_tuple(asio::use_awaitable));
    co_return ec ? cause(reading_, ec) : ec;
}

long tls_stream::verify_result() const noexcept
{
    return SSL_get_verify_result(native());
}

x509_st* tls_stream::peer_certificate() const noexcept
{
    return SSL_get0_peer_certificate(native());
}

bool tls_stream::is_peer_believed() const
{
    const auto present = context_->present();
    return (present ? *present : *context_).believes(native());
}

error_code tls_stream::plain(const error_code& ec) const noexcept
{
    return ec == asio::ssl::error::stream_truncated ? error_code{asio::error::eof} : ec;
}

asio::awaitable<void> tls_stream::shutdown()
{
    const watchdog::step running{reading_, goodbye};
    co_await next_.async_shutdown(asio::as_tuple(asio::use_awaitable));
    // A peer that was still sending has not said goodbye, but must get to read ours.
    co_await linger(next_.next_layer());
    close();
}

void set_options(tcp::socket& socket, const tcp_options& options) noexcept
{
    const int fd = socket.native_handle();
    const auto timeout_ms = static_cast<unsigned>(options.user_timeout.count());
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(options.notsent_lowat_bytes));
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms);
    if (options.most_segment_bytes > 0) // before it is connected, or it changes nothing
        set(fd, IPPROTO_TCP, TCP_MAXSEG, static_cast<int>(options.most_segment_bytes));
    // TCP_USER_TIMEOUT also ends an idle connection, at the first probe that finds it exceeded.
    // Three probes before that: on a link that loses packets a single one proves nothing.
    const auto idle_s = std::max(static_cast<int>(timeout_ms / 2'000), 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(idle_s / 3, 1));
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

namespace {

/// Connections whose peer has not shown a certificate yet. They must not use up the places of those
/// who have one. Where there are many, further ones wait in the kernel's queue until one is done or
/// the oldest has had its time, and is displaced. Rationale: displacing one at once would throw away
/// what was computed for it, and where all come at once, nearly all; a short limit always would shut
/// out the honest, whose handshake takes seconds on a satellite link.
class newcomers {
    struct one;

public:
    explicit newcomers(asio::any_io_executor on) : left_(std::move(on)) {}

    class place {
    public:
        place(std::shared_ptr<newcomers> among, stream& who) : among_(std::move(among))
        {
            auto& all = among_->all_;
            mine_ = all.insert(all.end(), {&who, monotonic::now() + fair_time});
        }
        place(const place&) = delete;
        ~place()
        {
            among_->all_.erase(mine_);
            among_->left_.ring();
        }

    private:
        std::shared_ptr<newcomers> among_;
        std::list<one>::iterator mine_;
    };

    /// Until one more may come, or the caller is cancelled.
    asio::awaitable<void> wait_for_room()
    {
        if (all_.size() < most)
            co_return;
        const auto until = all_.front().fair_until;
        if (monotonic::now() < until)
            co_await left_.wait_until(until);
        if (all_.size() >= most && monotonic::now() >= all_.front().fair_until)
            all_.front().who->close();
    }

private:
    static constexpr std::size_t most = 128;
    static constexpr auto fair_time = 5s; ///< a few round trips by satellite, and some loss
    struct one {
        stream* who;
        instant fair_until;
    };
    std::list<one> all_; ///< oldest first
    bell left_;
};

asio::awaitable<error_code> shake_hands(tls_stream& with, std::shared_ptr<newcomers> others)
{
    const newcomers::place mine{std::move(others), with};
    co_return co_await with.handshake(asio::ssl::stream_base::server, handshake_limit);
}

using refusal_taker = std::function<void(const std::string&)>;

/// One connection, from its handshake to its end.
asio::awaitable<void> serve(tcp::socket socket, std::shared_ptr<tls_context> context,
                            std::shared_ptr<newcomers> others, std::shared_ptr<const taker> take,
                            std::shared_ptr<const refusal_taker> refused)
{
    set_options(socket, accepted_options);
    error_code gone; // since it connected
    const auto from = socket.remote_endpoint(gone).address().to_string();
    auto secured = std::make_unique<tls_stream>(std::move(socket), std::move(context));
    const auto failed = co_await shake_hands(*secured, std::move(others));
    if (refused && failed && is_refused_certificate(failed))
        (*refused)(from);
    if (failed)
        co_await secured->shutdown(); // the alert that tells them why must not meet a reset
    else
        co_await (*take)(std::move(secured));
}

class tls_listener final : public accepting_listener {
public:
    tls_listener(tcp::acceptor acceptor, std::shared_ptr<tls_context> context, std::size_t most)
        : accepting_listener(most), acceptor_(std::move(acceptor)), context_(std::move(context)),
          newcomers_(std::make_shared<newcomers>(acceptor_.get_executor()))
    {
    }

    std::string address() const override
    {
        error_code ec;
        const auto bound = acceptor_.local_endpoint(ec);
        const auto host = bound.address().to_string();
        const auto port = ':' + std::to_string(bound.port());
        return bound.address().is_v6() ? '[' + host + ']' + port : host + port;
    }

    void replace(std::shared_ptr<tls_context> context) override { context_ = std::move(context); }
    void tell_of_refusals(refusal_taker tell)
    {
        refused_ = std::make_shared<const refusal_taker>(std::move(tell));
    }

private:
    asio::awaitable<result<asio::awaitable<void>>>
    accept(std::shared_ptr<const taker> take) override
    {
        co_await newcomers_->wait_for_room();
        auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return ec;
        co_return serve(std::move(socket), context_, newcomers_, std::move(take), refused_);
    }

    tcp::acceptor acceptor_;
    std::shared_ptr<tls_context> context_;
    std::shared_ptr<newcomers> newcomers_;
    std::shared_ptr<const refusal_taker> refused_; ///< null: nobody asks
};

result<tcp::endpoint> parse_endpoint(std::string_view address)
{
    const auto colon = address.rfind(':');
    if (colon == address.npos)
        return error_code{asio::error::invalid_argument};
    auto host = address.substr(0, colon);
    const auto port = parse_number(address.substr(colon + 1));
    const bool is_bracketed = host.starts_with('[') && host.ends_with(']');
    if (is_bracketed)
        host = host.substr(1, host.size() - 2);
    error_code ec;
    const auto number = asio::ip::make_address(host, ec);
    if (ec || !port || *port > 65'535 || number.is_v6() != is_bracketed)
        return error_code{asio::error::invalid_argument};
    return tcp::endpoint{number, static_cast<asio::ip::port_type>(*port)};
}

} // namespace

result<std::unique_ptr<listener>> listen_tls(asio::any_io_executor on, std::string_view address,
                                             std::shared_ptr<tls_context> context, std::size_t most)
{
    const auto at = parse_endpoint(address);
    if (!at)
        return at.error();
    error_code ec;
    tcp::acceptor acceptor{std::move(on)};
    acceptor.open(at->protocol(), ec);
    if (!ec)
        acceptor.set_option(tcp::acceptor::reuse_address{true}, ec);
    if (!ec)
        acceptor.bind(*at, ec);
    if (!ec)
        acceptor.listen(tcp::acceptor::max_listen_connections, ec);
    if (ec)
        return ec;
    return std::unique_ptr<listener>{
        std::make_unique<tls_listener>(std::move(acceptor), std::move(context), most)};
}

void tell_of_refusals(listener& on, refusal_taker tell)
{
    if (auto* const secured = dynamic_cast<tls_listener*>(&on))
        secured->tell_of_refusals(std::move(tell));
}

} // namespace titip::http
