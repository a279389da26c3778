#pragma once

#include "http/client.hpp"
#include "http/transport.hpp"
#include "link/knock.hpp"
#include "link/verdict.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titip {
namespace asio = boost::asio;
}

namespace titip::link {

/// What the upstream says of itself at GET /v1/node.
struct node_info {
    std::string name;
    bool is_accepting = true;
    std::chrono::seconds spread{}; ///< at most an hour
    std::uint64_t newest_verdict = 0;
    unsigned protocol = 1;        ///< it says nothing: version 1
    std::uint64_t most_bytes = 0; ///< of one record; 0: it does not say
    /// The answerer, its upstream and so on, as far as is known there: at most most_names. Empty: it does
    /// not say.
    std::vector<std::string> road;
    static constexpr std::size_t most_names = 16; ///< of custodians one above the other
};

/// The body of its answer; nothing: that of no titip node. What is not a number it may be counts as not said.
std::optional<node_info> parse_node_info(std::string_view json);

struct probe_failure {
    link::verdict verdict{};
    milliseconds retry_after{}; ///< as the upstream asked, capped at 1 h
    std::string detail;         ///< for the log and `titip status`
};

/// What an answer to GET /v1/node says: of the node, or why it is not one that takes records now.
result<node_info, probe_failure> judge(const http::response& answer);

/// What a failed connection says about the link. Dates alone are `clock` or `expired`; a
/// certificate of somebody else is `tls`; that ours is refused shows only at the first read, as
/// `auth`.
probe_failure explain(const http::connect_failure& failure);
probe_failure explain_read(const error_code& failed);

using opened = result<std::unique_ptr<http::stream>, http::connect_failure>;
using knocked = result<void, http::connect_failure>;

/// Opens connections to the upstream. Threads: the socket thread.
class dialer {
public:
    /// `context`: asked at each connection, since SIGHUP may have exchanged it. `is_self`: told the
    /// certificate of each upstream that was reached, and says whether it is this node's own name: that
    /// is no upstream (verdict::loop). May be null.
    dialer(asio::any_io_executor on, http::endpoint upstream,
           std::function<std::shared_ptr<http::tls_context>()> context,
           std::function<bool(x509_st*)> is_self = nullptr)
        : on_(std::move(on)), upstream_(std::move(upstream)), context_(std::move(context)),
          is_self_(std::move(is_self))
    {
    }

    asio::awaitable<opened> open(http::tcp_options options = {},
                                 std::function<void()> reached = nullptr);
    asio::awaitable<knocked> knock(milliseconds patience);
    /// Of connections from now on, the prober's too; 0: as path and interface say. See passage.
    void use_segments(unsigned most_bytes) noexcept { most_segment_bytes_ = most_bytes; }
    /// Called when a handshake gets no answer, TCP being connected; see note_silence().
    void on_silent_handshake(std::function<void()> told) { silent_handshake_ = std::move(told); }
    /// The same of the first question on a new connection: in TLS 1.3 our side of the handshake ends
    /// with the certificates that it sends, whether or not they arrive.
    void note_silence()
    {
        if (silent_handshake_)
            silent_handshake_();
    }
    /// Ends all attempts under way, even one whose name look-up gets no answer: they come back at
    /// once with operation_aborted.
    void cancel();
    const http::endpoint& upstream() const noexcept { return upstream_; }

private:
    asio::any_io_executor on_;
    http::endpoint upstream_;
    std::function<std::shared_ptr<http::tls_context>()> context_;
    std::function<bool(x509_st*)> is_self_;
    template <class Outcome>
    asio::awaitable<Outcome> attempt(asio::awaitable<Outcome> work);

    std::vector<asio::cancellation_signal*> attempts_;
    unsigned most_segment_bytes_ = 0;
    std::function<void()> silent_handshake_;
};

/// Asks the upstream whether it is there, on a connection that is kept; while nothing answers, it
/// knocks before it makes one. An answer counts only from
/// the peer whose certificate was verified, so a captive portal can never look like the centre.
/// Threads: the socket thread.
class prober {
public:
    /// `over` outlives it. `reached`: called when TCP is connected, before anything was asked: now a
    /// further connection would not be made in vain.
    prober(dialer& over, std::function<void()> reached)
        : dialer_(over), reached_(std::move(reached))
    {
    }

    /// Writes a further request behind the question, so that both are on their way in one round trip;
    /// its answer is the caller's to read, on connection().
    using further = std::function<asio::awaitable<void>(http::client_connection&)>;

    /// Opens a connection if there is none. `after`: a long poll, answered when the upstream has
    /// verdicts beyond it, or after five minutes. Nothing: it was interrupted, which says nothing
    /// of the link. `also` may be null.
    asio::awaitable<result<std::optional<node_info>, probe_failure>>
    ask(std::optional<std::uint64_t> after, further also = nullptr);
    /// Ends a question under way, if there is one.
    void interrupt() noexcept;

    /// What the last question was answered on, for further ones of the caller's; null if it was
    /// closed since. Owned by the prober: nothing else may be asked meanwhile.
    http::client_connection* connection() noexcept { return connection_.get(); }
    /// It cannot be used any more.
    void drop_connection() noexcept { connection_.reset(); }

private:
    asio::awaitable<result<node_info, probe_failure>>
    connect_and_exchange(std::optional<std::uint64_t> after, further also);
    asio::awaitable<result<node_info, probe_failure>> connect(std::optional<std::uint64_t> after,
                                                              const further& also);
    asio::awaitable<result<node_info, probe_failure>> exchange(std::optional<std::uint64_t> after,
                                                               const further& also);
    asio::awaitable<knocked> knock_if_useful();
    dialer& dialer_;
    std::function<void()> reached_;
    knocking knocking_;
    std::unique_ptr<http::client_connection> connection_;
    bool is_asking_ = false;
    bool is_interrupted_ = false;
    bool was_closed_ = false; ///< by the upstream, before it answered the last question
    bool was_silent_ = false; ///< it did not answer the last question
};

} // namespace titip::link
