#include "http/server.hpp"

#include "http/reader.hpp"
#include "http/watchdog.hpp"
#include "http/wire.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/status.hpp>

#include <deque>

namespace titip::http {

namespace {

constexpr std::size_t longest_skipped_bytes = 64u << 10;

/// Up to here a body is sent together with its header: one system call, one TLS record.
constexpr std::size_t small_body_bytes = 15u << 10;

bool may_have_body(unsigned status) noexcept
{
    return status >= 200 && status != 204 && status != 304;
}

std::string head_of(const response& answer, bool to_head)
{
    const auto known = static_cast<boost::beast::http::status>(answer.status);
    std::string head = "HTTP/1.1 " + std::to_string(answer.status) + ' ';
    head.append(boost::beast::http::obsolete_reason(known)).append("\r\n");
    append_fields(head, answer.fields);
    const bool says_length = to_head ? !answer.body.empty() : may_have_body(answer.status);
    if (says_length && !answer.fields.has("Content-Length"))
        append_field(head, "Content-Length", std::to_string(answer.body.size()));
    if (!answer.keep_alive && !answer.fields.has("Connection"))
        append_field(head, "Connection", "close");
    return head.append("\r\n");
}

std::size_t count(const fields& all, std::string_view name)
{
    return static_cast<std::size_t>(std::ranges::count_if(
        all.all(), [&](const auto& field) { return boost::beast::iequals(field.first, name); }));
}

/// What RFC 9112 sections 3.2 and 6.1 ask for and Beast does not look at.
bool is_sound(const message_parser<true>& header)
{
    const std::size_t hosts = count(header.fields, "Host");
    if (hosts > 1 || (hosts == 0 && header.version >= 11))
        return false;
    const auto coding = header.fields.find("Transfer-Encoding");
    return !coding || boost::beast::iequals(*coding, "chunked");
}

} // namespace

struct server_connection::parts {
    std::unique_ptr<stream> transport;
    server_limits limits;
    message_reader<true> reader;
    std::optional<watchdog> patience; ///< for idling, headers and skipping
    std::deque<bool> unanswered;      ///< requests, oldest first: is it a HEAD?
    bool is_waiting = false;          ///< for the first byte of a request
    bool owes_continue = false;       ///< the peer holds its body back until told to send it

    parts(std::unique_ptr<stream> with, const server_limits& bounds)
        : transport(std::move(with)), limits(bounds), reader(*transport, limits.header_bytes)
    {
        transport->set_no_progress_limit(limits.no_progress);
    }

    asio::awaitable<result<request>> next_request();
    asio::awaitable<result<void>> skip_body();
    asio::awaitable<result<void>> wait_for_request();
    asio::awaitable<result<void>> send_continue();
    request begun();
};

server_connection::server_connection(std::unique_ptr<stream> transport, server_limits limits)
    : parts_(std::make_unique<parts>(std::move(transport), limits))
{
}

server_connection::~server_connection() = default;

stream& server_connection::transport() noexcept
{
    return *parts_->transport;
}

asio::awaitable<result<request>> server_connection::read_request()
{
    auto& patience = parts_->patience;
    if (!patience) {
        auto late = [transport = parts_->transport.get()] { transport->close(); };
        patience.emplace(co_await asio::this_coro::executor, std::move(late));
    }
    auto next = co_await parts_->next_request();
    patience->end();
    if (!next && patience->is_late())
        co_return error_code{asio::error::timed_out};
    co_return next;
}

asio::awaitable<result<request>> server_connection::parts::next_request()
{
    if (const auto skipped = co_await skip_body(); !skipped)
        co_return skipped.error();
    reader.begin();
    if (const auto begun_to_arrive = co_await wait_for_request(); !begun_to_arrive)
        co_return begun_to_arrive.error();
    patience->begin(limits.idle);
    if (const auto header = co_await reader.read_header(); !header)
        co_return header.error();
    if (!is_sound(reader.parser()))
        co_return errc::bad_message;
    co_return begun();
}

asio::awaitable<result<void>> server_connection::parts::skip_body()
{
    if (!reader.has_begun() || reader.is_done())
        co_return result<void>{};
    if (!reader.parser().is_header_done())
        co_return errc::bad_message; // found by the call before this one
    const auto left = reader.parser().content_length_remaining();
    if (owes_continue || left > longest_skipped_bytes)
        co_return errc::body_abandoned;
    patience->begin(limits.idle);
    bytes unwanted(longest_skipped_bytes);
    for (std::size_t skipped = 0; skipped <= longest_skipped_bytes;) {
        const auto got = co_await reader.read_body(unwanted);
        if (!got)
            co_return got.error();
        if (*got == 0)
            co_return result<void>{};
        skipped += *got;
    }
    co_return errc::body_abandoned;
}

asio::awaitable<result<void>> server_connection::parts::wait_for_request()
{
    if (reader.is_ahead())
        co_return result<void>{};
    if (unanswered.empty())
        patience->begin(limits.idle);
    else
        patience->end();
    is_waiting = true;
    const auto filled = co_await reader.fill();
    is_waiting = false;
    co_return filled;
}

request server_connection::parts::begun()
{
    const auto& header = reader.parser();
    request next;
    next.method = header.method;
    next.target = header.target;
    next.fields = header.fields;
    next.keep_alive = header.keep_alive();
    if (!header.chunked())
        next.content_length = header.content_length().value_or(0);
    const auto expected = header.fields.find("Expect");
    owes_continue =
        expected && boost::beast::iequals(*expected, "100-continue") && !header.is_done();
    unanswered.push_back(next.method == "HEAD");
    return next;
}

asio::awaitable<result<std::size_t>> server_connection::read_body(std::span<std::byte> into)
{
    if (parts_->owes_continue)
        if (const auto sent = co_await parts_->send_continue(); !sent)
            co_return sent.error();
    co_return co_await parts_->reader.read_body(into);
}

asio::awaitable<result<void>> server_connection::parts::send_continue()
{
    owes_continue = false;
    // Behind an answer that is still to come it would be out of order. The peer goes on by itself
    // after a while (RFC 9110 section 10.1.1); so it does if its body is here already.
    if (unanswered.size() != 1 || reader.is_ahead())
        co_return result<void>{};
    co_return co_await transport->write(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"));
}

asio::awaitable<result<void>> server_connection::write(response answer)
{
    auto& unanswered = parts_->unanswered;
    const bool to_head = answer.is_head || (!unanswered.empty() && unanswered.front());
    std::string out = head_of(answer, to_head);
    bytes_view body = answer.body;
    if (to_head || !may_have_body(answer.status))
        body = {};
    if (body.size() <= small_body_bytes) {
        out.append(as_text(body));
        body = {};
    }
    auto sent = co_await parts_->transport->write(as_bytes(out));
    if (sent && !body.empty())
        sent = co_await parts_->transport->write(body);
    if (!unanswered.empty())
        unanswered.pop_front();
    if (unanswered.empty() && parts_->is_waiting)
        parts_->patience->begin(parts_->limits.idle);
    co_return sent;
}

unsigned status_for(const error_code& ec) noexcept
{
    if (ec == errc::header_too_large)
        return 431;
    if (ec == errc::bad_message)
        return 400;
    if (ec == errc::body_too_large)
        return 413;
    return 0;
}

} // namespace titip::http
