#include "link/knock.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace titip;
using namespace titip::link;

namespace {

std::vector<std::optional<milliseconds>> of_failures(knocking& how, int times, verdict why)
{
    std::vector<std::optional<milliseconds>> all;
    for (int i = 0; i < times; ++i) {
        all.push_back(how.patience());
        how.on_failure(why);
    }
    return all;
}

} // namespace

TEST_CASE("while nothing answers most knocks are short, and some attempts have all the time",
          "[link]")
{
    knocking how;
    const std::optional<milliseconds> none;
    const std::optional<milliseconds> one{knocking::one_syn};
    const std::optional<milliseconds> two{knocking::two_syns};
    std::vector round{one, one, one, two, one, one, one, two, one, one, one, none};
    std::vector first = round;
    first.front() = none; // nothing is known yet, and mostly something answers
    CHECK(of_failures(how, 12, verdict::tcp) == first);
    for (int i = 0; i < 2; ++i)
        CHECK(of_failures(how, 12, verdict::tcp) == round);
}

TEST_CASE("where the upstream answers there is no knock, until nothing does", "[link]")
{
    knocking how;
    how.on_success();
    CHECK_FALSE(how.patience());
    how.on_failure(verdict::tcp);
    CHECK(how.patience() == knocking::one_syn);
    how.on_failure(verdict::maintenance);
    CHECK_FALSE(how.patience());
    how.on_failure(verdict::dns);
    CHECK(how.patience() == knocking::one_syn);
}

TEST_CASE("a link that is slower than a short knock is waited for from then on", "[link]")
{
    knocking how;
    how.on_answer(1'400ms);
    how.on_success();
    how.on_failure(verdict::tcp);
    CHECK(how.patience() == knocking::two_syns);
    how.on_answer(600ms);
    CHECK(how.patience() == knocking::one_syn);
}
