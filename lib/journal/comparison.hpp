#pragma once

#include "journal/rows.hpp"
#include "trust/identity.hpp"

#include <set>
#include <vector>

/// What an upstream says of our records, held against what is here. Private to this room.
namespace titip::journal {

struct comparison {
    /// Waiting here, held, or set aside, and by its custody complete there: the receipt was lost, or
    /// is not here any more. At most vault::most_unsettled.
    std::vector<placed> covered;
    std::vector<vault::finding> told;     ///< by its bare word; at most vault::most_unsettled
    std::vector<vault::finding> findings; ///< by what it signed; as many
    /// By what it signed, numbers of our present epoch were given by another state of this store: it
    /// is an old copy, or has one that runs.
    bool is_rollback = false;
};

/// `told`: what the upstream noticed itself, by the heads that it was asked with. Findings that only
/// time explains are left out: records overtake each other, and go on being accepted and delivered
/// while the answer is made. None of `asked` is named as covered again.
comparison compare(const transaction& txn, const tables& t, const envelope::custody& said,
                   const std::vector<vault::finding>& told, const epoch_id& present,
                   const std::set<vault::key>& asked);

/// How the ledger ends what it says of a record that waits again because its custodian lost it.
constexpr std::string_view lost_there = " no longer says that it holds it";

/// A place in our own numbering.
struct numbered {
    epoch_id epoch;
    std::uint64_t sequence = 0;
};

/// Handed on, and not among what the custodian says that it holds.
struct lost_records {
    std::vector<place> places;
    std::vector<vault::finding> findings;
    std::optional<numbered> next; ///< go on there
};

/// What a relay signed for and the centre does not have goes to it from here as well, which is no
/// finding. Some of them, from `from` on: after a custodian lost its store they may be all that this one ever
/// handed on, and no read transaction shall stay for so long. `by`: what a relay does not hold may be
/// at the centre, which signed for it.
lost_records find_lost(const transaction& txn, const tables& t, const envelope::custody& said,
                       trust::role by, const numbered& from);

/// Handed on to a relay, and by the centre's custody complete there: its receipt is to be asked for.
struct covered_records {
    std::vector<placed> records;
    std::optional<numbered> next; ///< go on there
};

/// At most `most` of them, from `from` on; and no more numbers looked at than a short read
/// transaction takes.
covered_records find_relayed(const transaction& txn, const tables& t, const envelope::custody& said,
                             const std::set<vault::key>& asked, const numbered& from,
                             std::size_t most);

} // namespace titip::journal
