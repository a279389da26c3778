#include "link/knock.hpp"

#include "http/look_up.hpp"
#include "http/watchdog.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <tuple>

namespace titip::link {

namespace {

using asio::ip::tcp;

constexpr unsigned longer_every = 4;
constexpr unsigned without_every = 12;
constexpr auto look_up_limit = 10s;

http::layer layer_of(const error_code& failed)
{
    const bool no_route = failed == boost::system::errc::network_unreachable ||
                          failed == boost::system::errc::host_unreachable;
    return no_route ? http::layer::route : http::layer::tcp;
}

asio::awaitable<error_code> knock_at(tcp::endpoint address, milliseconds patience)
{
    tcp::socket socket{co_await asio::this_coro::executor};
    auto late = [&socket] {
        error_code ignored;
        socket.close(ignored);
    };
    http::watchdog waiting{socket.get_executor(), std::move(late)};
    const http::watchdog::step running{waiting, patience};
    const auto [failed] =
        co_await socket.async_connect(address, asio::as_tuple(asio::use_awaitable));
    co_return waiting.is_late() ? error_code{asio::error::timed_out} : failed;
}

} // namespace

std::optional<milliseconds> knocking::patience() const noexcept
{
    const auto number = in_vain_ + 1;
    if (is_answered_ || in_vain_ == 0 || number % without_every == 0)
        return std::nullopt;
    return is_slow_ || number % longer_every == 0 ? two_syns : one_syn;
}

void knocking::on_answer(milliseconds took) noexcept
{
    is_slow_ = took > one_syn;
}

void knocking::on_success() noexcept
{
    is_answered_ = true;
    in_vain_ = 0;
}

void knocking::on_failure(verdict why) noexcept
{
    is_answered_ = !is_below_tls(why);
    in_vain_ = is_answered_ ? 0 : in_vain_ + 1;
}

asio::awaitable<result<void, http::connect_failure>> knock(http::endpoint at, milliseconds patience)
{
    auto addresses = co_await http::look_up(at.host, at.port, monotonic::now() + look_up_limit,
                                            http::repetitions::none);
    if (!addresses)
        co_return http::connect_failure{http::layer::resolve, addresses.error()};
    http::connect_failure furthest{http::layer::resolve, asio::error::host_not_found};
    for (const auto& address : *addresses) {
        const auto failed = co_await knock_at(address, patience);
        if (!failed)
            co_return result<void, http::connect_failure>{};
        if (layer_of(failed) >= furthest.at)
            furthest = {layer_of(failed), failed};
    }
    co_return furthest;
}

} // namespace titip::link
