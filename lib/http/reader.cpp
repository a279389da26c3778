#include "http/reader.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <cassert>

namespace titip::http {

namespace {

/// Beast's own flat_buffer begins with 512 bytes and makes reading a 1 MB body 25 times slower.
constexpr std::size_t buffer_bytes = 64u << 10;

/// A span of this size is read into directly: one TLS record. Smaller ones go by way of the
/// buffer, so that many small reads do not become as many system calls.
constexpr std::size_t in_place_bytes = 16u << 10;

/// "0", and two line ends: the least that a body in chunks has before it from a chunk's header on.
/// Beast 1.81 takes for granted, by an assertion, that it gets as much once it has found the last
/// chunk's header without its end; a peer decides in which pieces it sends that. Only that of a first chunk
/// that is the last one too, and so begins with a zero, can be shorter.
constexpr std::size_t least_chunked_end_bytes = 5;

using parse_error = boost::beast::http::error;

error_code explain(const error_code& ec)
{
    return ec == parse_error::header_limit ? errc::header_too_large : errc::bad_message;
}

} // namespace

template <bool IsRequest>
message_reader<IsRequest>::message_reader(stream& from, std::size_t header_limit_bytes)
    : from_(from), header_limit_(header_limit_bytes),
      capacity_(std::max(buffer_bytes, 2 * header_limit_bytes)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity_))
{
}

template <bool IsRequest>
void message_reader<IsRequest>::begin(bool without_body)
{
    assert(!parser_ || parser_->is_done());
    parser_.emplace(header_limit_);
    parser_->skip(without_body);
    is_in_chunk_header_ = false;
    failure_ = {};
}

template <bool IsRequest>
asio::awaitable<result<void>> message_reader<IsRequest>::fill()
{
    if (end_ == capacity_ || begin_ == end_) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == capacity_)
        co_return errc::bad_message; // a chunk's header without end: all else has its limit
    const auto got = co_await from_.read_some({buffer_.get() + end_, capacity_ - end_});
    if (!got)
        co_return got.error();
    end_ += *got;
    co_return result<void>{};
}

template <bool IsRequest>
error_code message_reader<IsRequest>::parse_buffered()
{
    if (is_in_chunk_header_ && buffer_[begin_] == std::byte{'0'} &&
        end_ - begin_ < least_chunked_end_bytes)
        return {};
    error_code ec;
    const auto taken = parser_->put(asio::buffer(buffer_.get() + begin_, end_ - begin_), ec);
    begin_ += taken;
    is_in_chunk_header_ = taken == 0 && ec == parse_error::need_more && parser_->is_header_done() &&
                          parser_->chunked();
    if (ec == parse_error::need_more || ec == parse_error::need_buffer)
        return {};
    return ec ? explain(ec) : ec;
}

template <bool IsRequest>
asio::awaitable<result<void>> message_reader<IsRequest>::read_header()
{
    // Beast's limit is for the start line and for what is left of the fields, each: ours is for
    // all.
    std::size_t parsed = 0;
    for (;;) {
        if (is_ahead()) {
            const std::size_t before = begin_;
            const error_code ec = parse_buffered();
            parsed += begin_ - before;
            if (parsed > header_limit_)
                co_return errc::header_too_large;
            if (ec)
                co_return ec;
            if (parser_->is_header_done())
                co_return result<void>{};
        }
        const auto filled = co_await fill();
        if (!filled && filled.error() == asio::error::eof && parser_->got_some())
            co_return asio::error::connection_reset;
        if (!filled)
            co_return filled.error();
    }
}

template <bool IsRequest>
asio::awaitable<result<std::size_t>> message_reader<IsRequest>::read_body(std::span<std::byte> into)
{
    assert(parser_ && parser_->is_header_done());
    if (into.empty())
        co_return std::size_t{0};
    parser_->give(into);
    for (;;) {
        while (!failure_ && is_ahead() && !parser_->is_done()) {
            const std::size_t before = begin_;
            failure_ = parse_buffered();
            if (begin_ == before)
                break;
        }
        if (parser_->taken() > 0)
            co_return parser_->taken();
        if (failure_)
            co_return failure_;
        if (parser_->is_done())
            co_return std::size_t{0};
        if (const auto more = co_await read_more(into); !more)
            failure_ = more.error();
    }
}

template <bool IsRequest>
asio::awaitable<result<void>> message_reader<IsRequest>::read_more(std::span<std::byte> into)
{
    const bool in_place = into.size() >= in_place_bytes && !is_ahead() && !parser_->chunked();
    auto reading = in_place ? read_in_place(into) : fill();
    const auto read = co_await std::move(reading);
    if (!read && read.error() == asio::error::eof)
        co_return on_stream_end();
    co_return read;
}

template <bool IsRequest>
asio::awaitable<result<void>> message_reader<IsRequest>::read_in_place(std::span<std::byte> into)
{
    if (const auto left = parser_->content_length_remaining(); left && *left < into.size())
        into = into.first(static_cast<std::size_t>(*left));
    const auto got = co_await from_.read_some(into);
    if (!got)
        co_return got.error();
    error_code ec;
    parser_->put(asio::buffer(into.data(), *got), ec);
    assert(!ec && parser_->taken() == *got);
    co_return result<void>{};
}

template <bool IsRequest>
result<void> message_reader<IsRequest>::on_stream_end()
{
    if (!parser_->need_eof())
        return error_code{asio::error::connection_reset};
    error_code ec;
    parser_->put_eof(ec); // this answer ends where the stream does
    if (ec)
        return explain(ec);
    return {};
}

template class message_reader<true>;
template class message_reader<false>;

} // namespace titip::http
