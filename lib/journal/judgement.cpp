#include "journal/judgement.hpp"

#include <algorithm>

namespace titip::journal {

using envelope::verdict_kind;

namespace {

bool is_outcome(verdict_kind kind) noexcept
{
    return kind == verdict_kind::print_ready || kind == verdict_kind::duplicate ||
           kind == verdict_kind::enrollment_failure;
}

bool is_same(const judgement& a, const judgement& b) noexcept
{
    if (a.kind != b.kind)
        return false;
    if (a.number != 0 && b.number != 0 && a.epoch == b.epoch)
        return a.number == b.number;
    return a.at != wall_time{} && a.at == b.at; // told once more, under another numbering
}

} // namespace

bool exclude(verdict_kind a, verdict_kind b) noexcept
{
    if (a == b)
        return false;
    return a == verdict_kind::open_failed || b == verdict_kind::open_failed ||
           (is_outcome(a) && is_outcome(b));
}

bool needs_person(verdict_kind kind) noexcept
{
    switch (kind) {
    case verdict_kind::duplicate:
    case verdict_kind::enrollment_failure:
    case verdict_kind::open_failed:
        return true;
    case verdict_kind::opened:
    case verdict_kind::print_ready:
        break;
    }
    return false;
}

bool add_judgement(std::vector<judgement>& all, const judgement& said, bool is_news)
{
    if (std::ranges::any_of(all, [&said](const auto& each) { return is_same(each, said); }))
        return false;
    // Of a version that kept no numbers, and each kind once.
    const auto bare = std::ranges::find_if(all, [&said](const auto& each) {
        return each.kind == said.kind && each.number == 0 && each.at == wall_time{};
    });
    if (bare != all.end() && !is_news) {
        *bare = said;
        return false;
    }
    const auto is_later = [&said](const judgement& each) {
        return said.number != 0 && each.number != 0 && each.epoch == said.epoch &&
               each.number > said.number;
    };
    all.insert(std::ranges::find_if(all, is_later), said);
    if (all.size() > most_judgements)
        all.erase(all.begin());
    return true;
}

std::vector<verdict_kind> standing(const std::vector<judgement>& all)
{
    std::vector<verdict_kind> out; // the latest first: what is overruled overrules nothing
    for (auto each = all.rbegin(); each != all.rend(); ++each) {
        const auto settles = [&each](verdict_kind later) {
            return later == each->kind || exclude(later, each->kind);
        };
        if (std::ranges::none_of(out, settles))
            out.push_back(each->kind);
    }
    std::ranges::reverse(out);
    return out;
}

std::optional<verdict_kind> person_needed(const std::vector<verdict_kind>& held) noexcept
{
    const auto found = std::ranges::find_if(held, needs_person);
    return found == held.end() ? std::nullopt : std::optional{*found};
}

} // namespace titip::journal
