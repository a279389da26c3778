#include "intake/server.hpp"

#include "base/log.hpp"
#include "intake/exchange.hpp"

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
    exchange one{*this, std::move(transport), *peer};
    co_await one.run();
}

} // namespace titip::intake
