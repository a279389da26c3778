#include "journal/custody.hpp"
#include "journal/parts.hpp"

#include "base/line.hpp"

#include <algorithm>

/// Looks at the store for those who send and for people. Each look is one read transaction on a
/// pool thread, closed before its answer is used: a reader that stays keeps freed pages from being
/// used again.
namespace titip::journal {

namespace {

bool fits(const v1::Row& row, const list_filter& filter)
{
    return (!filter.state || to_state(row.state()) == *filter.state) &&
           (!filter.lane || static_cast<envelope::lane>(row.lane()) == *filter.lane) &&
           (!filter.accepted_before || row.accepted_at_ms() < to_ms(*filter.accepted_before)) &&
           (!filter.held || row.held() == *filter.held) &&
           (!filter.needs_person || person_needed(standing_of(row)).has_value());
}

outgoing to_outgoing(place at, const v1::Row& row)
{
    return {.view = to_view(at, row),
            .manifest_cms = to_bytes(as_bytes(row.manifest())),
            .manifest_hash = to_digest(as_bytes(row.manifest_hash())).value_or(digest{}),
            .receipt_cms = to_bytes(as_bytes(row.receipt())),
            .receipt_given_cms = to_bytes(as_bytes(row.receipt_given()))};
}

ledger_entry to_entry(const v1::Entry& stored)
{
    return {.number = stored.number(),
            .at = from_ms(stored.at_ms()),
            .event = to_string(stored.event()),
            .record = record_id::from_bytes(as_bytes(stored.record_id())),
            .station = stored.station(),
            .detail = to_line(stored.detail(), stored.detail().size()),
            .duration = milliseconds{stored.duration_ms()}};
}

/// Every place at which a record id is known: stations are visited by skipping from one to the
/// next.
std::vector<place> places_of(const transaction& txn, const tables& t, const record_id& record)
{
    std::vector<place> out;
    cursor walk{txn, t.by_id};
    auto each = walk.first();
    while (each) {
        const auto key = as_text(each->key);
        const std::string station{key.substr(0, key.find('\0'))};
        if (const auto at = find_place(txn, t, {station, record}))
            out.push_back(*at);
        auto past = key_builder{}.text(station);
        bytes last(record_id::size_bytes + 1, std::byte{0xff});
        each = walk.seek(past.raw(last));
    }
    return out;
}

/// The heads of a station's epochs, newest last: epochs are random, so their age is their head's
/// place.
std::vector<::titip::vault::reported_head> heads_of(const transaction& txn, const tables& t,
                                                    const std::string& station)
{
    std::vector<std::pair<std::uint64_t, ::titip::vault::reported_head>> found;
    for (const auto& [epoch, numbering] : epochs_of(txn, t, station)) {
        const auto at = txn.get(t.by_sequence, sequence_key(station, epoch, numbering.head()));
        found.emplace_back(
            at ? read_u64(*at) : 0,
            ::titip::vault::reported_head{
                .epoch = epoch,
                .sequence = numbering.head(),
                .hash = to_digest(as_bytes(numbering.head_hash())).value_or(digest{})});
    }
    std::ranges::sort(found, {}, [](const auto& each) { return each.first; });
    if (found.size() > ::titip::vault::most_heads)
        found.erase(found.begin(), found.end() - ::titip::vault::most_heads);
    std::vector<::titip::vault::reported_head> out;
    for (const auto& each : found)
        out.push_back(each.second);
    return out;
}

/// Joins neighbours that are kept for the same reason; rows come newest first.
void add_kept(std::vector<::titip::vault::kept_range>& ranges, const v1::Row& row)
{
    const ::titip::vault::kept_range added{
        .epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{}),
        .first = row.sequence(),
        .last = row.sequence(),
        .is_quarantined = row.state() == v1::STATE_QUARANTINED};
    if (!ranges.empty() && ranges.back().epoch == added.epoch &&
        ranges.back().is_quarantined == added.is_quarantined &&
        ranges.back().first == added.first + 1)
        --ranges.back().first;
    else
        ranges.push_back(added);
}

/// What waits is no gap above either, where later numbers went before it: urgent ones, or those that a
/// certificate signed which is believed. Neighbours are one range, and a row is read for each range only.
std::vector<::titip::vault::kept_range> waiting_ranges(const transaction& txn, const tables& t,
                                                       const std::string& station)
{
    std::vector<std::pair<std::uint64_t, std::uint64_t>> all; // place, sequence
    cursor walk{txn, t.queue};
    for (auto each = walk.first(); each; each = walk.next()) {
        const auto queued = read_queued(*each);
        all.emplace_back(static_cast<std::uint64_t>(queued.place), queued.sequence);
    }
    std::ranges::sort(all);
    std::vector<::titip::vault::kept_range> out; // newest first
    // At a relay most that waits is of others. A range that is not told is no finding here (comparison).
    auto looks_left = 2 * ::titip::vault::most_kept;
    for (auto end = all.size(); end > 0 && looks_left > 0 && out.size() < ::titip::vault::most_kept;
         --looks_left) {
        auto begin = end - 1;
        while (begin > 0 && all[begin - 1].first + 1 == all[begin].first &&
               all[begin - 1].second + 1 == all[begin].second)
            --begin;
        const auto row = find_good_row(txn, t, place{all[begin].first});
        if (row && row->station() == station && row->sequence() == all[begin].second)
            out.push_back(
                {.epoch = epoch_id::from_bytes(as_bytes(row->epoch())).value_or(epoch_id{}),
                 .first = row->sequence(),
                 .last = all[end - 1].second,
                 .is_quarantined = false});
        end = begin;
    }
    return out;
}

} // namespace

template <class T, class Look>
asio::awaitable<result<T>> store::look(Look look)
{
    auto job = [this, look = std::move(look)]() mutable -> result<T> {
        auto within = [this, &look]() -> result<T> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            return look(txn, parts_->t);
        };
        return parts_->guarded(within);
    };
    co_return co_await run_on(parts_->pool, std::move(job));
}

asio::awaitable<result<std::optional<::titip::vault::standing>>>
store::find(::titip::vault::key which)
{
    using found = std::optional<::titip::vault::standing>;
    auto act = [which = std::move(which)](const transaction& txn,
                                          const tables& t) -> result<found> {
        const auto known = find_record(txn, t, which);
        if (!known)
            return found{};
        const auto& row = known->row;
        const bool complete = row.state() != v1::ARRIVING;
        return found{{.complete = complete,
                      .offset = complete ? row.size_bytes() : row.stored_bytes(),
                      .size_bytes = row.size_bytes(),
                      .digest = to_digest(as_bytes(row.digest())).value_or(digest{}),
                      .receipt = to_bytes(as_bytes(row.receipt_given())),
                      .manifest_cms = to_bytes(as_bytes(row.manifest()))}};
    };
    co_return co_await look<found>(std::move(act));
}

asio::awaitable<result<bytes>> store::read(::titip::vault::key which, std::uint64_t offset,
                                           std::size_t limit_bytes)
{
    auto act = [which = std::move(which), offset, limit_bytes](const transaction& txn,
                                                               const tables& t) -> result<bytes> {
        const auto known = find_record(txn, t, which);
        if (!known)
            return ::titip::vault::errc::unknown;
        if (known->row.state() == v1::ERASED)
            return ::titip::vault::errc::erased;
        return read_chunks(txn, t, known->at, offset, limit_bytes, known->row.stored_bytes());
    };
    co_return co_await look<bytes>(std::move(act));
}

asio::awaitable<result<hasher>> store::hash(::titip::vault::key which, std::uint64_t bytes_wanted)
{
    if (bytes_wanted == 0) // each new upload begins so
        co_return hasher{};
    auto job = [this, which = std::move(which), bytes_wanted]() -> result<hasher> {
        constexpr std::uint64_t slice_bytes = 256u << 10;
        hasher out;
        for (std::uint64_t offset = 0; offset < bytes_wanted;) {
            auto next = [&]() -> result<bytes> {
                const transaction txn{parts_->env->get(), transaction::mode::read};
                const auto known = find_record(txn, parts_->t, which);
                if (!known)
                    return ::titip::vault::errc::unknown;
                if (known->row.state() == v1::ERASED)
                    return ::titip::vault::errc::erased;
                if (known->row.stored_bytes() < bytes_wanted)
                    return ::titip::vault::errc::wrong_offset;
                return read_chunks(txn, parts_->t, known->at, offset,
                                   std::min(slice_bytes, bytes_wanted - offset),
                                   known->row.stored_bytes());
            };
            const auto slice = parts_->guarded(next);
            if (!slice)
                return slice.error();
            out.update(*slice);
            offset += slice->size();
        }
        return out;
    };
    co_return co_await run_on(parts_->pool, std::move(job));
}

asio::awaitable<result<bytes>> store::read_at(place at, std::uint64_t offset,
                                              std::size_t limit_bytes)
{
    auto act = [at, offset, limit_bytes](const transaction& txn, const tables& t) -> result<bytes> {
        const auto row = find_row(txn, t, at);
        if (!row)
            return ::titip::vault::errc::unknown;
        if (row->state() == v1::ERASED)
            return ::titip::vault::errc::erased;
        return read_chunks(txn, t, at, offset, limit_bytes, row->stored_bytes());
    };
    co_return co_await look<bytes>(std::move(act));
}

asio::awaitable<result<bytes>> store::read_rest(place at, std::uint64_t offset,
                                                std::uint64_t size_bytes)
{
    constexpr std::size_t slice_bytes = 256u << 10;
    bytes out;
    out.reserve(size_bytes - std::min(offset, size_bytes));
    while (offset < size_bytes) {
        const auto slice = co_await read_at(at, offset, slice_bytes);
        if (!slice)
            co_return slice.error();
        if (slice->empty())
            co_return ::titip::vault::errc::rotten;
        out.insert(out.end(), slice->begin(), slice->end());
        offset += slice->size();
    }
    co_return out;
}

asio::awaitable<result<void>> store::check_intact(place at)
{
    auto act = [at](const transaction& txn, const tables& t) -> result<void> {
        const auto row = find_row(txn, t, at);
        if (!row)
            return ::titip::vault::errc::unknown;
        const bool is_whole = row->state() != v1::ARRIVING;
        const auto size = is_whole ? row->size_bytes() : row->stored_bytes();
        const auto data = read_chunks(txn, t, at, 0, size, size);
        if (!data || (is_whole && as_text(sha256(*data)) != row->digest()))
            return ::titip::vault::errc::rotten;
        return {};
    };
    co_return co_await look<void>(std::move(act));
}

asio::awaitable<result<std::vector<queued>>> store::load_queue()
{
    auto act = [](const transaction& txn, const tables& t) -> result<std::vector<queued>> {
        std::vector<queued> out;
        cursor walk{txn, t.queue};
        for (auto each = walk.first(); each; each = walk.next())
            out.push_back(read_queued(*each));
        return out;
    };
    co_return co_await look<std::vector<queued>>(std::move(act));
}

asio::awaitable<result<std::optional<record_view>>> store::next_stored(place after)
{
    auto act = [after](const transaction& txn,
                       const tables& t) -> result<std::optional<record_view>> {
        cursor walk{txn, t.chunks};
        auto next = static_cast<std::uint64_t>(after) + 1;
        for (auto each = walk.seek(place_key(place{next})); each;
             each = walk.seek(place_key(place{next + 1}))) {
            next = read_u64(each->key);
            const auto row = find_good_row(txn, t, place{next});
            if (!row) // check_intact() will say so, and note_rot() set it aside
                return std::optional{record_view{.place = place{next}}};
            if (row->rotten_at_ms() == 0 && row->quarantine() != v1::QUARANTINE_ROTTEN)
                return std::optional{to_view(place{next}, *row)};
        }
        return std::optional<record_view>{};
    };
    co_return co_await look<std::optional<record_view>>(std::move(act));
}

asio::awaitable<result<outgoing>> store::outgoing_of(place at)
{
    auto act = [at](const transaction& txn, const tables& t) -> result<outgoing> {
        const auto row = find_row(txn, t, at);
        if (!row)
            return ::titip::vault::errc::unknown;
        return to_outgoing(at, *row);
    };
    co_return co_await look<outgoing>(std::move(act));
}

asio::awaitable<result<outgoing>> store::manifest_of(::titip::vault::key which)
{
    auto act = [which = std::move(which)](const transaction& txn,
                                          const tables& t) -> result<outgoing> {
        const auto known = find_record(txn, t, which);
        if (!known)
            return ::titip::vault::errc::unknown;
        return to_outgoing(known->at, known->row);
    };
    co_return co_await look<outgoing>(std::move(act));
}

asio::awaitable<result<bytes>> store::receipt_of(::titip::vault::key which)
{
    auto act = [which = std::move(which)](const transaction& txn,
                                          const tables& t) -> result<bytes> {
        const auto known = find_record(txn, t, which);
        if (!known)
            return ::titip::vault::errc::unknown;
        return to_bytes(as_bytes(known->row.receipt().empty() ? known->row.receipt_given()
                                                              : known->row.receipt()));
    };
    co_return co_await look<bytes>(std::move(act));
}

asio::awaitable<result<upstream_view>> store::upstream()
{
    auto act = [this](const transaction& txn, const tables& t) -> result<upstream_view> {
        upstream_view out{.heads = heads_of(txn, t, parts_->opts.node)};
        if (out.heads.empty())
            out.heads.push_back({.epoch = parts_->current_epoch()});
        const auto meta = read_meta(txn, t);
        out.cursor_epoch = epoch_id::from_bytes(as_bytes(meta.verdict_cursor().store_epoch()));
        out.cursor_number = meta.verdict_cursor().number();
        visit_kept(txn, t, parts_->opts.node, [&out](place, const v1::Row& row) {
            add_kept(out.kept, row);
            if (out.kept.size() <= ::titip::vault::most_kept)
                return true;
            out.kept.pop_back();
            return false;
        });
        std::ranges::reverse(out.kept);
        out.waiting = waiting_ranges(txn, t, parts_->opts.node);
        return out;
    };
    co_return co_await look<upstream_view>(std::move(act));
}

asio::awaitable<result<store::stalled_page>> store::stalled(place after, wall_time before)
{
    auto act = [after, before](const transaction& txn, const tables& t) -> result<stalled_page> {
        constexpr std::size_t most_rows = 4'096;
        v1::Meta meta;
        const auto key = key_builder{}.text("meta");
        open_row(seed::meta, key, txn.get(t.meta, key).value(), meta);
        const auto noted_since = from_ms(meta.last_bytes_noted_since_ms());
        stalled_page out;
        std::size_t rows = 0;
        cursor walk{txn, t.rows};
        for (auto each = walk.seek(place_key(place{static_cast<std::uint64_t>(after) + 1})); each;
             each = walk.next()) {
            const place at{read_u64(each->key)};
            const auto row = find_good_row(txn, t, at);
            if (row && row->state() == v1::ARRIVING) {
                auto view = to_view(at, *row);
                // A clock that was ahead then says nothing of when it was.
                if (view.last_byte_at == wall_time{} || view.last_byte_at > wall_now())
                    view.last_byte_at = noted_since;
                if (view.last_byte_at < before)
                    out.found.push_back(std::move(view));
            }
            if (++rows == most_rows) {
                out.next = at;
                break;
            }
        }
        return out;
    };
    co_return co_await look<stalled_page>(std::move(act));
}

asio::awaitable<result<std::vector<record_view>>>
store::list(list_filter filter, std::optional<place> after, std::size_t limit)
{
    auto act = [filter, after, limit](const transaction& txn,
                                      const tables& t) -> result<std::vector<record_view>> {
        std::vector<record_view> out;
        const auto from = after ? static_cast<std::uint64_t>(*after) + 1 : 0;
        cursor walk{txn, t.rows};
        for (auto each = walk.seek(place_key(place{from})); each && out.size() < limit;
             each = walk.next()) {
            const place at{read_u64(each->key)};
            if (const auto row = find_good_row(txn, t, at)) {
                if (fits(*row, filter))
                    out.push_back(to_view(at, *row));
            } else if ((!filter.state || *filter.state == state::quarantined) &&
                       !filter.needs_person)
                out.push_back({.place = at,
                               .state = state::quarantined,
                               .reason = reason::rotten,
                               .note = "its row cannot be read"});
        }
        return out;
    };
    co_return co_await look<std::vector<record_view>>(std::move(act));
}

asio::awaitable<result<void>> store::count_needs_person()
{
    constexpr std::size_t most_looked_at = 1'024;
    std::optional<place> from = place{0};
    while (from) {
        auto act = [from = *from](const transaction& txn, const tables& t)
            -> result<std::pair<std::set<place>, std::optional<place>>> {
            std::pair<std::set<place>, std::optional<place>> out;
            std::size_t looked_at = 0;
            cursor walk{txn, t.rows};
            for (auto each = walk.seek(place_key(from)); each; each = walk.next()) {
                const place at{read_u64(each->key)};
                if (looked_at++ == most_looked_at) {
                    out.second = at;
                    break;
                }
                const auto row = find_good_row(txn, t, at);
                if (row && row->verdicts_size() > 0 && person_needed(standing_of(*row)))
                    out.first.insert(at);
            }
            return out;
        };
        const auto found =
            co_await look<std::pair<std::set<place>, std::optional<place>>>(std::move(act));
        if (!found)
            co_return found.error();
        from = found->second;
        const std::lock_guard guard{parts_->mutex};
        for (const auto at : found->first)
            if (!parts_->changed_while_counting.contains(at))
                parts_->needs_person.insert(at);
    }
    {
        const std::lock_guard guard{parts_->mutex};
        parts_->are_needs_counted = true;
        parts_->changed_while_counting.clear();
    }
    co_return result<void>{};
}

asio::awaitable<result<std::vector<record_view>>> store::show(record_id record)
{
    auto act = [record](const transaction& txn,
                        const tables& t) -> result<std::vector<record_view>> {
        std::vector<record_view> out;
        for (const auto at : places_of(txn, t, record))
            if (const auto row = find_row(txn, t, at))
                out.push_back(to_view(at, *row));
        return out;
    };
    co_return co_await look<std::vector<record_view>>(std::move(act));
}

asio::awaitable<result<std::vector<ledger_entry>>> store::ledger(std::uint64_t after,
                                                                 std::size_t limit)
{
    auto act = [after, limit](const transaction& txn,
                              const tables& t) -> result<std::vector<ledger_entry>> {
        std::vector<ledger_entry> out;
        cursor walk{txn, t.ledger};
        for (auto each = walk.seek(key_builder{}.u64(after + 1)); each && out.size() < limit;
             each = walk.next()) {
            v1::Entry entry;
            open_row(seed::entry, each->key, each->value, entry);
            out.push_back(to_entry(entry));
        }
        return out;
    };
    co_return co_await look<std::vector<ledger_entry>>(std::move(act));
}

asio::awaitable<result<std::vector<ledger_entry>>> store::story(record_id record)
{
    auto act = [record](const transaction& txn,
                        const tables& t) -> result<std::vector<ledger_entry>> {
        std::vector<ledger_entry> out;
        const auto wanted = as_text(record.data());
        cursor walk{txn, t.ledger};
        for (auto each = walk.first(); each; each = walk.next()) {
            // Parsing each entry would cost more than the look: the id stands in the bytes as they
            // are.
            if (as_text(each->value).find(wanted) == std::string_view::npos)
                continue;
            v1::Entry entry;
            open_row(seed::entry, each->key, each->value, entry);
            if (entry.record_id() == wanted)
                out.push_back(to_entry(entry));
        }
        return out;
    };
    co_return co_await look<std::vector<ledger_entry>>(std::move(act));
}

asio::awaitable<result<wall_time>> store::oldest_relayed()
{
    // They have no index yet. Their places ascend with the time of acceptance, not of handing on:
    // one that was held for long is not the oldest, so some are compared.
    constexpr std::size_t most_looked_at = 4'096;
    constexpr std::size_t enough = 64;
    if (now().of(state::relayed).records == 0)
        co_return wall_time{};
    place from{};
    std::uint64_t changes = 0;
    {
        const std::lock_guard guard{parts_->mutex};
        from = parts_->relayed_low;
        changes = parts_->relayed_changes;
    }
    using found = std::pair<wall_time, place>; // and the first that may be relayed
    auto act = [from](const transaction& txn, const tables& t) -> result<found> {
        std::optional<place> first;
        auto next = from;
        wall_time oldest{};
        std::size_t looked_at = 0;
        std::size_t seen = 0;
        cursor walk{txn, t.rows};
        for (auto each = walk.seek(place_key(from));
             each && looked_at < most_looked_at && seen < enough; each = walk.next(), ++looked_at) {
            const place at{read_u64(each->key)};
            next = place{static_cast<std::uint64_t>(at) + 1};
            const auto row = find_good_row(txn, t, at);
            if (!row || row->state() != v1::RELAYED)
                continue;
            ++seen;
            first = first.value_or(at);
            // By the relay's clock; it was not before it was accepted here.
            const auto since = from_ms(std::max(row->delivered_at_ms(), row->accepted_at_ms()));
            oldest = oldest == wall_time{} ? since : std::min(oldest, since);
        }
        return found{oldest, first.value_or(next)};
    };
    const auto told = co_await look<found>(std::move(act));
    if (!told)
        co_return told.error();
    {
        const std::lock_guard guard{parts_->mutex};
        if (parts_->relayed_changes == changes)
            parts_->relayed_low = told->second;
    }
    co_return told->first;
}

asio::awaitable<result<wall_time>> store::oldest_waiting()
{
    auto act = [](const transaction& txn, const tables& t) -> result<wall_time> {
        std::optional<place> oldest;
        cursor walk{txn, t.queue};
        for (const auto lane :
             {envelope::lane::urgent, envelope::lane::ordinary, envelope::lane::bulk}) {
            const auto each = walk.seek(queue_key(lane, place{0}));
            if (each && each->key[0] == std::byte(lane)) {
                const place at{read_u64(each->key.subspan(1))};
                oldest = oldest ? std::min(*oldest, at) : at;
            }
        }
        const auto row = oldest ? find_row(txn, t, *oldest) : std::nullopt;
        return row ? from_ms(row->accepted_at_ms()) : wall_time{};
    };
    co_return co_await look<wall_time>(std::move(act));
}

} // namespace titip::journal
