#pragma once

#include "http/stream.hpp"
#include "http/watchdog.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <cassert>
#include <utility>

#include <sys/socket.h>

namespace titip::http {

/// What the kinds of stream have in common. `Next` is a socket, or TLS over one.
template <class Next>
class timed_stream : public stream {
public:
    template <class... Args>
    explicit timed_stream(Args&&... args)
        : next_(std::forward<Args>(args)...),
          reading_(next_.get_executor(), [this] { timed_stream::close(); }),
          writing_(next_.get_executor(), [this] { timed_stream::close(); })
    {
    }

    asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) override
    {
        assert(!into.empty());
        const watchdog::step running{reading_, limit_};
        const auto [ec, got] = co_await next_.async_read_some(
            asio::buffer(into.data(), into.size()), asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return cause(reading_, ec);
        co_return got;
    }

    asio::awaitable<result<void>> write(bytes_view data) override
    {
        while (!data.empty()) {
            const watchdog::step running{writing_, limit_};
            const auto [ec, put] = co_await next_.async_write_some(
                asio::buffer(data.data(), data.size()), asio::as_tuple(asio::use_awaitable));
            if (ec)
                co_return cause(writing_, ec);
            data = data.subspan(put);
            reading_.extend(limit_); // who waits for an answer to this has not been stood up
        }
        co_return result<void>{};
    }

    void set_no_progress_limit(milliseconds limit) override
    {
        limit_ = limit;
        reading_.extend(limit);
        writing_.extend(limit);
    }

    void end_reading() noexcept override { ::shutdown(native_handle(), SHUT_RD); }

    void close() noexcept override
    {
        error_code ignored;
        next_.lowest_layer().close(ignored);
    }

    int native_handle() noexcept override { return next_.lowest_layer().native_handle(); }

protected:
    /// A word for `ec` that means the same for every kind of stream.
    virtual error_code plain(const error_code& ec) const noexcept { return ec; }

    error_code cause(const watchdog& by, const error_code& ec) const noexcept
    {
        return by.is_late() ? error_code{asio::error::timed_out} : plain(ec);
    }

    /// Sends FIN, and reads until the peer's comes: closing with unread bytes would send a reset,
    /// and that destroys what the peer has not read yet (RFC 9112 section 9.6).
    template <class Socket>
    static asio::awaitable<void> linger(Socket& socket)
    {
        error_code failed;
        socket.shutdown(Socket::shutdown_send, failed);
        std::array<std::byte, 4'096> unwanted;
        while (!failed)
            std::tie(failed, std::ignore) = co_await socket.async_read_some(
                asio::buffer(unwanted), asio::as_tuple(asio::use_awaitable));
    }

    static constexpr milliseconds goodbye = 1s;

    Next next_;
    watchdog reading_;
    watchdog writing_;
    milliseconds limit_ = watchdog::unlimited;
};

} // namespace titip::http
