#include "journal/writing.hpp"

/// What comes from a second copy: bytes in place of rotten ones, and whole records into a new store.
namespace titip::journal {

namespace {

/// Of one record: where it rots again and again, the disk under it is failing.
constexpr std::uint32_t most_repairs = 3;

/// Where a record stood before it was set aside: what its receipts say.
v1::State state_before_rot(const v1::Row& row, bool has_upstream)
{
    if (!has_upstream)
        return v1::DELIVERED;
    if (row.receipt().empty() || row.delivered_at_ms() == 0) // 0: whoever had it has lost it
        return v1::WAITING;
    return row.receipt_by() == "centre" ? v1::DELIVERED : v1::RELAYED;
}

} // namespace

/// A commit of its own: pages that are bad can end the process that writes to them, and one record
/// must not end every one that follows.
result<void> writing::begin_repair(place at, const digest& of, std::uint64_t size_bytes)
{
    const auto before = row_at(at);
    if (before.state() == v1::ERASED)
        return vault::errc::erased;
    if (before.state() == v1::ARRIVING)
        return vault::errc::wrong_state;
    if (before.digest() != as_text(of) || before.size_bytes() != size_bytes)
        return vault::errc::conflict;
    if (before.repairs() >= most_repairs)
        return vault::errc::rotten;
    auto after = before;
    after.set_repairs(before.repairs() + 1);
    store_row(at, after);
    return {};
}

result<void> writing::repair(place at, bytes_view envelope)
{
    const auto before = row_at(at);
    if (before.state() == v1::ERASED) // meanwhile
        return vault::errc::erased;
    // Over those that are there: no chunk is left that is not written anew.
    append_chunks(txn_, t_, at, 0, envelope);
    auto after = before;
    after.clear_rotten_at_ms();
    if (before.state() == v1::STATE_QUARANTINED && before.quarantine() == v1::QUARANTINE_ROTTEN) {
        after.set_state(state_before_rot(before, around_.has_upstream));
        after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
        after.set_quarantine_note({});
        after.set_record_failures(0);
    }
    replace(at, before, after);
    enter(v1::Entry::REPAIRED, at, after, "from the second copy");
    return {};
}

result<place> writing::restore(const vault::offer& what, bytes_view envelope,
                               bytes_view receipt_given)
{
    const auto& m = what.manifest;
    if (const auto known = find_place(txn_, t_, what.key())) {
        const auto row = row_at(*known, what.key());
        if (row.digest() != as_text(m.digest) || row.manifest_hash() != as_text(what.hash))
            return vault::errc::conflict;
        return *known;
    }
    // Stations ask the centre for its receipt as long as they keep the record.
    if (!around_.has_upstream && receipt_given.empty())
        return vault::errc::wrong_state;
    if (!has_room(envelope.size()))
        return vault::errc::full;
    const place at{meta_.next_place()};
    meta_.set_next_place(meta_.next_place() + 1);
    txn_.put(t_.by_id, id_key(what.key()), key_builder{}.u64(static_cast<std::uint64_t>(at)));
    append_chunks(txn_, t_, at, 0, envelope);
    auto row = row_from(what);
    row.set_state(around_.has_upstream ? v1::WAITING : v1::DELIVERED);
    row.set_stored_bytes(m.size_bytes);
    row.set_accepted_at_ms(to_ms(now_));
    if (!around_.has_upstream)
        row.set_delivered_at_ms(to_ms(now_));
    row.set_receipt_given(text(receipt_given));
    add_number(row, at, m.previous);
    if (is_in_queue(row))
        txn_.put(t_.queue, queue_key(m.lane, at), queue_value(row));
    store_row(at, row);
    count(row, 1);
    enter(v1::Entry::ACCEPTED, at, row, "restored from the second copy");
    return at;
}

} // namespace titip::journal
