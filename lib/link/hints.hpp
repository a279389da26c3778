#pragma once

#include "base/result.hpp"
#include "base/time.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>

namespace titip {
namespace asio = boost::asio;
}

namespace titip::link {

/// Tells that addresses, interfaces or routes of this machine have changed, as the system says it
/// (rtnetlink(7)): a modem has dialled again, a cable is back. It is a hint to look at once what the link
/// is like, and no more.
///
/// One event brings a handful of messages, so it tells `settling` after the first of them; and at most
/// every `pause`, however an interface flaps, but always after the last one.
///
/// Threads: that of `on`, which calls `changed`. Nothing is called after stop().
class hints {
public:
    static constexpr milliseconds settling =
        2s; ///< for one an IPv6 address is tentative (RFC 4862)
    static constexpr milliseconds pause = 5s;

    hints(const asio::any_io_executor& on, std::function<void()> changed);
    hints(const hints&) = delete;
    hints& operator=(const hints&) = delete;

    /// Fails where the system does not let this process hear of it; then nothing is told.
    error_code start();
    void stop() noexcept;

private:
    void wait();
    void take();

    asio::posix::stream_descriptor socket_;
    asio::steady_timer settled_;
    std::function<void()> changed_;
    instant told_{};
    bool is_settling_ = false;
};

} // namespace titip::link
