#include "simulation/fleet.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

using namespace titip;
using namespace titip::fleet;

namespace {

void print(policy with, const figures& f)
{
    fmt::print("{:<12} {:>6.2f} {:>6.2f} {:>5.1f}% {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>7} "
               "{:>7.0f} {:>7.0f} {:>7.0f} "
               "{:>6.2f}\n",
               to_string(with), f.drained_s / f.capacity_s, f.drained_s / f.ideal_s,
               f.delivered_share * 100, f.most_connections, f.most_attempts_a_second, f.attempts,
               f.handshakes, f.wasted_handshakes, f.rejected, f.most_rejected_of_one,
               f.first_record_s[0], f.first_record_s[1], f.first_record_s[2],
               f.last_finish_s / f.median_finish_s);
    std::fflush(stdout);
}

} // namespace

int main(int count, char** words)
{
    CLI::App app{"All offices come back at once, after weeks: Titip and three other policies"};
    setting what;
    double spread = -1;
    double fronts = 0;
    auto a = intake::admission::options{};
    bool as_now = false;
    double tick_s = what.tick.count();
    double outage_s = what.outage.count(), restart_at = 0, restart_lasts = 0;
    bool equal = false;
    std::vector<int> which;
    app.add_option("--seed", what.seed);
    app.add_option("--offices", what.fleet.offices);
    app.add_option("--records-a-day", what.fleet.records_a_day);
    app.add_option("--days", what.fleet.days);
    app.add_option("--coarse", what.fleet.records_an_item);
    app.add_option("--uneven", what.fleet.unevenness);
    app.add_option("--connections", what.fleet.connections);
    app.add_option("--cores", what.centre.cores);
    app.add_option("--most", what.centre.most_connections);
    app.add_option("--newcomers", what.centre.most_newcomers);
    app.add_option("--capacity", what.centre.bytes_per_s);
    app.add_option("--spread", spread);
    app.add_option("--fronts", fronts);
    app.add_option("--bodies", a.most_bodies);
    app.add_option("--front-connections", a.most_connections);
    app.add_flag("--as-now", as_now);
    app.add_option("--tick", tick_s);
    app.add_option("--outage", outage_s);
    app.add_option("--restart-at", restart_at);
    app.add_option("--restart-lasts", restart_lasts);
    app.add_option("--most-ideals", what.most_ideals);
    app.add_option("--policy", which);
    app.add_flag("--equal", equal);
    CLI11_PARSE(app, count, words);
    if (spread >= 0)
        what.centre.spread = std::chrono::seconds{static_cast<long>(spread)};
    if (fronts > 0) {
        const auto n = static_cast<std::size_t>(fronts);
        a.most_connections *= n;
        a.most_bodies *= n;
        a.memory_bytes *= n;
        a.contact_cost /= n;
        what.centre.admission = a;
    }
    what.renews_prober = what.spreads_by_outage = !as_now;
    what.outage = seconds{outage_s};
    what.tick = seconds{tick_s};
    what.restart_at = seconds{restart_at};
    what.restart_lasts = seconds{restart_lasts};
    if (equal) {
        what.fleet.unevenness = 0;
        what.fleet.least_record_bytes = what.fleet.most_record_bytes = 1.15e6;
        what.fleet.slowest_link = what.fleet.fastest_link = 125e3;
    }
    fmt::print("seed {}\n{:<12} {:>6} {:>6} {:>6} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7} "
               "{:>7} {:>7} {:>6}\n",
               what.seed, "", "/cap", "/ideal", "deliv", "conns", "att/s", "attempts", "handsh",
               "wasted", "rejected", "of one", "50%", "99%", "all", "l/med");
    for (const auto each : all_policies)
        if (which.empty() || std::ranges::find(which, static_cast<int>(each)) != which.end())
            print(each, run(what, each));
}
