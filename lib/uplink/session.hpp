#pragma once

#include "http/client.hpp"
#include "http/transport.hpp"
#include "trust/authorities.hpp"
#include "uplink/outcome.hpp"
#include "vault/vault.hpp"

#include <deque>
#include <memory>

namespace titip::uplink {

/// A record to hand over: what its manifest says of it.
struct parcel {
    vault::key key;
    bytes manifest_cms;
    std::uint64_t size_bytes = 0;
};

/// What a verified receipt holds, and who signed it.
struct receipt {
    envelope::receipt said;
    trust::peer by;
    bytes cms;
};

/// Believes a receipt only if a custodian signed it.
result<receipt> verify_receipt(const trust::authorities& authorities, const bytes& cms);

/// The answer to a reconcile, its signatures verified. A verdict that is not believed is left out,
/// and its number told: asking again would bring it again, and none of those after it.
struct reconciled {
    envelope::custody custody;
    trust::peer by;
    vault::answer answer;
    std::vector<envelope::verdict> verdicts;
    std::vector<std::uint64_t> not_believed;
    std::vector<receipt> receipts;
};

/// One connection to the next custodian, speaking tus 1.0.0 with pipelining: the next record's
/// request follows the last byte of the one before, answers come in the same order. One coroutine
/// may send while another receives. Does not know the journal. Threads: the socket thread.
class session {
public:
    session(std::unique_ptr<http::stream> transport, std::string host,
            std::shared_ptr<const trust::authorities> authorities);

    /// Offers a record from `offset`: creation with the whole body (POST) at 0, else PATCH. `rest`
    /// must live until it returns; by then the bytes are with TLS, the answer comes by receive().
    asio::awaitable<result<void>> send(parcel what, std::uint64_t offset, bytes_view rest);

    /// The next answer, in the order of send().
    asio::awaitable<result<outcome>> receive();

    /// One exchange; nothing else may be under way on this session.
    asio::awaitable<result<reconciled, outcome>> reconcile(std::string station,
                                                           vault::question asked);

    void close() noexcept { connection_.transport().close(); }
    http::stream& transport() noexcept { return connection_.transport(); }

private:
    http::client_connection connection_;
    std::shared_ptr<const trust::authorities> authorities_;
};

} // namespace titip::uplink
