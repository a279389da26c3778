#pragma once

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "envelope/statement.hpp"
#include "vault/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titip {
namespace asio = boost::asio;
}

namespace titip::vault {

/// A record at a custodian: ids are chosen by capture programs, so they are unique per station
/// only.
struct key {
    std::string station;
    record_id record;
    friend auto operator<=>(const key&, const key&) = default;
};

/// A manifest as it came, believed by trust: what a node below offers to hand over.
struct offer {
    bytes cms;
    envelope::manifest manifest;
    titip::digest hash{};     ///< of its Statement
    std::string brought_by{}; ///< the relay that offers it; empty: its station
    /// Signed under a certificate that is shut out: who takes what is new has to refuse it.
    bool is_signer_revoked = false;
    vault::key key() const { return {manifest.station, manifest.record}; }
};

/// How far a record has come here.
struct standing {
    bool complete = false;
    std::uint64_t offset = 0; ///< durable bytes; equal to size_bytes if complete
    std::uint64_t size_bytes = 0;
    titip::digest digest{};
    bytes receipt; ///< CMS, always the same bytes; empty unless complete
    bytes manifest_cms;
};

struct partial {
    record_id record;
    titip::digest digest{};
    std::uint64_t offset = 0;
};

struct numbered_verdict {
    std::uint64_t number = 0;
    bytes cms;
};

/// A gap, fork or broken chain: reported, never a reason to refuse a record.
struct finding {
    enum class kind : std::uint8_t {
        gap = 1,
        fork,
        broken_chain,
        later_head,
        not_held,
        unknown_epoch, ///< of this station, but numbered by a store that is not this one
    };
    finding::kind what{};
    std::string station;
    epoch_id epoch;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    wall_time noticed_at{};
    std::uint64_t records = 0; ///< unknown_epoch: how many are held there
    friend bool operator==(const finding&, const finding&) = default;
};
std::string_view to_string(finding::kind) noexcept;

struct reported_head {
    epoch_id epoch;
    std::uint64_t sequence = 0;
    titip::digest hash{};
};

/// Sequences that the station keeps for now: held or quarantined there, so no gap.
struct kept_range {
    epoch_id epoch;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    bool is_quarantined = false; ///< else held
};

struct question {
    std::vector<reported_head> heads; ///< at most most_heads
    std::optional<epoch_id> cursor_epoch;
    std::uint64_t cursor_number = 0;
    std::vector<kept_range> kept;     ///< at most most_kept
    std::vector<record_id> unsettled; ///< at most most_unsettled
    /// Asked by a relay, which has no records of its own: a station that bears its name is somebody else,
    /// and nothing of it is told.
    bool is_of_relay = false;
};
inline constexpr std::size_t most_unsettled = 64;
/// Of each the newest: what a station holds back or numbered in epochs past has no end, a request has.
inline constexpr std::size_t most_kept = 1000;
inline constexpr std::size_t most_heads = 64;
inline constexpr std::size_t most_findings = 64;  ///< in one answer
inline constexpr std::size_t most_verdicts = 256; ///< in one answer: 256 of 750 bytes are 190 kB

struct answer {
    bytes custody_cms;
    std::vector<partial> partials;
    std::vector<numbered_verdict> verdicts;
    bool more = false;
    epoch_id store_epoch;
    std::vector<finding> findings;
    std::vector<std::pair<record_id, bytes>> receipts;
};

/// What a custodian does with envelopes that come from below. `intake` knows this and not who keeps
/// the bytes: one machine's journal here, Ceph for the nation later.
/// Promise:  keep() and complete() return after their bytes have been synced; complete() gives, for
///           the same record, the same receipt for ever.
/// Threads:  called on the socket thread; completes there.
/// Errors:   vault::errc. store_failed is final for the process.
class vault {
public:
    virtual ~vault() = default;

    virtual asio::awaitable<result<std::optional<standing>>> find(key which) = 0;

    /// Makes `data`, which begins at `offset`, durable as a prefix of an incomplete record.
    /// errc::wrong_offset unless the durable prefix ends at `offset`; errc::conflict if the record
    /// is here under another digest.
    virtual asio::awaitable<result<void>> keep(offer what, std::uint64_t offset, bytes data) = 0;

    /// Takes custody: `rest` begins at `offset`, where the durable prefix ends, and ends with the
    /// record. The caller has checked the digest over the whole. A record that is complete already
    /// gives its receipt again. errc::cannot_sign while our own certificate's dates do not hold, as
    /// for reconcile().
    virtual asio::awaitable<result<bytes>> complete(offer what, std::uint64_t offset,
                                                    bytes rest) = 0;

    /// Forgets an incomplete record: its sender gave it up, or its digest turned out wrong.
    virtual asio::awaitable<result<void>> discard(key which) = 0;

    /// Up to `limit_bytes` from `offset`, checked against their checksums; complete or not.
    virtual asio::awaitable<result<bytes>> read(key which, std::uint64_t offset,
                                                std::size_t limit_bytes) = 0;

    /// SHA-256 of the first `bytes` durable bytes, to go on from; computed off the socket thread. Of
    /// no bytes it is the empty hash, whether the record is known or not. errc::wrong_offset if
    /// fewer are durable, errc::rotten if one does not match its checksum.
    virtual asio::awaitable<result<hasher>> hash(key which, std::uint64_t bytes) = 0;

    virtual asio::awaitable<result<answer>> reconcile(std::string station, question asked) = 0;

    /// The newest verdict number for a station: tells a node that waits whether there is news.
    virtual std::uint64_t newest_verdict(const std::string& station) const = 0;

    /// False while new records would be refused with errc::full.
    virtual bool has_room() const = 0;
};

} // namespace titip::vault
