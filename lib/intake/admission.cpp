#include "intake/admission.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace titip::intake {

namespace {

using fractional = std::chrono::duration<double>;

/// Less than this in `stall` is standing still: a link of 2,400 bit/s brings as much.
constexpr std::size_t piece_bytes = 4u << 10;

/// Each turn that ends counts this much in their mean length.
constexpr double weight_of_newest = 1.0 / 16;

/// Before anything was measured.
constexpr double usual_turn_s = 5.0;
constexpr double usual_connection_s = 60.0;

/// Who came within about this time counts for the spread.
constexpr fractional contacts_fade = 1min;

/// A sender draws its own wait on top of what it was told: so long its turn is kept for it.
constexpr auto promise_grace = 1min;

constexpr std::chrono::seconds most_spread = 1h; ///< a sender takes no more

double in_s(instant::duration of)
{
    return fractional{of}.count();
}

instant::duration from_s(double s)
{
    return std::chrono::duration_cast<instant::duration>(fractional{s});
}

} // namespace

void admission::line::take(instant now)
{
    ++taken;
    since_sum_s += in_s(now - zero);
}

void admission::line::give_back(instant since, instant until)
{
    assert(taken > 0);
    since_sum_s = --taken == 0 ? 0.0 : since_sum_s - in_s(since - zero);
    mean_hold_s += (std::min(most_hold_s, in_s(until - since)) - mean_hold_s) * weight_of_newest;
}

double admission::line::wait_s(instant now, std::size_t ahead) const
{
    if (taken == 0)
        return 0.0;
    // Where nothing ends any more, the mean of what has ended is of another time.
    const auto places = static_cast<double>(taken);
    const double mean_age_s = in_s(now - zero) - since_sum_s / places;
    const double hold_s = std::max(mean_hold_s, std::min(most_hold_s, mean_age_s));
    return hold_s * static_cast<double>(ahead + 1) / places;
}

admission::admission(instant started, options opts)
    : opts_(opts), started_(started), connections_{.of = &station::connection_promise,
                                                   .mean_hold_s = usual_connection_s,
                                                   .most_hold_s = in_s(24h),
                                                   .zero = started},
      turns_{.of = &station::body_promise,
             .mean_hold_s = usual_turn_s,
             .most_hold_s = in_s(opts.turn_time),
             .zero = started},
      contacts_at_(started)
{
    assert(opts_.most_connections > 0 && opts_.most_bodies > 0 && opts_.memory_bytes > 0);
}

admission::entrance admission::on_connect(instant now, const std::string& name, double chance)
{
    drop_past(connections_, now);
    const auto who = stations_.try_emplace(name).first;
    auto& mine = who->second;
    if (mine.connections == 0) {
        contacts_ = contacts_ * std::exp(-(fractional{now - contacts_at_} / contacts_fade)) + 1;
        contacts_at_ = now;
        mine.idle_since = now;
    }
    entrance out;
    if (mine.connections >= opts_.most_per_station) {
        out.displaced = displacement{.station = name, .told = {}};
    } else if (connections_.taken >= opts_.most_connections) {
        out.displaced = displace_connection(now, who, chance);
        if (!out.displaced) {
            out.refused = refuse(connections_, who, now, connections_.promised.size(), chance);
            return out;
        }
    }
    if (mine.connection_promise)
        connections_.promised.erase({*std::exchange(mine.connection_promise, {}), name});
    ++mine.connections;
    connections_.take(now);
    return out;
}

std::optional<admission::displacement>
admission::displace_connection(instant now, stations::iterator newcomer, double chance)
{
    const auto most = std::ranges::max_element(
        stations_, {}, [](const auto& each) { return each.second.connections; });
    if (most->second.connections >= newcomer->second.connections + 2)
        return displacement{.station = most->first, .told = {}};
    const auto& mine = newcomer->second;
    if (mine.connection_promise && *mine.connection_promise <= now) {
        const auto oldest = [&](stations::iterator a, stations::iterator b) {
            return a->second.turn_began < b->second.turn_began;
        };
        std::vector<stations::iterator> more;
        for (auto each = stations_.begin(); each != stations_.end(); ++each)
            if (each->second.connections > mine.connections)
                more.push_back(each);
        if (!more.empty()) {
            const auto whose = *std::ranges::min_element(more, oldest);
            return displacement{
                .station = whose->first,
                .told = refuse(connections_, whose, now, connections_.promised.size(), chance)};
        }
    }
    auto idlest = stations_.end();
    for (auto each = stations_.begin(); each != stations_.end(); ++each) {
        const auto& it = each->second;
        const bool is_idle = it.connections > 0 && it.bodies + it.waiting == 0 &&
                             now - it.idle_since >= opts_.least_idle;
        if (is_idle && each != newcomer &&
            (idlest == stations_.end() || it.idle_since < idlest->second.idle_since))
            idlest = each;
    }
    if (idlest == stations_.end())
        return std::nullopt;
    idlest->second.idle_since = now; // one is enough of it
    return displacement{
        .station = idlest->first,
        .told = refuse(connections_, idlest, now, connections_.promised.size(), chance)};
}

void admission::on_disconnect(instant now, const std::string& name, instant since)
{
    const auto who = stations_.find(name);
    assert(who != stations_.end() && who->second.connections > 0);
    --who->second.connections;
    connections_.give_back(since, now);
    forget_if_idle(who);
}

std::chrono::seconds admission::spread(instant now) const
{
    const double lately = contacts_ * std::exp(-(fractional{now - contacts_at_} / contacts_fade));
    const auto places = static_cast<double>(opts_.most_bodies);
    const double each_s = std::max(in_s(opts_.contact_cost), turns_.mean_hold_s / places);
    auto out = std::chrono::floor<std::chrono::seconds>(fractional{lately * each_s});
    if (now - started_ < opts_.first_spread)
        out = std::max(out, opts_.first_spread);
    return std::min(out, most_spread);
}

admission::ticket admission::on_body(instant now, const std::string& name)
{
    drop_past(turns_, now);
    const auto who = stations_.try_emplace(name).first;
    auto& theirs = who->second;
    if (theirs.is_in_turn && is_turn_idle(now, theirs)) {
        end_turn(who, theirs.idle_since);
    } else if (theirs.is_in_turn && is_turn_over(now, theirs)) {
        end_turn(who, now);
        theirs.is_over_share = true;
    }
    const ticket mine{++last_ticket_};
    const auto made = bodies_.emplace(mine, body{.of = who, .since = now}).first;
    waiting_.emplace_hint(waiting_.end(), mine, &made->second);
    ++theirs.waiting;
    if (!theirs.is_in_turn && !theirs.wants_since)
        theirs.wants_since = now;
    call_next(now);
    std::erase(called_, mine); // who asked looks anyway
    return mine;
}

admission::view admission::look(ticket mine, instant now, double chance)
{
    call_next(now);
    std::erase(called_, mine);
    const auto found = bodies_.find(mine);
    assert(found != bodies_.end());
    auto& it = found->second;
    const auto who = it.of;
    if (it.is_in)
        return {.is_in = true, .refused = {}, .displaced = {}};
    const auto soon = now + 1s;
    if (who->second.is_in_turn)
        return {.refused = {}, .displaced = displace_body(now), .look_again = soon};

    const auto is_before = [&](const auto& each) {
        const auto& other = each.second->of->second;
        return !other.is_in_turn && *other.wants_since < *who->second.wants_since;
    };
    const auto ahead = static_cast<std::size_t>(std::ranges::count_if(waiting_, is_before));
    const bool has_been_told = who->second.body_promise.has_value();
    const auto limit = it.since + opts_.patience;
    const auto behind = ahead + (has_been_told ? 0 : turns_.promised.size());
    const bool is_hopeless =
        ahead >= opts_.most_bodies || turns_.wait_s(now, behind) > in_s(opts_.patience);
    if (now < limit && !(is_hopeless && it.since == now))
        return {.refused = {},
                .displaced = displace_body(now),
                .look_again = std::min<instant>(limit, soon)};
    const auto why = refuse(turns_, who, now, has_been_told ? ahead : behind, chance);
    waiting_.erase(mine);
    --who->second.waiting;
    bodies_.erase(found);
    return {.refused = why, .displaced = {}};
}

void admission::on_bytes(ticket mine, instant now, std::size_t bytes)
{
    auto& it = bodies_.at(mine);
    assert(it.is_in);
    it.of->second.turn_bytes += bytes;
    it.memory_bytes += bytes;
    memory_bytes_ += bytes;
    it.piece_bytes += bytes;
    if (it.piece_bytes < piece_bytes)
        return;
    it.moved = now;
    it.piece_bytes = 0;
}

void admission::on_whole(ticket mine)
{
    bodies_.at(mine).is_whole = true;
}

void admission::on_kept(ticket mine, instant now)
{
    memory_bytes_ -= std::exchange(bodies_.at(mine).memory_bytes, 0);
    call_next(now);
}

bool admission::is_to_be_kept(ticket mine) const
{
    return is_memory_short() && bodies_.at(mine).memory_bytes >=
                                    opts_.memory_bytes / std::max<std::size_t>(1, bodies_in_);
}

void admission::on_end(ticket mine, instant now)
{
    const auto found = bodies_.find(mine);
    assert(found != bodies_.end());
    const auto it = found->second;
    auto& theirs = it.of->second;
    waiting_.erase(mine);
    std::erase(called_, mine);
    bodies_.erase(found);
    if (it.is_in) {
        --bodies_in_;
        --theirs.bodies;
        memory_bytes_ -= it.memory_bytes;
        displaced_ -= it.is_displaced ? 1 : 0;
    } else {
        --theirs.waiting;
    }
    if (theirs.waiting == 0 && !theirs.body_promise)
        theirs.wants_since.reset();
    if (theirs.bodies + theirs.waiting == 0)
        theirs.idle_since = now;
    forget_if_idle(it.of);
    call_next(now);
}

void admission::call_next(instant now)
{
    give_turns(now);
    while (bodies_in_ < opts_.most_bodies && !is_memory_short()) {
        auto next = waiting_.end();
        for (auto each = waiting_.begin(); each != waiting_.end(); ++each) {
            const auto& theirs = each->second->of->second;
            if (theirs.is_in_turn &&
                (next == waiting_.end() || theirs.bodies < next->second->of->second.bodies))
                next = each;
        }
        if (next == waiting_.end())
            return;
        auto& it = *next->second;
        --it.of->second.waiting;
        ++it.of->second.bodies;
        ++bodies_in_;
        it.is_in = true;
        it.moved = now;
        called_.push_back(next->first);
        waiting_.erase(next);
    }
}

void admission::give_turns(instant now)
{
    const auto wants = [](const auto& each) { return !each.second->of->second.is_in_turn; };
    if (std::ranges::none_of(waiting_, wants))
        return;
    if (turns_.taken >= opts_.most_bodies)
        end_idle_turns(now);
    while (turns_.taken < opts_.most_bodies) {
        auto next = stations_.end();
        for (const auto& [_, each] : waiting_)
            if (!each->of->second.is_in_turn &&
                (next == stations_.end() ||
                 *each->of->second.wants_since < *next->second.wants_since))
                next = each->of;
        if (next == stations_.end())
            return;
        auto& theirs = next->second;
        if (theirs.body_promise)
            turns_.promised.erase({*std::exchange(theirs.body_promise, {}), next->first});
        theirs.wants_since.reset();
        theirs.is_over_share = false;
        theirs.is_in_turn = true;
        theirs.turn_began = now;
        theirs.turn_bytes = 0;
        in_turn_.push_back(next);
        turns_.take(now);
    }
}

void admission::end_idle_turns(instant now)
{
    const auto all = in_turn_;
    for (const auto each : all)
        if (is_turn_idle(now, each->second)) {
            end_turn(each, each->second.idle_since);
            forget_if_idle(each);
        }
}

void admission::end_turn(stations::iterator whose, instant at)
{
    auto& theirs = whose->second;
    std::erase(in_turn_, whose);
    theirs.is_in_turn = false;
    if (theirs.waiting > 0) // they want a turn like any other's from now on
        theirs.wants_since = at;
    turns_.give_back(theirs.turn_began, at);
}

bool admission::is_turn_idle(instant now, const station& whose) const
{
    return whose.bodies + whose.waiting == 0 && now - whose.idle_since >= opts_.turn_idle;
}

bool admission::is_turn_over(instant now, const station& whose) const
{
    const auto wants = [](const auto& each) { return !each.second->of->second.is_in_turn; };
    const bool has_had_it =
        whose.turn_bytes >= opts_.turn_bytes || now - whose.turn_began >= opts_.turn_time;
    return has_had_it && turns_.taken >= opts_.most_bodies &&
           (!turns_.promised.empty() || std::ranges::any_of(waiting_, wants));
}

std::optional<admission::ticket> admission::displace_body(instant now)
{
    if (displaced_ >= waiting_.size())
        return std::nullopt; // for each who waits one is on its way out
    auto worst = bodies_.end();
    for (auto each = bodies_.begin(); each != bodies_.end(); ++each) {
        const auto& it = each->second;
        if (!it.is_in || it.is_whole || it.is_displaced || now - it.moved < opts_.stall)
            continue;
        const auto is_worse = [&it](const body& than) {
            const auto mine = it.of->second.bodies;
            const auto theirs = than.of->second.bodies;
            return mine != theirs ? mine > theirs : it.moved < than.moved;
        };
        if (worst == bodies_.end() || is_worse(worst->second))
            worst = each;
    }
    if (worst == bodies_.end())
        return std::nullopt;
    worst->second.is_displaced = true;
    ++displaced_;
    return worst->first;
}

admission::refusal admission::refuse(line& at, stations::iterator who, instant now,
                                     std::size_t ahead, double chance)
{
    auto& promise = who->second.*at.of;
    if (promise && *promise <= now)
        at.promised.erase({*std::exchange(promise, {}), who->first});
    if (!promise) {
        const double jitter = 1.0 + chance / 2;
        const double most_s = in_s(opts_.longest_pause) / 1.5;
        const double wait_s = std::min(most_s, at.wait_s(now, ahead));
        promise = now + from_s(std::max(in_s(opts_.shortest_pause), wait_s * jitter));
        at.promised.emplace(*promise, who->first);
    }
    const auto left = std::chrono::ceil<std::chrono::seconds>(*promise - now);
    return {.is_over_share = &at == &turns_ && who->second.is_over_share,
            .retry_after = std::max(left, std::chrono::seconds{1})};
}

void admission::drop_past(line& at, instant now)
{
    while (!at.promised.empty() && at.promised.begin()->first + promise_grace <= now) {
        const auto who = stations_.find(at.promised.begin()->second);
        at.promised.erase(at.promised.begin());
        assert(who != stations_.end());
        (who->second.*at.of).reset();
        if (who->second.waiting == 0 && !who->second.body_promise)
            who->second.wants_since.reset();
        forget_if_idle(who);
    }
}

void admission::forget_if_idle(stations::iterator who)
{
    const auto& it = who->second;
    if (it.connections + it.bodies + it.waiting == 0 && !it.is_in_turn && !it.body_promise &&
        !it.connection_promise)
        stations_.erase(who);
}

} // namespace titip::intake
