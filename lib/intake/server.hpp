#pragma once

#include "accept/gate.hpp"
#include "base/bell.hpp"
#include "http/server.hpp"
#include "http/transport.hpp"
#include "intake/upload.hpp"
#include "intake/uploads.hpp"
#include "vault/vault.hpp"

#include <list>
#include <memory>
#include <string>

namespace titip::intake {

/// What this node says about itself to those below.
struct self_description {
    std::string name;
    std::chrono::seconds spread{}; ///< window for first contact after an outage
};

struct options {
    std::size_t memory_bytes = 24u << 20; ///< of bodies, over all connections
    std::size_t most_unanswered = 32;     ///< requests of one connection
    /// Connections of one peer. A station has at most 16 and its probe's; one more displaces the
    /// oldest, which may be dead without our knowing.
    std::size_t most_per_peer = 32;
    milliseconds long_poll = 5min;
    /// Peers are authenticated before a byte of HTTP; a long poll must fit into the idle limit.
    http::server_limits limits{.idle = 6min};
};

/// Serves nodes below: tus 1.0.0 with pipelining and takeover, /v1/node, /v1/reconcile. Requests of
/// a connection are read in order and answered in order; while one record is committed, the next
/// body is already read. Threads: the socket thread.
class server {
public:
    server(asio::any_io_executor on, vault::vault& into, accept::gate& gate, self_description self,
           options opts);

    /// One connection, until it ends. The peer has a certificate of one of our authorities.
    asio::awaitable<void> serve(std::unique_ptr<http::stream> transport);

    /// Something new for those who wait at /v1/node.
    void ring() { news_.ring(); }
    /// The node stops: answers 503 to new work from now on,
    /// and ends the connections, each after what has come on it was committed and answered.
    void stop_accepting();

private:
    class exchange;
    void make_room_for(const trust::peer& newcomer);
    asio::any_io_executor on_;
    vault::vault& vault_;
    accept::gate& gate_;
    self_description self_;
    options opts_;
    memory_budget budget_;
    uploads uploads_;
    bell news_;
    std::list<exchange*> live_; ///< oldest first
    bool is_stopping_ = false;
};

} // namespace titip::intake
