#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>

namespace titip::http {

/// How a TCP connection fares, from the system's own count (TCP_INFO, Linux 4.19 and newer; fields an
/// older system does not have are 0). Bytes are of TCP's payload, since the connection began.
struct tcp_figures {
    std::uint64_t delivered_bytes = 0; ///< the peer has them, in order or not
    std::uint64_t sent_bytes = 0;      ///< each time that they were sent
    std::uint64_t resent_bytes = 0;
    std::uint64_t in_flight_bytes = 0;
    std::uint64_t unsent_bytes = 0;  ///< written by us, still in this machine
    std::uint64_t written_bytes = 0; ///< by us, sent or not
    std::uint64_t acknowledged_bytes =
        0; ///< the peer has them in order; of all others some may be missing
    std::uint64_t delivery_bytes_per_s = 0;          ///< as the newest acknowledgements tell
    std::chrono::microseconds round_trip{};          ///< smoothed
    std::chrono::microseconds shortest_round_trip{}; ///< of the last minutes
};

/// Of the socket of a stream (stream::native_handle()). Nothing: it is not a connected TCP socket.
std::optional<tcp_figures> measure(int socket) noexcept;

/// Whether the peer sends no more, or the connection is gone or was closed here: seen without reading.
bool is_closed_by_peer(int socket) noexcept;

/// Whether this machine has no longer the address that the connection goes out from, as after a modem
/// has dialled again: nothing will come over it any more.
bool is_address_gone(int socket) noexcept;

/// What may be changed while a connection is in use. Whatever the system does not know or allow is
/// left as it is: these make a link better, not possible.
struct tcp_tuning {
    std::uint64_t most_bytes_per_s = 0; ///< SO_MAX_PACING_RATE; 0: no limit
    /// How much waits in this machine before a write does: what an urgent record must wait for.
    std::uint64_t notsent_lowat_bytes = 128u << 10;
    /// The longest wait of TCP before it sends something again (TCP_RTO_MAX_MS, Linux 6.15): by
    /// itself it doubles the wait up to two minutes, in which a link that was cut is back unnoticed.
    milliseconds longest_retransmission_wait = 0ms; ///< 0: the system's own
};
void tune(int socket, const tcp_tuning& how) noexcept;

enum class congestion_control { loss_based, bbr };
/// False: the system does not allow it (net.ipv4.tcp_allowed_congestion_control), and the connection
/// goes on with the one that it has.
bool set_congestion_control(int socket, congestion_control which) noexcept;

/// BBR begins to measure anew, from the pace that the connection has. Every ten seconds it would else
/// let the link run empty for a round trip, to see how short one is (PROBE_RTT): over a satellite that
/// is a twelfth of it (docs/link.md). A cap of the pacing is what keeps its beginning from overflowing.
/// Not of a connection that stands still: from there it would begin with a packet a round trip.
void renew_bbr(int socket) noexcept;

/// Whether a connection of this process may use it.
bool may_use_bbr() noexcept;

} // namespace titip::http
