#pragma once

#include "journal/rows.hpp"

#include <set>
#include <vector>

/// What an upstream says of our records, held against what is here. Private to this room.
namespace titip::journal {

struct comparison {
    /// Waiting here, and by its custody complete there: the receipt was lost, or is not here any
    /// more. At most vault::most_unsettled.
    std::vector<record_id> covered;
    std::vector<vault::finding> findings;
    /// Numbers of our present epoch were given by another state of this store: it is an old copy,
    /// or has one that runs.
    bool is_rollback = false;
};

/// `told`: what the upstream noticed itself, by the heads that it was asked with. Findings that only
/// time explains are left out: records overtake each other, and go on being accepted and delivered
/// while the answer is made. None of `asked` is named as covered again.
comparison compare(const transaction& txn, const tables& t, const envelope::custody& said,
                   const std::vector<vault::finding>& told, const epoch_id& present,
                   const std::set<record_id>& asked);

} // namespace titip::journal
