#include "journal/writing.hpp"

/// How a record comes in: submitted here, or handed over from below, piece by piece.
namespace titip::journal {

namespace {

acceptance acceptance_of(place at, const v1::Row& row, bool is_new)
{
    const auto view = to_view(at, row);
    return {.place = at,
            .epoch = view.epoch,
            .sequence = view.sequence,
            .digest = view.digest,
            .size_bytes = view.size_bytes,
            .accepted_at = view.accepted_at,
            .warnings = view.warnings,
            .is_new = is_new,
            .is_compared = is_new || !row.submission_mac().empty(),
            .state = view.state,
            .reason = view.reason};
}

} // namespace

result<acceptance> writing::accept(const submission& offered)
{
    const vault::key which{around_.node, offered.record};
    if (const auto known = find_place(txn_, t_, which)) {
        const auto row = row_at(*known, which);
        // What came from a second copy has none, and other bytes under its id cannot be told from the same.
        if (!row.submission_mac().empty() && row.submission_mac() != as_text(offered.mac))
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

    envelope::manifest manifest{.record = offered.record,
                                .station = around_.node,
                                .epoch = epoch,
                                .at = envelope::sequence{numbering.head() + 1},
                                .taken_at = offered.taken_at,
                                .lane = offered.lane,
                                .size_bytes = offered.sealed.size(),
                                .digest = offered.digest,
                                .previous =
                                    to_digest(as_bytes(numbering.head_hash())).value_or(digest{})};
    if (numbering.head() == 0 && !meta_.previous_epoch().empty())
        manifest.previous_epoch = {
            .epoch = epoch_id::from_bytes(as_bytes(meta_.previous_epoch())).value(),
            .at = envelope::sequence{meta_.previous_sequence()},
            .hash = to_digest(as_bytes(meta_.previous_head())).value_or(digest{})};
    const auto statement = envelope::encode(manifest);

    const place at{meta_.next_place()};
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
    txn_.put(t_.by_id, id_key(which), key_builder{}.u64(static_cast<std::uint64_t>(at)));
    txn_.put(t_.queue, queue_key(offered.lane, at), queue_value(row));
    add_number(row, at, manifest.previous);
    store_row(at, row);
    count(row, 1);
    enter(v1::Entry::ACCEPTED, at, row);
    count_day(meta_, now_, stored_size(row.size_bytes()), 0);
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
    row.set_brought_by(what.brought_by);
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
        if (is_over_share(what.manifest.station))
            return vault::limit::share;
        if (!make_way_for_arriving(what.manifest.station))
            return vault::limit::arriving;
        const place at{meta_.next_place()};
        meta_.set_next_place(meta_.next_place() + 1);
        auto row = row_from(what);
        row.set_stored_bytes(data.size());
        row.set_last_byte_at_ms(to_ms(now_));
        append_chunks(txn_, t_, at, 0, data);
        txn_.put(t_.by_id, id_key(what.key()), key_builder{}.u64(static_cast<std::uint64_t>(at)));
        store_row(at, row);
        count(row, 1);
        note_arriving(row.station(), at, row.stored_bytes());
        return {};
    }
    const auto before = row_at(*known, what.key());
    if (before.digest() != as_text(what.manifest.digest))
        return vault::errc::conflict;
    if (before.state() != v1::ARRIVING || before.stored_bytes() != offset)
        return vault::errc::wrong_offset;
    if (!has_room(data.size()))
        return vault::errc::full;
    append_chunks(txn_, t_, *known, offset, data);
    auto after = before;
    after.set_stored_bytes(offset + data.size());
    if (!data.empty())
        after.set_last_byte_at_ms(to_ms(now_));
    replace(*known, before, after);
    note_arriving(after.station(), *known, after.stored_bytes());
    return {};
}

result<bytes> writing::complete(const vault::offer& what, std::uint64_t offset, bytes_view rest)
{
    const auto known = find_place(txn_, t_, what.key());
    std::optional<v1::Row> before;
    if (known) {
        before = row_at(*known, what.key());
        if (before->digest() != as_text(what.manifest.digest))
            return vault::errc::conflict;
        if (before->state() != v1::ARRIVING)
            return to_bytes(as_bytes(before->receipt_given()));
    }
    if ((before ? before->stored_bytes() : 0) != offset)
        return vault::errc::wrong_offset;
    if (!has_room(rest.size()))
        return vault::errc::full;
    if (!known && is_over_share(what.manifest.station))
        return vault::limit::share;
    // A receipt is stored and given for ever: one that nobody believes would never let the record
    // go from where it comes from.
    if (!around_.identity->is_valid_at(now_))
        return vault::errc::cannot_sign;

    const auto& m = what.manifest;
    const placing number{.station = m.station,
                         .epoch = m.epoch,
                         .sequence = envelope::number(m.at),
                         .previous = m.previous,
                         .hash = what.hash};
    if (!may_add_number(txn_, t_, number))
        return vault::limit::numbers;
    const place at = known ? *known : place{meta_.next_place()};
    if (!known) {
        meta_.set_next_place(meta_.next_place() + 1);
        txn_.put(t_.by_id, id_key(what.key()), key_builder{}.u64(static_cast<std::uint64_t>(at)));
    }
    append_chunks(txn_, t_, at, offset, rest);

    const envelope::receipt receipt{.record = m.record,
                                    .station = m.station,
                                    .epoch = m.epoch,
                                    .at = m.at,
                                    .digest = m.digest,
                                    .size_bytes = m.size_bytes,
                                    .manifest_hash = what.hash,
                                    .held_at = now_};
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
    if (before) {
        replace(at, *before, row);
        note_arrived(m.station, at);
    } else {
        if (is_in_queue(row))
            txn_.put(t_.queue, queue_key(m.lane, at), queue_value(row));
        store_row(at, row);
        count(row, 1);
    }
    enter(v1::Entry::ACCEPTED, at, row);
    count_day(meta_, now_, stored_size(row.size_bytes()), 0);
    return cms;
}

result<void> writing::discard(const vault::key& which, std::string_view detail)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, row] = *found;
    if (row.state() != v1::ARRIVING)
        return vault::errc::already_complete;
    give_up(at, row, detail);
    return {};
}

void writing::give_up(place at, const v1::Row& row, std::string_view detail)
{
    erase_chunks(txn_, t_, at, row.stored_bytes());
    txn_.erase(t_.by_id, id_key(key_of(row)));
    txn_.erase(t_.rows, place_key(at));
    count(row, -1);
    note_arrived(row.station(), at);
    enter(v1::Entry::DISCARDED, at, row, detail);
}

} // namespace titip::journal
