#pragma once

#include "journal/rows.hpp"

#include <functional>

/// Looking for what is set aside, a bounded part at a time: no index names it. Private to this room.
namespace titip::journal {

/// Whether an upstream of a later version may take it: version 1 judged a manifest by its dates and booked
/// a fault of the two nodes on each record, and its receipts are believed again once it is mended. Each
/// record comes free so once.
bool may_come_free(const v1::Row& row);

struct set_aside {
    std::vector<place> places;
    std::uint64_t open_failed = 0;   ///< passed over, though `wanted`
    std::optional<place> next_after; ///< where to go on; nothing: that was all
};
/// Those after `after` (nothing: from the first on) that `wanted` says. Rotten rows are passed over.
set_aside find_set_aside(const transaction& txn, const tables& t, std::optional<place> after,
                         const std::function<bool(const v1::Row&)>& wanted);

} // namespace titip::journal
