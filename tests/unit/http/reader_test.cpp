#include "http/reader.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace titip::http::test {

namespace {

/// Gives each piece by itself, and then breaks.
class in_pieces final : public stream {
public:
    explicit in_pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}

    asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) override
    {
        if (next_ == pieces_.size())
            co_return error_code{asio::error::connection_reset};
        const auto& piece = pieces_[next_++];
        REQUIRE(piece.size() <= into.size());
        std::memcpy(into.data(), piece.data(), piece.size());
        co_return piece.size();
    }
    asio::awaitable<result<void>> write(bytes_view) override { co_return result<void>{}; }
    void set_no_progress_limit(milliseconds) override {}
    void end_reading() noexcept override {}
    asio::awaitable<void> shutdown() override { co_return; }
    void close() noexcept override {}
    int native_handle() noexcept override { return -1; }

private:
    std::vector<std::string> pieces_;
    std::size_t next_ = 0;
};

asio::awaitable<void> read_body(stream& from, std::size_t span_bytes, std::string& body,
                                error_code& end)
{
    message_reader<true> reader{from, 16u << 10};
    reader.begin();
    const auto header = co_await reader.read_header();
    REQUIRE(header);
    bytes room(span_bytes);
    for (;;) {
        const auto got = co_await reader.read_body(room);
        if (!got)
            end = got.error();
        if (!got || *got == 0)
            co_return;
        body.append(as_text(bytes_view{room}.first(*got)));
    }
}

} // namespace

TEST_CASE("what came of a chunk before its stream broke is given out", "[http]")
{
    const std::string head = "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct coming {
        std::vector<std::string> pieces;
        std::size_t span_bytes;
        std::string body;
    };
    const auto what =
        GENERATE_COPY(coming{{head + "9\r\nabcd"}, 1, "abcd"},     // after a span that was full
                      coming{{head + "9", "\r\na"}, 100, "a"},     // a header in two pieces
                      coming{{head + "9\r\n0000"}, 1, "0000"},     // like the end of a body
                      coming{{head + "1\r\n0\r\n", "0"}, 1, "0"}); // and one that is cut off
    in_pieces from{what.pieces};
    asio::io_context io;
    std::string body;
    error_code end;
    asio::co_spawn(io, read_body(from, what.span_bytes, body, end), asio::detached);
    io.run();
    CHECK(body == what.body);
    CHECK(end == asio::error::connection_reset);
}

TEST_CASE("a body in chunks that is empty ends, in whatever pieces", "[http]")
{
    const std::string head = "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::string last = GENERATE("0\r\n\r\n", "00\r\n\r\n", "0;a\r\n\r\n");
    std::vector<std::string> pieces{head};
    for (const char each : last)
        pieces.emplace_back(1, each);
    in_pieces from{std::move(pieces)};
    asio::io_context io;
    std::string body;
    error_code end;
    asio::co_spawn(io, read_body(from, 100, body, end), asio::detached);
    io.run();
    CHECK(body.empty());
    CHECK_FALSE(end);
}

} // namespace titip::http::test
