#include "journal/retrying.hpp"
#include "journal/writing.hpp"

#include "base/line.hpp"
#include "journal/comparison.hpp"
#include "journal/custody.hpp"

#include <algorithm>

/// What becomes of a record that is here: receipts, verdicts, decisions of operators, erasure.
namespace titip::journal {

namespace {

void forget_verdict(v1::Row& row, v1::VerdictKind kind)
{
    auto& verdicts = *row.mutable_verdicts();
    verdicts.erase(std::remove(verdicts.begin(), verdicts.end(), static_cast<int>(kind)),
                   verdicts.end());
}

void forget_opened(v1::Row& row)
{
    forget_verdict(row, v1::OPENED);
    row.clear_opened_by();
    row.set_opened_at_ms(0);
}

bool has_bytes(const v1::Row& row)
{
    return row.state() != v1::ERASED && row.state() != v1::ARRIVING;
}

std::uint64_t number_of(const epoch_id& epoch)
{
    return read_u64(epoch.data());
}

bool has(const std::vector<envelope::verdict_kind>& held, envelope::verdict_kind kind) noexcept
{
    return std::ranges::find(held, kind) != held.end();
}

} // namespace

result<void> writing::settle(place at, const envelope::receipt& said, const bytes& cms,
                             const trust::peer& by)
{
    const auto before = row_at(at);
    if (before.digest() != as_text(said.digest) ||
        before.manifest_hash() != as_text(said.manifest_hash) ||
        before.record_id() != as_text(said.record.data()) || before.station() != said.station)
        return vault::errc::conflict;
    const bool at_centre = by.role == trust::role::centre;
    if (!at_centre && !before.brought_by().empty() && before.brought_by() == by.name)
        return vault::errc::loop;
    switch (to_state(before.state())) {
    case state::arriving:
        return vault::errc::wrong_state;
    case state::delivered:
    case state::opened:
    case state::erased:
        return {};
    case state::relayed:
        if (!at_centre)
            return {};
        break;
    case state::waiting:
    case state::quarantined:
    case state::withdrawn:
        break;
    }
    auto after = before;
    after.set_state(at_centre ? v1::DELIVERED : v1::RELAYED);
    after.set_held(false);
    after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
    after.set_quarantine_note({});
    after.set_goes_last(false);
    after.set_delivered_at_ms(to_ms(said.held_at));
    after.set_receipt(text(cms));
    after.set_receipt_by(by.name);
    if (at_centre && is_opened_above(meta_, after) &&
        has(standing_of(after), envelope::verdict_kind::opened)) {
        after.set_state(v1::STATE_OPENED);
        const auto past = certain_time(from_ms(meta_.newest_signed_ms()), now_);
        after.set_opened_at_ms(to_ms(std::max(said.held_at, past)));
    } else if (at_centre)
        forget_opened(after); // by another store of the centre than the one that has it now
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
    if (!has_bytes(before) || before.state() == v1::STATE_QUARANTINED ||
        before.state() == v1::STATE_OPENED)
        return vault::errc::wrong_state;
    auto after = before;
    after.set_state(v1::STATE_QUARANTINED);
    after.set_quarantine(static_cast<v1::QuarantineReason>(why));
    after.set_quarantine_note(to_line(said, most_note_bytes));
    replace(at, before, after);
    enter(v1::Entry::QUARANTINE, at, after, to_string(why));
    if (may_come_free(after))
        meta_.set_freed_for(0); // the upstream went back to version 1: its next one is later again
    return {};
}

result<void> writing::note_rot(place at)
{
    const auto before = row_at(at);
    const bool is_held_above =
        around_.has_upstream && !before.receipt().empty() && before.state() != v1::WAITING;
    if (!is_held_above && quarantine(at, reason::rotten, "found when it was read again"))
        return {};
    if (!has_bytes(before) || before.rotten_at_ms() != 0)
        return {};
    auto after = before;
    after.set_rotten_at_ms(to_ms(now_));
    store_row(at, after);
    enter(v1::Entry::ROTTEN, at, after, before.receipt_by());
    return {};
}

result<void> writing::quarantine_unreadable(place at)
{
    for (const auto lane :
         {envelope::lane::urgent, envelope::lane::ordinary, envelope::lane::bulk}) {
        const auto key = queue_key(lane, at);
        const auto value = txn_.get(t_.queue, key);
        if (!value)
            continue;
        v1::Row lost; // as far as queue and chunks still know it
        lost.set_record_id(text(read_queued({key, *value}).record.data()));
        lost.set_state(v1::WAITING);
        lost.set_lane(static_cast<v1::Lane>(lane));
        lost.set_size_bytes(size_of_chunks(txn_, t_, at));
        txn_.erase(t_.queue, key);
        tally(lost, -1);
        lost.set_state(v1::STATE_QUARANTINED);
        tally(lost, 1);
        enter(v1::Entry::QUARANTINE, at, lost, to_string(reason::rotten));
        return {};
    }
    return vault::errc::rotten;
}

result<void> writing::set_held(const vault::key& which, bool held)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    if (before.state() != v1::WAITING)
        return vault::errc::wrong_state;
    if (before.held() == held)
        return {};
    auto after = before;
    after.set_held(held);
    replace(at, before, after);
    enter(held ? v1::Entry::HOLD : v1::Entry::RELEASE, at, after);
    return {};
}

void writing::send_again(place at, trust::role said_by)
{
    const auto before = find_good_row(txn_, t_, at);
    // What could not be opened was set aside because the centre had it, and would decide.
    const bool is_for_the_centre = before && before->state() == v1::STATE_QUARANTINED &&
                                   before->quarantine() == v1::QUARANTINE_OPEN_FAILED;
    if (!before || (before->state() != v1::RELAYED && before->state() != v1::DELIVERED &&
                    before->state() != v1::STATE_OPENED && !is_for_the_centre))
        return;
    auto after = *before;
    after.set_state(v1::WAITING);
    after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
    after.set_quarantine_note({});
    after.set_delivered_at_ms(0);
    forget_opened(after);
    forget_verdict(after, v1::OPEN_FAILED);
    replace(at, *before, after);
    const bool was_there = said_by != trust::role::centre || before->state() != v1::RELAYED;
    enter(v1::Entry::RETRY, at, after,
          before->receipt_by() +
              (was_there ? std::string{lost_there} : " has it, and the centre does not yet"));
}

bool writing::take_back(place at, std::string_view custodian)
{
    const auto before = find_good_row(txn_, t_, at);
    if (!before || before->state() != v1::RELAYED || before->receipt_by() != custodian)
        return false;
    auto after = *before;
    after.set_state(v1::WAITING);
    after.set_delivered_at_ms(0);
    replace(at, *before, after);
    enter(v1::Entry::RETRY, at, after,
          std::string{custodian} + ", which had it, hands its own on to this node");
    return true;
}

void writing::note_centre(const epoch_id& store_epoch)
{
    // The rows as they are: whatever they say to be opened was said by the store of the cursor.
    if (meta_.centre_epoch().empty())
        meta_.set_opened_before(meta_.verdict_cursor().store_epoch());
    meta_.set_centre_epoch(text(store_epoch.data()));
}

bool writing::take_opening_back(place at, doubt why)
{
    const auto before = find_good_row(txn_, t_, at);
    if (!before || before->state() == v1::ERASED)
        return false;
    const auto& verdicts = before->verdicts();
    const bool is_said =
        std::ranges::find(verdicts, static_cast<int>(v1::OPENED)) != verdicts.end();
    const bool holds = why == doubt::other_store
                           ? before->state() == v1::STATE_OPENED && !is_opened_above(meta_, *before)
                           : is_said && before->opened_by().empty();
    if (!holds)
        return false;
    auto after = *before;
    forget_opened(after);
    if (before->state() == v1::STATE_OPENED)
        after.set_state(v1::DELIVERED);
    replace(at, *before, after);
    enter(v1::Entry::NOT_OPENED, at, after, before->receipt_by());
    return true;
}

void writing::take_verdict(const told_verdict& told, const epoch_id& store_epoch)
{
    const auto& said = told.said;
    const auto found = good_row_of({said.station, said.record});
    if (!found || found->second.digest() != as_text(said.digest)) {
        note(v1::Entry::EVENT_VERDICT, (found.has_error() && found.error() == vault::errc::rotten
                                            ? "for a record that cannot be read: "
                                            : "for a record that is not here: ") +
                                           said.record.to_string());
        return;
    }
    const auto& [at, before] = *found;
    const auto kind = static_cast<v1::VerdictKind>(said.kind);
    const bool counts =
        std::ranges::find(before.verdicts(), static_cast<int>(kind)) != before.verdicts().end();
    const auto& cursor = meta_.verdict_cursor();
    const bool is_news =
        cursor.store_epoch() == as_text(store_epoch.data()) && told.number > cursor.number();
    auto all = judgements_of(before);
    const bool is_added = add_judgement(
        all,
        {.kind = said.kind, .number = told.number, .epoch = number_of(store_epoch), .at = said.at},
        is_news);
    if (!is_added && counts) {
        auto after = before;
        set_judgements(after, all); // its number is known now
        const bool is_of_another = said.kind == envelope::verdict_kind::opened &&
                                   before.state() != v1::ERASED &&
                                   before.opened_by() != as_text(store_epoch.data());
        if (is_of_another) // by the centre's present store, too
            after.set_opened_by(text(store_epoch.data()));
        if (is_of_another || all != judgements_of(before)) {
            store_row(at, after);
        }
        return;
    }
    const bool was_open_failed = before.state() == v1::STATE_QUARANTINED &&
                                 before.quarantine() == v1::QUARANTINE_OPEN_FAILED;
    auto after = before;
    set_judgements(after, all);
    if (!counts)
        after.add_verdicts(kind);
    // One that a later one overrules is history.
    const bool holds = has(standing_of(after), said.kind);
    switch (said.kind) {
    case envelope::verdict_kind::opened:
        after.set_opened_by(text(store_epoch.data()));
        if (!holds)
            break;
        // Only what the centre's receipt covers may later be erased: a verdict without one is kept,
        // and the state follows when the receipt comes. That opening failed before (a key that was
        // not there) is past: no operator could end that quarantine.
        if (before.state() == v1::DELIVERED || (was_open_failed && !before.receipt().empty())) {
            after.set_state(v1::STATE_OPENED);
            after.set_opened_at_ms(to_ms(said.at));
        } else if (was_open_failed)
            after.set_state(v1::WAITING);
        if (was_open_failed) {
            after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
            after.set_quarantine_note({});
        }
        break;
    case envelope::verdict_kind::open_failed:
        // Also of one that was opened before: its bytes here may be the only good ones.
        if (holds && (before.state() == v1::DELIVERED || before.state() == v1::WAITING ||
                      before.state() == v1::STATE_OPENED)) {
            after.set_state(v1::STATE_QUARANTINED);
            after.set_quarantine(v1::QUARANTINE_OPEN_FAILED);
            after.set_opened_at_ms(0);
        }
        break;
    case envelope::verdict_kind::print_ready:
    case envelope::verdict_kind::duplicate:
    case envelope::verdict_kind::enrollment_failure:
        // That it could not be opened is overruled: no operator could end that quarantine.
        if (holds && was_open_failed &&
            !has(standing_of(after), envelope::verdict_kind::open_failed)) {
            const bool is_opened = has(standing_of(after), envelope::verdict_kind::opened) &&
                                   is_opened_above(meta_, after);
            after.set_quarantine(v1::QUARANTINE_REASON_UNSPECIFIED);
            after.set_quarantine_note({});
            after.set_state(before.receipt().empty() ? v1::WAITING
                            : is_opened              ? v1::STATE_OPENED
                                                     : v1::DELIVERED);
            if (after.state() == v1::STATE_OPENED)
                after.set_opened_at_ms(to_ms(said.at));
        }
        break;
    }
    replace(at, before, after);
    enter(v1::Entry::EVENT_VERDICT, at, after, envelope::to_string(said.kind));
}

void writing::set_cursor(const epoch_id& store_epoch, std::uint64_t number)
{
    meta_.mutable_verdict_cursor()->set_store_epoch(text(store_epoch.data()));
    meta_.mutable_verdict_cursor()->set_number(number);
}

void writing::note_custody(const bytes& cms, wall_time signed_at)
{
    meta_.set_custody(text(cms));
    bound_custody(meta_);
    meta_.set_newest_signed_ms(std::max(meta_.newest_signed_ms(), to_ms(signed_at)));
}

result<bytes> writing::judge(const vault::key& which, const digest& of, envelope::verdict_kind kind,
                             bool replaces)
{
    const auto found = row_of(which);
    if (!found)
        return found.error();
    const auto& [at, before] = *found;
    if (before.digest() != as_text(of))
        return vault::errc::conflict;
    if (before.state() != v1::DELIVERED && before.state() != v1::STATE_OPENED)
        return vault::errc::wrong_state;
    const auto held = standing_of(before);
    const auto excludes = [kind](envelope::verdict_kind other) { return exclude(kind, other); };
    if (!replaces && std::ranges::any_of(held, excludes))
        return vault::errc::contradicts;
    if (!around_.identity->is_valid_at(now_))
        return vault::errc::cannot_sign;

    const envelope::verdict said{
        .record = which.record, .station = which.station, .digest = of, .kind = kind, .at = now_};
    auto cms = around_.identity->sign(envelope::encode(said));
    if (has(held, kind))
        return cms;
    const auto next = newest_verdict_of(txn_, t_, which.station) + 1;
    const auto key = verdict_key(which.station, next);
    bytes stored(8);
    const auto sum = checksum(seed::verdict, key, cms);
    std::memcpy(stored.data(), &sum, sizeof sum);
    stored.insert(stored.end(), cms.begin(), cms.end());
    txn_.put(t_.verdicts, key, stored);
    new_verdicts_.emplace_back(which.station, next);

    auto after = before;
    auto all = judgements_of(before);
    const auto epoch = epoch_id::from_bytes(as_bytes(meta_.store_epoch())).value_or(epoch_id{});
    add_judgement(all, {.kind = kind, .number = next, .epoch = number_of(epoch), .at = now_}, true);
    set_judgements(after, all);
    if (std::ranges::find(before.verdicts(), static_cast<int>(kind)) == before.verdicts().end())
        after.add_verdicts(static_cast<v1::VerdictKind>(kind));
    if (kind == envelope::verdict_kind::opened) {
        after.set_state(v1::STATE_OPENED);
        after.set_opened_at_ms(to_ms(now_));
    } else if (kind == envelope::verdict_kind::open_failed) {
        after.set_state(v1::DELIVERED);
        after.set_opened_at_ms(0);
    } else if (before.state() == v1::DELIVERED &&
               has(standing_of(after), envelope::verdict_kind::opened)) {
        after.set_state(v1::STATE_OPENED); // what had taken that back is overruled
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

bool writing::erase_due(std::int64_t opened_ms, place at, const envelope::custody* held)
{
    try {
        // Since it was found to be due the centre may have begun to answer from another store, said
        // that it cannot be opened after all, or that it does not hold it.
        if (around_.has_upstream && !may_be_erased(meta_, row_at(at), around_.node, held))
            return false;
        return erase(at).has_value();
    } catch (const rotten_row& rotten) {
        if (!rotten.concerns_one_record())
            throw;
        txn_.erase(t_.opened, opened_key(opened_ms, at));
        return false;
    }
}

} // namespace titip::journal
