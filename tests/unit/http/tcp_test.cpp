#include "http/tcp.hpp"

#include "base/descriptor.hpp"
#include "support/namespace.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

// As the room itself does: that of glibc 2.36 ends before what is read here.
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace titip;
using namespace titip::http;

namespace {

/// Two ends of a TCP connection over the loopback; the far one reads when it is told to.
class pair_of_sockets {
public:
    explicit pair_of_sockets(int receive_buffer_bytes = 0)
    {
        const descriptor door{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        if (receive_buffer_bytes > 0)
            ::setsockopt(door.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                         sizeof receive_buffer_bytes);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const general = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        REQUIRE(::bind(door.get(), general, size) == 0);
        REQUIRE(::listen(door.get(), 1) == 0);
        REQUIRE(::getsockname(door.get(), general, &size) == 0);
        near_ = descriptor{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        REQUIRE(::connect(near(), general, size) == 0);
        far_ = descriptor{::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        REQUIRE(far_.get() >= 0);
    }
    int near() const noexcept { return near_.get(); }

    /// Both ways: when it comes back, all has been delivered, and said to have been.
    void carry(std::size_t size_bytes)
    {
        std::vector<char> data(size_bytes, 'x');
        std::size_t sent = 0;
        for (std::size_t got = 0; got < size_bytes;) {
            const auto wrote = ::send(near(), data.data(), size_bytes - sent, MSG_DONTWAIT);
            sent += wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
            std::array<char, 65'536> into;
            const auto read = ::recv(far_.get(), into.data(), into.size(), MSG_DONTWAIT);
            got += read > 0 ? static_cast<std::size_t>(read) : 0;
        }
        char answer = 'y'; // the acknowledgement of all above comes with it at the latest
        REQUIRE(::send(far_.get(), &answer, 1, 0) == 1);
        REQUIRE(::recv(near(), &answer, 1, MSG_WAITALL) == 1);
    }
    /// As much as goes while nobody reads; how much that is.
    std::uint64_t fill()
    {
        const std::vector<char> data(1u << 20, 'x');
        std::uint64_t all = 0;
        for (ssize_t sent; (sent = ::send(near(), data.data(), data.size(), MSG_DONTWAIT)) > 0;)
            all += static_cast<std::uint64_t>(sent);
        return all;
    }

private:
    descriptor near_;
    descriptor far_;
};

template <class Value>
Value option(int socket, int level, int which)
{
    Value value{};
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(socket, level, which, &value, &size) == 0);
    REQUIRE(size == sizeof value);
    return value;
}

std::string congestion_control_of(int socket)
{
    std::array<char, 16> name{};
    socklen_t size = name.size();
    REQUIRE(::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0);
    return name.data();
}

} // namespace

TEST_CASE("what TCP has sent and delivered is counted, from the connection's beginning on",
          "[http]")
{
    pair_of_sockets both;
    const auto before = measure(both.near());
    REQUIRE(before.has_value());
    CHECK(before->sent_bytes == 0);
    both.carry(1'000'000);
    const auto first = measure(both.near());
    REQUIRE(first.has_value());
    CHECK(first->sent_bytes - first->resent_bytes == 1'000'000);
    CHECK(first->delivered_bytes >= 1'000'000); // in whole segments
    CHECK(first->unsent_bytes == 0);
    CHECK(first->written_bytes == 1'000'000);
    CHECK(first->acknowledged_bytes >= 1'000'000);
    CHECK(first->acknowledged_bytes <= 1'000'001); // the SYN counts
    CHECK(first->in_flight_bytes == 0);
    CHECK(first->round_trip > std::chrono::microseconds{0});
    CHECK(first->shortest_round_trip > std::chrono::microseconds{0});
    CHECK(first->shortest_round_trip <= first->round_trip);
    CHECK(first->delivery_bytes_per_s > 0);
    both.carry(500'000);
    const auto second = measure(both.near());
    REQUIRE(second.has_value());
    CHECK(second->sent_bytes - second->resent_bytes == 1'500'000);
    CHECK(second->delivered_bytes >= first->delivered_bytes + 500'000);
}

TEST_CASE("what waits in this machine is told from what was sent", "[http]")
{
    pair_of_sockets both{4'096};
    const auto written = both.fill(); // more than the peer takes
    const auto seen = measure(both.near());
    REQUIRE(seen.has_value());
    CHECK(seen->unsent_bytes > 0);
    CHECK(seen->sent_bytes - seen->resent_bytes + seen->unsent_bytes == written);
}

TEST_CASE("what is no TCP socket is not measured", "[http]")
{
    std::array<int, 2> local{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local.data()) == 0);
    const descriptor one{local[0]};
    const descriptor other{local[1]};
    CHECK_FALSE(measure(one.get()).has_value());
    CHECK_FALSE(measure(-1).has_value());
    tune(one.get(), {.most_bytes_per_s = 1}); // and changes nothing, but is no error
    CHECK_FALSE(set_congestion_control(one.get(), congestion_control::loss_based));
    tune(-1, {});
}

TEST_CASE("the pace and how much waits here are set, changed, and taken back", "[http]")
{
    const pair_of_sockets both;
    const auto pace = [&both] {
        return option<std::uint64_t>(both.near(), SOL_SOCKET, SO_MAX_PACING_RATE);
    };
    const auto lowat = [&both] { return option<int>(both.near(), IPPROTO_TCP, TCP_NOTSENT_LOWAT); };
    tune(both.near(), {.most_bytes_per_s = 125'000, .notsent_lowat_bytes = 16'384});
    CHECK(pace() == 125'000);
    CHECK(lowat() == 16'384);
    // More than 32 bits hold, as a fast link has.
    tune(both.near(), {.most_bytes_per_s = 10'000'000'000, .notsent_lowat_bytes = 131'072});
    CHECK(pace() == 10'000'000'000);
    CHECK(lowat() == 131'072);
    tune(both.near(), {});
    CHECK(pace() == ~std::uint64_t{0});
    CHECK(lowat() == 128 << 10);
}

TEST_CASE("the longest wait before something is sent again is set where the system knows it",
          "[http]")
{
    constexpr int tcp_rto_max_ms = 44; // Linux 6.15
    const pair_of_sockets both;
    int before = 0;
    socklen_t size = sizeof before;
    if (::getsockopt(both.near(), IPPROTO_TCP, tcp_rto_max_ms, &before, &size) != 0) {
        WARN("not seen: this system does not know TCP_RTO_MAX_MS");
        return;
    }
    tune(both.near(), {});
    CHECK(option<int>(both.near(), IPPROTO_TCP, tcp_rto_max_ms) == before);
    tune(both.near(), {.longest_retransmission_wait = 3s});
    CHECK(option<int>(both.near(), IPPROTO_TCP, tcp_rto_max_ms) == 3'000);
}

TEST_CASE("congestion control is exchanged while the connection is in use", "[http]")
{
    pair_of_sockets both;
    both.carry(100'000);
    REQUIRE(set_congestion_control(both.near(), congestion_control::loss_based));
    CHECK(congestion_control_of(both.near()) == "cubic");
    const bool may = set_congestion_control(both.near(), congestion_control::bbr);
    CHECK(may_use_bbr() == may);
    if (!may) {
        CHECK(congestion_control_of(both.near()) == "cubic"); // it goes on with what it has
        WARN("not seen: BBR, which this system does not allow");
        return;
    }
    CHECK(congestion_control_of(both.near()) == "bbr");
    both.carry(100'000);
    renew_bbr(both.near());
    CHECK(congestion_control_of(both.near()) == "bbr");
    both.carry(100'000);
    const auto seen = measure(both.near());
    CHECK(seen->sent_bytes - seen->resent_bytes == 300'000);
}

TEST_CASE("an address that this machine has is not gone, nor that of what is no connection",
          "[http]")
{
    const pair_of_sockets both;
    CHECK_FALSE(is_address_gone(both.near()));
    CHECK_FALSE(is_address_gone(-1));
    const descriptor local{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    CHECK_FALSE(is_address_gone(local.get()));
}

namespace {

int lose_the_address()
{
    if (std::system("ip link set lo up && ip address add 10.9.9.9/32 dev lo") != 0)
        return 1;
    const descriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::inet_addr("10.9.9.9");
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return 2;
    if (is_address_gone(socket.get()))
        return 3;
    if (std::system("ip address delete 10.9.9.9/32 dev lo") != 0)
        return 4;
    return is_address_gone(socket.get()) ? 0 : 5;
}

} // namespace

TEST_CASE("an address that was taken from this machine is gone", "[http]")
{
    support::check_in_a_network_namespace(lose_the_address);
}

TEST_CASE("what was closed here is closed", "[http]")
{
    CHECK(is_closed_by_peer(-1));
}
