#include "accept/rights.hpp"

#include <algorithm>

namespace titip::accept {

namespace {

/// Goes back to the last '*' only, so that no pattern takes longer than its length times the name's.
bool matches(std::string_view pattern, std::string_view name) noexcept
{
    std::size_t p = 0, n = 0;
    std::size_t star = pattern.npos, resumed = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            resumed = n;
        } else if (p < pattern.size() && pattern[p] == name[n]) {
            ++p;
            ++n;
        } else if (star != pattern.npos) {
            p = star + 1;
            n = ++resumed;
        } else
            return false;
    }
    return pattern.find_first_not_of('*', p) == pattern.npos;
}

} // namespace

bool rights::may_offer(const trust::peer& from, std::string_view station) const
{
    if (from.role == trust::role::station)
        return from.name == station;
    if (from.role != trust::role::relay)
        return false;
    if (!relays_)
        return true;
    const auto found = relays_->find(from.name);
    return found != relays_->end() &&
           std::ranges::any_of(found->second, [station](const std::string& each) {
               return matches(each, station);
           });
}

bool rights::is_known(const trust::peer& from) const
{
    return from.role != trust::role::relay || !relays_ || relays_->contains(from.name);
}

bool rights::is_pattern(std::string_view text) noexcept
{
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '*';
    });
}

} // namespace titip::accept
