#pragma once

#include "http/client.hpp"
#include "http/transport.hpp"
#include "trust/authorities.hpp"
#include "uplink/outcome.hpp"
#include "vault/vault.hpp"

#include <deque>
#include <memory>

namespace titip::uplink {

/// What each request to the upstream says of us.
http::fields fields_of_request();

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
    struct numbered {
        std::uint64_t number = 0;
        envelope::verdict said;
    };
    std::vector<numbered> verdicts;
    std::vector<std::uint64_t> not_believed;
    std::vector<receipt> receipts;
};

/// The question that settles what both sides hold. It may be written behind another request that has
/// no answer yet: theirs come in the same order. An error shows at take_reconciled().
asio::awaitable<void> ask_to_reconcile(http::client_connection& over, vault::question asked);
/// What its answer says, if it is one, and signed for this station. Pure.
result<reconciled, outcome> read_reconciled(const http::response& answer,
                                            const trust::authorities& authorities,
                                            const std::string& station);
/// The answer, read from `over`. Nothing else may be read from that meanwhile.
asio::awaitable<result<reconciled, outcome>>
take_reconciled(http::client_connection& over,
                std::shared_ptr<const trust::authorities> authorities, std::string station);

/// How far a record has come there. /v1/reconcile answers for the asking node's own records only
/// (version 1); this for any that may be offered. A running upload of it is stopped, and what has come
/// of it committed before the answer. An error shows at take_standing().
asio::awaitable<void> ask_for_standing(http::client_connection& over, vault::key which);
struct standing_above {
    outcome what;         ///< receipt; unknown, with an offset: a part is there; gone: nothing is
    std::string metadata; ///< of the upload that is there, as it was begun
};
/// Its answer, in the order of the questions.
asio::awaitable<result<standing_above>> take_standing(http::client_connection& over);
/// What Upload-Metadata says of an upload that is begun with this manifest.
std::string metadata_of(bytes_view manifest_cms);

/// One connection to the next custodian, speaking tus 1.0.0 with pipelining: the next record's
/// request follows the last byte of the one before, answers come in the same order. One coroutine
/// may send while another receives. Does not know the journal. Threads: the socket thread.
class session {
public:
    session(std::unique_ptr<http::stream> transport, std::string host);

    /// Offers a record from `offset`: creation with the whole body (POST) at 0, else PATCH. All bytes
    /// from there to its end must follow by write().
    asio::awaitable<result<void>> begin(parcel what, std::uint64_t offset);
    /// Further bytes of it, which must live until it returns; by then they are with TLS. What became
    /// of the record comes by receive().
    asio::awaitable<result<void>> write(bytes_view data);

    /// The next answer, in the order of begin().
    asio::awaitable<result<outcome>> receive();

    void close() noexcept { connection_.transport().close(); }
    http::stream& transport() noexcept { return connection_.transport(); }

private:
    http::client_connection connection_;
};

} // namespace titip::uplink
