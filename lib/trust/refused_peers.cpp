#include "trust/refused_peers.hpp"

namespace titip::trust {

namespace {

bool is_within(instant then, instant now, milliseconds time) noexcept
{
    return then != instant::min() && now - then <= time;
}

} // namespace

std::string_view to_string(refused_for value) noexcept
{
    switch (value) {
    case refused_for::expired:
        return "expired";
    case refused_for::not_yet_valid:
        return "not-yet-valid";
    case refused_for::foreign:
        return "foreign";
    case refused_for::not_accepted:
        return "not-accepted";
    case refused_for::revoked:
        return "revoked";
    }
    return "unknown";
}

bool refused_peers::note(refused_for why, std::string who, std::string name, instant now)
{
    auto& [peers, overflowed] = kinds_[static_cast<std::size_t>(why)];
    if (const auto found = peers.find(who); found != peers.end()) {
        const bool is_news = !is_within(found->second.last, now, kept);
        found->second = {std::move(name), now};
        return is_news;
    }
    if (peers.size() >= most)
        std::erase_if(peers,
                      [now](const auto& each) { return !is_within(each.second.last, now, kept); });
    if (peers.size() >= most) {
        const bool is_news = !is_within(overflowed, now, kept);
        overflowed = now;
        return is_news;
    }
    peers.emplace(std::move(who), entry{std::move(name), now});
    return true;
}

void refused_peers::forget(std::string_view name)
{
    for (auto& each : kinds_)
        std::erase_if(each.peers, [name](const auto& peer) { return peer.second.name == name; });
}

refused_peers::count refused_peers::of(refused_for why, instant now) const
{
    const auto& [peers, overflowed] = kinds_[static_cast<std::size_t>(why)];
    count out{.is_at_least = is_within(overflowed, now, kept)};
    for (const auto& [who, each] : peers) {
        if (!is_within(each.last, now, kept))
            continue;
        ++out.peers;
        if (!each.name.empty() && out.names.size() < most_names)
            out.names.push_back(each.name);
    }
    return out;
}

} // namespace titip::trust
