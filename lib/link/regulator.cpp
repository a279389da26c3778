#include "link/regulator.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace titip::link {

namespace {

using std::chrono::microseconds;

constexpr std::uint64_t segment_bytes = 1'448; ///< of Ethernet's 1,500, with timestamps
constexpr milliseconds shortest_window = 250ms;
constexpr milliseconds longest_window = 4s;
/// In a window of fewer packets one more or less is a difference.
constexpr std::uint64_t window_segments = 64;
/// After a cut half of this passes, in the mean, before TCP finds out that the link is back. One packet
/// each is 2 kB a minute; shorter than a round trip it would send for nothing.
constexpr milliseconds least_retransmission_wait = 1500ms;
/// Three of them make a connection; a second is what an urgent record may take.
constexpr milliseconds slow_round_trip = 150ms;
constexpr std::uint64_t slow_rate = 125'000;
constexpr std::size_t remembered_rates = 4;
/// In spite of the cap: then it is asked whether the queue is ours.
constexpr unsigned most_full = 8;
constexpr unsigned most_cuts = 8;
/// Before anything is known nobody is slowed down to less.
constexpr std::uint64_t least_first_rate = 128'000;
/// So many windows after a queue stood what is sent again may still be what overflowed then.
constexpr unsigned overflow_echo = 3;
/// At 1 % of loss one link in fifty would pass for clean.
constexpr std::uint64_t clean_bytes = 400 * segment_bytes;
constexpr std::uint64_t clean_again_bytes = 2'000 * segment_bytes;
/// Connections beyond these are added slowly: each makes the end of a backlog slower, when few
/// records are left to share out.
constexpr unsigned enough_mostly = 8;
constexpr unsigned added = 4;
constexpr unsigned patience = 3;
/// Less than BBR's ten seconds (http::renew_bbr): it is renewed with each.
constexpr auto probe_every = 8s;
constexpr std::array probe_gains{1.1, 1.25, 1.5};
constexpr double lost_share_windows = 8;
constexpr double most_lost_share = 0.05;
/// Nobody's modem: there is no queue of its to spare.
constexpr std::uint64_t fast_enough = 10'000'000;
constexpr milliseconds local_round_trip = 2ms;

std::uint64_t per_second(std::uint64_t bytes, instant::duration in)
{
    const auto us = std::chrono::duration_cast<microseconds>(in).count();
    return us > 0 ? bytes * 1'000'000 / static_cast<std::uint64_t>(us) : 0;
}

std::uint64_t part(std::uint64_t of, double share)
{
    return static_cast<std::uint64_t>(static_cast<double>(of) * share);
}

microseconds time_for(std::uint64_t bytes, std::uint64_t rate)
{
    return microseconds{rate > 0 ? bytes * 1'000'000 / rate : 0};
}

/// Less is the machine's noise, or a few packets that came at once, and no queue.
microseconds least_queueing(microseconds round_trip, std::uint64_t rate)
{
    return std::max({microseconds{10ms}, round_trip / 8, time_for(4 * segment_bytes, rate)});
}

} // namespace

regulator::regulator(const options& opts) : opts_(opts), since_full_(overflow_echo + 1)
{
    opts_.first_connections = std::min(opts_.first_connections, opts_.most_connections);
    opts_.connections = std::min(opts_.connections, opts_.most_connections);
    decided_.connections = opts_.connections;
}

const regulator::decision& regulator::on_samples(instant now, std::span<const sample> all,
                                                 bool may_bbr)
{
    if (now_.began == instant{})
        now_.began = now;
    add(all);
    if (now - now_.began >= length())
        close(now, may_bbr);
    return decided_;
}

instant::duration regulator::length() const
{
    if (shortest_ == microseconds::max())
        return 1s;
    const auto wanted =
        rate_ == 0 ? shortest_
                   : std::max(2 * shortest_, time_for(window_segments * segment_bytes, rate_));
    return std::clamp<instant::duration>(wanted, shortest_window, longest_window);
}

void regulator::add(std::span<const sample> all)
{
    std::map<std::uint64_t, http::tcp_figures> seen;
    bool is_busy = false;
    auto queueing = microseconds::max();
    now_.newest_rate = 0;
    longest_ = microseconds{};
    for (const auto& [connection, figures] : all) {
        seen.emplace(connection, figures);
        if (figures.shortest_round_trip > 0us)
            shortest_ = std::min(shortest_, figures.shortest_round_trip);
        if (figures.in_flight_bytes + figures.unsent_bytes > 0) {
            is_busy = true;
            longest_ = std::max(longest_, figures.round_trip);
            now_.newest_rate += figures.delivery_bytes_per_s;
            const auto excess = figures.round_trip - std::min(shortest_, figures.round_trip);
            standing_ = std::min(standing_, excess);
            queueing = std::min(queueing, excess - standing_);
        }
        const auto before = last_.find(connection);
        if (before == last_.end())
            continue; // what it carried before we looked lies in no window
        // Counted in segments, and those may become smaller.
        const auto delivered = figures.delivered_bytes -
                               std::min(before->second.delivered_bytes, figures.delivered_bytes);
        now_.delivered += delivered;
        now_.delivered_by[connection] += delivered;
        now_.sent += figures.sent_bytes - before->second.sent_bytes;
        now_.resent += figures.resent_bytes - before->second.resent_bytes;
    }
    last_ = std::move(seen);
    decided_.is_slow = (shortest_ != microseconds::max() && shortest_ >= slow_round_trip) ||
                       (rate_ > 0 && rate_ < slow_rate);
    decided_.longest_retransmission_wait = std::max<milliseconds>(
        least_retransmission_wait, std::chrono::duration_cast<milliseconds>(2 * longest_));
    now_.is_busy = now_.is_busy && is_busy;
    now_.queueing = rate_ == 0 ? queueing : std::min(now_.queueing, queueing);
}

void regulator::close(instant now, bool may_bbr)
{
    const auto ended = std::exchange(now_, window{.began = now});
    if (!ended.is_busy || shortest_ == microseconds::max())
        return;
    auto rate = per_second(ended.delivered, now - ended.began);
    decided_.is_flowing = rate_ > 0 && rate >= rate_ / 2;
    if (std::exchange(is_draining_, false)) {
        if (ended.queueing > before_drain_ * 3 / 4)
            standing_ += ended.queueing;
        full_ = 0;
        cap(now);
        share_out(ended, now);
        return;
    }
    cuts_ = rate_ > 0 && rate > 0 && rate < rate_ / 8 ? cuts_ + 1 : 0;
    if (cuts_ >= most_cuts) { // no cut: another link
        cuts_ = 0;
        rate_ = most_seen_ = 0;
        full_rates_.clear();
    }
    if (rate_ > 0 && rate < rate_ / 8) {
        kind_ = kind::unknown;
        since_full_ = unfilled_ = 0;
        unlost_bytes_ = 0;
        decided_.wants_bbr = may_bbr;
        return;
    }
    const bool is_full = ended.queueing >= least_queueing(shortest_, rate);
    if (is_full && rate_ == 0)
        rate = std::max(rate, ended.newest_rate); // in this window it only grew to what it is
    since_full_ = is_full ? 0 : since_full_ + 1;
    // One that passes by itself, as after a beginning, is ours.
    const bool stays =
        ended.queueing + ended.queueing / 32 >= std::exchange(last_queueing_, ended.queueing);
    full_ = is_full && stays ? full_ + 1 : 0;
    learn(rate, is_full);
    classify(ended, rate);
    decide(may_bbr);
    cap(now);
    if (full_ >= most_full && !is_probing() && !is_fast()) {
        is_draining_ = true;
        before_drain_ = ended.queueing;
        decided_.most_bytes_per_s = rate_ / 2;
    }
    share_out(ended, now);
}

/// By what it is now: what was a fibre may have become a satellite.
bool regulator::is_fast() const noexcept
{
    return (rate_ > 0 ? rate_ : most_seen_) > fast_enough || longest_ < local_round_trip;
}

bool regulator::is_growing(std::uint64_t rate) const noexcept
{
    return rate > most_seen_ + most_seen_ / 4;
}

void regulator::learn(std::uint64_t rate, bool is_full)
{
    // The burst in which a connection begins makes a queue of its own: while what is delivered still
    // grows from round trip to round trip it is not the link's rate.
    if (rate_ == 0 && is_growing(rate))
        return;
    if (is_full) {
        full_rates_.push_back(rate);
        if (full_rates_.size() > remembered_rates)
            full_rates_.pop_front();
        rate_ = *std::ranges::max_element(full_rates_);
    } else if (is_probing() && rate > rate_ + rate_ / 64) {
        full_rates_.assign(1, rate);
        rate_ = rate;
        is_faster_ = true;
    }
}

void regulator::classify(const window& ended, std::uint64_t rate)
{
    const bool is_quiet = since_full_ > overflow_echo; // what is lost now the link loses
    const bool is_own_loss = is_quiet && ended.resent > 0;
    if (is_quiet && ended.sent > 0)
        lost_share_ +=
            (static_cast<double>(ended.resent) / static_cast<double>(ended.sent) - lost_share_) /
            lost_share_windows;
    if (is_own_loss) {
        kind_ = kind::lossy;
        unlost_bytes_ = 0;
    } else if (ended.resent == 0)
        unlost_bytes_ += ended.sent;
    if (rate_ > 0 && unlost_bytes_ >= (kind_ == kind::lossy ? clean_again_bytes : clean_bytes))
        kind_ = kind::clean;
    const bool is_half_empty = rate_ == 0 ? !is_growing(rate) : rate < rate_ - rate_ / 8;
    unfilled_ = is_own_loss && is_half_empty ? unfilled_ + 1 : 0;
    most_seen_ = std::max(most_seen_, rate);
}

void regulator::decide(bool may_bbr)
{
    decided_.wants_bbr = may_bbr && kind_ != kind::clean;
    auto& connections = decided_.connections;
    if (may_bbr || kind_ == kind::clean)
        connections = opts_.connections;
    else if (kind_ == kind::unknown)
        connections = std::max(connections, opts_.first_connections);
    else if (unfilled_ > 0 && (connections < enough_mostly || unfilled_ % patience == 0))
        connections = std::min(connections + added, opts_.most_connections);
}

void regulator::cap(instant now)
{
    if (is_fast()) {
        decided_.most_bytes_per_s = 0; // not a modem's queue, but this machine's own limits
        return;
    }
    if (rate_ == 0) {
        decided_.most_bytes_per_s = std::max(part(most_seen_, opts_.first_gain), least_first_rate);
        return;
    }
    // A link that proved faster is asked again at once, and for more.
    const auto next_gain = std::exchange(is_faster_, false) ? probe_ + 1 : std::size_t{0};
    const bool is_due = next_gain > 0 || now >= probe_at_;
    probe_ = is_due ? std::min(next_gain, probe_gains.size() - 1) : no_probe;
    if (is_due) {
        probe_at_ = now + probe_every;
        ++decided_.probes;
    }
    // What is lost after it has used the link was carried too.
    const auto carried = part(rate_, 1 / (1 - std::min(lost_share_, most_lost_share)));
    decided_.most_bytes_per_s = part(carried, is_due ? probe_gains[probe_] : opts_.cap);
    constexpr auto queued = 250ms; // written and not sent: what an urgent record waits for
    const auto most = rate_ * static_cast<std::uint64_t>(queued.count()) / 1'000;
    decided_.notsent_lowat_bytes =
        std::clamp<std::uint64_t>(most / decided_.connections, 16u << 10, 128u << 10);
}

/// In proportion to what each has used, so that what one leaves others may take; one that used little
/// gets enough to show that it can use more.
void regulator::share_out(const window& ended, instant now)
{
    decided_.shares.clear();
    if (decided_.most_bytes_per_s == 0)
        return;
    const auto least = decided_.most_bytes_per_s / (4 * decided_.connections);
    std::map<std::uint64_t, std::uint64_t> used;
    std::uint64_t sum = 0;
    for (const auto& [connection, figures] : last_)
        if (figures.in_flight_bytes + figures.unsent_bytes > 0) {
            const auto found = ended.delivered_by.find(connection);
            const auto delivered = found == ended.delivered_by.end() ? 0 : found->second;
            sum += used[connection] = std::max(per_second(delivered, now - ended.began), least);
        }
    for (const auto& [connection, each] : used)
        decided_.shares[connection] =
            part(decided_.most_bytes_per_s, static_cast<double>(each) / static_cast<double>(sum));
}

} // namespace titip::link
