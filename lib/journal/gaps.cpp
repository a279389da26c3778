#include "journal/gaps.hpp"

#include <algorithm>

namespace titip::journal {

std::vector<stretch> merged(std::vector<stretch> all)
{
    std::erase_if(all, [](const stretch& each) { return each.last < each.first; });
    std::ranges::sort(all, {}, &stretch::first);
    std::vector<stretch> out;
    for (const auto& each : all) {
        // The one before ends before this one begins, or it would be 0 and its number none.
        if (!out.empty() && (each.first == 0 || each.first - 1 <= out.back().last))
            out.back().last = std::max(out.back().last, each.last);
        else
            out.push_back(each);
    }
    return out;
}

void visit_rest(stretch hole, const std::vector<stretch>& kept,
                const std::function<bool(stretch)>& visit)
{
    auto each = std::ranges::lower_bound(kept, hole.first, {}, &stretch::last);
    auto next = hole.first;
    for (; each != kept.end() && each->first <= hole.last; ++each) {
        if (next < each->first && !visit({next, each->first - 1}))
            return;
        if (each->last >= hole.last)
            return;
        next = each->last + 1;
    }
    if (next <= hole.last)
        visit({next, hole.last});
}

} // namespace titip::journal
