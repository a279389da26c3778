#include "intake/server.hpp"

#include "base/log.hpp"
#include "intake/exchange.hpp"

#include <algorithm>

namespace titip::intake {

server::server(asio::any_io_executor on, vault::vault& into, accept::gate& gate,
               self_description self, options opts)
    : on_(on), vault_(into), gate_(gate), self_(std::move(self)), opts_(opts),
      budget_(opts.memory_bytes), uploads_(on), news_(on)
{
}

asio::awaitable<void> server::serve(std::unique_ptr<http::stream> transport)
{
    const auto peer = trust::peer_of(transport->peer_certificate());
    if (!peer) {
        transport
            ->close(); // a certificate of our authority that names no node: nothing to say to it
        co_return;
    }
    make_room_for(*peer);
    exchange one{*this, std::move(transport), *peer};
    co_await one.run();
}

void server::make_room_for(const trust::peer& newcomer)
{
    const auto is_theirs = [&newcomer](const exchange* each) {
        return each->peer_name() == newcomer.name;
    };
    const auto many = static_cast<std::size_t>(std::ranges::count_if(live_, is_theirs));
    if (many >= opts_.most_per_peer)
        (*std::ranges::find_if(live_, is_theirs))->close();
}

void server::stop_accepting()
{
    is_stopping_ = true;
    news_.ring();
    for (auto* each : live_)
        each->end_reading();
}

} // namespace titip::intake
