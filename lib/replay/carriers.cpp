#include "replay/carriers.hpp"

#include "base/log.hpp"
#include "trust/judge.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace titip::replay {

namespace {

/// Of those that let others find out whether a cut is over.
constexpr milliseconds patient_retransmission_wait = 6s;
/// What lies unsent goes out in 15 s, as the upstream wants it (intake::admission).
constexpr std::uint64_t least_pace_bytes_per_s = (16u << 10) / 15;

} // namespace

carriers::carriers(options opts, const scheduler& queue)
    : most_connections_(opts.most_connections), queue_(queue),
      regulator_(link::regulator::options{.most_connections = opts.most_connections}),
      sent_(std::move(opts.sent))
{
    look_around();
    regulator_.on_samples(monotonic::now(), {}, may_bbr_);
}

bool carriers::is_express(connection on) const noexcept
{
    return static_cast<unsigned>(on) == most_connections_;
}

bool carriers::is_affordable(connection on) const noexcept
{
    return sent_.allowed().may_begin || (is_express(on) && !sent_.limits().binds_urgent);
}

bool carriers::is_wanted(connection on) const noexcept
{
    if (!is_affordable(on))
        return false;
    // One finds out as much as all, and nothing is taken from an urgent record that would go.
    const auto& way = passage_.current();
    const bool finds_out =
        is_express(on) ? !sent_.allowed().may_begin : static_cast<unsigned>(on) == 0;
    if (way.is_blocked && (!finds_out || monotonic::now() < way.next_at))
        return false;
    const auto records = queue_.waiting() + queue_.in_flight();
    if (is_express(on)) {
        if (!is_empty()) // others are at work, or this one
            return queue_.has_urgent() || (records > 0 && regulator_.current().is_slow);
        return queue_.has_urgent() && !sent_.allowed().may_begin;
    }
    // A record goes over one connection: so many that the last ones do not go alone.
    const auto most = std::size_t{most_useful()};
    const auto turns = (records + most - 1) / most;
    return queue_.waiting() > opening_ && static_cast<unsigned>(on) < (records + turns - 1) / turns;
}

bool carriers::is_surplus(connection on) const noexcept
{
    // One that was made before would lose the next body as it, or its like, lost the last.
    const auto& way = passage_.current();
    if (way.is_blocked && std::ranges::any_of(open_, [&](const auto& each) {
            return each.second.on == on && each.second.segment_bytes != way.most_segment_bytes;
        }))
        return true;
    return !is_express(on) && static_cast<unsigned>(on) >= most_useful();
}

unsigned carriers::most_useful() const noexcept
{
    const auto& decided = regulator_.current();
    const auto records = queue_.waiting() + queue_.in_flight();
    return records <= decided.connections_at_end ? decided.connections_at_end : decided.connections;
}

std::uint64_t carriers::add(http::stream& transport, connection on)
{
    const auto number = begun_++;
    auto& each = open_[number];
    each = {.transport = &transport,
            .on = on,
            .number = number,
            .segment_bytes = passage_.current().most_segment_bytes};
    tune(each);
    return number;
}

void carriers::remove(std::uint64_t number)
{
    open_.erase(number);
}

bool carriers::regulate(instant now)
{
    const auto before = regulator_.current();
    std::vector<link::regulator::sample> samples;
    const bool is_end = queue_.waiting() == 0;
    for (auto& [number, each] : open_) {
        const auto seen = http::measure(each.transport->native_handle());
        if (!seen)
            continue;
        sent_.count(seen->sent_bytes - each.seen.sent_bytes, wall_now(),
                    trust::judge::build_time());
        resent_bytes_ += seen->resent_bytes - each.seen.resent_bytes;
        each.seen = *seen;
        note_progress(each, *seen, now);
        if (!is_express(each.on))
            samples.push_back(
                {number, *seen, is_end ? std::optional{queue_.left_bytes(each.on)} : std::nullopt});
    }
    const auto& decided = regulator_.on_samples(now, samples, may_bbr_);
    for (auto& [number, each] : open_)
        tune(each);
    return decided.connections != before.connections || decided.is_slow != before.is_slow;
}

void carriers::note_progress(carrier& each, const http::tcp_figures& seen, instant now)
{
    // The first acknowledged byte is the SYN's, which was never written.
    if (!each.body_from || seen.acknowledged_bytes <= *each.body_from + 1)
        return;
    each.has_progress = true;
    each.body_from = seen.acknowledged_bytes; // from here it is progress again
    if (passage_.on_progress(now) == link::passage::event::through)
        log::info("through-again segment_bytes={}", passage_.current().most_segment_bytes);
}

void carriers::on_body(std::uint64_t number, instant now)
{
    const auto found = open_.find(number);
    if (found == open_.end() || found->second.body_from)
        return;
    auto& each = found->second;
    if (const auto seen = http::measure(each.transport->native_handle())) {
        each.body_from = seen->written_bytes;
        each.body_at = now;
    }
}

bool carriers::is_silence(std::uint64_t number, instant now)
{
    const auto found = open_.find(number);
    if (found == open_.end() || !found->second.body_from)
        return false;
    auto& each = found->second;
    if (const auto seen = http::measure(each.transport->native_handle()))
        note_progress(each, *seen, now);
    const bool was_blocked = passage_.current().is_blocked;
    if (each.has_progress || !passage_.on_silence(now, each.body_at))
        return false;
    const auto& way = passage_.current();
    if (!was_blocked)
        log::warn("nothing-through: the upstream answers, but no byte of a body is acknowledged");
    log::debug("silence next_segment_bytes={}", way.most_segment_bytes);
    return true;
}

void carriers::look_around()
{
    passage_.at(monotonic::now());
    sent_.count(0, wall_now(), trust::judge::build_time());
    may_bbr_ = http::may_use_bbr();
}

void carriers::close_all()
{
    for (auto& [number, each] : open_)
        each.transport->close();
}

std::size_t carriers::close_gone()
{
    std::size_t gone = 0;
    for (auto& [number, each] : open_)
        if (http::is_address_gone(each.transport->native_handle())) {
            each.transport->close();
            each.is_given_up = true;
            ++gone;
        }
    return gone;
}

bool carriers::is_given_up(std::uint64_t number) const
{
    const auto found = open_.find(number);
    return found != open_.end() && found->second.is_given_up;
}

carriers::figures carriers::now() const
{
    figures out{.may_bbr = may_bbr_,
                .rate_bytes_per_s = regulator_.rate_bytes_per_s(),
                .resent_bytes = resent_bytes_};
    for (const auto& [number, each] : open_) {
        out.connections += !is_express(each.on);
        out.is_bbr = out.is_bbr || each.is_bbr;
    }
    return out;
}

void carriers::choose_control(carrier& each)
{
    using http::congestion_control;
    const auto& wanted = regulator_.current();
    const int socket = each.transport->native_handle();
    if (wanted.wants_bbr && may_bbr_ && !each.is_bbr) {
        each.is_bbr = http::set_congestion_control(socket, congestion_control::bbr);
        each.probes = wanted.probes;
    } else if (each.is_bbr && !wanted.wants_bbr)
        each.is_bbr = !http::set_congestion_control(socket, congestion_control::loss_based);
    else if (each.is_bbr && wanted.is_flowing && each.probes != wanted.probes) {
        http::renew_bbr(socket);
        each.probes = wanted.probes;
    }
}

/// As the regulator and the budget want it now.
void carriers::tune(carrier& each)
{
    choose_control(each);
    const auto& wanted = regulator_.current();
    http::tcp_tuning how{.notsent_lowat_bytes = wanted.notsent_lowat_bytes,
                         .longest_retransmission_wait = wanted.longest_retransmission_wait};
    if (wanted.patient.contains(each.number))
        how.longest_retransmission_wait = patient_retransmission_wait;
    const auto share = wanted.shares.find(each.number);
    if (share != wanted.shares.end())
        how.most_bytes_per_s = std::max(share->second, least_pace_bytes_per_s);
    else if (!is_express(each.on))
        how.most_bytes_per_s = wanted.most_bytes_per_s / most_useful();
    const bool is_exempt = is_express(each.on) && !sent_.limits().binds_urgent;
    if (const auto limit = sent_.allowed().most_bytes_per_s / busy(); limit > 0 && !is_exempt)
        how.most_bytes_per_s =
            how.most_bytes_per_s > 0 ? std::min(how.most_bytes_per_s, limit) : limit;
    // What lies unsent must go out within the limit on no progress, however slow the pace.
    if (how.most_bytes_per_s > 0)
        how.notsent_lowat_bytes =
            std::clamp<std::uint64_t>(how.most_bytes_per_s / 4, 16u << 10, how.notsent_lowat_bytes);
    http::tune(each.transport->native_handle(), how);
}

/// At least one: among so many the budget's rate is divided.
std::size_t carriers::busy() const
{
    const auto busy = std::ranges::count_if(open_, [](const auto& each) {
        const auto& seen = each.second.seen;
        return seen.in_flight_bytes + seen.unsent_bytes > 0;
    });
    return std::max<std::size_t>(1, static_cast<std::size_t>(busy));
}

} // namespace titip::replay
