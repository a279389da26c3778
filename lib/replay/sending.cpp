#include "replay/replayer.hpp"

#include "base/log.hpp"
#include "trust/signer.hpp"

#include <boost/asio/co_spawn.hpp>

/// What goes over the connections for bodies: records and their answers.
namespace titip::replay {

namespace {

constexpr auto keep_open = 30s; ///< an idle connection: the next record may come soon
constexpr auto open_again_after = 5s;
/// One writes so much before it looks whether an urgent record wants the link for itself.
constexpr std::size_t slice_bytes = 32u << 10;
/// While one does, so much goes on over each other connection, a tenth of a link of 256 kbit/s with four of
/// them; the upstream wants 4 KiB in 15 s.
constexpr std::size_t crumb_bytes = 4u << 10;
constexpr auto crumb_every = 5s;

journal::reason reason_of(distrust::fault why)
{
    switch (why) {
    case distrust::fault::not_believed:
        return journal::reason::refused;
    case distrust::fault::role:
        return journal::reason::not_ours;
    case distrust::fault::limit:
        return journal::reason::too_large;
    case distrust::fault::receipt:
        return journal::reason::not_believed;
    }
    return journal::reason::refused;
}

} // namespace

struct replayer::transfer {
    explicit transfer(asio::any_io_executor on) : changed(std::move(on)) {}
    std::deque<journal::place> sent; ///< without an answer, in order
    instant last_used = monotonic::now();
    bell changed;
    ending how = ending::idle;
    bool is_over = false;
    bool is_reading = true;
};

asio::awaitable<link::opened> replayer::open(connection on)
{
    const carriers::opening counted{carriers_, on};
    around_.upstream.use_segments(carriers_.passage().current().most_segment_bytes);
    const http::tcp_options as_usual;
    co_return co_await around_.upstream.open(as_usual);
}

asio::awaitable<void> replayer::send(connection on)
{
    while (!is_stopping_) {
        if (!may_open() || !carriers_.is_wanted(on)) {
            co_await changed_.wait();
            continue;
        }
        auto transport = co_await open(on);
        if (is_stopping_)
            break;
        if (!transport) {
            auto why = link::explain(transport.error());
            if (scheduler_.in_flight() > 0 && link::is_below_tls(why.verdict)) {
                // Those at work find out what the link is like, and have all to lose.
                const auto until = monotonic::now() + open_again_after;
                while (!is_stopping_ && scheduler_.in_flight() > 0 && monotonic::now() < until)
                    co_await changed_.wait_until(until);
                continue;
            }
            on_transfer_failure(why.verdict, why.retry_after, std::move(why.detail));
            if (!may_send()) // the watch finds out what the link is like
                co_await changed_.wait();
            continue;
        }
        auto& raw = **transport;
        raw.set_no_progress_limit(no_progress_limit);
        const auto number = carriers_.add(raw, on);
        changed_.ring(); // the express opens beside others
        uplink::session over{std::move(*transport), around_.upstream.upstream().host};
        while (!may_send() && may_open())
            co_await changed_.wait();
        if (may_send())
            co_await pump(on, over, number);
        carriers_.remove(number);
    }
}

/// Sends on one connection until it breaks, or there is nothing to send for a while.
asio::awaitable<void> replayer::pump(connection on, uplink::session& over, std::uint64_t number)
{
    transfer state{on_};
    auto answers = take_answers(over, state);
    asio::co_spawn(on_, std::move(answers), [this, &state](std::exception_ptr) {
        state.is_reading = false;
        state.is_over = true;
        state.changed.ring();
        changed_.ring();
    });
    bool goes_on = true;
    while (goes_on && !state.is_over && may_send())
        goes_on = co_await send_next(on, over, state, number);

    // Answers under way are still worth taking, unless the link is gone.
    while (state.is_reading && !state.sent.empty() && monitor_.current().is_up && !is_stopping_)
        co_await state.changed.wait_until(monotonic::now() + 1s);
    // Not closed by us, and nobody has found the link wanting: the break may be this record's.
    const bool is_given_up = carriers_.is_given_up(number);
    const bool is_silence = state.how == ending::broken && !is_given_up &&
                            monitor_.current().is_up &&
                            carriers_.is_silence(number, monotonic::now());
    std::optional<journal::place> hit;
    if (state.how == ending::broken && !is_given_up && !is_silence && !state.sent.empty() &&
        monitor_.current().is_up)
        hit = state.sent.front();
    over.close();
    state.is_over = true;
    state.changed.ring();
    while (state.is_reading)
        co_await state.changed.wait();

    // One that ended because it was idle has nothing to do with what others left unknown.
    if (state.sent.empty() &&
        (state.how == ending::idle || (state.how == ending::refused && !scheduler_.has_unknown())))
        co_return;
    // What became of these is asked before anything is sent again.
    const bool is_stuck = scheduler_.on_broken(on, hit);
    is_reconciled_ = false;
    if (is_stuck)
        start(take_refusal(*hit, refusal::stalled, "the connection breaks in its middle"));
    // The upstream closes where it wants no body: the link is as good as before. Where nothing gets through
    // the next answer, or that none comes, says whether there is a link at all.
    if (is_stuck || is_given_up || is_silence || state.how == ending::refused)
        ask_again();
    else
        on_transfer_failure(link::verdict::tcp, 0ms, "the connection broke");
}

/// False: the connection has ended, or may.
asio::awaitable<bool> replayer::send_next(connection on, uplink::session& over, transfer& state,
                                          std::uint64_t number)
{
    using lanes = scheduler::lanes;
    // Closed by the upstream while nothing was asked: that says nothing of the link.
    if (state.sent.empty() && http::is_closed_by_peer(over.transport().native_handle()))
        co_return false;
    const bool is_express = carriers_.is_express(on);
    const bool is_surplus = carriers_.is_surplus(on);
    const auto pick = is_surplus || !carriers_.is_affordable(on)
                          ? std::nullopt
                          : scheduler_.next(on, is_express ? lanes::urgent : lanes::all);
    if (!pick) {
        const bool is_needless = is_surplus || (is_express && !carriers_.is_wanted(on));
        if (!state.sent.empty() || (is_express && !is_needless))
            state.last_used = monotonic::now();
        else if (is_needless || monotonic::now() - state.last_used >= keep_open)
            co_return false;
        co_await changed_.wait_until(state.last_used + keep_open);
        co_return true;
    }
    state.last_used = monotonic::now();
    if (scheduler_.in_flight() == 1)
        changed_.ring(); // regulate() has something to do
    auto what = co_await around_.store.outgoing_of(pick->place);
    if (what && above_ && above_->role == trust::role::relay &&
        what->view.brought_by == above_->name) {
        turn_back(pick->place, what->view.key.record, above_->name);
        co_return true;
    }
    if (what) {
        distrust::candidate next{.place = pick->place,
                                 .certificate = trust::signing_certificate(what->manifest_cms),
                                 .station = what->view.key.station,
                                 .goes_last = pick->goes_last};
        if (!distrust_.may_offer(next)) {
            defer(pick->place);
            doubts_changed_.ring();
            co_return true;
        }
    }
    result<bytes> body{what ? error_code{} : what.error()};
    if (what)
        body = co_await around_.store.read_rest(pick->place, pick->offset, what->view.size_bytes);
    if (!body) {
        // Nothing of it was sent: this record is set aside, the connection is as good as before.
        scheduler_.on_failed(pick->place, false);
        distrust_.on_gone(pick->place);
        doubts_changed_.ring();
        log::error("unreadable place={} why=\"{}\"", static_cast<std::uint64_t>(pick->place),
                   body.error().message());
        if (body.error() == vault::errc::rotten && around_.repair && around_.repair(pick->place))
            co_return true;
        if (body.error() == vault::errc::rotten)
            co_await around_.store.quarantine(pick->place, journal::reason::rotten,
                                              body.error().message());
        co_return true;
    }
    by_record_.insert_or_assign(what->view.key, pick->place);
    state.sent.push_back(pick->place);
    state.changed.ring();
    uplink::parcel parcel{what->view.key, std::move(what->manifest_cms), what->view.size_bytes};
    // If it fails, why is what the answers tell: a refusal closes the connection while we still
    // write.
    const auto begun = co_await over.begin(std::move(parcel), pick->offset);
    if (!begun)
        co_return false;
    carriers_.on_body(number, monotonic::now());
    co_return co_await write_body(over, state, *pick, std::move(*body));
}

/// In slices: between two of them an urgent record goes before. A little goes all the same: where others
/// want in, the upstream closes a connection that stands still (intake::admission).
asio::awaitable<bool> replayer::write_body(uplink::session& over, transfer& state,
                                           const scheduler::pick& what, bytes body)
{
    const bool is_urgent = what.lane == envelope::lane::urgent;
    urgent_bodies_ += is_urgent;
    bool is_written = true;
    for (std::size_t from = 0; from < body.size() && is_written;) {
        const auto until = monotonic::now() + crumb_every;
        const auto is_held = [&] { return !is_urgent && urgent_bodies_ > 0; };
        while (is_held() && !state.is_over && may_send() && monotonic::now() < until) {
            over.transport().set_no_progress_limit(no_progress_limit); // from here again
            co_await changed_.wait_until(until);
        }
        const auto most = is_held() ? crumb_bytes : slice_bytes;
        const auto slice = bytes_view{body}.subspan(from, std::min(most, body.size() - from));
        const auto written = co_await over.write(slice);
        is_written = written.has_value();
        from += slice.size();
        history_.on_sent(monotonic::now(), is_written ? slice.size() : 0);
        scheduler_.on_written(what.place, what.offset + from);
    }
    urgent_bodies_ -= is_urgent;
    changed_.ring();
    co_return is_written;
}

asio::awaitable<void> replayer::take_answers(uplink::session& over, transfer& state)
{
    while (!state.is_over || !state.sent.empty()) {
        if (state.sent.empty()) {
            co_await state.changed.wait();
            continue;
        }
        auto answer = co_await over.receive();
        if (!answer) {
            const auto why = link::explain_read(answer.error());
            state.how = ending::broken;
            if (why.verdict == link::verdict::auth)
                on_transfer_failure(why.verdict, 0ms, why.detail);
            co_return;
        }
        const auto at = state.sent.front();
        state.sent.pop_front();
        if (answer->what != uplink::outcome::kind::receipt) {
            state.how = ending::refused;
            co_await take_outcome(at, std::move(*answer));
            co_return;
        }
        const bool is_last = answer->is_last;
        if (is_last)
            scheduler_.on_unwanted(at);
        // The next answer need not wait for this commit: many receipts share one.
        start(take_receipt(at, std::move(answer->receipt_cms)));
        state.changed.ring();
        if (is_last) { // it had the record already and did not want the body
            state.how = ending::refused;
            co_return;
        }
    }
}

asio::awaitable<void> replayer::take_receipt(journal::place at, bytes cms)
{
    auto receipt = uplink::verify_receipt(*around_.authorities(), cms);
    const auto doubts = distrust_.doubts();
    if (receipt) {
        for (const auto each : distrust_.on_accepted(at))
            recall(each);
        note_doubts(doubts);
        const auto size_bytes = receipt->said.size_bytes;
        co_await settle(at, std::move(*receipt), size_bytes);
        co_return;
    }
    // The record lies there: it is the upstream that has to be believed again.
    const auto why = "its receipt is not believed here: " + receipt.error().message();
    log::error("receipt-not-believed record={} why=\"{}\"", name_of(at), receipt.error().message());
    distrust_.on_receipt_not_believed(at, why, monotonic::now(), draw_chance());
    defer(at);
    note_doubts(doubts);
    on_transfer_failure(link::verdict::auth, 0ms, why);
}

asio::awaitable<void> replayer::take_outcome(journal::place at, uplink::outcome what)
{
    using kind = uplink::outcome::kind;
    switch (what.what) {
    case kind::receipt:
        co_return;
    case kind::unknown:
    case kind::position_unknown:
        if (what.offset ? scheduler_.on_position(at, *what.offset) : scheduler_.on_unknown(at))
            co_await take_refusal(at, refusal::stalled, "no further byte of it is taken");
        co_return;
    case kind::gone:
        scheduler_.on_failed(at, true);
        co_return;
    case kind::not_believed:
        co_await take_fault(at, distrust::fault::not_believed, std::move(what.note));
        co_return;
    case kind::role:
        co_await take_fault(at, distrust::fault::role, std::move(what.note));
        co_return;
    case kind::too_large:
        // Not what it announced: then it is no record's fault, and may be mended there.
        if (scheduler_.size_of(at) <= upstream_said_.most_bytes) {
            co_await take_fault(at, distrust::fault::limit, std::move(what.note));
            co_return;
        }
        co_await take_refusal(at, refusal::too_large, std::move(what.note));
        co_return;
    case kind::defect:
        co_await take_refusal(at, refusal::defect, std::move(what.note));
        co_return;
    case kind::mismatch:
        co_await take_refusal(at, refusal::mismatch, std::move(what.note));
        co_return;
    case kind::conflict:
        co_await take_refusal(at, refusal::conflict, std::move(what.note));
        co_return;
    case kind::not_ours:
        co_await take_refusal(at, refusal::not_ours, std::move(what.note));
        co_return;
    case kind::revoked:
        co_await take_refusal(at, refusal::revoked, std::move(what.note));
        co_return;
    case kind::auth:
    case kind::admission:
    case kind::portal:
    case kind::link:
        break;
    }
    // It is the link that failed, or was asked to pause: this burns no attempt of the record.
    scheduler_.on_failed(at, true);
    on_transfer_failure(what);
}

asio::awaitable<void> replayer::take_fault(journal::place at, distrust::fault why, std::string note)
{
    const auto doubts = distrust_.doubts();
    switch (distrust_.on_refused(at, why, note, monotonic::now(), draw_chance())) {
    case distrust::ruling::again:
        scheduler_.on_refused(at);
        break;
    case distrust::ruling::deferred:
        defer(at);
        break;
    case distrust::ruling::set_aside:
        scheduler_.on_failed(at, false);
        co_await around_.store.quarantine(at, reason_of(why), std::move(note));
        break;
    }
    note_doubts(doubts);
}

asio::awaitable<void> replayer::take_refusal(journal::place at, refusal what, std::string note)
{
    const auto failures = co_await around_.store.count_failure(at);
    bool is_intact = true;
    if (needs_copy_check(what)) {
        const auto intact = co_await around_.store.check_intact(at);
        is_intact = intact.has_value();
    }
    const auto ruling = rule_on(what, failures ? *failures : 1, is_intact);
    if (!ruling.again || what != refusal::stalled) // one that stalled goes on from where it stands
        scheduler_.on_failed(at, ruling.again);
    if (ruling.again)
        co_return;
    log::warn("quarantine place={} reason={} note=\"{}\"", static_cast<std::uint64_t>(at),
              journal::to_string(ruling.reason), note);
    co_await around_.store.quarantine(at, ruling.reason, std::move(note));
}

} // namespace titip::replay
