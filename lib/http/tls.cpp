#include "http/tls.hpp"

#include "base/bell.hpp"
#include "http/listening.hpp"
#include "http/message.hpp"
#include "http/newcomers.hpp"
#include "http/refusals.hpp"

#include <boost/asio/ssl/error.hpp>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <map>

#include <netinet/tcp.h>

namespace titip::http {

namespace {

using asio::ip::tcp;

/// A connection is ours to accept when its first bytes are here, or after about so long (the kernel
/// counts how often it has asked): silence costs no descriptor and no memory of ours until then.
constexpr int silent_in_kernel_s = 5;

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
    SSL_set_msg_callback(native(), nullptr);
    co_return ec ? cause(reading_, ec) : ec;
}

void tls_stream::expect_hello(milliseconds limit, std::function<void()> then)
{
    limit_from_hello_ = limit;
    at_hello_ = std::move(then);
    const auto on_message = [](int is_written, int, int type, const void* data, std::size_t size,
                               ssl_st*, void* self) {
        const auto* const message = static_cast<const unsigned char*>(data);
        if (is_written != 0 || type != SSL3_RT_HANDSHAKE || size == 0 ||
            message[0] != SSL3_MT_CLIENT_HELLO)
            return;
        auto& its = *static_cast<tls_stream*>(self);
        its.reading_.extend(its.limit_from_hello_);
        its.at_hello_();
    };
    SSL_set_msg_callback(native(), on_message);
    SSL_set_msg_callback_arg(native(), this);
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
    auto present = context_->present();
    if (!present)
        present = context_;
    if (proven_by_ != present) {
        proven_.reset();
        proven_by_ = std::move(present);
    }
    return proven_by_->believes_peer(native(), proven_);
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

/// Carries out what `newcomers` decides.
class entrance_hall {
public:
    explicit entrance_hall(asio::any_io_executor on) : left_(std::move(on)) {}

    class place {
    public:
        place(std::shared_ptr<entrance_hall> in, tls_stream& who, std::string from)
            : in_(std::move(in)), mine_(in_->rules_.on_come(monotonic::now(), std::move(from)))
        {
            in_->streams_.emplace(mine_, &who);
            who.expect_hello(in_->rules_.rules().whole,
                             [this] { in_->rules_.on_hello(mine_, monotonic::now()); });
        }
        place(const place&) = delete;
        ~place()
        {
            in_->streams_.erase(mine_);
            in_->rules_.on_end(mine_);
            in_->left_.ring();
        }
        milliseconds calm() const noexcept { return in_->rules_.rules().calm; }

    private:
        std::shared_ptr<entrance_hall> in_;
        newcomers::ticket mine_;
    };

    /// Until one more may come, or the caller is cancelled.
    asio::awaitable<void> wait_for_room()
    {
        for (;;) {
            for (const auto each : rules_.take_displaced(monotonic::now()))
                streams_.at(each)->close();
            const auto state = co_await asio::this_coro::cancellation_state;
            if (rules_.has_room() || state.cancelled() != asio::cancellation_type::none)
                co_return;
            co_await left_.wait_until(rules_.look_again());
        }
    }

    bool may_say_goodbye() const noexcept { return leaving_ < most_leaving; }
    std::size_t& leaving() noexcept { return leaving_; }

private:
    /// Who has failed the handshake and is told why is waited for, a second each; further ones, who
    /// come faster than that, are closed at once.
    static constexpr std::size_t most_leaving = 64;

    newcomers rules_;
    std::map<newcomers::ticket, tls_stream*> streams_;
    bell left_;
    std::size_t leaving_ = 0;
};

asio::awaitable<error_code> shake_hands(tls_stream& with, std::shared_ptr<entrance_hall> in,
                                        std::string from)
{
    const entrance_hall::place mine{std::move(in), with, std::move(from)};
    co_return co_await with.handshake(asio::ssl::stream_base::server, mine.calm());
}

/// The alert that tells them why must not meet a reset.
asio::awaitable<void> see_off(tls_stream& who, entrance_hall& from)
{
    if (!from.may_say_goodbye()) {
        who.close();
        co_return;
    }
    const auto leave = [](std::size_t* count) { --*count; };
    const std::unique_ptr<std::size_t, decltype(leave)> leaving{&++from.leaving(), leave};
    co_await who.shutdown();
}

using refusal_taker = std::function<void(const std::string&)>;

/// One connection, from its handshake to its end.
asio::awaitable<void> serve(tcp::socket socket, std::shared_ptr<tls_context> context,
                            std::shared_ptr<entrance_hall> hall, std::shared_ptr<const taker> take,
                            std::shared_ptr<const refusal_taker> refused)
{
    set_options(socket, accepted_options);
    error_code gone; // since it connected
    const auto from = socket.remote_endpoint(gone).address();
    auto secured = std::make_unique<tls_stream>(std::move(socket), std::move(context));
    const auto failed = co_await shake_hands(*secured, hall, source_of(from));
    if (refused && failed && is_refused_certificate(failed))
        (*refused)(from.to_string());
    if (failed)
        co_await see_off(*secured, *hall);
    else
        co_await (*take)(std::move(secured));
}

class tls_listener final : public accepting_listener {
public:
    tls_listener(tcp::acceptor acceptor, std::shared_ptr<tls_context> context, std::size_t most)
        : accepting_listener(most), acceptor_(std::move(acceptor)), context_(std::move(context)),
          hall_(std::make_shared<entrance_hall>(acceptor_.get_executor()))
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
        co_await hall_->wait_for_room();
        auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return ec;
        co_return serve(std::move(socket), context_, hall_, std::move(take), refused_);
    }

    tcp::acceptor acceptor_;
    std::shared_ptr<tls_context> context_;
    std::shared_ptr<entrance_hall> hall_;
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
    set(acceptor.native_handle(), IPPROTO_TCP, TCP_DEFER_ACCEPT, silent_in_kernel_s);
    return std::unique_ptr<listener>{
        std::make_unique<tls_listener>(std::move(acceptor), std::move(context), most)};
}

void tell_of_refusals(listener& on, refusal_taker tell)
{
    if (auto* const secured = dynamic_cast<tls_listener*>(&on))
        secured->tell_of_refusals(std::move(tell));
}

} // namespace titip::http
