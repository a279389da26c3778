#pragma once

#include "base/time.hpp"
#include "intake/admission.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace titip::fleet {

using seconds = std::chrono::duration<double>;

/// How an office comes back. All but the first open their connections at once and ask nobody.
enum class policy {
    titip,       ///< link::monitor, link::first_send_at, Retry-After
    fixed,       ///< again after one second
    exponential, ///< 1, 2, 4, ... s up to a minute, the same for everyone
    full_jitter, ///< evenly from nothing to that
};
inline constexpr std::array all_policies{policy::titip, policy::fixed, policy::exponential,
                                         policy::full_jitter};
std::string_view to_string(policy) noexcept;

struct centre_options {
    double bytes_per_s = 150e6;
    unsigned cores = 4;
    seconds full_handshake{1.0 / 500};
    seconds resumed_handshake{1.0 / 1200};
    seconds ticket_life{7200};
    seconds handshake_limit{30};
    std::size_t most_connections = 2048; ///< those beyond wait in the kernel
    std::size_t most_waiting = 4096;     ///< there; those beyond get no answer
    std::size_t most_newcomers = 512;    ///< unfinished handshakes: those beyond wait in the kernel
    seconds fair_time{3};                ///< then such a handshake makes way
    seconds idle_limit{360};             ///< of a connection on which nothing is asked
    /// Nothing: whoever has a connection is let in.
    std::optional<intake::admission::options> admission;
    /// The window that offices are told; nothing: what the admission says.
    std::optional<std::chrono::seconds> spread;
};

struct fleet_options {
    std::uint32_t offices = 7'285;
    double records_a_day = 216'000; ///< of all offices
    double days = 28;
    /// An office has from 1 - unevenness to 1 + unevenness times the average backlog.
    double unevenness = 0.2;
    double least_record_bytes = 0.3e6;
    double most_record_bytes = 2e6;
    double slowest_link = 256e3 / 8; ///< bytes a second; drawn evenly on a logarithmic scale
    double fastest_link = 10e6 / 8;
    unsigned records_an_item = 4; ///< so many go as one, for speed
    unsigned connections = 2;
    seconds connect_limit{20};
};

struct setting {
    fleet_options fleet;
    centre_options centre;
    std::uint64_t seed = 1;
    seconds outage{1800}; ///< before time zero, and long enough for every wait to have grown
    seconds restart_at{}; ///< if not zero: the centre is gone again from here
    seconds restart_lasts{};
    seconds tick{
        2}; ///< rates hold so long; in the first half hour, and that after a restart, one second
    double most_ideals = 3;    ///< given up after so many times the ideal
    bool renews_prober = true; ///< a kept connection that was closed is opened again
    bool spreads_by_outage =
        true; ///< not after a pause that was asked for, nor for longer than the outage
};

struct figures {
    double ideal_s = 0; ///< all bytes at the centre's capacity, or the longest of any office's link
    double capacity_s = 0;
    double drained_s = 0;             ///< infinite: not within the limit
    double delivered_share = 0;       ///< of bytes
    std::size_t most_connections = 0; ///< at once, of those that the centre took
    std::uint64_t most_attempts_a_second = 0;
    std::uint64_t attempts = 0;
    std::uint64_t handshakes = 0;
    std::uint64_t wasted_handshakes = 0; ///< paid for, and nothing came of it
    std::uint64_t rejected = 0;          ///< attempts: no answer, displaced, timed out, or refused
    std::uint64_t refused = 0;           ///< of these, with an answer
    std::uint64_t most_rejected_of_one = 0;
    std::array<double, 3> first_record_s{}; ///< half, 99 %, all of the offices had one through
    double median_finish_s = 0;
    double last_finish_s = 0;
};

/// The whole drain, from the moment when the centre is back. The same setting gives the same
/// figures.
figures run(const setting& what, policy with);

} // namespace titip::fleet
