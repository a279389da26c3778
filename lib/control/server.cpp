#include "control/server.hpp"

#include "base/log.hpp"
#include "control/connection.hpp"

namespace titip::control {

server::server(asio::any_io_executor on, services parts, role_groups groups)
    : on_(on), parts_(std::move(parts)), roles_(groups), news_(on), body_freed_(on)
{
}

asio::awaitable<void> server::serve(std::unique_ptr<http::stream> transport)
{
    const auto peer = http::peer_credentials(transport->native_handle());
    if (!peer) {
        log::warn("control-peer-unknown why=\"{}\"", peer.error().message());
        transport->close();
        co_return;
    }
    // Anybody may connect, and places are few.
    constexpr std::size_t most_strangers = 8;
    const bool is_stranger = !roles_.has_any(*peer);
    if (is_stranger && strangers_ >= most_strangers) {
        transport->close();
        co_return;
    }
    strangers_ += is_stranger ? 1 : 0;
    connection one{*this, std::move(transport), *peer, is_stranger};
    co_await one.run();
    strangers_ -= is_stranger ? 1 : 0;
}

} // namespace titip::control
