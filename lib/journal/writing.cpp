#include "journal/writing.hpp"

#include "journal/custody.hpp"
#include "journal/parts.hpp"

#include "base/line.hpp"
#include "trust/judge.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace titip::journal {

namespace {

constexpr std::size_t most_detail_bytes = 1'024; // a backup's path; all others are shorter

} // namespace

wall_time certain_time(wall_time newest_signed, wall_time clock) noexcept
{
    trust::judge known{trust::judge::build_time()};
    known.on_signed_time(newest_signed);
    return known.certain(clock);
}

std::string_view to_string(v1::Entry::Event event) noexcept
{
    switch (event) {
    case v1::Entry::ACCEPTED:
        return "accepted";
    case v1::Entry::EVENT_RELAYED:
        return "relayed";
    case v1::Entry::EVENT_DELIVERED:
        return "delivered";
    case v1::Entry::EVENT_VERDICT:
        return "verdict";
    case v1::Entry::HOLD:
        return "hold";
    case v1::Entry::RELEASE:
        return "release";
    case v1::Entry::QUARANTINE:
        return "quarantine";
    case v1::Entry::RETRY:
        return "retry";
    case v1::Entry::ERASE:
        return "erase";
    case v1::Entry::OUTAGE_BEGAN:
        return "outage-began";
    case v1::Entry::OUTAGE_ENDED:
        return "outage-ended";
    case v1::Entry::PAUSED:
        return "paused";
    case v1::Entry::RESUMED:
        return "resumed";
    case v1::Entry::FINDING:
        return "finding";
    case v1::Entry::STARTED:
        return "started";
    case v1::Entry::DISCARDED:
        return "discarded";
    case v1::Entry::EVENT_WITHDRAWN:
        return "withdrawn";
    case v1::Entry::EPOCH_BEGAN:
        return "epoch-began";
    case v1::Entry::BACKUP:
        return "backup";
    case v1::Entry::FREED:
        return "freed";
    case v1::Entry::REPAIRED:
        return "repaired";
    case v1::Entry::ROTTEN:
        return "rotten";
    case v1::Entry::REVOKED:
        return "revoked";
    case v1::Entry::UNREVOKED:
        return "unrevoked";
    case v1::Entry::NOT_OPENED:
        return "not-opened";
    case v1::Entry::FORMAT:
        return "format";
    case v1::Entry::ACKNOWLEDGED:
        return "acknowledged";
    case v1::Entry::SETTLED:
        return "settled";
    default:
        return "unknown"; // protobuf enums are open
    }
}

vault::finding to_finding(const v1::Finding& stored)
{
    return {.what = static_cast<vault::finding::kind>(stored.kind()),
            .station = stored.station(),
            .epoch = epoch_id::from_bytes(as_bytes(stored.epoch())).value_or(epoch_id{}),
            .first = stored.first(),
            .last = stored.last(),
            .noticed_at = from_ms(stored.noticed_at_ms()),
            .records = stored.records()};
}

v1::Meta::Tally& tally_of(v1::Meta& meta, state s)
{
    for (auto& each : *meta.mutable_tallies())
        if (each.state() == to_proto(s))
            return each;
    auto& made = *meta.add_tallies();
    made.set_state(to_proto(s));
    return made;
}

std::uint64_t live_bytes(const v1::Meta& meta) noexcept
{
    std::uint64_t out = 0;
    for (const auto& each : meta.tallies())
        out += stored_size(each.bytes()) + each.records() * row_weight_bytes;
    return out;
}

writing::writing(transaction& txn, const tables& t, v1::Meta& meta, const surroundings& around,
                 space& room, wall_time now)
    : txn_(txn), t_(t), meta_(meta), around_(around), space_(room), now_(now)
{
}

bool finds_room(MDB_env* environment, space& room, const v1::Meta& meta, std::uint64_t weight_bytes)
{
    const bool has_reserve = room.top_up(); // also for the receipts and deletes of a full store
    if (live_bytes(meta) + stored_size(weight_bytes) > room.quota_bytes())
        return false;
    if (has_reserve)
        return true;
    // The disk is full, but pages freed by erasing lie inside the file.
    return free_pages(environment) * lmdb_page_bytes >
           stored_size(weight_bytes) + room.reserve_bytes();
}

standing_room look_for_room(MDB_env* environment, const tables& t, space& room,
                            const v1::Meta& meta)
{
    const bool has_room = finds_room(environment, room, meta, room.refused_bytes());
    const transaction reading{environment, transaction::mode::read};
    MDB_envinfo info{};
    check(mdb_env_info(environment, &info));
    const auto all = (std::uint64_t{info.me_last_pgno} + 1) * lmdb_page_bytes;
    const auto used = used_bytes(reading, t);
    return {.room = room.look(live_bytes(meta), all > used ? all - used : 0), .has_room = has_room};
}

void count_day(v1::Meta& meta, wall_time now, std::uint64_t accepted_bytes,
               std::uint64_t erased_bytes)
{
    const auto today = to_ms(now) / day_ms;
    auto& days = *meta.mutable_days();
    const auto is_past = [&](const v1::Meta::Day& each) {
        return each.day() > today || each.day() <= today - static_cast<std::int64_t>(most_days);
    };
    days.erase(std::remove_if(days.begin(), days.end(), is_past), days.end());
    auto found =
        std::ranges::find(days, today, [](const v1::Meta::Day& each) { return each.day(); });
    if (found == days.end()) {
        days.Add()->set_day(today);
        found = std::prev(days.end());
    }
    found->set_accepted_bytes(found->accepted_bytes() + accepted_bytes);
    found->set_erased_bytes(found->erased_bytes() + erased_bytes);
}

bool writing::has_room(std::uint64_t weight_bytes)
{
    const bool has = finds_room(mdb_txn_env(txn_.native_handle()), space_, meta_, weight_bytes);
    space_.note_refusal(has ? 0 : weight_bytes);
    return has;
}

v1::Row writing::row_at(place at) const
{
    auto row = find_row(txn_, t_, at);
    if (!row)
        throw rotten_row(seed::row, "an index names a row that is not there");
    return *std::move(row);
}

v1::Row writing::row_at(place at, const vault::key& of) const
{
    auto row = row_at(at);
    require_row_of(of, row);
    return row;
}

result<std::pair<place, v1::Row>> writing::row_of(const vault::key& which) const
{
    const auto at = find_place(txn_, t_, which);
    if (!at)
        return vault::errc::unknown;
    return std::pair{*at, row_at(*at, which)};
}

result<std::pair<place, v1::Row>> writing::good_row_of(const vault::key& which) const
{
    try {
        return row_of(which);
    } catch (const rotten_row& rotten) {
        if (!rotten.concerns_one_record())
            throw;
        return vault::errc::rotten;
    }
}

void writing::store_row(place at, const v1::Row& row)
{
    const auto key = place_key(at);
    txn_.put(t_.rows, key, seal_row(seed::row, key, row));
}

void writing::count(const v1::Row& row, int sign)
{
    tally(row, sign);
    weigh(row.station(), sign > 0 ? weight_of(row) : 0, sign > 0 ? 0 : weight_of(row));
}

void writing::tally(const v1::Row& row, int sign)
{
    auto& sum = tally_of(meta_, to_state(row.state()));
    const auto bytes = counted_bytes(row);
    const auto step = static_cast<std::uint64_t>(static_cast<std::int64_t>(sign));
    sum.set_records(sum.records() + step);
    sum.set_bytes(sum.bytes() + step * bytes);
    sum.set_held(sum.held() + (row.held() ? step : 0));
}

void writing::replace(place at, const v1::Row& before, v1::Row after)
{
    tally(before, -1);
    tally(after, 1);
    weigh(before.station(), weight_of(after), weight_of(before));
    if (is_in_queue(before) && !is_in_queue(after))
        txn_.erase(t_.queue, queue_key(lane_of(before), at));
    if (!is_in_queue(before) && is_in_queue(after))
        txn_.put(t_.queue, queue_key(lane_of(after), at), queue_value(after));
    const bool was_opened = before.state() == v1::STATE_OPENED;
    const bool is_opened = after.state() == v1::STATE_OPENED;
    const bool is_other_time = before.opened_at_ms() != after.opened_at_ms();
    if (was_opened && (!is_opened || is_other_time))
        txn_.erase(t_.opened, opened_key(before.opened_at_ms(), at));
    if (is_opened && (!was_opened || is_other_time))
        txn_.put(t_.opened, opened_key(after.opened_at_ms(), at), {});
    store_row(at, after);
}

void writing::enter(v1::Entry::Event event, place at, const v1::Row& row, std::string_view detail)
{
    v1::Entry entry;
    entry.set_number(meta_.next_entry());
    entry.set_at_ms(to_ms(now_));
    entry.set_event(event);
    entry.set_record_id(row.record_id());
    entry.set_station(row.station());
    entry.set_place(static_cast<std::uint64_t>(at));
    entry.set_detail(to_line(detail, most_detail_bytes));
    const auto key = key_builder{}.u64(meta_.next_entry());
    txn_.put(t_.ledger, key, seal_row(seed::entry, key, entry));
    meta_.set_next_entry(meta_.next_entry() + 1);
    if (event == v1::Entry::ERASE)
        count_day(meta_, now_, 0, stored_size(row.size_bytes()));
    changes_.push_back({.place = at,
                        .key = key_of(row),
                        .state = to_state(row.state()),
                        .held = row.held(),
                        .lane = lane_of(row),
                        .size_bytes = row.size_bytes(),
                        .event = to_string(event),
                        .needs_person = person_needed(standing_of(row)).has_value(),
                        .goes_last = row.goes_last()});
}

void writing::note(v1::Entry::Event event, std::string_view detail, milliseconds duration)
{
    v1::Entry entry;
    entry.set_number(meta_.next_entry());
    entry.set_at_ms(to_ms(now_));
    entry.set_event(event);
    entry.set_detail(to_line(detail, most_detail_bytes));
    entry.set_duration_ms(duration.count());
    const auto key = key_builder{}.u64(meta_.next_entry());
    txn_.put(t_.ledger, key, seal_row(seed::entry, key, entry));
    meta_.set_next_entry(meta_.next_entry() + 1);
}

void writing::add_finding(const notice& one)
{
    using effect = station_findings::effect;
    const auto& station = one.what.station;
    // Of a store that has no room for format 2: what every commit rewrites.
    constexpr findings_limit unplaced{.all = 16, .told = 8};
    constexpr int most_unplaced = 64;
    station_findings about{findings_about(txn_, t_, meta_, station),
                           t_.findings ? findings_limit{} : unplaced};
    const auto next = std::max<std::uint64_t>(meta_.next_finding(), 1);
    const bool had_room = t_.findings || meta_.unplaced_size() < most_unplaced;
    const auto done = about.note(one, next, now_);
    if (done.effect == effect::full || (done.effect == effect::added && !had_room))
        return; // the line below was told when the last place was taken
    if (done.effect == effect::added)
        meta_.set_next_finding(next + 1);
    put(about, station);
    if (done.effect == effect::known || done.effect == effect::grew)
        return;
    const auto row = std::ranges::find(about.rows(), done.number, &v1::FindingRow::number);
    note(v1::Entry::FINDING, describe(*row));
    if (done.effect == effect::added &&
        (about.is_full() || (!t_.findings && meta_.unplaced_size() == most_unplaced)))
        note(v1::Entry::FINDING, fmt::format("no room for another of {}", station));
}

void writing::put(const station_findings& about, std::string_view station)
{
    const auto changed = about.changed();
    if (changed.empty() && about.removed().empty())
        return;
    are_findings_changed_ = true;
    if (!t_.findings) {
        auto& all = *meta_.mutable_unplaced();
        const auto is_stale = [&](const v1::FindingRow& each) { return each.station() == station; };
        all.erase(std::remove_if(all.begin(), all.end(), is_stale), all.end());
        for (const auto& each : about.rows())
            *all.Add() = each;
        return;
    }
    for (const auto number : about.removed())
        txn_.erase(*t_.findings, finding_key(station, number));
    for (const auto& each : changed) {
        const auto key = finding_key(station, each.number());
        txn_.put(*t_.findings, key, seal_row(seed::finding, key, each));
    }
}

void writing::settle_gaps(const envelope::custody& held)
{
    station_findings about{findings_about(txn_, t_, meta_, held.station)};
    const auto has_come = [&held](const std::string& epoch, std::uint64_t first,
                                  std::uint64_t last) {
        const auto of = epoch_id::from_bytes(as_bytes(epoch));
        return of && covers_all(held, *of, first, last);
    };
    const auto settled = about.settle(has_come, now_);
    put(about, held.station);
    for (const auto& each : settled)
        note(v1::Entry::SETTLED, describe(each));
}

result<kept_finding> writing::acknowledge(std::uint64_t number, std::string_view by,
                                          std::string_view why)
{
    if (!t_.findings)
        return vault::errc::full;
    std::optional<std::string> station;
    cursor walk{txn_, *t_.findings};
    for (auto each = walk.first(); each && !station; each = walk.next())
        if (each->key.size() > sizeof number && read_u64(each->key.last(8)) == number)
            station = text(each->key.first(each->key.size() - sizeof number - 1));
    if (!station)
        return vault::errc::unknown;
    station_findings about{findings_about(txn_, t_, meta_, *station)};
    const auto* row = about.acknowledge(number, by, why, now_);
    if (!row)
        return vault::errc::wrong_state;
    if (!about.changed().empty()) {
        put(about, *station);
        note(v1::Entry::ACKNOWLEDGED, fmt::format("{}, by {}: {}", describe(*row),
                                                  row->acknowledged_by(), row->acknowledged_why()));
    }
    return to_kept(*row);
}

std::optional<standing_findings> writing::changed_findings() const
{
    return are_findings_changed_ ? std::optional{find_standing(txn_, t_, meta_)} : std::nullopt;
}

void bound_custody(v1::Meta& meta)
{
    if (meta.custody().size() > most_custody_bytes)
        meta.clear_custody();
}

placing writing::placing_of(const v1::Row& row, const digest& previous)
{
    return {.station = row.station(),
            .epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value(),
            .sequence = row.sequence(),
            .previous = previous,
            .hash = to_digest(as_bytes(row.manifest_hash())).value()};
}

void writing::add_number(const v1::Row& row, place at, const digest& previous)
{
    const auto what = placing_of(row, previous);
    const auto by_sequence = key_builder{}.u64(static_cast<std::uint64_t>(at));
    if (!txn_.insert(t_.by_sequence, sequence_key(what.station, what.epoch, what.sequence),
                     by_sequence)) {
        notice fork{.what = {.what = vault::finding::kind::fork,
                             .station = what.station,
                             .epoch = what.epoch,
                             .first = what.sequence,
                             .last = what.sequence,
                             .noticed_at = now_},
                    .told_by = {},
                    .proof = to_bytes(as_bytes(row.manifest_hash()))};
        const auto first =
            txn_.get(t_.by_sequence, sequence_key(what.station, what.epoch, what.sequence));
        const auto other = first && first->size() == sizeof(std::uint64_t)
                               ? find_good_row(txn_, t_, place{read_u64(*first)})
                               : std::nullopt;
        if (other) {
            const auto hash = as_bytes(other->manifest_hash());
            fork.proof.insert(fork.proof.begin(), hash.begin(), hash.end());
        }
        add_finding(fork);
        return;
    }
    journal::add_number(txn_, t_, what);
}

void writing::continue_from(const epoch_id& earlier, envelope::sequence at,
                            const digest& manifest_hash)
{
    meta_.set_previous_epoch(text(earlier.data()));
    meta_.set_previous_sequence(envelope::number(at));
    meta_.set_previous_head(text(manifest_hash));
}

void writing::begin_epoch(const epoch_id& present, std::string_view why)
{
    if (meta_.store_epoch() != as_text(present.data()))
        return;
    const auto key = numbering_key(around_.node, present);
    v1::Numbering numbering;
    if (const auto stored = txn_.get(t_.numbering, key))
        open_row(seed::numbering, key, *stored, numbering);
    // An epoch without a record is named by nobody: the next one names what it would have named.
    if (numbering.head() > 0) {
        meta_.set_previous_epoch(meta_.store_epoch());
        meta_.set_previous_sequence(numbering.head());
        meta_.set_previous_head(numbering.head_hash());
    }
    const auto begun = epoch_id::random();
    meta_.set_store_epoch(text(begun.data()));
    note(v1::Entry::EPOCH_BEGAN, fmt::format("{}: {} after {} of {}", why, begun.to_string(),
                                             numbering.head(), present.to_string()));
}

void writing::begin_epoch_as_told(const epoch_id& present, std::string_view why)
{
    constexpr milliseconds least = 24h;
    const milliseconds since{to_ms(now_) - meta_.epoch_told_at_ms()};
    // Also if the clock was a year ahead then: to come is not within a day.
    if (meta_.store_epoch() != as_text(present.data()) || std::chrono::abs(since) < least)
        return;
    meta_.set_epoch_told_at_ms(to_ms(now_));
    begin_epoch(present, why);
}

void writing::set_paused(bool paused)
{
    if (meta_.paused() == paused)
        return;
    meta_.set_paused(paused);
    note(paused ? v1::Entry::PAUSED : v1::Entry::RESUMED, {});
}

void writing::note_sent(std::int64_t day, std::uint64_t size_bytes)
{
    meta_.set_sent_bytes(size_bytes + (meta_.sent_day() == day ? meta_.sent_bytes() : 0));
    meta_.set_sent_day(day);
}

void writing::finish()
{
    meta_.set_transaction(txn_.id());
    const auto key = key_builder{}.text("meta");
    txn_.put(t_.meta, key, seal_row(seed::meta, key, meta_));
}

} // namespace titip::journal
