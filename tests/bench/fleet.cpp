/// All offices of the nation come back at once after four weeks, in simulated time: Titip's own
/// cores beside three other ways to come back (docs/fleet.md). Needs nothing but itself; a minute
/// or more a policy, `--part 20` a second.
#include "simulation/fleet.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

using namespace titip;
using namespace titip::fleet;

namespace {

struct choices {
    double part = 1;        ///< of the nation and of its centre
    unsigned fronts = 4;    ///< nodes that share the capacity, for the whole nation
    double turns = 1;       ///< of what two connections of every office want
    double connections = 1; ///< of what every office's three want
    double spread_s = -1;
    double tick_s = 10;
    double restart_at_s = 0;
    double restart_lasts_s = 0;
    bool is_equal = false;
    bool is_open = false; ///< no admission
    bool is_as_before = false;
    std::vector<std::string> policies;
};

setting setting_of(const choices& chosen, setting what)
{
    auto& f = what.fleet;
    auto& c = what.centre;
    f.offices = static_cast<std::uint32_t>(f.offices / chosen.part);
    f.records_a_day /= chosen.part;
    c.bytes_per_s /= chosen.part;
    c.cores = std::max(1u, static_cast<unsigned>(chosen.fronts / chosen.part));
    c.most_newcomers = 128 * c.cores;
    const auto places = static_cast<std::size_t>(chosen.connections * 3.05 * f.offices);
    c.most_connections = places;
    if (!chosen.is_open) {
        c.most_connections = places * 2; // those beyond are heard, and told when to come
        auto& a = c.admission.emplace();
        a.most_connections = places;
        a.most_bodies = static_cast<std::size_t>(chosen.turns * 2.05 * f.offices);
        a.memory_bytes *= c.cores;
        a.contact_cost /= c.cores;
    }
    if (chosen.spread_s >= 0)
        c.spread = std::chrono::seconds{static_cast<long>(chosen.spread_s)};
    what.tick = seconds{chosen.tick_s};
    what.restart_at = seconds{chosen.restart_at_s};
    what.restart_lasts = seconds{chosen.restart_lasts_s};
    what.renews_prober = what.spreads_by_outage = !chosen.is_as_before;
    if (chosen.is_equal) {
        f.unevenness = 0;
        f.least_record_bytes = f.most_record_bytes = 1.15e6;
        f.slowest_link = f.fastest_link = 125e3;
    }
    return what;
}

void print_heading(const setting& what)
{
    const auto& c = what.centre;
    fmt::print("seed {}: {} offices, {} MB/s, {} cores; connections {}, bodies {}\n", what.seed,
               what.fleet.offices, c.bytes_per_s / 1e6, c.cores,
               c.admission ? c.admission->most_connections : c.most_connections,
               c.admission ? fmt::to_string(c.admission->most_bodies) : "unbounded");
    fmt::print("{:<12}|{:^20}|{:^16}|{:^38}|{:^20}|{:^23}|{:>7}\n", "", "drain / bytes, ideal",
               "peak open, tries", "tries, handshakes, wasted, refused", "rejected, of one",
               "first record 50 99 100%", "last/");
    fmt::print("{:<12}|{:>13} {:>6}|{:>8} {:>7}|{:>9} {:>10} {:>8} {:>8}|{:>11} {:>8}|{:>7} {:>7} "
               "{:>7}|{:>7}\n",
               "", "capacity", "", "", "a s", "", "", "", "", "", "", "s", "s", "s", "median");
}

void print(policy with, const figures& f)
{
    const auto drain = std::isinf(f.drained_s)
                           ? fmt::format("{:.0f}% only", f.delivered_share * 100)
                           : fmt::format("{:.3f}", f.drained_s / f.capacity_s);
    fmt::print("{:<12}|{:>13} {:>6.3f}|{:>8} {:>7}|{:>9} {:>10} {:>8} {:>8}|{:>11} {:>8}|{:>7.0f} "
               "{:>7.0f} {:>7.0f}|{:>7.2f}\n",
               to_string(with), drain, f.drained_s / f.ideal_s, f.most_connections,
               f.most_attempts_a_second, f.attempts, f.handshakes, f.wasted_handshakes, f.refused,
               f.rejected, f.most_rejected_of_one, f.first_record_s[0], f.first_record_s[1],
               f.first_record_s[2], f.last_finish_s / f.median_finish_s);
    std::fflush(stdout);
}

} // namespace

int main(int count, char** words)
{
    CLI::App app{"All offices come back at once, after weeks: Titip beside three other policies, "
                 "in simulated time"};
    setting what;
    choices chosen;
    const auto option = [&app](const char* name, auto& into, const char* says) {
        app.add_option(name, into, says)->capture_default_str();
    };
    option("--seed", what.seed, "of links, backlogs and all chance");
    option("--part", chosen.part, "the nation and its centre, divided by this");
    option("--days", what.fleet.days, "of backlog");
    option("--coarse", what.fleet.records_an_item, "records that go as one, for speed");
    option("--tick", chosen.tick_s, "s that a rate holds, after the first half hour");
    option("--uneven", what.fleet.unevenness, "backlogs differ by this share from the average");
    option("--fronts", chosen.fronts, "nodes of the whole nation's centre, a core each");
    option("--turns", chosen.turns, "bodies at once, of what two connections an office want");
    option("--places", chosen.connections, "connections at once, of what three an office want");
    option("--spread", chosen.spread_s, "s; negative: what the admission says");
    option("--restart-at", chosen.restart_at_s, "s after the return the centre is gone again");
    option("--restart-lasts", chosen.restart_lasts_s, "s");
    option("--most-ideals", what.most_ideals, "given up after so many times the ideal");
    option("--policy", chosen.policies, "only these, by the name in the table");
    app.add_flag("--equal", chosen.is_equal, "equal links of 1 Mbit/s, equal backlogs");
    app.add_flag("--open", chosen.is_open, "whoever has a connection is let in");
    app.add_flag("--as-before", chosen.is_as_before,
                 "the spread after each outage and pause; a closed prober is a failure");
    CLI11_PARSE(app, count, words);
    const auto whole = setting_of(chosen, what);
    print_heading(whole);
    for (const auto each : all_policies)
        if (chosen.policies.empty() ||
            std::ranges::find(chosen.policies, to_string(each)) != chosen.policies.end())
            print(each, run(whole, each));
}
