#pragma once

#include "journal/rows.hpp"

#include <string>
#include <vector>

/// What is kept of gaps, forks and losses: from noticed to acknowledged or settled. Private to this room.
namespace titip::journal {

/// Something noticed.
struct notice {
    vault::finding what;
    std::string told_by; ///< the custodian that says or signed so; empty: seen in what is here
    bytes proof;         ///< FindingRow.proof; empty: its bare word
};

/// How much is kept about one station.
struct findings_limit {
    std::size_t all = 64;  ///< rows of 300 bytes; an audit, a status and a commit can bear them
    std::size_t told = 32; ///< of these, what one custodian says without a proof
};

/// The findings about one station: which of them a new one belongs to, and which gives its place up.
/// Pure: rows come in, rows that changed go out.
///
///     noticed --acknowledge--> acknowledged --it grows--> noticed
///        |  <---told again after a day---+
///        +---(a gap) all of it came-----> settled
///
/// Which is the same finding: of later-head and unknown-epoch one an epoch, and it grows; of gap and
/// not-held what touches it, and it grows by that; of the others what contains it.
/// Rationale: a custodian may tell anything, at each reconcile. So what it says without a proof has half
/// of the places at most, growing is a line of the ledger an hour at most, and what was settled within
/// the last day is not told as news again, nor gives up its place to something told.
/// At the limit nothing is lost: the nearest finding of the same kind and epoch becomes as wide as both.
/// Where there is none, one that is settled, then one that is acknowledged gives up its place; and to one
/// that is seen here, or proved, also one that is merely told. The ledger has them all.
class station_findings {
public:
    station_findings(std::vector<v1::FindingRow> kept, findings_limit limit = {});

    enum class effect {
        known,  ///< nothing new
        grew,   ///< a row says more now; to be told, unless it was within the hour
        raised, ///< a row says more now, or stands again, and is to be told
        added,  ///< a new row
        full,   ///< no place, and no row to widen: it is not kept
    };
    struct outcome {
        station_findings::effect effect = effect::known;
        std::uint64_t number = 0; ///< of the row; 0: full
    };
    /// `number`: for a new row.
    outcome note(const notice& one, std::uint64_t number, wall_time now);

    /// Ends the alarm. Nothing: no such row, or it is settled. Acknowledged already: the first stays.
    const v1::FindingRow* acknowledge(std::uint64_t number, std::string_view by,
                                      std::string_view why, wall_time now);

    /// Settles each open gap of which `has_come(epoch, first, last)` says that all is there; their rows.
    template <class HasCome>
    std::vector<v1::FindingRow> settle(const HasCome& has_come, wall_time now)
    {
        std::vector<v1::FindingRow> out;
        for (auto& each : rows_)
            if (each.kind() == v1::Finding::GAP && each.settled_at_ms() == 0 &&
                has_come(each.epoch(), each.first(), each.last())) {
                each.set_settled_at_ms(to_ms(now));
                changed_.push_back(each.number());
                out.push_back(each);
            }
        return out;
    }

    bool is_full() const noexcept { return rows_.size() >= limit_.all; }
    const std::vector<v1::FindingRow>& rows() const noexcept { return rows_; }
    /// To be stored, and to be taken out, since construction.
    std::vector<v1::FindingRow> changed() const;
    const std::vector<std::uint64_t>& removed() const noexcept { return removed_; }

    /// What holds between two calls: bounds, ranges, numbers each once.
    bool check() const;

private:
    using iterator = std::vector<v1::FindingRow>::iterator;
    iterator place_of(const notice& one);
    iterator nearest(const notice& one, bool among_bare);
    bool make_room(const notice& one, bool is_bare_one, wall_time now);
    outcome grow(v1::FindingRow& row, const notice& one, wall_time now);
    std::size_t bare_of(std::string_view peer) const;

    std::vector<v1::FindingRow> rows_;
    findings_limit limit_;
    std::vector<std::uint64_t> changed_;
    std::vector<std::uint64_t> removed_;
};

/// Neither acknowledged nor settled.
inline bool is_alarm(const v1::FindingRow& row)
{
    return row.acknowledged_at_ms() == 0 && row.settled_at_ms() == 0;
}

kept_finding to_kept(const v1::FindingRow& row);
/// One line, for the ledger and the log.
std::string describe(const v1::FindingRow& row);

inline key_builder finding_key(std::string_view station, std::uint64_t number)
{
    return key_builder{}.text(station).u64(number);
}

/// Those of a station: out of the table, or, in a store of format 1, of those that wait for it in Meta.
std::vector<v1::FindingRow> findings_about(const transaction& txn, const tables& t,
                                           const v1::Meta& meta, std::string_view station);

/// What stands: how many, and of these at most 8 a station and 256 in all, by station and number.
struct standing_findings {
    std::uint64_t count = 0;
    std::vector<kept_finding> some;
};
standing_findings find_standing(const transaction& txn, const tables& t, const v1::Meta& meta);

/// Format 1 to 2, within the transaction that opens the store: makes the table, moves what Meta has into
/// it, and leaves out what no store of ours can have noticed: kinds that are not known, stations that
/// have no record here, epochs and ranges that are none. How many were moved, and left out.
struct migrated {
    std::uint64_t kept = 0;
    std::uint64_t left_out = 0;
};
migrated migrate(transaction& txn, tables& t, v1::Meta& meta, wall_time now);

} // namespace titip::journal
