#pragma once

#include "base/record_id.hpp"
#include "base/time.hpp"
#include "envelope/statement.hpp"
#include "journal/capacity.hpp"
#include "journal/judgement.hpp"
#include "vault/vault.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titip::journal {

/// A record's row number in this node's journal: never reused, never sent.
enum class place : std::uint64_t {};

enum class state : std::uint8_t {
    arriving = 1,
    waiting,
    relayed,
    delivered,
    opened,
    erased,
    quarantined,
    withdrawn,
};
inline constexpr std::size_t state_count = 9; ///< states begin at 1
std::string_view to_string(state) noexcept;
std::optional<state> parse_state(std::string_view text) noexcept;

/// Why a record was set aside. The numbers are part of the format.
enum class reason : std::uint8_t {
    none = 0,
    rotten = 1,   ///< the bytes here no longer match their checksum or digest
    refused,      ///< refused for good upstream; the copy here is good
    too_large,    ///< 413
    conflict,     ///< the upstream holds other bytes under this id
    not_ours,     ///< 403 on the upload
    mismatch,     ///< 460 twice
    open_failed,  ///< the centre could not open it
    not_believed, ///< the upstream says that it holds it, with receipts that are not believed
    revoked,      ///< its signer was shut out upstream before the record came there
};
std::string_view to_string(reason) noexcept;
std::optional<reason> parse_reason(std::string_view text) noexcept;

/// What one row says, for people and for the parts that send.
struct record_view {
    journal::place place{};
    vault::key key;
    journal::state state{};
    bool held = false;
    envelope::lane lane = envelope::lane::ordinary;
    epoch_id epoch;
    std::uint64_t sequence = 0;
    std::uint64_t size_bytes = 0;
    titip::digest digest{};
    std::uint64_t stored_bytes = 0;
    wall_time taken_at{};
    wall_time accepted_at{};
    wall_time delivered_at{}; ///< these three: zero if not yet
    wall_time opened_at{};
    wall_time erased_at{};
    wall_time last_byte_at{}; ///< arriving: zero if that was before such times were kept
    wall_time rotten_at{};    ///< the bytes here were found rotten after they had been handed on
    std::uint32_t record_failures = 0;
    journal::reason reason = reason::none;
    std::string note;
    std::vector<envelope::verdict_kind> verdicts; ///< in order of arrival, each once
    std::vector<judgement> judgements;            ///< all, in the centre's order
    std::vector<envelope::verdict_kind> standing; ///< of these, those that hold
    std::vector<std::string> warnings;
    std::string receipt_by; ///< who signed the upstream's receipt
    std::string brought_by; ///< the relay that handed it over; empty: its station, or not known
};

/// A verdict of the upstream's, and its number there; 0: it said none.
struct told_verdict {
    envelope::verdict said;
    std::uint64_t number = 0;
    told_verdict(envelope::verdict what, std::uint64_t at = 0) : said(std::move(what)), number(at)
    {
    }
};

/// One line of the ledger.
struct ledger_entry {
    std::uint64_t number = 0;
    wall_time at{};
    std::string_view event; ///< "accepted", "delivered", ... (static storage)
    std::optional<record_id> record;
    std::string station;
    std::string detail;
    milliseconds duration{};
};

struct tally {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    std::uint64_t held = 0;
};

/// A record that was checked and sealed, to be numbered and kept.
struct submission {
    record_id record;
    titip::digest mac{};
    bytes sealed;
    titip::digest digest{};
    wall_time taken_at;
    envelope::lane lane = envelope::lane::ordinary;
    std::vector<std::string> warnings;
};

/// A record, and where it is here.
struct placed {
    vault::key key;
    journal::place place{};
};

/// What the queue itself says of a record: no row is read for it.
struct queued {
    journal::place place{};
    envelope::lane lane = envelope::lane::ordinary;
    record_id record;
    std::uint64_t sequence = 0;
    std::uint64_t size_bytes = 0;
    bool goes_last = false; ///< behind all others: it came free for one try
};

/// Which of those that are set aside shall wait again. Never open_failed: the upstream has those.
struct retry_filter {
    std::optional<reason> why; ///< any
    std::string station;       ///< empty: any
};

/// What a bounded part of such a walk has done.
struct retried {
    std::uint64_t records = 0;       ///< wait again
    std::uint64_t open_failed = 0;   ///< passed over
    std::optional<place> next_after; ///< where to go on; nothing: that was all
};

struct acceptance {
    journal::place place{};
    epoch_id epoch;
    std::uint64_t sequence = 0;
    titip::digest digest{};
    std::uint64_t size_bytes = 0;
    wall_time accepted_at;
    std::vector<std::string> warnings;
    bool is_new = false;
    /// False: the record came from a second copy, which has nothing of what was submitted: whether that
    /// was the same cannot be told.
    bool is_compared = true;
    journal::state state{};
    journal::reason reason = journal::reason::none; ///< why it is set aside
};

/// A record has come into this state; said on the socket thread after the commit.
struct change {
    journal::place place{};
    vault::key key;
    journal::state state{};
    bool held = false;
    envelope::lane lane = envelope::lane::ordinary;
    std::uint64_t size_bytes = 0;
    std::string_view event;
    bool needs_person = false; ///< a verdict holds on which somebody has to do something
    bool goes_last = false;    ///< as in `queued`
};

/// A finding as it is kept here.
struct kept_finding : vault::finding {
    std::uint64_t number = 0; ///< of this store; 0: of a store of format 1
    std::string told_by;      ///< the custodian that says or signed so; empty: seen in what is here
    std::string proof;        ///< hexadecimal; empty: its bare word
    wall_time acknowledged_at{}; ///< these two: zero if not
    wall_time settled_at{};
    std::string acknowledged_by;
    std::string acknowledged_why;
    friend bool operator==(const kept_finding&, const kept_finding&) = default;
};

/// Totals as of the newest commit; every figure shown to anyone comes from here.
struct totals {
    std::array<tally, state_count> by_state{};
    const tally& of(state s) const { return by_state[static_cast<std::size_t>(s)]; }
    std::uint64_t next_entry = 1;
    wall_time newest_signed{};
    /// Neither acknowledged nor settled: at most 8 a station, 256 in all, by station and number.
    std::vector<kept_finding> findings;
    std::uint64_t standing_findings = 0; ///< all of those
    std::uint32_t format = 0;            ///< of the store
    bool paused = false;
    std::uint32_t freed_for =
        0; ///< the upstream's protocol for which store::free_set_aside() was done
    std::int64_t sent_day = 0;    ///< of local time, since 1970: the last one that was sent on
    std::uint64_t sent_bytes = 0; ///< on it
    std::vector<day> days; ///< of the last `most_days` as of the newest commit, those with any
    std::uint64_t live_bytes = 0; ///< pages in use by envelopes
    std::uint64_t file_bytes = 0;
    std::uint64_t row_bytes = 0; ///< pages of rows, ledger and indexes: all but envelopes
    capacity room;               ///< quota and disk, as of a few seconds ago
    bool has_room = true;
    wall_time born{};
    /// Records on which a verdict holds that needs a person; nothing: not counted yet.
    std::optional<std::uint64_t> needs_person;
};

} // namespace titip::journal
