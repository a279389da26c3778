#include "journal/custody.hpp"

#include "base/log.hpp"
#include "journal/gaps.hpp"
#include "journal/parts.hpp"
#include "journal/spans.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace titip::journal {

using ::titip::vault::finding;

epoch_custody_view::epoch_custody_view(const envelope::custody& said, const epoch_id& epoch)
{
    const auto found = std::ranges::find(said.epochs, epoch, &envelope::epoch_custody::epoch);
    if (found != said.epochs.end())
        ranges_ = found->ranges;
}

bool epoch_custody_view::covers(std::uint64_t sequence) const noexcept
{
    return std::ranges::any_of(ranges_, [sequence](const envelope::held_range& each) {
        return envelope::number(each.first) <= sequence && sequence <= envelope::number(each.last);
    });
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> epoch_custody_view::gaps() const
{
    std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
    std::uint64_t next = 1;
    for (const auto& each : ranges_) {
        if (next < envelope::number(each.first))
            out.emplace_back(next, envelope::number(each.first) - 1);
        next = envelope::number(each.last) + 1;
    }
    out.emplace_back(next, std::numeric_limits<std::uint64_t>::max() - 1);
    return out;
}

bool covers_all(const envelope::custody& said, const epoch_id& epoch, std::uint64_t first,
                std::uint64_t last) noexcept
{
    const auto found = std::ranges::find(said.epochs, epoch, &envelope::epoch_custody::epoch);
    if (found == said.epochs.end())
        return false;
    auto next = first;
    for (const auto& each : found->ranges) {
        if (next < envelope::number(each.first) || envelope::number(each.last) < next)
            continue;
        if (last <= envelope::number(each.last))
            return true;
        next = envelope::number(each.last) + 1;
    }
    return false;
}

v1::Meta read_meta(const transaction& txn, const tables& t)
{
    v1::Meta out;
    const auto key = key_builder{}.text("meta");
    open_row(seed::meta, key, txn.get(t.meta, key).value(), out);
    return out;
}

bool may_be_erased(const v1::Meta& meta, const v1::Row& row, std::string_view node,
                   const envelope::custody* held)
{
    const auto standing = standing_of(row);
    if (!is_opened_above(meta, row) ||
        std::ranges::find(standing, envelope::verdict_kind::open_failed) != standing.end())
        return false;
    if (row.station() != node)
        return true;
    // The upstream may have been set back since it opened this: then the copy here is the only one.
    const auto of = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{});
    return held && epoch_custody_view{*held, of}.covers(row.sequence());
}

void visit_kept(const transaction& txn, const tables& t, const std::string& station,
                const std::function<bool(place, const v1::Row&)>& visit)
{
    const auto totals = to_totals(read_meta(txn, t), {});
    if (totals.of(state::quarantined).records == 0 && totals.of(state::waiting).held == 0)
        return;
    cursor walk{txn, t.rows};
    for (auto each = walk.last(); each; each = walk.previous()) {
        const place at{read_u64(each->key)};
        const auto row = find_good_row(txn, t, at);
        if (row && row->station() == station &&
            (row->held() || row->state() == v1::STATE_QUARANTINED) && !visit(at, *row))
            return;
    }
}

namespace {

envelope::epoch_custody to_custody(const known_epoch& known)
{
    envelope::epoch_custody out{.epoch = known.epoch, .ranges = {}};
    for (const auto& span : known.numbering.spans())
        out.ranges.push_back(
            {.first = envelope::sequence{span.first()},
             .last = envelope::sequence{span.last()},
             .last_hash = to_digest(as_bytes(span.last_hash())).value_or(digest{})});
    return out;
}

/// What the station's own heads, held against what is known here, have to say.
class examination {
public:
    examination(const transaction& txn, const tables& t, const std::string& station,
                const ::titip::vault::question& asked)
        : txn_(txn), t_(t), station_(station), asked_(asked)
    {
        for (const auto& each : asked.kept)
            kept_[each.epoch].push_back({each.first, each.last});
        for (auto& [_, each] : kept_)
            each = merged(std::move(each));
    }

    std::vector<finding> run(const std::vector<known_epoch>& known)
    {
        for (const auto& each : known) {
            const auto reported =
                std::ranges::find(asked_.heads, each.epoch, &::titip::vault::reported_head::epoch);
            if (reported != asked_.heads.end())
                compare_head(each, *reported);
            find_gaps(each);
        }
        return std::move(out_);
    }

private:
    void add(finding::kind what, const epoch_id& epoch, std::uint64_t first, std::uint64_t last)
    {
        if (has_room())
            out_.push_back({.what = what,
                            .station = station_,
                            .epoch = epoch,
                            .first = first,
                            .last = last,
                            .noticed_at = wall_now()});
    }

    void compare_head(const known_epoch& known, const ::titip::vault::reported_head& reported)
    {
        if (known.numbering.head() > reported.sequence)
            add(finding::kind::later_head, known.epoch, reported.sequence, known.numbering.head());
        const auto at =
            txn_.get(t_.by_sequence, sequence_key(station_, known.epoch, reported.sequence));
        if (!at)
            return;
        const auto row = find_good_row(txn_, t_, place{read_u64(*at)});
        if (row && row->manifest_hash() != as_text(reported.hash))
            add(finding::kind::fork, known.epoch, reported.sequence, reported.sequence);
    }

    /// Between spans: numbers that are missing although later ones are here, or a neighbour that
    /// does not name the one before it.
    void find_gaps(const known_epoch& known)
    {
        std::uint64_t next = 1;
        for (const auto& span : known.numbering.spans()) {
            if (!has_room())
                return;
            if (span.first() == next && next > 1)
                add(finding::kind::broken_chain, known.epoch, next, next);
            if (span.first() > next)
                visit_rest({next, span.first() - 1}, kept_[known.epoch], [&](stretch missing) {
                    add(finding::kind::gap, known.epoch, missing.first, missing.last);
                    return has_room();
                });
            next = span.last() + 1;
        }
    }

    bool has_room() const { return out_.size() < ::titip::vault::most_findings; }

    const transaction& txn_;
    const tables& t_;
    const std::string& station_;
    const ::titip::vault::question& asked_;
    std::map<epoch_id, std::vector<stretch>> kept_; ///< merged
    std::vector<finding> out_;
};

/// How far each of them has come, or the receipt that it was given.
void add_unsettled(const transaction& txn, const tables& t, const std::string& station,
                   const std::vector<record_id>& unsettled, ::titip::vault::answer& out)
{
    for (const auto& id : unsettled) {
        const auto at = find_place(txn, t, {station, id});
        const auto row = at ? find_good_row(txn, t, *at) : std::nullopt;
        if (row && row->record_id() != as_text(id.data()))
            continue; // by_id has no checksum
        if (row && row->state() == v1::ARRIVING)
            out.partials.push_back({.record = id,
                                    .digest = to_digest(as_bytes(row->digest())).value_or(digest{}),
                                    .offset = row->stored_bytes()});
        else if (row && !row->receipt_given().empty())
            out.receipts.emplace_back(id, to_bytes(as_bytes(row->receipt_given())));
    }
}

void add_verdicts(const transaction& txn, const tables& t, const std::string& station,
                  std::uint64_t after, ::titip::vault::answer& out)
{
    station_cursor walk{txn, t.verdicts, station, sizeof after};
    for (auto each = walk.first(key_builder{}.u64(after + 1)); each; each = walk.next()) {
        if (out.verdicts.size() == ::titip::vault::most_verdicts) {
            out.more = true;
            break;
        }
        out.verdicts.push_back({.number = read_u64(each->key.last(8)),
                                .cms = to_bytes(open_verdict(each->key, each->value))});
    }
}

} // namespace

asio::awaitable<result<::titip::vault::answer>> store::reconcile(std::string station,
                                                                 ::titip::vault::question asked)
{
    auto examine = [this, &station, &asked]() -> result<::titip::vault::answer> {
        const transaction txn{parts_->env->get(), transaction::mode::read};
        const auto& t = parts_->t;
        ::titip::vault::answer out;
        out.store_epoch = parts_->current_epoch();
        const auto known = epochs_with_spans_of(txn, t, station);
        const auto identity = parts_->current_identity();
        envelope::custody custody{.station = station, .at = wall_now(), .epochs = {}};
        if (!identity->is_valid_at(custody.at))
            return ::titip::vault::errc::cannot_sign;
        if (asked.is_of_relay) {
            out.custody_cms = identity->sign(envelope::encode(custody));
            return out;
        }
        for (const auto& each : known)
            custody.epochs.push_back(to_custody(each));
        out.custody_cms = identity->sign(envelope::encode(custody));
        out.findings = examination{txn, t, station, asked}.run(known);
        add_unsettled(txn, t, station, asked.unsettled, out);
        const bool is_ours = asked.cursor_epoch == out.store_epoch;
        const auto newest = newest_verdict_of(txn, t, station);
        // Then this store is older than what it once said, or the node below says what is not so: a
        // number is no proof, and what one says must not make all the others begin again.
        const bool is_ahead = is_ours && asked.cursor_number > newest;
        if (is_ahead)
            log::warn("verdicts-ahead station={} has={} here={}", station, asked.cursor_number,
                      newest);
        add_verdicts(txn, t, station, is_ours && !is_ahead ? asked.cursor_number : 0, out);
        return out;
    };
    const auto job = [this, &examine] { return parts_->guarded(examine); };
    co_return co_await run_on(parts_->pool, job);
}

} // namespace titip::journal
