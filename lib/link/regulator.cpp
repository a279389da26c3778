#include "link/regulator.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace titip::link {

namespace {

using std::chrono::microseconds;

constexpr std::uint64_t segment_bytes = 1'448; ///< of Ethernet's 1,500, with timestamps
constexpr milliseconds shortest_window = 250ms;
constexpr milliseconds longest_window = 4s;
constexpr milliseconds longest_gap = 1s;
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
/// So many windows after a queue stood what is sent again may still be what overflowed then; after a
/// cut several connections begin again, and overflow it once more.
constexpr unsigned overflow_echo = 3;
constexpr unsigned cut_echo = 8;
/// At 1 % of loss one link in fifty would pass for clean.
constexpr std::uint64_t clean_bytes = 400 * segment_bytes;
constexpr std::uint64_t clean_again_bytes = 2'000 * segment_bytes;
/// Connections beyond these are added slowly: each brings less, and takes a handshake.
constexpr unsigned enough_mostly = 8;
constexpr unsigned added = 4;
constexpr unsigned patience = 3;
constexpr unsigned soon = 2; ///< one such window may be a loss that TCP is getting over
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

regulator::regulator(const options& opts) : opts_(opts)
{
    opts_.first_connections = std::min(opts_.first_connections, opts_.most_connections);
    opts_.connections = std::min(opts_.connections, opts_.most_connections);
    decided_.connections = decided_.connections_at_end = opts_.connections;
}

const regulator::decision& regulator::on_samples(instant now, std::span<const sample> all,
                                                 bool may_bbr)
{
    if (now - std::exchange(looked_at_, now) > longest_gap) { // there was nothing to send
        now_ = window{.began = now};
        last_.clear();
    }
    if (!may_bbr && kind_ == kind::unknown && rate_ == 0)
        decided_.connections = std::max(decided_.connections, opts_.first_connections);
    add(all);
    if (now - now_.began >= length())
        close(now, may_bbr);
    return decided_;
}

instant::duration regulator::length() const
{
    if (shortest_ == microseconds::max())
        return 1s;
    const auto usual = rate_ > 0 ? 2 * shortest_ : shortest_;
    const auto segments = rate_ > 0 ? window_segments : window_segments / 2;
    const auto wanted =
        std::max(usual, time_for(segments * segment_bytes, rate_ > 0 ? rate_ : most_seen_));
    return std::clamp<instant::duration>(wanted, shortest_window, longest_window);
}

void regulator::add(std::span<const sample> all)
{
    std::map<std::uint64_t, sample> seen;
    bool is_busy = false;
    auto queueing = microseconds::max();
    now_.newest_rate = 0;
    longest_ = microseconds{};
    for (const auto& each : all) {
        const auto& [connection, figures, left] = each;
        seen.emplace(connection, each);
        if (figures.shortest_round_trip > 0us)
            shortest_ = std::min(shortest_, figures.shortest_round_trip);
        if (figures.in_flight_bytes + figures.unsent_bytes > 0) {
            is_busy = true;
            longest_ = std::max(longest_, figures.round_trip);
            now_.newest_rate += figures.delivery_bytes_per_s;
            const auto excess = figures.round_trip - std::min(shortest_, figures.round_trip);
            standing_ = std::min(standing_, excess);
            queueing = std::min(queueing, excess - standing_);
            now_.most_queueing = std::max(now_.most_queueing, excess - standing_);
        }
        const auto before = last_.find(connection);
        if (before == last_.end())
            continue; // what it carried before we looked lies in no window
        // Counted in segments, and those may become smaller.
        const auto& then = before->second.seen;
        const auto delivered =
            figures.delivered_bytes - std::min(then.delivered_bytes, figures.delivered_bytes);
        now_.delivered += delivered;
        now_.delivered_by[connection] += delivered;
        now_.sent += figures.sent_bytes - then.sent_bytes;
        now_.resent += figures.resent_bytes - then.resent_bytes;
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
    const bool is_cut = rate < (rate_ > 0 ? rate_ : most_seen_) / 8;
    cuts_ = is_cut && rate > 0 ? cuts_ + 1 : 0;
    decided_.patient.clear();
    if (cuts_ >= most_cuts) { // no cut: another link
        cuts_ = 0;
        rate_ = most_seen_ = 0;
        full_rates_.clear();
    } else if (is_cut) {
        unsigned scouts = 0;
        for (const auto& [connection, each] : last_)
            if (each.seen.in_flight_bytes > 0 && ++scouts > opts_.connections)
                decided_.patient.insert(connection);
        kind_ = kind::unknown;
        echo_ = cut_echo;
        unfilled_ = 0;
        unlost_bytes_ = 0;
        decided_.wants_bbr = may_bbr;
        return;
    }
    const bool is_full = ended.queueing >= least_queueing(shortest_, rate);
    if (is_full && rate_ == 0)
        rate = std::max(rate, ended.newest_rate); // in this window it only grew to what it is
    echo_ = std::max(echo_ - std::min(echo_, 1u), is_full ? overflow_echo + 1 : 0);
    // One that passes by itself, as after a beginning, is ours.
    const bool stays =
        ended.queueing + ended.queueing / 32 >= std::exchange(last_queueing_, ended.queueing);
    full_ = is_full && stays ? full_ + 1 : 0;
    learn(rate, is_full);
    classify(ended, rate, is_full);
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

void regulator::classify(const window& ended, std::uint64_t rate, bool is_full)
{
    // What is lost now the link loses: no queue stood, for however short a time.
    const bool is_quiet = echo_ == 0 && ended.most_queueing < least_queueing(shortest_, rate);
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
    const bool is_half_empty = rate_ == 0 ? !is_growing(rate) : rate < rate_ - rate_ / 10;
    unfilled_ = kind_ == kind::lossy && !is_full && is_half_empty ? unfilled_ + 1 : 0;
    most_seen_ = std::max(most_seen_, rate);
}

void regulator::decide(bool may_bbr)
{
    decided_.wants_bbr = may_bbr && kind_ != kind::clean;
    auto& connections = decided_.connections;
    if (may_bbr || kind_ == kind::clean)
        connections = opts_.connections;
    else if (kind_ == kind::lossy && unfilled_ > 0 &&
             unfilled_ % patience == (connections < enough_mostly || rate_ == 0 ? soon : 0))
        connections = std::max(connections, std::min(connections + added, most_connections()));
    decided_.connections_at_end =
        is_each_slow() ? std::max(connections, most_connections()) : connections;
}

/// As many as the link holds windows for: one of less than four segments does not learn of a loss without
/// waiting (RFC 5681, section 3.2). Where more is lost they are smaller anyway, by the square root
/// (Mathis et al., 1997; a little less, as measured).
unsigned regulator::most_connections() const noexcept
{
    if (rate_ == 0)
        return opts_.most_connections;
    const auto segments = std::clamp(0.9 / std::sqrt(std::max(lost_share_, 1e-3)), 2.0, 4.0);
    const auto held = static_cast<double>(rate_) *
                      std::chrono::duration<double>(shortest_).count() /
                      static_cast<double>(segment_bytes);
    return std::clamp(static_cast<unsigned>(held / segments), opts_.first_connections,
                      opts_.most_connections);
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

/// Evenly, or at the end by what is left, where one connection gets a small part of the link alone; and
/// what one leaves unused goes to those who can use it. It may still take its fair share at any
/// time: until the next window that is more than the whole, for a connection that recovers must not
/// be held back. In proportion to what each has used the one that began last would stay the slowest.
void regulator::share_out(const window& ended, instant now)
{
    const auto before = std::exchange(decided_.shares, {});
    const auto whole = decided_.most_bytes_per_s;
    if (whole == 0)
        return;
    struct claim {
        std::uint64_t connection = 0;
        double wanted = 0;
        double weight = 1;
    };
    std::vector<claim> claims;
    double heaviest = 1;
    for (const auto& [connection, each] : last_) {
        const auto pending = each.seen.in_flight_bytes + each.seen.unsent_bytes;
        if (pending == 0)
            continue;
        const auto found = ended.delivered_by.find(connection);
        const auto delivered = found == ended.delivered_by.end() ? 0 : found->second;
        const auto used = per_second(delivered, now - ended.began);
        const auto held = before.find(connection);
        const bool is_held_back = held == before.end() || used >= held->second - held->second / 8;
        const auto wanted = is_held_back ? whole : used + used / 4;
        claims.push_back({.connection = connection,
                          .wanted = static_cast<double>(wanted),
                          .weight = is_each_slow() && each.left_bytes
                                        ? static_cast<double>(pending + *each.left_bytes)
                                        : 1});
        heaviest = std::max(heaviest, claims.back().weight);
    }
    for (auto& each : claims) // beside a large record a small one must not stand still
        each.weight = std::max(each.weight, heaviest / 4);
    std::ranges::sort(claims, {}, [](const claim& each) { return each.wanted / each.weight; });
    auto left = static_cast<double>(whole);
    double weights = 0;
    for (const auto& each : claims)
        weights += each.weight;
    const auto all_weights = weights;
    for (const auto& each : claims) {
        const auto share = std::min(each.wanted, left * each.weight / weights);
        const auto fair = static_cast<double>(whole) * each.weight / all_weights;
        decided_.shares[each.connection] = static_cast<std::uint64_t>(std::max(share, fair));
        left -= share;
        weights -= each.weight;
    }
    for (auto& [connection, share] : decided_.shares) // what nobody wants now
        share += static_cast<std::uint64_t>(left) / decided_.shares.size();
}

} // namespace titip::link
