#include "simulation/fleet.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace titip;
using namespace titip::fleet;

namespace {

/// A twentieth of the nation and of its centre, after a day and a half.
setting small()
{
    setting out;
    out.fleet.offices = 364;
    out.fleet.records_a_day = 10'800;
    out.fleet.days = 1.5;
    out.fleet.records_an_item = 1;
    out.centre.bytes_per_s = 7.5e6;
    out.centre.cores = 1;
    out.outage = seconds{600};
    out.centre.admission.emplace();
    out.centre.admission->most_connections = 2'048;
    out.centre.admission->most_bodies = 2 * out.fleet.offices;
    return out;
}

/// Every office has two connections that send; the centre has turns for a third of the offices.
setting scarce()
{
    auto out = small();
    out.centre.admission->most_bodies = 128;
    return out;
}

setting equal(setting out)
{
    out.fleet.unevenness = 0;
    out.fleet.least_record_bytes = out.fleet.most_record_bytes = 1.15e6;
    out.fleet.slowest_link = out.fleet.fastest_link = 125e3;
    return out;
}

} // namespace

TEST_CASE("a fleet that comes back drains in little more than the centre's capacity takes",
          "[fleet][simulation]")
{
    auto what = small();
    what.seed = GENERATE(1u, 2u);
    CAPTURE(what.seed);
    const auto titip = run(what, policy::titip);
    CHECK(titip.drained_s / titip.ideal_s <=
          1.12); // the nation 1.08: here one slow office weighs more
    CHECK(titip.delivered_share == Approx(1).epsilon(1e-6));
    // A prober, a reconcile and two senders each, of which three stay open.
    CHECK(titip.attempts <= 5 * what.fleet.offices);
    CHECK(titip.most_connections <= 3 * what.fleet.offices + 10);
    CHECK(titip.rejected == 0);
    CHECK(titip.wasted_handshakes == 0);
    CHECK(titip.most_attempts_a_second < what.fleet.offices / 4);
}

TEST_CASE("of equal offices the last one is not much later than the one in the middle",
          "[fleet][simulation]")
{
    const auto what = GENERATE(equal(small()), equal(scarce()));
    CAPTURE(what.centre.admission->most_bodies);
    const auto titip = run(what, policy::titip);
    CHECK(titip.last_finish_s / titip.median_finish_s <= 1.3);
    CHECK(titip.drained_s / titip.ideal_s <=
          1.12); // the nation 1.08: here one slow office weighs more
    CHECK(titip.most_rejected_of_one < 100);
}

TEST_CASE("whoever asks again every second is turned away twenty times as often",
          "[fleet][simulation]")
{
    auto what = scarce();
    what.fleet.days = 0.5;
    const auto titip = run(what, policy::titip);
    const auto fixed = run(what, policy::fixed);
    CHECK(fixed.rejected > 20 * titip.rejected);
    CHECK(fixed.most_attempts_a_second > 4 * titip.most_attempts_a_second);
    CHECK(fixed.drained_s > titip.drained_s);
}

TEST_CASE("a centre that lets in whoever has a connection is held for ever by those who have done",
          "[fleet][simulation]")
{
    auto what = small();
    what.centre.admission.reset();
    what.centre.spread = 0s;
    what.centre.most_connections = 128;
    what.most_ideals = 3;
    const auto titip = run(what, policy::titip);
    CHECK(std::isinf(titip.drained_s));
    CHECK(titip.delivered_share < 0.5);
}

TEST_CASE("a spread that is longer than the centre keeps an idle connection needs a new one",
          "[fleet][simulation]")
{
    auto what = small();
    what.centre.spread = 900s;
    what.spreads_by_outage = false;
    CHECK(std::isfinite(run(what, policy::titip).drained_s));
    what.renews_prober = false;
    CHECK(std::isinf(run(what, policy::titip).drained_s));
}

TEST_CASE("the same seed gives the same figures", "[fleet][simulation]")
{
    auto what = small();
    what.fleet.days = 0.2;
    const auto one = run(what, policy::full_jitter);
    const auto other = run(what, policy::full_jitter);
    CHECK(one.drained_s == other.drained_s);
    CHECK(one.attempts == other.attempts);
    CHECK(one.rejected == other.rejected);
}
