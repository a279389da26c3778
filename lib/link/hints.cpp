#include "link/hints.hpp"

#include "base/descriptor.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

namespace titip::link {

hints::hints(const asio::any_io_executor& on, std::function<void()> changed)
    : socket_(on), settled_(on), changed_(std::move(changed))
{
}

error_code hints::start()
{
    const int made = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (made < 0)
        return last_error();
    error_code failed;
    socket_.assign(made, failed);
    if (failed) {
        ::close(made);
        return failed;
    }
    sockaddr_nl what{};
    what.nl_family = AF_NETLINK;
    what.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE;
    if (::bind(made, reinterpret_cast<const sockaddr*>(&what), sizeof what) != 0)
        return last_error();
    wait();
    return {};
}

void hints::stop() noexcept
{
    error_code ignored;
    socket_.close(ignored);
    settled_.cancel();
    changed_ = nullptr;
}

void hints::wait()
{
    socket_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& failed) {
        if (!failed && changed_)
            take();
    });
}

/// What the messages say does not matter, nor whether some were lost.
void hints::take()
{
    std::array<char, 8'192> message;
    while (::recv(socket_.native_handle(), message.data(), message.size(), MSG_TRUNC) > 0)
        ;
    if (!std::exchange(is_settling_, true)) {
        settled_.expires_at(std::max(monotonic::now() + settling, told_ + pause));
        settled_.async_wait([this](const error_code& failed) {
            if (failed || !changed_)
                return;
            is_settling_ = false;
            told_ = monotonic::now();
            changed_();
        });
    }
    wait();
}

} // namespace titip::link
