#include "replay/distrust.hpp"

#include <algorithm>
#include <cassert>

namespace titip::replay {

using journal::place;

distrust::key distrust::key_of(const item& what)
{
    return {what.in, what.in == scope::receipts ? digest{} : what.certificate};
}

distrust::turn distrust::turn_of(const items::value_type& of) const
{
    return {of.second.goes_last, of.second.offered, of.first};
}

void distrust::enter(const item& what, const std::string& station)
{
    auto& into = groups_[key_of(what)];
    if (into.items++ == 0)
        into.station = station;
}

/// What it leaves behind is its group without it; a group without any is gone.
void distrust::quit(items::value_type& which)
{
    const auto found = groups_.find(key_of(which.second));
    auto& from = found->second;
    if (std::exchange(which.second.is_deferred, false))
        from.deferred.erase(turn_of(which));
    if (from.on_trial == which.first)
        from.on_trial.reset();
    if (--from.items > 0)
        return;
    doubted_ -= from.is_doubted ? 1 : 0;
    groups_.erase(found);
}

void distrust::leave(items::iterator which)
{
    quit(*which);
    items_.erase(which);
}

void distrust::move(items::value_type& which, scope to)
{
    const auto station = group_of(which.second).station;
    quit(which);
    which.second.in = to;
    which.second.was_refused = false;
    enter(which.second, station);
}

distrust::items::iterator distrust::join(const candidate& next)
{
    const auto [found, is_new] = items_.try_emplace(next.place);
    auto& what = found->second;
    const bool stays = !is_new && what.in != scope::certificate && group_of(what).is_doubted;
    if (!stays && (is_new || what.in != scope::certificate)) {
        if (!is_new)
            quit(*found);
        what = item{};
        what.certificate = next.certificate;
        enter(what, next.station);
    }
    if (!what.is_deferred)
        what.goes_last = next.goes_last;
    return found;
}

void distrust::defer(items::value_type& which)
{
    auto& into = group_of(which.second);
    which.second.is_deferred = true;
    into.deferred.insert(turn_of(which));
}

void distrust::begin_doubt(group& of, instant now)
{
    of.is_doubted = true;
    of.since = now;
    of.step = opts_.base;
    ++doubted_;
}

/// Odd records of a certificate that is doubted now join the others: it may be all that is wrong with them.
void distrust::gather_odd(const digest& certificate)
{
    const auto odd = groups_.find({scope::odd, certificate});
    if (odd == groups_.end() || !odd->second.is_doubted)
        return;
    std::vector<place> all;
    for (const auto& [goes_last, offered, at] : odd->second.deferred)
        all.push_back(at);
    const auto on_trial = odd->second.on_trial;
    if (on_trial)
        all.push_back(*on_trial);
    for (const auto at : all) {
        auto& each = *items_.find(at);
        move(each, scope::certificate);
        if (on_trial != at)
            defer(each);
    }
}

void distrust::wait_longer(group& of, instant now, double chance)
{
    const auto drawn = std::chrono::duration_cast<milliseconds>(of.step * chance);
    of.next_at = now + std::max(drawn, opts_.base);
    of.step = std::min(of.step * 2, opts_.cap);
}

void distrust::end_doubt(const key& which, std::vector<place>& freed)
{
    const auto found = groups_.find(which);
    if (found == groups_.end())
        return;
    auto& of = found->second;
    of.refused = 0;
    if (!std::exchange(of.is_doubted, false))
        return;
    --doubted_;
    of.on_trial.reset();
    for (const auto& [goes_last, offered, at] : of.deferred) {
        items_.at(at).is_deferred = false;
        freed.push_back(at);
    }
    of.deferred.clear();
}

bool distrust::may_offer(const candidate& next)
{
    const auto found = join(next);
    const auto& of = group_of(found->second);
    if (of.is_doubted && of.on_trial != next.place) {
        defer(*found);
        return false;
    }
    found->second.offered = ++ticks_;
    return true;
}

distrust::ruling distrust::on_refused(place at, fault why, std::string note, instant now,
                                      double chance)
{
    const auto found = items_.find(at);
    if (found == items_.end())
        return ruling::again; // held meanwhile, say: who knows where it is decides
    auto& what = found->second;
    auto* of = &group_of(what);
    const bool was_on_trial = of->on_trial == at;
    if (was_on_trial) {
        of->on_trial.reset();
        wait_longer(*of, now, chance);
    }
    if (what.goes_last) {
        leave(found);
        return ruling::set_aside;
    }
    of->why = why;
    of->note = std::move(note);
    if (!of->is_doubted) {
        const bool is_odd = std::exchange(what.was_refused, true);
        if (!is_odd && ++of->refused < opts_.in_a_row)
            return ruling::again;
        if (is_odd) {
            auto said = std::move(of->note);
            move(*found, scope::odd);
            of = &group_of(what);
            of->why = why;
            of->note = std::move(said);
        }
        if (!of->is_doubted) {
            begin_doubt(*of, now);
            wait_longer(*of, now, chance);
            if (what.in == scope::certificate)
                gather_odd(what.certificate);
        }
    }
    defer(*found);
    return ruling::deferred;
}

void distrust::on_receipt_not_believed(place at, std::string note, instant now, double chance)
{
    const auto [found, is_new] = items_.try_emplace(at);
    auto& what = found->second;
    if (is_new) {
        what.in = scope::receipts;
        enter(what, {});
    } else if (what.in != scope::receipts)
        move(*found, scope::receipts);
    auto& of = group_of(what);
    of.why = fault::receipt;
    of.note = std::move(note);
    const bool was_on_trial = of.on_trial == at;
    of.on_trial = was_on_trial ? std::nullopt : of.on_trial;
    if (!of.is_doubted)
        begin_doubt(of, now);
    else if (!was_on_trial && of.next_at > now) {
        defer(*found);
        return;
    }
    wait_longer(of, now, chance);
    defer(*found);
}

std::vector<place> distrust::on_accepted(place at)
{
    std::vector<place> freed;
    const auto found = items_.find(at);
    if (found == items_.end())
        return freed;
    const auto what = found->second;
    const key of_certificate{scope::certificate, what.certificate};
    end_doubt(of_certificate, freed);
    if (what.in != scope::certificate)
        end_doubt(key_of(what), freed);
    leave(found);
    std::erase(freed, at);
    return freed;
}

void distrust::on_gone(place at)
{
    if (const auto found = items_.find(at); found != items_.end())
        leave(found);
}

std::vector<place> distrust::due(instant now)
{
    std::vector<place> out;
    for (auto& [which, of] : groups_) {
        if (!of.is_doubted || of.on_trial || of.deferred.empty() || now < of.next_at)
            continue;
        const auto at = std::get<place>(*of.deferred.begin());
        of.deferred.erase(of.deferred.begin());
        items_.at(at).is_deferred = false;
        of.on_trial = at;
        out.push_back(at);
    }
    return out;
}

std::optional<instant> distrust::next_at() const
{
    std::optional<instant> out;
    for (const auto& [which, of] : groups_)
        if (of.is_doubted && !of.on_trial && !of.deferred.empty())
            out = std::min(out.value_or(of.next_at), of.next_at);
    return out;
}

void distrust::on_hint(instant now)
{
    for (auto& [which, of] : groups_)
        of.next_at = std::min(of.next_at, now);
}

distrust::doubt distrust::describe(const key& which, const group& of) const
{
    return {.of = which.first,
            .why = of.why,
            .note = of.note,
            .station = of.station,
            .certificate = which.second,
            .since = of.since,
            .next_at = of.next_at,
            .records = of.deferred.size() + (of.on_trial ? 1 : 0)};
}

std::vector<distrust::doubt> distrust::doubts() const
{
    std::vector<doubt> out;
    for (const auto& [which, of] : groups_)
        if (of.is_doubted)
            out.push_back(describe(which, of));
    return out;
}

std::optional<distrust::doubt> distrust::of(place at) const
{
    const auto found = items_.find(at);
    if (found == items_.end())
        return std::nullopt;
    const auto in = key_of(found->second);
    const auto& of = groups_.at(in);
    if (!found->second.is_deferred && of.on_trial != at)
        return std::nullopt;
    return describe(in, of);
}

void distrust::check() const
{
    std::map<key, std::size_t> counted;
    for (const auto& each : items_) {
        const auto& [at, what] = each;
        const auto& of = groups_.at(key_of(what));
        ++counted[key_of(what)];
        assert(what.is_deferred == of.deferred.contains(turn_of(each)));
        assert(!what.is_deferred || of.on_trial != at);
    }
    assert(counted.size() == groups_.size());
    std::size_t doubted = 0;
    for (const auto& [which, of] : groups_) {
        assert(of.items == counted.at(which));
        assert(of.deferred.size() + (of.on_trial ? 1 : 0) <= of.items);
        assert(of.is_doubted || (of.deferred.empty() && !of.on_trial));
        assert(of.is_doubted || of.refused < opts_.in_a_row);
        assert(!of.on_trial || items_.contains(*of.on_trial));
        assert(!of.is_doubted || (of.step >= opts_.base && of.step <= opts_.cap));
        doubted += of.is_doubted ? 1 : 0;
        const auto odd = groups_.find({scope::odd, which.second});
        assert(!of.is_doubted || which.first != scope::certificate || odd == groups_.end() ||
               !odd->second.is_doubted);
    }
    assert(doubted == doubted_);
}

std::string_view to_string(distrust::fault what) noexcept
{
    switch (what) {
    case distrust::fault::not_believed:
        return "not-believed";
    case distrust::fault::role:
        return "role";
    case distrust::fault::limit:
        return "limit";
    case distrust::fault::receipt:
        return "receipt";
    }
    return "unknown";
}

} // namespace titip::replay
