#pragma once

#include "http/message.hpp"
#include "http/stream.hpp"

#include <cstdint>
#include <memory>
#include <span>

namespace titip::http {

struct server_limits {
    std::size_t header_bytes = 16u << 10; ///< a manifest in base64 is about 1,400
    /// Between requests; then again for a header, and again for skipping a body, as a whole. It
    /// does not run while an answer is owed: a long poll is not idle.
    milliseconds idle = 60s;
    /// Of any read or write (DESIGN: at least 5 min, urgent records pause others).
    milliseconds no_progress = 6min;
};

/// The server's half of one HTTP/1.1 connection: requests are read in order, each header and then
/// its body as far as the caller wants it; responses are written in order by whoever calls write().
/// Reading the next request before the last response was written is allowed: that is pipelining.
class server_connection {
public:
    server_connection(std::unique_ptr<stream> transport, server_limits limits);
    ~server_connection();

    /// The next request's header. asio::error::eof: the peer closed between requests (not an
    /// error); connection_reset: in the middle of one. errc::header_too_large, errc::bad_message:
    /// answer (status_for() says how) and close. timed_out (limits.idle): the stream is closed
    /// already. A body left unread by the caller is skipped if it is at most 64 KiB and has not
    /// been held back for our "100 Continue", else errc::body_abandoned: close.
    asio::awaitable<result<request>> read_request();

    /// The next bytes of the present request's body, 0 at its end, up to `into.size()`. Errors come
    /// after all that was read before them; connection_reset: the peer closed too early. Spans of
    /// 16 KiB and more are read into without a copy. The first call sends the "100 Continue" that
    /// the peer may wait for, so this request's answer must not be written at the same time.
    asio::awaitable<result<std::size_t>> read_body(std::span<std::byte> into);

    /// Header and body. Without a body, Content-Length is 0 (but for HEAD and 204). Date and Server
    /// are not sent. `keep_alive` false adds "Connection: close"; closing is left to the caller.
    /// One call at a time.
    asio::awaitable<result<void>> write(response answer);

    stream& transport() noexcept;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

/// The status for an error of read_request() or read_body(), or 0 if the peer is gone or answered.
unsigned status_for(const error_code& ec) noexcept;

} // namespace titip::http
