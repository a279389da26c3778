#include "replay/scheduler.hpp"

#include <algorithm>
#include <cassert>

namespace titip::replay {

void scheduler::make_waiting(journal::place at, const item& what)
{
    by_place_.emplace(at, what);
    by_lane_.emplace(what.lane, at);
}

void scheduler::add(journal::place at, envelope::lane lane, std::uint64_t size_bytes)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        flying->second.is_withdrawn = false;
    else if (const auto lost = unknown_.find(at); lost != unknown_.end())
        lost->second.is_withdrawn = false;
    else
        make_waiting(at, {.lane = lane, .size_bytes = size_bytes});
}

void scheduler::remove(journal::place at)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        flying->second.is_withdrawn = true;
    if (const auto lost = unknown_.find(at); lost != unknown_.end())
        lost->second.is_withdrawn = true;
    if (const auto found = by_place_.find(at); found != by_place_.end()) {
        by_lane_.erase({found->second.lane, at});
        by_place_.erase(found);
    }
}

std::optional<scheduler::pick> scheduler::next(connection on)
{
    if (by_place_.empty())
        return std::nullopt;
    std::size_t unanswered = 0;
    std::uint64_t unanswered_bytes = 0;
    for (const auto& [at, flying] : in_flight_)
        if (flying.on == on) {
            ++unanswered;
            unanswered_bytes += flying.what.size_bytes;
        }
    const bool takes_oldest = (picks_ + 1) % opts_.oldest_every == 0;
    const auto at = takes_oldest ? by_place_.begin()->first : by_lane_.begin()->second;
    const auto what = by_place_.at(at);
    if (unanswered >= opts_.most_unanswered ||
        (unanswered > 0 && unanswered_bytes + what.size_bytes > opts_.most_unanswered_bytes))
        return std::nullopt;
    ++picks_;
    by_lane_.erase({what.lane, at});
    by_place_.erase(at);
    in_flight_.emplace(at, sent{.what = what, .on = on});
    return pick{.place = at, .size_bytes = what.size_bytes, .offset = what.offset};
}

void scheduler::on_settled(journal::place at)
{
    in_flight_.erase(at);
    unknown_.erase(at);
    remove(at);
}

void scheduler::on_failed(journal::place at, bool again)
{
    auto taken = in_flight_.extract(at);
    if (taken.empty())
        taken = unknown_.extract(at);
    if (!again)
        remove(at);
    if (taken.empty() || !again || taken.mapped().is_withdrawn)
        return;
    auto what = taken.mapped().what;
    what.offset = 0; // an upload that was refused begins anew
    make_waiting(at, what);
}

void scheduler::on_position(journal::place at, std::uint64_t offset)
{
    const auto flying = in_flight_.extract(at);
    if (flying.empty() || flying.mapped().is_withdrawn)
        return;
    auto what = flying.mapped().what;
    what.offset = std::min(offset, what.size_bytes);
    make_waiting(at, what);
}

void scheduler::on_unknown(journal::place at)
{
    if (const auto flying = in_flight_.find(at); flying != in_flight_.end())
        unknown_.insert(in_flight_.extract(flying));
}

void scheduler::on_broken(connection on)
{
    for (auto each = in_flight_.begin(); each != in_flight_.end();)
        if (each->second.on == on)
            unknown_.insert(in_flight_.extract(each++));
        else
            ++each;
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
    if (const auto found = by_place_.find(at); found != by_place_.end()) {
        found->second.offset = offset;
        return;
    }
    const auto lost = unknown_.extract(at);
    if (lost.empty() || lost.mapped().is_withdrawn)
        return;
    auto what = lost.mapped().what;
    what.offset = offset;
    make_waiting(at, what);
}

} // namespace titip::replay
