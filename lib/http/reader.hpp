#pragma once

#include "http/parser.hpp"
#include "http/stream.hpp"

#include <memory>
#include <optional>

namespace titip::http {

/// 1xx answers before the one that counts: a server sends one or two. A peer that sends nothing else
/// would keep a caller for ever.
inline constexpr std::size_t most_interim_answers = 8;

/// Reads one HTTP/1.1 message after the other from a stream, which must outlive it.
template <bool IsRequest>
class message_reader {
public:
    message_reader(stream& from, std::size_t header_limit_bytes);

    /// The next message; only after the last one is_done(). `without_body`: it answers a HEAD.
    void begin(bool without_body = false);
    bool has_begun() const noexcept { return parser_.has_value(); }
    bool is_done() const { return parser_->is_done(); }
    const message_parser<IsRequest>& parser() const noexcept { return *parser_; }

    /// Whether bytes of the message to come have been read already.
    bool is_ahead() const noexcept { return begin_ != end_; }
    /// At least one byte more. errors of the stream, errc::bad_message where there is no room.
    asio::awaitable<result<void>> fill();

    /// eof: the peer closed before the message began; connection_reset: in the middle of it.
    asio::awaitable<result<void>> read_header();
    /// The next bytes of the body, 0 at its end. An error comes after what was read before it.
    asio::awaitable<result<std::size_t>> read_body(std::span<std::byte> into);

private:
    error_code parse_buffered();
    asio::awaitable<result<void>> read_in_place(std::span<std::byte> into);
    asio::awaitable<result<void>> read_more(std::span<std::byte> into);
    result<void> on_stream_end();

    stream& from_;
    std::size_t header_limit_;
    std::size_t capacity_;
    std::unique_ptr<std::byte[]> buffer_; ///< bytes_[begin_, end_) are read and not parsed
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::optional<message_parser<IsRequest>> parser_;
    bool is_in_chunk_header_ = false; ///< what is ahead did not suffice for one
    error_code failure_; ///< found behind bytes of the body that had to be given out first
};

extern template class message_reader<true>;
extern template class message_reader<false>;

} // namespace titip::http
