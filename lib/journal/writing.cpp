#include "journal/writing.hpp"

#include <algorithm>
#include <cassert>

namespace titip::journal {

namespace {

    constexpr std::size_t most_findings = 64; // each is 100 bytes of Meta, which every commit rewrites

    std::string text(bytes_view data) { return std::string { as_text(data) }; }

    bool is_in_queue(const v1::Row& row) { return row.state() == v1::WAITING && !row.held(); }

    bool has_bytes(const v1::Row& row)
    {
        return row.state() != v1::ERASED && row.state() != v1::ARRIVING;
    }

    envelope::lane lane_of(const v1::Row& row) { return static_cast<envelope::lane>(row.lane()); }

    acceptance acceptance_of(place at, const v1::Row& row, bool is_new)
    {
        const auto view = to_view(at, row);
        return { .place = at,
            .epoch = view.epoch,
            .sequence = view.sequence,
            .digest = view.digest,
            .size_bytes = view.size_bytes,
            .accepted_at = view.accepted_at,
            .warnings = view.warnings,
            .is_new = is_new };
    }

    v1::Numbering::Span span_of(std::uint64_t at, const digest& previous, const digest& hash)
    {
        v1::Numbering::Span out;
        out.set_first(at);
        out.set_last(at);
        out.set_first_previous(text(previous));
        out.set_last_hash(text(hash));
        return out;
    }

    /// Puts one sequence into ascending spans; joins neighbours whose hashes name each other.
    void add_span(v1::Numbering& numbering, v1::Numbering::Span added)
    {
        std::vector<v1::Numbering::Span> spans(numbering.spans().begin(), numbering.spans().end());
        const auto behind = std::ranges::lower_bound(
            spans, added.first(), {}, [](const auto& each) { return each.first(); });
        auto here = spans.insert(behind, std::move(added));
        const auto join = [&spans](auto left) {
            const auto right = left + 1;
            if (left->last() + 1 != right->first() || left->last_hash() != right->first_previous())
                return false;
            left->set_last(right->last());
            left->set_last_hash(right->last_hash());
            spans.erase(right);
            return true;
        };
        if (here + 1 != spans.end())
            join(here);
        if (here != spans.begin())
            join(here - 1);
        numbering.mutable_spans()->Assign(spans.begin(), spans.end());
    }

} // namespace

std::string_view to_string(v1::Entry::Event event) noexcept
{
    switch (event) {
    case v1::Entry::ACCEPTED: return "accepted";
    case v1::Entry::EVENT_RELAYED: return "relayed";
    case v1::Entry::EVENT_DELIVERED: return "delivered";
    case v1::Entry::EVENT_VERDICT: return "verdict";
    case v1::Entry::HOLD: return "hold";
    case v1::Entry::RELEASE: return "release";
    case v1::Entry::QUARANTINE: return "quarantine";
    case v1::Entry::RETRY: return "retry";
    case v1::Entry::ERASE: return "erase";
    case v1::Entry::OUTAGE_BEGAN: return "outage-began";
    case v1::Entry::OUTAGE_ENDED: return "outage-ended";
    case v1::Entry::PAUSED: return "paused";
    case v1::Entry::RESUMED: return "resumed";
    case v1::Entry::FINDING: return "finding";
    case v1::Entry::STARTED: return "started";
    case v1::Entry::DISCARDED: return "discarded";
    case v1::Entry::EVENT_WITHDRAWN: return "withdrawn";
    default: return "unknown"; // protobuf enums are open
    }
}

vault::finding to_finding(const v1::Finding& stored)
{
    return { .what = static_cast<vault::finding::kind>(stored.kind()),
        .station = stored.station(),
        .epoch = epoch_id::from_bytes(as_bytes(stored.epoch())).value_or(epoch_id {}),
        .first = stored.first(),
        .last = stored.last(),
        .noticed_at = from_ms(stored.noticed_at_ms()) };
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
    constexpr std::uint64_t row_bytes = 8'192; // row, index entries and ledger, generously
    std::uint64_t out = 0;
    for (const auto& each : meta.tallies())
        out += stored_size(each.bytes()) + each.records() * row_bytes;
    return out;
}

writing::writing(transaction& txn, const tables& t, v1::Meta& meta, const surroundings& around,
    space& room, wall_time now)
    : txn_(txn)
    , t_(t)
    , meta_(meta)
    , around_(around)
    , space_(room)
    , now_(now)
{
}

bool writing::has_room(std::uint64_t weight_bytes)
{
    const bool has = finds_room(weight_bytes);
    space_.note_refusal(has ? 0 : weight_bytes);
    return has;
}

bool writing::finds_room(std::uint64_t weight_bytes)
{
    if (live_bytes(meta_) + stored_size(weight_bytes) > space_.quota_bytes())
        return false;
    if (space_.top_up())
        return true;
    // The disk is full, but pages freed by erasing lie inside the file. LMDB shows its list of them to
    // readers only; each entry begins with its page count.
    std::uint64_t free_pages = 0;
    const transaction reading { mdb_txn_env(txn_.native_handle()), transaction::mode::read };
    cursor walk { reading, table { 0 } };
    for (auto each = walk.first(); each; each = walk.next()) {
        std::size_t count = 0;
        std::memcpy(&count, each->value.data(), sizeof count);
        free_pages += count;
    }
    return free_pages * 4096 > stored_size(weight_bytes) + space_.reserve_bytes();
}

v1::Row writing::row_at(place at) const
{
    auto row = find_row(txn_, t_, at);
    if (!row)
        throw rotten_row(seed::row, "an index names a row that is not there");
    return *std::move(row);
}

result<std::pair<place, v1::Row>> writing::row_of(const vault::key& which) const
{
    const auto at = find_place(txn_, t_, which);
    if (!at)
        return vault::errc::unknown;
    return std::pair { *at, row_at(*at) };
}

void writing::store_row(place at, const v1::Row& row)
{
    const auto key = place_key(at);
    txn_.put(t_.rows, key, seal_row(seed::row, key, row));
}

void writing::count(const v1::Row& row, int sign)
{
    auto& tally = tally_of(meta_, to_state(row.state()));
    const auto bytes = row.state() == v1::ERASED ? 0
        : row.state() == v1::ARRIVING            ? row.stored_bytes()
                                                 : row.size_bytes();
    const auto step = static_cast<std::uint64_t>(static_cast<std::int64_t>(sign));
    tally.set_records(tally.records() + step);
    tally.set_bytes(tally.bytes() + step * bytes);
    tally.set_held(tally.held() + (row.held() ? step : 0));
}

void writing::replace(place at, const v1::Row& before, v1::Row after)
{
    count(before, -1);
    count(after, 1);
    if (is_in_queue(before) && !is_in_queue(after))
        txn_.erase(t_.queue, queue_key(lane_of(before), at));
    if (!is_in_queue(before) && is_in_queue(after))
        txn_.put(t_.queue, queue_key(lane_of(after), at), as_bytes(after.record_id()));
    if (before.state() == v1::STATE_OPENED && after.state() != v1::STATE_OPENED)
        txn_.erase(t_.opened, opened_key(before.opened_at_ms(), at));
    if (before.state() != v1::STATE_OPENED && after.state() == v1::STATE_OPENED)
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
    entry.set_detail(std::string { detail });
    const auto key = key_builder {}.u64(meta_.next_entry());
    txn_.put(t_.ledger, key, seal_row(seed::entry, key, entry));
    meta_.set_next_entry(meta_.next_entry() + 1);
    changes_.push_back({ .place = at,
        .key = key_of(row),
        .state = to_state(row.state()),
        .held = row.held(),
        .lane = lane_of(row),
        .size_bytes = row.size_bytes(),
        .event = to_string(event) });
}

void writing::note(v1::Entry::Event event, std::string_view detail, milliseconds duration)
{
    v1::Entry entry;
    entry.set_number(meta_.next_entry());
    entry.set_at_ms(to_ms(now_));
    entry.set_event(event);
    entry.set_detail(std::string { detail });
    entry.set_duration_ms(duration.count());
    const auto key = key_builder {}.u64(meta_.next_entry());
    txn_.put(t_.ledger, key, seal_row(seed::entry, key, entry));
    meta_.set_next_entry(meta_.next_entry() + 1);
}

void writing::add_finding(const vault::finding& what)
{
    const auto known = std::ranges::any_of(meta_.findings(), [&what](const auto& each) {
        auto other = to_finding(each);
        other.noticed_at = what.noticed_at;
        return other == what;
    });
    if (known || meta_.findings_size() >= static_cast<int>(most_findings))
        return;
    auto& added = *meta_.add_findings();
    added.set_kind(static_cast<v1::Finding::Kind>(what.what));
    added.set_station(what.station);
    added.set_epoch(text(what.epoch.data()));
    added.set_first(what.first);
    added.set_last(what.last);
    added.set_noticed_at_ms(to_ms(what.noticed_at));
    note(v1::Entry::FINDING, to_string(what.what));
}

void writing::add_number(const v1::Row& row, place at, const digest& previous)
{
    const auto epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value();
    const auto key = numbering_key(row.station(), epoch);
    v1::Numbering numbering;
    if (const auto stored = txn_.get(t_.numbering, key))
        open_row(seed::numbering, key, *stored, numbering);
    const auto by_sequence = key_builder {}.u64(static_cast<std::uint64_t>(at));
    if (!txn_.insert(t_.by_sequence, sequence_key(row.station(), epoch, row.sequence()), by_sequence)) {
        add_finding({ .what = vault::finding::kind::fork,
            .station = row.station(),
            .epoch = epoch,
            .first = row.sequence(),
            .last = row.sequence(),
            .noticed_at = now_ });
        return;
    }
    const auto hash = to_digest(as_bytes(row.manifest_hash())).value();
    add_span(numbering, span_of(row.sequence(), previous, hash));
    if (row.sequence() > numbering.head()) {
        numbering.set_head(row.sequence());
        numbering.set_head_hash(text(hash));
    }
    txn_.put(t_.numbering, key, seal_row(seed::numbering, key, numbering));
}

result<acceptance> writing::accept(const submission& offered)
{
    const vault::key which { around_.node, offered.record };
    if (const auto known = find_place(txn_, t_, which)) {
        const auto row = row_at(*known);
        if (row.submission_mac() != as_text(offered.mac))
            return vault::errc::conflict;
        return acceptance_of(*known, row, false);
    }
    if (!has_room(offered.sealed.size()))
        return vault::errc::full;

    const auto epoch = epoch_id::from_bytes(as_bytes(meta_.store_epoch())).value();
    v1::Numbering numbering;
    const auto numbers_key = numbering_key(around_.node, epoch);
    if (const auto stored = txn_.get(t_.numbering, numbers_key))
        open_row(seed::numbering, numbers_key, *stored, numbering);

    const envelope::manifest manifest { .record = offered.record,
        .station = around_.node,
        .epoch = epoch,
        .at = envelope::sequence { numbering.head() + 1 },
        .taken_at = offered.taken_at,
        .lane = offered.lane,
        .size_bytes = offered.sealed.size(),
        .digest = offered.digest,
        .previous = to_digest(as_bytes(numbering.head_hash())).value_or(digest {}) };
    const auto statement = envelope::encode(manifest);

    const place at { meta_.next_place() };
    meta_.set_next_place(meta_.next_place() + 1);
    v1::Row row;
    row.set_record_id(text(offered.record.data()));
    row.set_station(around_.node);
    row.set_epoch(text(epoch.data()));
    row.set_sequence(envelope::number(manifest.at));
    row.set_state(v1::WAITING);
    row.set_lane(static_cast<v1::Lane>(offered.lane));
    row.set_size_bytes(offered.sealed.size());
    row.set_stored_bytes(offered.sealed.size());
    row.set_chunk_bytes(chunk_payload_bytes);
    row.set_digest(text(offered.digest));
    row.set_manifest(text(around_.identity->sign(statement)));
    row.set_manifest_hash(text(envelope::hash_of(statement)));
    row.set_submission_mac(text(offered.mac));
    row.set_taken_at_ms(to_ms(offered.taken_at));
    row.set_accepted_at_ms(to_ms(now_));
    for (const auto& each : offered.warnings)
        row.add_warnings(each);

    append_chunks(txn_, t_, at, 0, offered.sealed);
    txn_.put(t_.by_id, id_key(which), key_builder {}.u64(static_cast<std::uint64_t>(at)));
    txn_.put(t_.queue, queue_key(offered.lane, at), offered.record.data());
    add_number(row, at, manifest.previous);
    store_row(at, row);
    count(row, 1);
    enter(v1::Entry::ACCEPTED, at, row);
    return acceptance_of(at, row, true);
}

v1::Row writing::row_from(const vault::offer& what) const
{
    const auto& m = what.manifest;
    v1::Row row;
    row.set_record_id(text(m.record.data()));
    row.set_station(m.station);
    row.set_epoch(text(m.epoch.data()));
    row.set_sequence(envelope::number(m.at));
    row.set_state(v1::ARRIVING);
    row.set_lane(static_cast<v1::Lane>(m.lane));
    row.set_size_bytes(m.size_bytes);
    row.set_digest(text(m.digest));
    row.set_manifest(text(what.cms));
    row.set_manifest_hash(text(what.hash));
    row.set_taken_at_ms(to_ms(m.taken_at));
    row.set_chunk_bytes(chunk_payload_bytes);
    return row;
}

result<void> writing::keep(const vault::offer& what, std::uint64_t offset, bytes_view data)
{
    const auto known = find_place(txn_, t_, what.key());
    if (!known) {
        if (offset != 0)
            return vault::errc::wrong_offset;
        if (!has_room(what.manifest.size_bytes))
            return vault::errc::full;
        const place at { meta_.next_place() };
        meta_.set_next_place(meta_.next_place() + 1);
        auto row = row_from(what);
        row.set_stored_bytes(data.size());
        append_chunks(txn_, t_, at, 0, data);
        txn_.put(t_.by_id, id_key(what.key()), key_builder {}.u64(static_cast<std::uint64_t>(at)));
        store_row(at, row);
        count(row, 1);
        return {};
    }
    const auto before = row_at(*known);
    if (before.digest() != as_text(what.manifest.digest))
        return vault::errc::conflict;
    if (before.state() != v1::ARRIVING || before.stored_bytes() != offset)
        return vault::errc::wrong_offset;
    if (!has_room(data.size()))
        return vault::errc::full;
    append_chunks(txn_, t_, *known, offset, data);
    auto after = before;
    after.set_stored_bytes(offset + data.size());
    replace(*known, before, after);
    return {};
}

result<bytes> writing::complete(const vault::offer& what, std::uint64_t offset, bytes_view rest)
{
    const auto known = find_place(txn_, t_, what.key());
    std::optional<v1::Row> before;
    if (known) {
        before = row_at(*known);
        if (before->digest() != as_text(what.manifest.digest))
            return vault::errc::conflict;
        if (before->state() != v1::ARRIVING)
            return to_bytes(as_bytes(before->receipt_given()));
    }
    if ((before ? before->stored_bytes() : 0) != offset)
        return vault::errc::wrong_offset;
    if (!has_room(rest.size()))
        return vault::errc::full;

    const auto& m = what.manifest;
    const place at = known ? *known : place { meta_.next_place() };
    if (!known) {
        meta_.set_next_place(meta_.next_place() + 1);
        txn_.put(t_.by_id, id_key(what.key()), key_builder {}.u64(static_cast<std::uint64_t>(at)));
    }
    append_chunks(txn_, t_, at, offset, rest);

    const envelope::receipt receipt { .record = m.record,
        .station = m.station,
        .epoch = m.epoch,
        .at = m.at,
        .digest = m.digest,
        .size_bytes = m.size_bytes,
        .manifest_hash = what.hash,
        .held_at = now_ };
    auto cms = around_.identity->sign(envelope::encode(receipt));
    // The manifest of the completing offer: a record begun under an earlier signing of the same
    // manifest keeps what its receipt names.
    auto row = row_from(what);
    row.set_state(around_.has_upstream ? v1::WAITING : v1::DELIVERED);
    row.set_stored_bytes(m.size_bytes);
    row.set_accepted_at_ms(to_ms(now_));
    if (!around_.has_upstream)
        row.set_delivered_at_ms(to_ms(now_));
    row.set_receipt_given(text(cms));
    add_number(row, at, m.previous);
    if (before)
        replace(at, *before, row);
    else {
        if (is_in_queue(row))
            txn_.put(t_.queue, queue_key(m.lane, at), m.record.data());
        store_row(at, row);
        count(row, 1);
    }
    enter(v1::Entry::ACCEPTED, at, row);
    return cms;
}

result<void> writing::discard(const vault::key& which)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, row] = *found;
    if (row.state() != v1::ARRIVING)
        return vault::errc::already_complete;
    erase_chunks(txn_, t_, at, row.stored_bytes());
    txn_.erase(t_.by_id, id_key(which));
    txn_.erase(t_.rows, place_key(at));
    count(row, -1);
    enter(v1::Entry::DISCARDED, at, row);
    return {};
}

result<void> writing::settle(
    place at, const envelope::receipt& said, const bytes& cms, const trust::peer& by)
{
    const auto before = row_at(at);
    if (before.digest() != as_text(said.digest) || before.manifest_hash() != as_text(said.manifest_hash)
        || before.record_id() != as_text(said.record.data()) || before.station() != said.station)
        return vault::errc::conflict;
    const bool at_centre = by.role == trust::role::centre;
    switch (to_state(before.state())) {
    case state::arriving: return vault::errc::wrong_state;
    case state::delivered:
    case state::opened:
    case state::erased: return {};
    case state::relayed:
        if (!at_centre)
            return {};
        break;
    case state::waiting:
    case state::quarantined:
    case state::withdrawn: break;
    }
    auto after = before;
    after.set_state(at_centre ? v1::DELIVERED : v1::RELAYED);
    after.set_held(false);
    after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
    after.set_quarantine_note({});
    after.set_delivered_at_ms(to_ms(said.held_at));
    after.set_receipt(text(cms));
    after.set_receipt_by(by.name);
    const auto& verdicts = after.verdicts();
    if (at_centre && std::ranges::find(verdicts, static_cast<int>(v1::OPENED)) != verdicts.end()) {
        after.set_state(v1::STATE_OPENED);
        after.set_opened_at_ms(std::max(to_ms(said.held_at), meta_.newest_signed_ms()));
    }
    replace(at, before, after);
    enter(at_centre ? v1::Entry::EVENT_DELIVERED : v1::Entry::EVENT_RELAYED, at, after, by.name);
    return {};
}

result<std::uint32_t> writing::count_failure(place at)
{
    auto row = row_at(at);
    row.set_record_failures(row.record_failures() + 1);
    store_row(at, row);
    return row.record_failures();
}

result<void> writing::quarantine(place at, reason why, std::string_view said)
{
    constexpr std::size_t most_note_bytes = 200;
    const auto before = row_at(at);
    if (!has_bytes(before) || before.state() == v1::STATE_QUARANTINED || before.state() == v1::STATE_OPENED)
        return vault::errc::wrong_state;
    auto after = before;
    after.set_state(v1::STATE_QUARANTINED);
    after.set_quarantine(static_cast<v1::QuarantineReason>(why));
    after.set_quarantine_note(std::string { said.substr(0, most_note_bytes) });
    replace(at, before, after);
    enter(v1::Entry::QUARANTINE, at, after, to_string(why));
    return {};
}

result<void> writing::hold(const vault::key& which)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    if (before.state() != v1::WAITING)
        return vault::errc::wrong_state;
    if (before.held())
        return {};
    auto after = before;
    after.set_held(true);
    replace(at, before, after);
    enter(v1::Entry::HOLD, at, after);
    return {};
}

result<void> writing::release(const vault::key& which)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    if (before.state() != v1::WAITING)
        return vault::errc::wrong_state;
    if (!before.held())
        return {};
    auto after = before;
    after.set_held(false);
    replace(at, before, after);
    enter(v1::Entry::RELEASE, at, after);
    return {};
}

result<void> writing::retry(const vault::key& which)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    // What the centre could not open is there already: sending it again would only hide the verdict.
    if (before.state() != v1::STATE_QUARANTINED || before.quarantine() == v1::QUARANTINE_OPEN_FAILED)
        return vault::errc::wrong_state;
    auto after = before;
    after.set_state(v1::WAITING);
    after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
    after.set_quarantine_note({});
    after.set_record_failures(0);
    replace(at, before, after);
    enter(v1::Entry::RETRY, at, after);
    return {};
}

void writing::take_verdict(const envelope::verdict& said)
{
    const auto found = row_of({ said.station, said.record });
    if (!found || found->second.digest() != as_text(said.digest)) {
        note(v1::Entry::EVENT_VERDICT, "for a record that is not here: " + said.record.to_string());
        return;
    }
    const auto& [at, before] = *found;
    const auto kind = static_cast<v1::VerdictKind>(said.kind);
    if (std::ranges::find(before.verdicts(), static_cast<int>(kind)) != before.verdicts().end())
        return;
    auto after = before;
    after.add_verdicts(kind);
    switch (said.kind) {
    case envelope::verdict_kind::opened:
        // Only what the centre's receipt covers may later be erased: a verdict without one is kept,
        // and the state follows when the receipt comes.
        if (before.state() == v1::DELIVERED) {
            after.set_state(v1::STATE_OPENED);
            after.set_opened_at_ms(to_ms(said.at));
        }
        break;
    case envelope::verdict_kind::open_failed:
        if (before.state() == v1::DELIVERED || before.state() == v1::WAITING) {
            after.set_state(v1::STATE_QUARANTINED);
            after.set_quarantine(v1::QUARANTINE_OPEN_FAILED);
        }
        break;
    case envelope::verdict_kind::print_ready:
    case envelope::verdict_kind::duplicate:
    case envelope::verdict_kind::enrollment_failure: break;
    }
    replace(at, before, after);
    enter(v1::Entry::EVENT_VERDICT, at, after, envelope::to_string(said.kind));
}

void writing::set_cursor(const epoch_id& store_epoch, std::uint64_t number)
{
    meta_.mutable_verdict_cursor()->set_store_epoch(text(store_epoch.data()));
    meta_.mutable_verdict_cursor()->set_number(number);
}

void writing::note_custody(
    const bytes& cms, wall_time signed_at, const std::vector<vault::finding>& findings)
{
    meta_.set_custody(text(cms));
    meta_.set_newest_signed_ms(std::max(meta_.newest_signed_ms(), to_ms(signed_at)));
    for (const auto& each : findings)
        add_finding(each);
}

result<bytes> writing::judge(const vault::key& which, const digest& of, envelope::verdict_kind kind)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    if (before.digest() != as_text(of))
        return vault::errc::conflict;
    if (before.state() != v1::DELIVERED && before.state() != v1::STATE_OPENED)
        return vault::errc::wrong_state;

    const envelope::verdict said { .record = which.record,
        .station = which.station,
        .digest = of,
        .kind = kind,
        .at = now_ };
    auto cms = around_.identity->sign(envelope::encode(said));
    if (std::ranges::find(before.verdicts(), static_cast<int>(kind)) != before.verdicts().end())
        return cms;
    std::uint64_t next = 1;
    {
        cursor walk { txn_, t_.verdicts };
        const auto past = walk.seek(verdict_key(which.station, ~0ull));
        const auto newest = past ? walk.previous() : walk.last();
        const auto prefix = key_builder {}.text(which.station);
        const bytes_view wanted = prefix;
        if (newest && newest->key.size() == wanted.size() + 8
            && std::ranges::equal(newest->key.first(wanted.size()), wanted))
            next = read_u64(newest->key.last(8)) + 1;
    }
    const auto key = verdict_key(which.station, next);
    bytes stored(8);
    const auto sum = checksum(seed::verdict, key, cms);
    std::memcpy(stored.data(), &sum, sizeof sum);
    stored.insert(stored.end(), cms.begin(), cms.end());
    txn_.put(t_.verdicts, key, stored);
    new_verdicts_.emplace_back(which.station, next);

    auto after = before;
    after.add_verdicts(static_cast<v1::VerdictKind>(kind));
    if (kind == envelope::verdict_kind::opened) {
        after.set_state(v1::STATE_OPENED);
        after.set_opened_at_ms(to_ms(now_));
    }
    replace(at, before, after);
    enter(v1::Entry::EVENT_VERDICT, at, after, envelope::to_string(kind));
    return cms;
}

result<void> writing::erase(place at)
{
    const auto before = row_at(at);
    if (before.state() != v1::STATE_OPENED || before.receipt().empty())
        return vault::errc::wrong_state;
    erase_chunks(txn_, t_, at, before.stored_bytes());
    auto after = before;
    after.set_state(v1::ERASED);
    after.set_stored_bytes(0);
    after.set_erased_at_ms(to_ms(now_));
    replace(at, before, after);
    enter(v1::Entry::ERASE, at, after);
    return {};
}

bool writing::erase_due(std::int64_t opened_ms, place at)
{
    try {
        return erase(at).has_value();
    } catch (const rotten_row& rotten) {
        if (!rotten.concerns_one_record())
            throw;
        txn_.erase(t_.opened, opened_key(opened_ms, at));
        return false;
    }
}

void writing::unqueue(place at)
{
    for (const auto lane : { envelope::lane::urgent, envelope::lane::ordinary, envelope::lane::bulk })
        txn_.erase(t_.queue, queue_key(lane, at));
}

void writing::set_paused(bool paused)
{
    if (meta_.paused() == paused)
        return;
    meta_.set_paused(paused);
    note(paused ? v1::Entry::PAUSED : v1::Entry::RESUMED, {});
}

void writing::finish()
{
    meta_.set_transaction(txn_.id());
    const auto key = key_builder {}.text("meta");
    txn_.put(t_.meta, key, seal_row(seed::meta, key, meta_));
}

} // namespace titip::journal
