#include "replay/refusal.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::replay;
using journal::reason;

TEST_CASE("what a refusal of one record leads to", "[replay]")
{
    struct row {
        refusal what;
        std::uint32_t failures;
        bool is_intact;
        bool again;
        reason why;
    };
    const row table[]{
        {refusal::defect, 1, true, true, reason::none},
        {refusal::defect, 2, true, false, reason::refused},
        {refusal::defect, 3, true, false, reason::refused},
        {refusal::defect, 1, false, false, reason::rotten},
        {refusal::defect, 2, false, false, reason::rotten},
        {refusal::mismatch, 1, true, true, reason::none},
        {refusal::mismatch, 2, true, false, reason::mismatch},
        {refusal::mismatch, 9, true, false, reason::mismatch},
        {refusal::mismatch, 1, false, false, reason::rotten},
        {refusal::mismatch, 2, false, false, reason::rotten},
        {refusal::too_large, 1, true, false, reason::too_large},
        {refusal::too_large, 2, false, false, reason::too_large},
        {refusal::conflict, 1, true, false, reason::conflict},
        {refusal::conflict, 2, false, false, reason::conflict},
        {refusal::not_ours, 1, true, false, reason::not_ours},
        {refusal::not_ours, 2, false, false, reason::not_ours},
        {refusal::revoked, 1, true, false, reason::revoked},
        {refusal::revoked, 2, false, false, reason::revoked},
        {refusal::stalled, 1, true, true, reason::none},
        {refusal::stalled, 2, true, false, reason::refused},
    };
    for (const auto& each : table) {
        CAPTURE(static_cast<int>(each.what), each.failures, each.is_intact);
        const auto ruled = rule_on(each.what, each.failures, each.is_intact);
        CHECK(ruled.again == each.again);
        CHECK(ruled.reason == each.why);
    }
}

TEST_CASE("the copy here is read only where it decides", "[replay]")
{
    for (const auto each :
         {refusal::defect, refusal::mismatch, refusal::too_large, refusal::conflict,
          refusal::not_ours, refusal::revoked, refusal::stalled}) {
        const auto intact = rule_on(each, 1, true);
        const auto rotten = rule_on(each, 1, false);
        const bool decides = intact.again != rotten.again || intact.reason != rotten.reason;
        CHECK(needs_copy_check(each) == decides);
    }
}
