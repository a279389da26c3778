#include "replay/refusal.hpp"

namespace titip::replay {

ruling rule_on(refusal what, std::uint32_t failures, bool is_intact) noexcept
{
    constexpr std::uint32_t most_failures = 2;
    switch (what) {
    case refusal::too_large:
        return {.reason = journal::reason::too_large};
    case refusal::conflict:
        return {.reason = journal::reason::conflict};
    case refusal::not_ours:
        return {.reason = journal::reason::not_ours};
    case refusal::revoked:
        return {.reason = journal::reason::revoked};
    case refusal::stalled:
        if (failures < most_failures)
            return {.again = true};
        return {.reason = journal::reason::refused};
    case refusal::defect:
    case refusal::mismatch:
        if (!is_intact)
            return {.reason = journal::reason::rotten};
        if (failures < most_failures)
            return {.again = true};
        return {.reason =
                    what == refusal::defect ? journal::reason::refused : journal::reason::mismatch};
    }
    return {.again = true};
}

} // namespace titip::replay
