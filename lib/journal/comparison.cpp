#include "journal/comparison.hpp"

#include "journal/custody.hpp"

#include <algorithm>

namespace titip::journal {

namespace {

using ::titip::vault::finding;

constexpr std::size_t most = ::titip::vault::most_unsettled;
constexpr std::size_t most_in_one_look = 1'024; // and written, in one transaction

/// Whether the upstream may have received it after the custody statement of `said_at`, which is
/// made while records go out. Both times are of its clock; the margin is for a relay's, and for an
/// answer that took its time.
bool is_on_its_way(const v1::Row& row, wall_time said_at)
{
    constexpr milliseconds margin = 10min;
    return row.state() == v1::WAITING || row.delivered_at_ms() > to_ms(said_at - margin);
}

class look {
public:
    look(const transaction& txn, const tables& t, const envelope::custody& said,
         const epoch_id& present)
        : txn_(txn), t_(t), said_(said), present_(present), known_(epochs_of(txn, t, said.station))
    {
    }

    comparison take() { return std::move(out_); }

    void find_covered(const std::set<::titip::vault::key>& asked)
    {
        for (const auto& each : said_.epochs)
            views_.emplace(each.epoch, epoch_custody_view{said_, each.epoch});
        cursor walk{txn_, t_.queue};
        for (auto each = walk.first(); each && out_.covered.size() < most; each = walk.next()) {
            const auto queued = read_queued(*each);
            // The queue does not say whose it is, nor of which epoch: most numbers are in no range.
            if (std::ranges::none_of(
                    views_, [&](const auto& view) { return view.second.covers(queued.sequence); }))
                continue;
            if (const auto row = find_good_row(txn_, t_, queued.place))
                add_covered(queued.place, *row, asked);
        }
        // What was held or set aside, and went all the same: by another state of this store, say.
        visit_kept(txn_, t_, said_.station, [this, &asked](place at, const v1::Row& row) {
            if (row.quarantine() != v1::QUARANTINE_CONFLICT &&
                row.quarantine() != v1::QUARANTINE_OPEN_FAILED)
                add_covered(at, row, asked);
            return out_.covered.size() < most;
        });
    }

    void sift(const std::vector<finding>& told)
    {
        for (const auto& each : told) {
            if (each.what == finding::kind::gap && is_all_on_its_way(each))
                continue;
            // Accepted and delivered since the heads were read that it was asked with. What was
            // numbered here is no later head, also where its row can no longer be read.
            if (each.what == finding::kind::later_head && each.last <= head_of(each.epoch))
                continue;
            // They come again with each answer.
            if (out_.told.size() < most)
                out_.told.push_back(each);
        }
    }

    /// The numbers that it holds, against those that were given here.
    void compare_heads()
    {
        for (const auto& each : said_.epochs) {
            if (each.ranges.empty())
                continue;
            const auto head = head_of(each.epoch);
            if (head == 0 && each.epoch != present_)
                add_unknown(each);
            else
                compare_head(each, head);
        }
    }

private:
    void add_covered(place at, const v1::Row& row, const std::set<::titip::vault::key>& asked)
    {
        const auto epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{});
        const auto view = views_.find(epoch);
        if (row.station() == said_.station && view != views_.end() &&
            view->second.covers(row.sequence()) && !asked.contains(key_of(row)))
            out_.covered.push_back({key_of(row), at});
    }

    std::optional<v1::Row> row_of(const epoch_id& epoch, std::uint64_t n) const
    {
        const auto at = txn_.get(t_.by_sequence, sequence_key(said_.station, epoch, n));
        return at ? find_good_row(txn_, t_, place{read_u64(*at)}) : std::nullopt;
    }

    std::uint64_t head_of(const epoch_id& epoch) const
    {
        const auto known = std::ranges::find(known_, epoch, &known_epoch::epoch);
        return known == known_.end() ? 0 : known->numbering.head();
    }

    bool is_all_on_its_way(const finding& gap) const
    {
        for (auto n = gap.first; n <= gap.last; ++n) {
            const auto row = row_of(gap.epoch, n);
            if (!row || !is_on_its_way(*row, said_.at))
                return false;
        }
        return true;
    }

    void add(const finding& what)
    {
        // A statement may have any number of them, and they come again with each.
        if (out_.findings.size() < most)
            out_.findings.push_back(what);
    }

    /// Numbers of our present epoch were given by another state of this store, says what is signed.
    void add_of_another(const finding& what)
    {
        add(what);
        out_.is_rollback = out_.is_rollback || what.epoch == present_;
    }

    finding of(finding::kind what, const epoch_id& epoch, std::uint64_t first,
               std::uint64_t last) const
    {
        return {.what = what,
                .station = said_.station,
                .epoch = epoch,
                .first = first,
                .last = last,
                .noticed_at = wall_now()};
    }

    void add_unknown(const envelope::epoch_custody& held)
    {
        std::uint64_t records = 0;
        for (const auto& each : held.ranges)
            records += number(each.last) - number(each.first) + 1;
        auto found = of(finding::kind::unknown_epoch, held.epoch, number(held.ranges.front().first),
                        number(held.ranges.back().last));
        found.records = records;
        add(found);
    }

    void compare_head(const envelope::epoch_custody& held, std::uint64_t head)
    {
        // The chain makes one hash speak for all numbers before it, so the first range that differs
        // is enough. Where in it the two part is not known: at its end at the latest.
        for (const auto& each : held.ranges) {
            const auto last = number(each.last);
            if (last > head)
                return add_of_another(of(finding::kind::later_head, held.epoch, head,
                                         number(held.ranges.back().last)));
            const auto row = row_of(held.epoch, last);
            if (row && row->manifest_hash() != as_text(each.last_hash))
                return add_of_another(of(finding::kind::fork, held.epoch, last, last));
        }
    }

    const transaction& txn_;
    const tables& t_;
    const envelope::custody& said_;
    const epoch_id& present_;
    std::vector<known_epoch> known_;
    std::map<epoch_id, epoch_custody_view> views_;
    comparison out_;
};

} // namespace

covered_records find_relayed(const transaction& txn, const tables& t, const envelope::custody& said,
                             const std::set<::titip::vault::key>& asked, const numbered& from,
                             std::size_t most_found)
{
    covered_records out;
    std::size_t looked_at = 0;
    for (const auto& known : epochs_of(txn, t, said.station)) {
        if (known.epoch < from.epoch)
            continue;
        const auto held =
            std::ranges::find(said.epochs, known.epoch, &envelope::epoch_custody::epoch);
        if (held == said.epochs.end())
            continue;
        const auto begin = known.epoch == from.epoch ? from.sequence : 0;
        for (const auto& range : held->ranges)
            for (auto n = std::max(number(range.first), begin);
                 n <= std::min(number(range.last), known.numbering.head()); ++n) {
                if (looked_at++ == most_in_one_look || out.records.size() == most_found) {
                    out.next = numbered{known.epoch, n};
                    return out;
                }
                const auto at = txn.get(t.by_sequence, sequence_key(said.station, known.epoch, n));
                const auto row = at ? find_good_row(txn, t, place{read_u64(*at)}) : std::nullopt;
                if (row && row->state() == v1::RELAYED && !asked.contains(key_of(*row)))
                    out.records.push_back({key_of(*row), place{read_u64(*at)}});
            }
    }
    return out;
}

lost_records find_lost(const transaction& txn, const tables& t, const envelope::custody& said,
                       trust::role by, const numbered& from)
{
    lost_records out;
    std::size_t looked_at = 0;
    for (const auto& known : epochs_of(txn, t, said.station)) {
        if (known.epoch < from.epoch)
            continue;
        const auto begin = known.epoch == from.epoch ? from.sequence : 0;
        for (const auto& [first, last] : epoch_custody_view{said, known.epoch}.gaps())
            for (auto n = std::max(first, begin); n <= std::min(last, known.numbering.head());
                 ++n) {
                if (looked_at++ == most_in_one_look) {
                    out.next = numbered{known.epoch, n};
                    return out;
                }
                const auto at = txn.get(t.by_sequence, sequence_key(said.station, known.epoch, n));
                const auto row = at ? find_good_row(txn, t, place{read_u64(*at)}) : std::nullopt;
                if (!row || row->receipt().empty() || is_on_its_way(*row, said.at) ||
                    (by != trust::role::centre && row->state() != v1::RELAYED))
                    continue;
                out.places.push_back(place{read_u64(*at)});
                if (by == trust::role::centre && row->state() == v1::RELAYED)
                    continue; // it goes there as well, but was never said to be there
                auto& found = out.findings;
                if (!found.empty() && found.back().epoch == known.epoch &&
                    found.back().last + 1 == n)
                    found.back().last = n;
                else
                    found.push_back({.what = finding::kind::not_held,
                                     .station = said.station,
                                     .epoch = known.epoch,
                                     .first = n,
                                     .last = n,
                                     .noticed_at = wall_now()});
            }
    }
    return out;
}

comparison compare(const transaction& txn, const tables& t, const envelope::custody& said,
                   const std::vector<finding>& told, const epoch_id& present,
                   const std::set<::titip::vault::key>& asked)
{
    look at{txn, t, said, present};
    at.find_covered(asked);
    at.sift(told);
    at.compare_heads();
    return at.take();
}

} // namespace titip::journal
