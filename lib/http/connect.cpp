#include "http/look_up.hpp"
#include "http/tls.hpp"

namespace titip::http {

namespace {

using asio::ip::tcp;
using connected = result<tcp::socket, connect_failure>;

milliseconds left(instant until)
{
    return std::max(std::chrono::ceil<milliseconds>(until - monotonic::now()), 0ms);
}

connect_failure failure(layer at, const error_code& reason, long verify_result = 0)
{
    return {at, reason, verify_result};
}

connect_failure connect_failed(const error_code& reason)
{
    const bool no_route = reason == boost::system::errc::network_unreachable ||
                          reason == boost::system::errc::host_unreachable;
    return failure(no_route ? layer::route : layer::tcp, reason);
}

/// `socket` is in the caller's frame, which waits for this.
asio::awaitable<error_code> connect_to(tcp::socket& socket, tcp::endpoint address,
                                       tcp_options options, milliseconds limit)
{
    error_code failed;
    socket.open(address.protocol(), failed);
    if (failed)
        co_return failed;
    set_options(socket, options);
    auto late = [&socket] {
        error_code ignored;
        socket.close(ignored);
    };
    watchdog patience{socket.get_executor(), std::move(late)};
    const watchdog::step running{patience, limit};
    std::tie(failed) = co_await socket.async_connect(address, asio::as_tuple(asio::use_awaitable));
    if (patience.is_late())
        failed = asio::error::timed_out;
    co_return failed;
}

/// Each address has its share of the time, so that a silent one does not use up all of it. Of
/// their failures the one that came furthest is told.
asio::awaitable<connected> connect_any(std::vector<tcp::endpoint> addresses, tcp_options options,
                                       instant until)
{
    auto furthest = failure(layer::resolve, asio::error::host_not_found);
    auto untried = static_cast<std::int64_t>(addresses.size());
    for (const auto& address : addresses) {
        tcp::socket socket{co_await asio::this_coro::executor};
        const auto share = left(until) / untried--;
        const auto ec = co_await connect_to(socket, address, options, share);
        if (!ec)
            co_return std::move(socket);
        const auto failed = connect_failed(ec);
        if (failed.at >= furthest.at)
            furthest = failed;
    }
    co_return furthest;
}

} // namespace

asio::awaitable<result<std::unique_ptr<stream>, connect_failure>>
connect_tls(endpoint to, std::shared_ptr<tls_context> context, tcp_options options,
            milliseconds limit)
{
    const instant until = monotonic::now() + limit;
    const auto how = options.asks_once ? repetitions::none : repetitions::as_configured;
    auto addresses = co_await look_up(to.host, to.port, until, how);
    if (!addresses)
        co_return failure(layer::resolve, addresses.error());
    auto socket = co_await connect_any(std::move(*addresses), options, until);
    if (!socket)
        co_return socket.error();
    auto secured = std::make_unique<tls_stream>(std::move(*socket), std::move(context), to);
    const auto ec = co_await secured->handshake(asio::ssl::stream_base::client, left(until));
    if (ec)
        co_return failure(layer::tls, ec, secured->verify_result());
    std::unique_ptr<stream> ready = std::move(secured);
    co_return ready;
}

} // namespace titip::http
