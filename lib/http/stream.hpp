#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <span>

struct x509_st;

namespace titip::http {

namespace asio = boost::asio;

/// A connected byte stream: TLS, Unix socket or plain TCP. One coroutine may read while another
/// writes. Errors are values; nothing throws but cancellation of the calling coroutine.
/// Threads: the socket thread only.
class stream {
public:
    virtual ~stream() = default;

    /// At least one byte, or an error: asio::error::eof when the peer has closed its side (over TLS
    /// also without close_notify: HTTP knows from its lengths whether something is missing). `into`
    /// is not empty.
    virtual asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) = 0;

    /// All of `data`, which must live until it returns.
    virtual asio::awaitable<result<void>> write(bytes_view data) = 0;

    /// From now on each single read, and each single write step, must make progress within `limit`;
    /// one that does not fails with boost::system::errc::timed_out and the stream is closed.
    /// A transfer is given up on no progress, never on duration. A read also counts what is written
    /// meanwhile: an answer may take as long as its request takes to go out. No limit until set.
    virtual void set_no_progress_limit(milliseconds limit) = 0;

    /// Reads end with eof once they have given what is here already; writes go on.
    virtual void end_reading() noexcept = 0;

    /// Says goodbye (TLS close_notify, FIN), waits for the peer's no longer than a second, so that
    /// it can read our last answer, and closes. No read or write may be under way.
    virtual asio::awaitable<void> shutdown() = 0;

    /// Ends both directions now: reads and writes under way fail with operation_aborted.
    virtual void close() noexcept = 0;

    /// The peer's TLS certificate, or null. Owned by the stream.
    virtual x509_st* peer_certificate() const noexcept { return nullptr; }

    /// Whether a handshake would let the peer in now: its certificate is looked at anew, by the rule and the
    /// authorities in use at this moment. To be asked where a request begins, and where what it is judged by
    /// has changed; 0.2 ms over TLS. Always so where there are no certificates.
    virtual bool is_peer_believed() const { return true; }

    /// The socket, for options and peer credentials.
    virtual int native_handle() noexcept = 0;
};

} // namespace titip::http
