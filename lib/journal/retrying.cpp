#include "journal/retrying.hpp"

#include "journal/parts.hpp"
#include "journal/writing.hpp"

/// What was set aside waits again: one by one, many, or once because the upstream is a later one.
namespace titip::journal {

namespace {

constexpr std::size_t most_looked_at = 4'096; ///< rows in one read transaction: some 20 ms
constexpr std::size_t most_found = 256;       ///< as many as one commit takes of operations

void make_waiting(v1::Row& row, bool goes_last)
{
    row.set_state(v1::WAITING);
    row.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
    row.set_quarantine_note({});
    row.set_record_failures(0);
    row.set_goes_last(goes_last);
}

} // namespace

bool may_come_free(const v1::Row& row)
{
    if (row.state() != v1::STATE_QUARANTINED || row.goes_last())
        return false;
    return row.quarantine() == v1::QUARANTINE_NOT_OURS ||
           row.quarantine() == v1::QUARANTINE_NOT_BELIEVED ||
           (row.quarantine() == v1::QUARANTINE_REFUSED &&
            row.quarantine_note().starts_with("the manifest is not believed"));
}

set_aside find_set_aside(const transaction& txn, const tables& t, std::optional<place> after,
                         const std::function<bool(const v1::Row&)>& wanted)
{
    set_aside out;
    std::size_t looked_at = 0;
    cursor walk{txn, t.rows};
    const auto from = after ? static_cast<std::uint64_t>(*after) + 1 : 0;
    for (auto each = walk.seek(place_key(place{from})); each; each = walk.next()) {
        const place at{read_u64(each->key)};
        if (looked_at++ == most_looked_at || out.places.size() == most_found) {
            out.next_after = place{static_cast<std::uint64_t>(at) - 1};
            break;
        }
        const auto row = find_good_row(txn, t, at);
        if (!row || row->state() != v1::STATE_QUARANTINED || !wanted(*row))
            continue;
        if (row->quarantine() == v1::QUARANTINE_OPEN_FAILED)
            ++out.open_failed;
        else
            out.places.push_back(at);
    }
    return out;
}

result<void> writing::retry(const vault::key& which)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    return retry_at(found->first);
}

result<void> writing::retry_at(place at)
{
    const auto before = find_good_row(txn_, t_, at);
    if (!before)
        return vault::errc::rotten;
    // What the centre could not open is there already: sending it again would only hide the
    // verdict.
    if (before->state() != v1::STATE_QUARANTINED ||
        before->quarantine() == v1::QUARANTINE_OPEN_FAILED)
        return vault::errc::wrong_state;
    auto after = *before;
    make_waiting(after, false);
    replace(at, *before, after);
    enter(v1::Entry::RETRY, at, after);
    return {};
}

bool writing::free_for_try(place at)
{
    const auto before = find_good_row(txn_, t_, at);
    if (!before || !may_come_free(*before))
        return false;
    auto after = *before;
    make_waiting(after, true);
    replace(at, *before, after);
    enter(v1::Entry::RETRY, at, after, "one more try: the upstream is of a later version");
    return true;
}

void writing::note_freed(std::uint32_t protocol, std::uint64_t records)
{
    meta_.set_freed_for(protocol);
    if (records > 0)
        note(v1::Entry::FREED, std::to_string(records) + " records");
}

} // namespace titip::journal
