#include "base/log.hpp"
#include "journal/comparison.hpp"
#include "journal/custody.hpp"
#include "journal/parts.hpp"

#include "base/digest.hpp"

#include <cassert>
#include <iterator>

namespace titip::journal {

namespace {

constexpr std::size_t erase_batch = 16; // a free list entry of 64 records needs pages in a row

/// One act inside the writer's transaction whose result a coroutine waits for.
template <class T, class Act, class Done>
class act_operation final : public operation {
public:
    act_operation(Act act, Done done) : act_(std::move(act)), done_(std::move(done)) {}

    void apply(writing& w) override
    {
        try {
            value_ = act_(w);
        } catch (const rotten_row& rotten) {
            if (!rotten.concerns_one_record())
                throw;
            value_ = result<T>{error_code{vault::errc::rotten}};
        }
    }

    void settle(error_code failed) noexcept override
    {
        done_(failed ? result<T>{failed} : std::move(value_));
    }

private:
    Act act_;
    Done done_;
    result<T> value_{error_code{vault::errc::store_failed}};
};

/// Sets a record aside as what its row would not let be done.
template <class Act>
result<void> or_unreadable(writing& w, place at, Act act)
{
    try {
        return act();
    } catch (const rotten_row& rotten) {
        if (!rotten.concerns_one_record())
            throw;
        return w.quarantine_unreadable(at);
    }
}

class pulse_operation final : public operation {
public:
    explicit pulse_operation(std::function<void()> done) : done_(std::move(done))
    {
        writes = false;
    }
    void apply(writing&) override {}
    void settle(error_code) noexcept override { done_(); }

private:
    std::function<void()> done_;
};

} // namespace

store::store(std::unique_ptr<parts> p) : parts_(std::move(p)) {}

store::~store()
{
    if (const auto under_way = parts_->copying.lock())
        give_up_copy(*under_way);
}

template <class T, class Act>
asio::awaitable<result<T>> store::commit(Act act, std::size_t weight_bytes, bool is_urgent)
{
    auto start = [this, &act, weight_bytes, is_urgent](auto done) {
        auto op = std::make_unique<act_operation<T, Act, decltype(done)>>(std::move(act),
                                                                          std::move(done));
        op->weight_bytes = weight_bytes;
        op->is_urgent = is_urgent;
        parts_->writer->submit(std::move(op));
    };
    co_return co_await elsewhere<result<T>>(std::move(start));
}

void store::parts::on_commit(writer::outcome outcome)
{
    lock.note_commit(outcome.meta.transaction());
    const std::lock_guard guard{mutex};
    const auto file_bytes = outcome.file_bytes;
    if (outcome.findings)
        standing = std::move(*outcome.findings);
    newest = to_totals(outcome.meta, standing);
    newest.file_bytes = file_bytes;
    newest.row_bytes = outcome.row_bytes;
    newest.room = outcome.space.room;
    newest.has_room = outcome.space.has_room;
    centre_epoch = outcome.meta.centre_epoch();
    for (const auto& each : outcome.changes)
        if (each.state == state::relayed) {
            relayed_low = std::min(relayed_low, each.place);
            ++relayed_changes;
        }
    if (as_text(epoch.data()) != outcome.meta.store_epoch()) {
        epoch = epoch_id::from_bytes(as_bytes(outcome.meta.store_epoch())).value_or(epoch_id{});
        log::warn("epoch-began epoch={} after={}", epoch.to_string(),
                  outcome.meta.previous_sequence());
    }
    note_needs_person(outcome.changes);
    for (auto& [station, number] : outcome.new_verdicts)
        newest_verdicts[station] = number;
    if (!told)
        return;
    for (auto& each : outcome.changes)
        asio::post(told_on, [told = told, each = std::move(each)] { (*told)(each); });
}

void store::parts::note_needs_person(const std::vector<change>& changes)
{
    for (const auto& each : changes) {
        if (!are_needs_counted)
            changed_while_counting.insert(each.place);
        if (each.needs_person)
            needs_person.insert(each.place);
        else
            needs_person.erase(each.place);
    }
}

void store::parts::on_looked(const standing_room& found)
{
    const std::lock_guard guard{mutex};
    newest.room = found.room;
    newest.has_room = found.has_room;
}

asio::awaitable<result<void>> store::keep(::titip::vault::offer what, std::uint64_t offset,
                                          bytes data)
{
    const auto weight = data.size();
    auto act = [what = std::move(what), offset, data = std::move(data)](writing& w) {
        return w.keep(what, offset, data);
    };
    co_return co_await commit<void>(std::move(act), weight, false);
}

asio::awaitable<result<bytes>> store::complete(::titip::vault::offer what, std::uint64_t offset,
                                               bytes rest)
{
    const auto weight = rest.size();
    auto act = [what = std::move(what), offset, rest = std::move(rest)](writing& w) {
        return w.complete(what, offset, rest);
    };
    co_return co_await commit<bytes>(std::move(act), weight, false);
}

asio::awaitable<result<void>> store::discard(::titip::vault::key which)
{
    auto act = [which = std::move(which)](writing& w) { return w.discard(which); };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::discard_for(::titip::vault::key which, std::string who_and_why)
{
    auto act = [which = std::move(which), who_and_why = std::move(who_and_why)](writing& w) {
        return w.discard(which, who_and_why);
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<acceptance>> store::accept(submission offered)
{
    const auto weight = offered.sealed.size();
    auto act = [offered = std::move(offered)](writing& w) { return w.accept(offered); };
    co_return co_await commit<acceptance>(std::move(act), weight, false);
}

asio::awaitable<result<void>> store::settle(place at, envelope::receipt said, bytes cms,
                                            trust::peer by)
{
    auto act = [at, said = std::move(said), cms = std::move(cms), by = std::move(by)](writing& w) {
        return w.settle(at, said, cms, by);
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<std::uint32_t>> store::count_failure(place at)
{
    auto act = [at](writing& w) { return w.count_failure(at); };
    co_return co_await commit<std::uint32_t>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::quarantine(place at, reason why, std::string note)
{
    auto act = [at, why, note = std::move(note)](writing& w) -> result<void> {
        return or_unreadable(w, at, [&] { return w.quarantine(at, why, note); });
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::note_rot(place at)
{
    auto act = [at](writing& w) -> result<void> {
        return or_unreadable(w, at, [&] { return w.note_rot(at); });
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::repair(place at, bytes envelope)
{
    auto hash = [&envelope] { return sha256(envelope); };
    const auto of = co_await run_on(parts_->pool, std::move(hash));
    const auto weight = envelope.size();
    auto begin = [at, of, weight](writing& w) { return w.begin_repair(at, of, weight); };
    const auto begun = co_await commit<void>(std::move(begin), 0, false);
    if (!begun)
        co_return begun.error();
    auto act = [at, envelope = std::move(envelope)](writing& w) { return w.repair(at, envelope); };
    co_return co_await commit<void>(std::move(act), weight, false);
}

asio::awaitable<result<place>> store::restore(::titip::vault::offer what, bytes envelope,
                                              bytes receipt_given)
{
    const auto weight = envelope.size();
    auto act = [what = std::move(what), envelope = std::move(envelope),
                receipt_given = std::move(receipt_given)](writing& w) {
        return w.restore(what, envelope, receipt_given);
    };
    co_return co_await commit<place>(std::move(act), weight, false);
}

asio::awaitable<result<void>> store::take_verdicts(std::vector<told_verdict> said,
                                                   epoch_id store_epoch, std::uint64_t cursor,
                                                   std::vector<std::uint64_t> not_believed)
{
    auto act = [said = std::move(said), store_epoch, cursor,
                not_believed = std::move(not_believed)](writing& w) -> result<void> {
        for (const auto& each : said)
            w.take_verdict(each, store_epoch);
        for (const auto number : not_believed)
            w.note(v1::Entry::EVENT_VERDICT, "not believed: number " + std::to_string(number));
        w.set_cursor(store_epoch, cursor);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<std::size_t>> store::erase_due(milliseconds keep)
{
    const auto limit = to_ms(certain_time(now().newest_signed, wall_now())) - keep.count();
    const auto held = parts_->current_custody();
    auto find_due = [this, limit, held]() -> result<std::vector<due>> {
        constexpr std::size_t most_looked_at = 1'024; // the next sweep goes on behind them
        std::vector<due> out;
        std::size_t looked_at = 0;
        const transaction txn{parts_->env->get(), transaction::mode::read};
        const auto meta = read_meta(txn, parts_->t);
        cursor walk{txn, parts_->t.opened};
        auto& swept = parts_->swept;
        for (auto each = walk.seek(opened_key(swept.opened_ms, swept.at)); each;
             each = walk.next()) {
            const due next{static_cast<std::int64_t>(read_u64(each->key)),
                           place{read_u64(each->key.subspan(8))}};
            if (next.opened_ms > limit)
                break;
            if (out.size() == erase_batch || looked_at++ == most_looked_at) {
                swept = next;
                return out;
            }
            if (parts_->may_erase(txn, meta, next.at, held.get()))
                out.push_back(next);
        }
        swept = {};
        return out;
    };
    auto look = [this, find_due = std::move(find_due)]() mutable {
        return parts_->guarded(find_due);
    };
    const auto found = co_await run_on(parts_->pool, std::move(look));
    if (!found)
        co_return found.error();
    if (found->empty())
        co_return std::size_t{0};
    auto act = [this, found = *found](writing& w) -> result<std::size_t> {
        const auto newest = parts_->current_custody();
        std::size_t erased = 0;
        for (const auto& each : found)
            erased += w.erase_due(each.opened_ms, each.at, newest.get()) ? 1 : 0;
        return erased;
    };
    co_return co_await commit<std::size_t>(std::move(act), 0, true);
}

bool store::parts::may_erase(const transaction& txn, const v1::Meta& meta, place at,
                             const envelope::custody* held) const
{
    const auto row = find_good_row(txn, t, at);
    return !row || !opts.has_upstream || may_be_erased(meta, *row, opts.node, held);
}

asio::awaitable<result<void>> store::hold(::titip::vault::key which)
{
    auto act = [which = std::move(which)](writing& w) { return w.set_held(which, true); };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::release(::titip::vault::key which)
{
    auto act = [which = std::move(which)](writing& w) { return w.set_held(which, false); };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::retry(::titip::vault::key which)
{
    auto act = [which = std::move(which)](writing& w) { return w.retry(which); };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<set_aside>>
store::parts::find_aside(std::optional<place> after, std::function<bool(const v1::Row&)> wanted)
{
    auto look = [this, after, wanted = std::move(wanted)]() -> result<set_aside> {
        const transaction txn{env->get(), transaction::mode::read};
        return find_set_aside(txn, t, after, wanted);
    };
    auto job = [this, look = std::move(look)]() mutable { return guarded(look); };
    co_return co_await run_on(pool, std::move(job));
}

asio::awaitable<result<retried>> store::retry_set_aside(retry_filter which,
                                                        std::optional<place> after)
{
    std::function<bool(const v1::Row&)> wanted = [which](const v1::Row& row) {
        return (!which.why || static_cast<reason>(row.quarantine()) == *which.why) &&
               (which.station.empty() || row.station() == which.station);
    };
    const auto found = co_await parts_->find_aside(after, std::move(wanted));
    if (!found)
        co_return found.error();
    retried out;
    out.open_failed = found->open_failed;
    out.next_after = found->next_after;
    if (found->places.empty())
        co_return out;
    auto act = [places = found->places](writing& w) -> result<std::uint64_t> {
        std::uint64_t done = 0;
        for (const auto at : places)
            done += w.retry_at(at).has_value() ? 1 : 0;
        return done;
    };
    const auto done = co_await commit<std::uint64_t>(std::move(act), 0, true);
    if (!done)
        co_return done.error();
    out.records = *done;
    co_return out;
}

asio::awaitable<result<void>> store::free_set_aside(unsigned protocol)
{
    if (protocol < 2 || now().freed_for >= protocol)
        co_return result<void>{};
    std::uint64_t freed = 0;
    std::optional<place> after;
    for (bool is_over = now().of(state::quarantined).records == 0; !is_over;) {
        std::function<bool(const v1::Row&)> wanted = may_come_free;
        const auto found = co_await parts_->find_aside(after, std::move(wanted));
        if (!found)
            co_return found.error();
        is_over = !found->next_after;
        after = found->next_after;
        if (found->places.empty())
            continue;
        auto act = [places = found->places](writing& w) -> result<std::uint64_t> {
            std::uint64_t done = 0;
            for (const auto at : places)
                done += w.free_for_try(at) ? 1 : 0;
            return done;
        };
        const auto done = co_await commit<std::uint64_t>(std::move(act), 0, true);
        if (!done)
            co_return done.error();
        freed += *done;
    }
    auto act = [protocol, freed](writing& w) -> result<void> {
        w.note_freed(protocol, freed);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<std::vector<kept_finding>>> store::findings_about(std::string station)
{
    auto look = [this, station = std::move(station)]() -> result<std::vector<kept_finding>> {
        const transaction txn{parts_->env->get(), transaction::mode::read};
        std::vector<kept_finding> out;
        for (const auto& each :
             journal::findings_about(txn, parts_->t, read_meta(txn, parts_->t), station))
            out.push_back(to_kept(each));
        return out;
    };
    auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
    co_return co_await run_on(parts_->pool, std::move(job));
}

asio::awaitable<result<kept_finding>> store::acknowledge(std::uint64_t number, std::string by,
                                                         std::string why)
{
    auto act = [number, by = std::move(by), why = std::move(why)](writing& w) {
        return w.acknowledge(number, by, why);
    };
    co_return co_await commit<kept_finding>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::set_paused(bool paused)
{
    auto act = [paused](writing& w) -> result<void> {
        w.set_paused(paused);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::note_sent(std::int64_t day, std::uint64_t size_bytes)
{
    auto act = [day, size_bytes](writing& w) -> result<void> {
        w.note_sent(day, size_bytes);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::keep_revoked(revoked_certificate which)
{
    auto act = [which](writing& w) { return w.keep_revoked(which); };
    const auto done = co_await commit<void>(std::move(act), 0, true);
    if (done) {
        const std::lock_guard guard{parts_->mutex};
        parts_->revoked.emplace(which.certificate, which);
    }
    co_return done;
}

asio::awaitable<result<void>> store::forget_revoked(digest certificate, std::string who_and_why)
{
    auto act = [certificate, who_and_why = std::move(who_and_why)](writing& w) {
        return w.forget_revoked(certificate, who_and_why);
    };
    const auto done = co_await commit<void>(std::move(act), 0, true);
    if (done) {
        const std::lock_guard guard{parts_->mutex};
        parts_->revoked.erase(certificate);
    }
    co_return done;
}

asio::awaitable<result<void>> store::note_started()
{
    auto act = [](writing& w) -> result<void> {
        w.note(v1::Entry::STARTED, {});
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::note_backup(std::string file)
{
    auto act = [file = std::move(file)](writing& w) -> result<void> {
        w.note(v1::Entry::BACKUP, file);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::note_outage(bool began, std::string layer,
                                                 milliseconds duration)
{
    auto act = [began, layer = std::move(layer), duration](writing& w) -> result<void> {
        w.note(began ? v1::Entry::OUTAGE_BEGAN : v1::Entry::OUTAGE_ENDED, layer, duration);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<bytes>> store::judge(::titip::vault::key which, digest of,
                                            envelope::verdict_kind kind, bool replaces)
{
    auto act = [which = std::move(which), of, kind, replaces](writing& w) {
        return w.judge(which, of, kind, replaces);
    };
    co_return co_await commit<bytes>(std::move(act), 0, true);
}

asio::awaitable<result<std::vector<placed>>>
store::take_custody(envelope::custody said, trust::role by, bytes cms,
                    std::vector<::titip::vault::finding> findings,
                    std::set<::titip::vault::key> asked, std::string told_by)
{
    const auto present = parts_->current_epoch();
    const auto held = std::make_shared<const envelope::custody>(std::move(said));
    auto look = [this, present, held, findings = std::move(findings),
                 asked]() -> result<comparison> {
        const transaction txn{parts_->env->get(), transaction::mode::read};
        return compare(txn, parts_->t, *held, findings, present, asked);
    };
    auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
    auto compared = co_await run_on(parts_->pool, std::move(job));
    if (!compared)
        co_return compared.error();
    // At once: what it does not hold is nobody's to erase, long before all of it waits again. What a
    // relay holds says nothing of whether the centre has lost what it opened.
    if (by == trust::role::centre) {
        const std::lock_guard guard{parts_->mutex};
        parts_->held_above = held;
    }
    // A relay's time is that of an office's clock; a centre's is what retentions and dates go by.
    const auto signed_at = by == trust::role::centre ? held->at : wall_time{};
    const shown_by shown{.told_by = std::move(told_by), .proof = to_bytes(sha256(cms))};
    auto act = [cms = std::move(cms), held, present, signed_at, is_rollback = compared->is_rollback,
                shown, told = std::move(compared->told),
                findings = std::move(compared->findings)](writing& w) -> result<void> {
        w.note_custody(cms, signed_at);
        for (const auto& each : findings)
            w.add_finding({.what = each, .told_by = shown.told_by, .proof = shown.proof});
        for (const auto& each : told)
            w.add_finding({.what = each, .told_by = shown.told_by, .proof = {}});
        w.settle_gaps(*held);
        if (is_rollback)
            w.begin_epoch_as_told(present, "the upstream knows other numbers of this epoch");
        return {};
    };
    const auto noted = co_await commit<void>(std::move(act), 0, true);
    if (!noted)
        co_return noted.error();
    const auto again = co_await send_lost_again(held, by, shown);
    if (!again)
        co_return again.error();
    // Records that wait must not wait for all of these: the next reconcile asks for more.
    constexpr std::size_t most_asked = 8 * ::titip::vault::most_unsettled;
    if (by == trust::role::centre && asked.size() < most_asked)
        if (const auto added = co_await add_relayed(held, asked, compared->covered); !added)
            co_return added.error();
    co_return std::move(compared->covered);
}

asio::awaitable<result<void>> store::add_relayed(std::shared_ptr<const envelope::custody> held,
                                                 std::set<::titip::vault::key> asked,
                                                 std::vector<placed>& covered)
{
    constexpr std::size_t most_looks = 32; // 32,768 rows; the next custody statement goes on there
    constexpr auto most = ::titip::vault::most_unsettled;
    auto& from = parts_->relayed_from;
    for (std::size_t looks = 0; looks < most_looks && covered.size() < most; ++looks) {
        if (now().of(state::relayed).records == 0)
            co_return result<void>{};
        auto look = [this, &held, &asked, from,
                     left = most - covered.size()]() -> result<covered_records> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            return find_relayed(txn, parts_->t, *held, asked, from, left);
        };
        auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
        auto found = co_await run_on(parts_->pool, std::move(job));
        if (!found)
            co_return found.error();
        std::ranges::move(found->records, std::back_inserter(covered));
        from = found->next.value_or(numbered{});
        if (!found->next)
            break;
    }
    co_return result<void>{};
}

asio::awaitable<result<void>> store::note_centre(epoch_id store_epoch)
{
    {
        const std::lock_guard guard{parts_->mutex};
        if (parts_->centre_epoch == as_text(store_epoch.data()))
            co_return result<void>{};
    }
    auto act = [store_epoch](writing& w) -> result<void> {
        w.note_centre(store_epoch);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

namespace {

/// Rows looked at in one read transaction, or written in one that writes.
constexpr std::size_t most_in_one_look = 1'024;

/// Some places, and where to go on.
template <class From>
struct found_places {
    std::vector<place> places;
    std::optional<From> next;
};

} // namespace

asio::awaitable<result<void>> store::drop_old_openings()
{
    std::optional<due> from = due{};
    while (from) {
        auto look = [this, begin = *from]() -> result<found_places<due>> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            const auto meta = read_meta(txn, parts_->t);
            found_places<due> out;
            std::size_t looked_at = 0;
            cursor walk{txn, parts_->t.opened};
            for (auto each = walk.seek(opened_key(begin.opened_ms, begin.at)); each;
                 each = walk.next()) {
                const due next{static_cast<std::int64_t>(read_u64(each->key)),
                               place{read_u64(each->key.subspan(8))}};
                if (looked_at++ == most_in_one_look) {
                    out.next = next;
                    break;
                }
                const auto row = find_good_row(txn, parts_->t, next.at);
                if (row && !is_opened_above(meta, *row))
                    out.places.push_back(next.at);
            }
            return out;
        };
        auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
        const auto found = co_await run_on(parts_->pool, std::move(job));
        if (!found)
            co_return found.error();
        from = found->next;
        if (found->places.empty())
            continue;
        auto act = [places = found->places](writing& w) -> result<void> {
            for (const auto at : places)
                w.take_opening_back(at, writing::doubt::other_store);
            return {};
        };
        const auto done = co_await commit<void>(std::move(act), 0, true);
        if (!done)
            co_return done.error();
    }
    co_return result<void>{};
}

asio::awaitable<result<void>> store::drop_unsure_openings()
{
    using kind = ::titip::vault::finding::kind;
    {
        const std::lock_guard guard{parts_->mutex};
        if (!parts_->centre_epoch.empty()) // no earlier version has written since
            co_return result<void>{};
    }
    // Each loss is a finding; where those are full there may have been others.
    const auto findings = co_await findings_about(parts_->opts.node);
    if (!findings)
        co_return findings.error();
    const bool is_lost = std::ranges::any_of(
        *findings, [](const auto& each) { return each.what == kind::not_held; });
    if (!is_lost && findings->size() < findings_limit{}.all)
        co_return result<void>{};
    std::set<place> doubtful;
    std::optional<std::uint64_t> from = 1;
    while (from) {
        auto look = [this, begin = *from, &doubtful]() -> result<std::optional<std::uint64_t>> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            cursor walk{txn, parts_->t.ledger};
            std::size_t looked_at = 0;
            for (auto each = walk.seek(key_builder{}.u64(begin)); each; each = walk.next()) {
                if (looked_at++ == most_in_one_look)
                    return std::optional{read_u64(each->key)};
                v1::Entry entry;
                try {
                    open_row(seed::entry, each->key, each->value, entry);
                } catch (const rotten_row& rotten) {
                    // This is looked through at starts, and none may end by it.
                    log::error("ledger-entry-rotten number={} why=\"{}\"", read_u64(each->key),
                               rotten.what());
                    continue;
                }
                if (entry.event() == v1::Entry::RETRY && entry.detail().ends_with(lost_there))
                    doubtful.insert(place{entry.place()});
                else if (entry.event() == v1::Entry::EVENT_VERDICT && entry.detail() == "opened")
                    doubtful.erase(place{entry.place()});
            }
            return std::optional<std::uint64_t>{};
        };
        auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
        const auto next = co_await run_on(parts_->pool, std::move(job));
        if (!next)
            co_return next.error();
        from = *next;
    }
    while (!doubtful.empty()) {
        std::vector<place> some;
        while (!doubtful.empty() && some.size() < most_in_one_look)
            some.push_back(doubtful.extract(doubtful.begin()).value());
        auto act = [some = std::move(some)](writing& w) -> result<void> {
            bool is_any = false;
            for (const auto at : some)
                is_any = w.take_opening_back(at, writing::doubt::earlier_version) || is_any;
            if (is_any) // what the centre has said since was passed over as known
                w.forget_cursor();
            return {};
        };
        const auto done = co_await commit<void>(std::move(act), 0, true);
        if (!done)
            co_return done.error();
    }
    co_return result<void>{};
}

asio::awaitable<result<std::size_t>> store::take_back(std::string custodian)
{
    std::size_t taken = 0;
    std::optional<place> from = place{0};
    while (from && now().of(state::relayed).records > 0) {
        auto look = [this, begin = *from, &custodian]() -> result<found_places<place>> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            found_places<place> out;
            std::size_t looked_at = 0;
            cursor walk{txn, parts_->t.rows};
            for (auto each = walk.seek(place_key(begin)); each; each = walk.next()) {
                const place at{read_u64(each->key)};
                if (looked_at++ == most_in_one_look) {
                    out.next = at;
                    break;
                }
                const auto row = find_good_row(txn, parts_->t, at);
                if (row && row->state() == v1::RELAYED && row->receipt_by() == custodian)
                    out.places.push_back(at);
            }
            return out;
        };
        auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
        const auto found = co_await run_on(parts_->pool, std::move(job));
        if (!found)
            co_return found.error();
        from = found->next;
        if (found->places.empty())
            continue;
        auto act = [places = found->places, &custodian](writing& w) -> result<std::size_t> {
            std::size_t count = 0;
            for (const auto at : places)
                count += w.take_back(at, custodian) ? 1 : 0;
            return count;
        };
        const auto done = co_await commit<std::size_t>(std::move(act), 0, true);
        if (!done)
            co_return done.error();
        taken += *done;
    }
    co_return taken;
}

asio::awaitable<result<void>> store::send_lost_again(std::shared_ptr<const envelope::custody> held,
                                                     trust::role by, shown_by shown)
{
    std::optional<numbered> from = numbered{};
    while (from) {
        auto look = [this, held, by, from = *from]() -> result<lost_records> {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            return find_lost(txn, parts_->t, *held, by, from);
        };
        auto job = [this, look = std::move(look)]() mutable { return parts_->guarded(look); };
        auto lost = co_await run_on(parts_->pool, std::move(job));
        if (!lost)
            co_return lost.error();
        from = lost->next;
        if (lost->places.empty())
            continue;
        auto act = [lost = std::move(*lost), by, shown](writing& w) -> result<void> {
            for (const auto& each : lost.findings)
                w.add_finding({.what = each, .told_by = shown.told_by, .proof = shown.proof});
            for (const auto at : lost.places)
                w.send_again(at, by);
            return {};
        };
        const auto sent_again = co_await commit<void>(std::move(act), 0, true);
        if (!sent_again)
            co_return sent_again.error();
    }
    co_return result<void>{};
}

asio::awaitable<result<void>> store::continue_from(epoch_id earlier, envelope::sequence at,
                                                   digest manifest_hash)
{
    auto act = [earlier, at, manifest_hash](writing& w) -> result<void> {
        w.continue_from(earlier, at, manifest_hash);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

asio::awaitable<result<void>> store::begin_epoch(epoch_id present, std::string why)
{
    auto act = [present, why = std::move(why)](writing& w) -> result<void> {
        w.begin_epoch(present, why);
        return {};
    };
    co_return co_await commit<void>(std::move(act), 0, true);
}

bool store::has_room() const
{
    const std::lock_guard guard{parts_->mutex};
    return parts_->newest.has_room;
}

std::uint64_t store::newest_verdict(const std::string& station) const
{
    const std::lock_guard guard{parts_->mutex};
    const auto found = parts_->newest_verdicts.find(station);
    return found == parts_->newest_verdicts.end() ? 0 : found->second;
}

totals store::now() const
{
    const std::lock_guard guard{parts_->mutex};
    auto out = parts_->newest;
    if (parts_->are_needs_counted)
        out.needs_person = parts_->needs_person.size();
    return out;
}

bytes_view store::submission_key() const noexcept
{
    return parts_->submission_key;
}
epoch_id store::epoch() const
{
    return parts_->current_epoch();
}
std::uint64_t store::quota_bytes() const noexcept
{
    return parts_->opts.quota_bytes;
}

void store::knock(std::function<void()> passed)
{
    parts_->writer->submit(std::make_unique<pulse_operation>(std::move(passed)));
}

store::disk_waits store::disk() const noexcept
{
    const auto now = monotonic::now();
    const auto word = parts_->opts.writer->now();
    const auto waits = word.what == activity::kind::disk
                           ? std::chrono::duration_cast<milliseconds>(now - word.since)
                           : 0ms;
    return {.now = waits, .slowest = std::max(waits, parts_->opts.writer->slowest(now))};
}

void store::on_change(asio::any_io_executor executor, std::function<void(const change&)> told)
{
    const std::lock_guard guard{parts_->mutex};
    parts_->told_on = std::move(executor);
    parts_->told = std::make_shared<std::function<void(const change&)>>(std::move(told));
}

epoch_id store::parts::current_epoch() const
{
    const std::lock_guard guard{mutex};
    return epoch;
}

std::shared_ptr<const envelope::custody> store::parts::current_custody() const
{
    const std::lock_guard guard{mutex};
    return held_above;
}

std::shared_ptr<const trust::identity> store::parts::current_identity() const
{
    const std::lock_guard guard{mutex};
    return opts.identity;
}

void store::replace_identity(std::shared_ptr<const trust::identity> identity)
{
    {
        const std::lock_guard guard{parts_->mutex};
        parts_->opts.identity = identity;
    }
    parts_->writer->replace_identity(std::move(identity));
}

} // namespace titip::journal
