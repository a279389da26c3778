#pragma once

#include "envelope/statement.hpp"
#include "journal/rows.hpp"

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace titip::journal {

/// What a custody statement says of one epoch.
class epoch_custody_view {
public:
    epoch_custody_view(const envelope::custody& said, const epoch_id& epoch);

    bool covers(std::uint64_t sequence) const noexcept;
    /// Sequences from 1 on that it leaves out, up to its end; then from there for ever.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> gaps() const;

private:
    std::vector<envelope::held_range> ranges_;
};

/// Whether the copy of an opened record here may go, at a node that has an upstream: the centre's present
/// store opened it, that stands, and it holds it still. `held`: the centre's newest custody of what `node`
/// itself took; null: it has said nothing yet.
bool may_be_erased(const v1::Meta& meta, const v1::Row& row, std::string_view node,
                   const envelope::custody* held);
/// Whether all of these numbers are in it. Of ranges that do not ascend: false.
bool covers_all(const envelope::custody& said, const epoch_id& epoch, std::uint64_t first,
                std::uint64_t last) noexcept;

/// A station's records that are held or set aside, newest first, while `visit` says true. Few are:
/// where none is, none is looked for.
void visit_kept(const transaction& txn, const tables& t, const std::string& station,
                const std::function<bool(place, const v1::Row&)>& visit);

} // namespace titip::journal
