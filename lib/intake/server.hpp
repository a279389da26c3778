#pragma once

#include "accept/gate.hpp"
#include "http/server.hpp"
#include "http/transport.hpp"
#include "intake/one_by_one.hpp"
#include "intake/turnstile.hpp"
#include "intake/upload.hpp"
#include "intake/uploads.hpp"
#include "vault/vault.hpp"

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace titip::intake {

/// Tells peers of different roles apart that bear one name; a station's is its name.
std::string key_of(const trust::peer& peer);

/// What this node says about itself to those below.
struct self_description {
    std::string name;
    /// Whether this node hands records on to the peer, or the peer bears its own name: what came from
    /// there would go in a circle (508). Null: it hands nothing on.
    std::function<bool(const trust::peer&)> is_above{};
    /// Told each connection of a peer that is not; may be null.
    std::function<void(const trust::peer&)> came{};
    /// The names from this node up to the centre, as far as is known; null: this one is the end.
    std::function<std::vector<std::string>()> road{};
};

struct options {
    admission::options rules;
    std::size_t most_unanswered = 32; ///< requests of one connection
    /// Answers that a connection's peer has not read: no further request is read before it has.
    std::size_t most_unwritten_bytes = 256u << 10;
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

    /// Connections beyond those of admission: of peers that are being turned away, or shake hands.
    static constexpr std::size_t most_beside = 256;

    /// One connection, until it ends. The peer has a certificate of one of our authorities.
    asio::awaitable<void> serve(std::unique_ptr<http::stream> transport);

    /// Something new for those who wait at /v1/node.
    void ring();
    /// The same: the road has changed, or who is above.
    void ring_road();
    /// What the certificates of peers are judged by has changed: connections of those who would not be let
    /// in any more end. Else that shows at their next request.
    void look_at_peers();
    /// The node stops: answers 503 to new work from now on,
    /// and ends the connections, each after what has come on it was committed and answered.
    void stop_accepting();

    const admission& rules() const noexcept { return turnstile_.rules(); }

private:
    class exchange;
    std::vector<std::string> road() const;
    void displace(const admission::displacement& what);
    asio::awaitable<void> turn_away(std::unique_ptr<http::stream> transport,
                                    admission::refusal why);
    asio::any_io_executor on_;
    vault::vault& vault_;
    accept::gate& gate_;
    self_description self_;
    options opts_;
    turnstile turnstile_;
    uploads uploads_;
    one_by_one reconciling_;    ///< by peer
    std::list<exchange*> live_; ///< oldest first
    std::size_t turning_away_ = 0;
    bool is_stopping_ = false;
};

} // namespace titip::intake
