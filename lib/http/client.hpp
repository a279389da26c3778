#pragma once

#include "http/message.hpp"
#include "http/stream.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace titip::http {

/// The client's half of one HTTP/1.1 connection. Requests may be written back to back before their
/// answers are read: answers come in the same order (pipelining). One coroutine may write while
/// another reads.
class client_connection {
public:
    client_connection(std::unique_ptr<stream> transport, std::string host);
    ~client_connection();

    /// The header, with Host, and Content-Length where there is a body or the method has one.
    /// errc::bad_message: `method` or `target` cannot stand in a request line. `content_length`
    /// bytes of body must follow by write_body(), over as many calls as the caller likes.
    asio::awaitable<result<void>> write_request(std::string_view method, std::string_view target,
                                                const fields& extra, std::uint64_t content_length);
    asio::awaitable<result<void>> write_body(bytes_view data);

    /// The next answer, whole, its body at most `limit_bytes` (errc::body_too_large). `to_head`: to
    /// a HEAD. A few 1xx answers are skipped; more, 101, and what is below 100: errc::bad_message.
    /// eof: the peer closed before an answer began; connection_reset: in the middle of it.
    asio::awaitable<result<response>> read_response(bool to_head, std::size_t limit_bytes);

    stream& transport() noexcept;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

} // namespace titip::http
