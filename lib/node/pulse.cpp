#include "node/pulse.hpp"

#include <algorithm>
#include <cassert>

namespace titip::node {

bool pulse::is_at_disk(const sight& of) noexcept
{
    switch (of.at) {
    case whereabouts::disk:
        return true;
    case whereabouts::call:
    case whereabouts::unknown:
        return of.says == activity::kind::disk;
    case whereabouts::runs:
    case whereabouts::lock:
        return false;
    }
    return false;
}

pulse::decision pulse::on_look(instant now, phase in, const std::array<sight, watched>& seen)
{
    assert(!last_ || now >= *last_); // the monotonic clock, one caller
    const auto since = last_ ? std::chrono::duration_cast<milliseconds>(now - *last_) : 0ms;
    const auto passed = std::min(since, 2 * opts_.step);
    last_ = now;
    if (in == phase::stopping && !stopping_since_)
        stopping_since_ = now;
    decision out{.feeds = true};
    bool is_one_at_disk = false;
    for (std::size_t i = 0; i < watched; ++i) {
        auto& it = threads_[i];
        const auto at_disk = is_at_disk(seen[i]);
        is_one_at_disk |= at_disk;
        const auto computed = std::max(seen[i].cpu - it.cpu, 0ms);
        it.cpu = seen[i].cpu;
        if (it.rounds != seen[i].rounds || !seen[i].is_asked)
            it = {.rounds = seen[i].rounds, .cpu = it.cpu};
        else if (!at_disk)
            it.own += seen[i].at == whereabouts::runs ? std::min(computed, passed) : passed;
        if (it.own < opts_.patience)
            continue;
        out.feeds = false;
        if (!it.is_told)
            out.hangs = static_cast<who>(i);
        it.is_told = true;
    }
    switch (in) {
    case phase::starting:
        out.extends = out.feeds;
        break;
    case phase::running:
        break;
    case phase::stopping:
        out.extends = is_one_at_disk && now - *stopping_since_ < opts_.most_stopping;
        break;
    }
    check();
    return out;
}

void pulse::check() const
{
    for (const auto& each : threads_) {
        assert(each.own >= 0ms);
        assert(!each.is_told || each.own >= opts_.patience);
    }
    assert(!stopping_since_ || last_ >= stopping_since_);
}

} // namespace titip::node
