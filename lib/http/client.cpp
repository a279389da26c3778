#include "http/client.hpp"

#include "http/reader.hpp"
#include "http/wire.hpp"

#include <boost/asio/error.hpp>

namespace titip::http {

namespace {

/// A receipt in base64 is about 1,000; what a foreign server may add has room.
constexpr std::size_t header_limit_bytes = 32u << 10;

constexpr unsigned switching_protocols = 101;

/// How far a body of unknown length may grow at a time.
constexpr std::size_t growth_bytes = 16u << 10;

bool is_word(std::string_view text) noexcept
{
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

bool has_body(std::string_view method) noexcept
{
    return method == "POST" || method == "PUT" || method == "PATCH";
}

} // namespace

struct client_connection::parts {
    std::unique_ptr<stream> transport;
    std::string host;
    message_reader<false> reader;

    parts(std::unique_ptr<stream> with, std::string to)
        : transport(std::move(with)), host(std::move(to)), reader(*transport, header_limit_bytes)
    {
    }

    asio::awaitable<result<void>> read_header(bool to_head);
    asio::awaitable<result<bytes>> read_body(std::size_t limit_bytes);
};

client_connection::client_connection(std::unique_ptr<stream> transport, std::string host)
    : parts_(std::make_unique<parts>(std::move(transport), std::move(host)))
{
}

client_connection::~client_connection() = default;

stream& client_connection::transport() noexcept
{
    return *parts_->transport;
}

asio::awaitable<result<void>> client_connection::write_request(std::string_view method,
                                                               std::string_view target,
                                                               const fields& extra,
                                                               std::uint64_t content_length)
{
    if (!is_word(method) || !is_word(target))
        co_return errc::bad_message;
    std::string head;
    head.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
    append_field(head, "Host", parts_->host);
    append_fields(head, extra);
    if (content_length > 0 || has_body(method))
        append_field(head, "Content-Length", std::to_string(content_length));
    head.append("\r\n");
    co_return co_await parts_->transport->write(as_bytes(head));
}

asio::awaitable<result<void>> client_connection::write_body(bytes_view data)
{
    return parts_->transport->write(data);
}

asio::awaitable<result<response>> client_connection::read_response(bool to_head,
                                                                   std::size_t limit_bytes)
{
    if (const auto header = co_await parts_->read_header(to_head); !header)
        co_return header.error();
    const auto& header = parts_->reader.parser();
    response answer;
    answer.status = header.status;
    answer.fields = header.fields;
    answer.keep_alive = header.keep_alive();
    answer.is_head = to_head;
    auto body = co_await parts_->read_body(limit_bytes);
    if (!body)
        co_return body.error();
    answer.body = std::move(*body);
    co_return answer;
}

asio::awaitable<result<void>> client_connection::parts::read_header(bool to_head)
{
    // What an answer that was not read to its end has left behind cannot be told from the next one.
    if (reader.has_begun() && !reader.is_done())
        co_return errc::body_abandoned;
    for (std::size_t interim = 0; interim <= most_interim_answers; ++interim) {
        reader.begin(to_head);
        if (const auto header = co_await reader.read_header(); !header)
            co_return header.error();
        if (reader.parser().status >= 200)
            co_return result<void>{};
        if (reader.parser().status == switching_protocols)
            break;
    }
    co_return errc::bad_message;
}

asio::awaitable<result<bytes>> client_connection::parts::read_body(std::size_t limit_bytes)
{
    bytes body;
    const auto length = reader.parser().content_length_remaining();
    if (!reader.is_done() && length > limit_bytes)
        co_return error_code{errc::body_too_large};
    std::size_t filled = 0;
    while (!reader.is_done()) {
        body.resize(length ? static_cast<std::size_t>(*length) : filled + growth_bytes);
        const auto got = co_await reader.read_body(std::span{body}.subspan(filled));
        if (!got)
            co_return got.error();
        filled += *got;
        if (filled > limit_bytes)
            co_return error_code{errc::body_too_large};
    }
    body.resize(filled);
    co_return body;
}

} // namespace titip::http
