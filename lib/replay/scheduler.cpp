#include "replay/scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

namespace titip::replay {

unsigned scheduler::rank_of(const item& what) const noexcept
{
    return what.goes_last ? std::numeric_limits<unsigned>::max()
                          : what.stalls / opts_.patience + what.refusals;
}

void scheduler::make_waiting(journal::place at, const item& what)
{
    if (!by_place_.emplace(at, what).second)
        return;
    by_lane_.emplace(rank_of(what), what.lane, at);
    by_age_.emplace(rank_of(what), at);
}

void scheduler::stop_waiting(journal::place at)
{
    deferred_.erase(at);
    const auto found = by_place_.find(at);
    if (found == by_place_.end())
        return;
    const auto& what = found->second;
    by_lane_.erase({rank_of(what), what.lane, at});
    by_age_.erase({rank_of(what), at});
    by_place_.erase(found);
}

bool scheduler::stall(item& what, bool is_answered) const
{
    if (what.stalls++ == 0)
        what.settled_before = settled_;
    return what.stalls >= opts_.patience && (is_answered || settled_ > what.settled_before);
}

void scheduler::move_to(item& what, std::uint64_t offset)
{
    offset = std::min(offset, what.size_bytes);
    if (offset > what.offset)
        what.stalls = 0;
    wasted_bytes_ += std::max(what.written, offset) - offset;
    what.offset = what.written = offset;
}

void scheduler::add(journal::place at, envelope::lane lane, std::uint64_t size_bytes,
                    bool goes_last)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        flying->second.is_withdrawn = false;
    else if (const auto lost = unknown_.find(at); lost != unknown_.end())
        lost->second.is_withdrawn = false;
    else if (!deferred_.contains(at)) {
        item what{.lane = lane, .size_bytes = size_bytes};
        what.goes_last = goes_last;
        make_waiting(at, what);
    }
}

void scheduler::remove(journal::place at)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        flying->second.is_withdrawn = true;
    if (const auto lost = unknown_.find(at); lost != unknown_.end())
        lost->second.is_withdrawn = true;
    stop_waiting(at);
}

bool scheduler::has_urgent() const noexcept
{
    if (by_lane_.empty())
        return false;
    const auto& [rank, lane, at] = *by_lane_.begin();
    return rank == 0 && lane == envelope::lane::urgent;
}

std::optional<scheduler::pick> scheduler::next(connection on, lanes of)
{
    if (by_place_.empty() || (of == lanes::urgent && !has_urgent()))
        return std::nullopt;
    std::size_t unanswered = 0;
    std::uint64_t unanswered_bytes = 0;
    for (const auto& [at, flying] : in_flight_)
        if (flying.on == on) {
            ++unanswered;
            unanswered_bytes += flying.what.size_bytes;
        }
    const bool takes_oldest = of == lanes::all && (picks_ + 1) % opts_.oldest_every == 0;
    const auto at = takes_oldest ? by_age_.begin()->second : std::get<2>(*by_lane_.begin());
    const auto what = by_place_.at(at);
    if (unanswered >= opts_.most_unanswered ||
        (unanswered > 0 && unanswered_bytes + what.size_bytes > opts_.most_unanswered_bytes))
        return std::nullopt;
    if (of == lanes::all)
        ++picks_;
    stop_waiting(at);
    in_flight_.emplace(at, sent{.what = what, .on = on});
    return pick{.place = at,
                .size_bytes = what.size_bytes,
                .offset = what.offset,
                .lane = what.lane,
                .goes_last = what.goes_last};
}

void scheduler::on_written(journal::place at, std::uint64_t up_to)
{
    if (const auto found = in_flight_.find(at); found != in_flight_.end())
        found->second.what.written = up_to;
}

void scheduler::on_unwanted(journal::place at)
{
    if (const auto found = in_flight_.find(at); found != in_flight_.end())
        wasted_bytes_ += found->second.what.written - found->second.what.offset;
}

void scheduler::on_settled(journal::place at)
{
    ++settled_;
    in_flight_.erase(at);
    unknown_.erase(at);
    stop_waiting(at);
}

void scheduler::on_failed(journal::place at, bool again)
{
    auto taken = in_flight_.extract(at);
    if (taken.empty())
        taken = unknown_.extract(at);
    if (!again) {
        stop_waiting(at);
        return;
    }
    if (taken.empty() || taken.mapped().is_withdrawn)
        return;
    auto what = taken.mapped().what;
    move_to(what, 0); // an upload that was refused begins anew
    make_waiting(at, what);
}

void scheduler::on_refused(journal::place at)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        ++flying->second.what.refusals;
    on_failed(at, true);
}

bool scheduler::defer(journal::place at)
{
    auto taken = in_flight_.extract(at);
    if (taken.empty())
        taken = unknown_.extract(at);
    if (taken.empty() || taken.mapped().is_withdrawn)
        return false;
    auto what = taken.mapped().what;
    if (what.written > what.offset)
        move_to(what, 0); // an upload that was refused begins anew
    deferred_.emplace(at, what);
    return true;
}

bool scheduler::recall(journal::place at)
{
    auto kept = deferred_.extract(at);
    if (kept.empty())
        return false;
    kept.mapped().refusals = 0; // its turn has come: it need not wait for all others again
    make_waiting(at, kept.mapped());
    return true;
}

std::uint64_t scheduler::size_of(journal::place at) const noexcept
{
    const auto found = in_flight_.find(at);
    return found == in_flight_.end() ? 0 : found->second.what.size_bytes;
}

bool scheduler::on_position(journal::place at, std::uint64_t offset)
{
    const auto flying = in_flight_.extract(at);
    if (flying.empty() || flying.mapped().is_withdrawn)
        return false;
    auto what = flying.mapped().what;
    const bool is_stuck = stall(what, true);
    move_to(what, offset);
    make_waiting(at, what);
    return is_stuck && what.stalls > 0;
}

bool scheduler::on_unknown(journal::place at)
{
    const auto flying = in_flight_.find(at);
    if (flying == in_flight_.end())
        return false;
    const bool is_stuck = stall(flying->second.what, true);
    unknown_.insert(in_flight_.extract(flying));
    return is_stuck;
}

bool scheduler::on_broken(connection on, std::optional<journal::place> hit)
{
    bool is_stuck = false;
    for (auto each = in_flight_.begin(); each != in_flight_.end();)
        if (each->second.on == on) {
            if (each->first == hit)
                is_stuck = stall(each->second.what, false);
            unknown_.insert(in_flight_.extract(each++));
        } else
            ++each;
    return is_stuck;
}

std::uint64_t scheduler::left_bytes(connection on) const noexcept
{
    std::uint64_t out = 0;
    for (const auto& [at, flying] : in_flight_)
        if (flying.on == on)
            out += flying.what.size_bytes - std::min(flying.what.size_bytes, flying.what.written);
    return out;
}

std::vector<journal::place> scheduler::unknown(std::size_t limit) const
{
    std::vector<journal::place> out;
    for (const auto& [at, lost] : unknown_) {
        if (out.size() == limit)
            break;
        out.push_back(at);
    }
    return out;
}

void scheduler::on_reconciled(journal::place at, std::uint64_t offset)
{
    if (const auto kept = deferred_.find(at); kept != deferred_.end()) {
        move_to(kept->second, offset);
        return;
    }
    item what;
    if (const auto found = by_place_.find(at); found != by_place_.end()) {
        what = found->second;
        stop_waiting(at);
    } else {
        const auto lost = unknown_.extract(at);
        if (lost.empty() || lost.mapped().is_withdrawn)
            return;
        what = lost.mapped().what;
    }
    move_to(what, offset);
    make_waiting(at, what);
}

} // namespace titip::replay
