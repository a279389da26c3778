#include "http/tcp.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string_view>

// Not <netinet/tcp.h>: that of glibc 2.36 ends before what is read here.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace titip::http {

namespace {

/// Linux 6.15; the headers of Debian 12 do not have it.
constexpr int tcp_rto_max_ms = 44;

template <class Value>
bool set(int socket, int level, int option, Value value) noexcept
{
    return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

} // namespace

std::optional<tcp_figures> measure(int socket) noexcept
{
    tcp_info told{}; // what an older system does not fill in stays 0
    socklen_t size = sizeof told;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &told, &size) != 0)
        return std::nullopt;
    const std::uint64_t segment_bytes = told.tcpi_snd_mss;
    const auto in_flight = told.tcpi_unacked + told.tcpi_retrans;
    const auto gone = std::min(in_flight, told.tcpi_sacked + told.tcpi_lost);
    return tcp_figures{.delivered_bytes = told.tcpi_delivered * segment_bytes,
                       .sent_bytes = told.tcpi_bytes_sent,
                       .resent_bytes = told.tcpi_bytes_retrans,
                       .in_flight_bytes = (in_flight - gone) * segment_bytes,
                       .unsent_bytes = told.tcpi_notsent_bytes,
                       .written_bytes =
                           told.tcpi_bytes_sent - told.tcpi_bytes_retrans + told.tcpi_notsent_bytes,
                       .acknowledged_bytes = told.tcpi_bytes_acked,
                       .delivery_bytes_per_s = told.tcpi_delivery_rate,
                       .round_trip = std::chrono::microseconds{told.tcpi_rtt},
                       .shortest_round_trip = std::chrono::microseconds{told.tcpi_min_rtt}};
}

bool is_closed_by_peer(int socket) noexcept
{
    if (socket < 0) // poll() would look past it
        return true;
    pollfd looked{.fd = socket, .events = POLLRDHUP, .revents = 0};
    return ::poll(&looked, 1, 0) == 1 && (looked.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

bool is_address_gone(int socket) noexcept
{
    sockaddr_storage address{};
    auto* const general = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (::getsockname(socket, general, &size) != 0)
        return false;
    if (address.ss_family == AF_INET)
        reinterpret_cast<sockaddr_in&>(address).sin_port = 0;
    else if (address.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(address).sin6_port = 0;
    else
        return false;
    const int other = ::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (other < 0)
        return false;
    const bool is_gone = ::bind(other, general, size) != 0 && errno == EADDRNOTAVAIL;
    ::close(other);
    return is_gone;
}

void tune(int socket, const tcp_tuning& how) noexcept
{
    const std::uint64_t rate = how.most_bytes_per_s > 0 ? how.most_bytes_per_s : ~std::uint64_t{0};
    set(socket, SOL_SOCKET, SO_MAX_PACING_RATE, rate);
    set(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(how.notsent_lowat_bytes));
    if (how.longest_retransmission_wait > 0ms)
        set(socket, IPPROTO_TCP, tcp_rto_max_ms,
            static_cast<int>(how.longest_retransmission_wait.count()));
}

bool set_congestion_control(int socket, congestion_control which) noexcept
{
    const std::string_view name = which == congestion_control::bbr ? "bbr" : "cubic";
    return ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                        static_cast<socklen_t>(name.size())) == 0;
}

void renew_bbr(int socket) noexcept
{
    if (set_congestion_control(socket, congestion_control::loss_based))
        set_congestion_control(socket, congestion_control::bbr);
}

bool may_use_bbr() noexcept
{
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0)
        return false;
    const bool may = set_congestion_control(socket, congestion_control::bbr);
    ::close(socket);
    return may;
}

} // namespace titip::http
