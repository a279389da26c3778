#include "http/client.hpp"
#include "http/reader.hpp"
#include "http/server.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <fuzzer/FuzzedDataProvider.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

using namespace titip;
namespace asio = boost::asio;

namespace {

enum class half { requests, responses, server, client };

/// What one input says, beside the bytes that come: its last bytes.
struct conditions {
    half side{};
    std::size_t header_limit = 0;
    std::size_t body_limit = 0; ///< of client_connection
    bool is_head = false;       ///< answers are to HEAD
    bool is_reset = false;      ///< else the stream ends with eof
    unsigned seed = 0;          ///< of cuts and spans
};

/// How the same bytes come, and how much is asked for at a time. 0: by chance.
struct manner {
    std::size_t piece_bytes;
    std::size_t span_bytes;
};
constexpr std::size_t all_bytes = 64u << 10;
constexpr manner at_once{all_bytes, all_bytes};
constexpr std::array<manner, 2> in_parts{{{1, 7}, {0, 0}}};

class in_pieces final : public http::stream {
public:
    in_pieces(std::string_view data, const conditions& when, std::size_t piece_bytes)
        : left_(data), when_(when), piece_(piece_bytes), random_(when.seed)
    {
    }

    asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) override
    {
        if (into.empty())
            std::abort(); // as stream demands
        if (left_.empty() && when_.is_reset)
            co_return error_code{asio::error::connection_reset};
        if (left_.empty())
            co_return error_code{asio::error::eof};
        const auto chosen = piece_ != 0 ? piece_ : 1 + random_() % 100;
        constexpr std::size_t long_bytes = 8u << 10; // byte by byte takes too long
        const auto most = left_.size() > long_bytes ? std::max<std::size_t>(chosen, 1'000) : chosen;
        const auto n = std::min({most, into.size(), left_.size()});
        std::memcpy(into.data(), left_.data(), n);
        left_.remove_prefix(n);
        co_return n;
    }
    asio::awaitable<result<void>> write(bytes_view) override { co_return result<void>{}; }
    void set_no_progress_limit(milliseconds) override {}
    void end_reading() noexcept override {}
    asio::awaitable<void> shutdown() override { co_return; }
    void close() noexcept override {}
    int native_handle() noexcept override { return -1; }

private:
    std::string_view left_;
    conditions when_;
    std::size_t piece_;
    std::minstd_rand random_;
};

/// What was read, as text: the same for the same bytes.
class story {
public:
    void tell(std::string_view what, std::string_view value)
    {
        text_.append(what).append(": ").append(value).append("\n");
    }
    void tell(std::string_view what, std::uint64_t value) { tell(what, std::to_string(value)); }
    void tell(const http::fields& all)
    {
        for (const auto& [name, value] : all.all())
            tell(name, value);
    }
    void tell_end(const error_code& why) { end_ = why; }

    /// Of a header, or of a chunk's, that is malformed, too large or not whole, which of these is said depends
    /// on the pieces: Beast looks into one whose first piece was short only when its end is there.
    bool is_same_as(const story& other) const
    {
        const auto is_broken = [](const error_code& why) { return why && why != asio::error::eof; };
        return text_ == other.text_ &&
               (end_ == other.end_ || (is_broken(end_) && is_broken(other.end_)));
    }
    std::string text() const { return text_ + "end: " + end_.message(); }

private:
    std::string text_;
    error_code end_; ///< why no more came after these
};

class spans {
public:
    spans(const conditions& when, std::size_t size) : size_(size), random_(when.seed + 1) {}
    std::span<std::byte> next()
    {
        static std::array<std::byte, all_bytes> room;
        // From 16 KiB on a span is read into in place.
        constexpr std::array<std::size_t, 4> sizes{1, 300, 16u << 10, 40'000};
        return std::span{room}.first(size_ != 0 ? size_ : sizes[random_() % sizes.size()]);
    }

private:
    std::size_t size_;
    std::minstd_rand random_;
};

/// The rest of a body: whether it came to its end.
template <class Reader>
asio::awaitable<bool> read_body(Reader& from, spans& into, story& out)
{
    std::string body;
    for (;;) {
        const auto span = into.next();
        const auto got = co_await from.read_body(span);
        if (got)
            body.append(as_text(span.first(*got)));
        if (got && *got > 0)
            continue;
        out.tell("body", body);
        if (!got)
            out.tell_end(got.error());
        co_return got.has_value();
    }
}

template <bool IsRequest>
asio::awaitable<void> read_messages(std::unique_ptr<http::stream> from, conditions when,
                                    std::size_t span_bytes, story& out)
{
    http::message_reader<IsRequest> reader{*from, when.header_limit};
    spans into{when, span_bytes};
    for (;;) {
        reader.begin(when.is_head && !IsRequest);
        const auto header = co_await reader.read_header();
        if (!header) {
            out.tell_end(header.error());
            co_return;
        }
        const auto& read = reader.parser();
        std::size_t size = 0;
        for (const auto& [name, value] : read.fields.all())
            size += name.size() + value.size();
        if (size > when.header_limit)
            std::abort();
        out.tell(read.method, read.target);
        out.tell("status", read.status);
        out.tell("version", static_cast<unsigned>(read.version));
        out.tell("keep-alive", read.keep_alive());
        out.tell("length",
                 read.chunked() ? "chunked" : std::to_string(read.content_length().value_or(0)));
        out.tell(read.fields);
        const bool is_whole = co_await read_body(reader, into, out);
        if (!is_whole)
            co_return;
        if (!reader.is_done())
            std::abort();
    }
}

asio::awaitable<void> serve(std::unique_ptr<http::stream> from, conditions when,
                            std::size_t span_bytes, story& out)
{
    http::server_connection connection{std::move(from), {.header_bytes = when.header_limit}};
    spans into{when, span_bytes};
    std::minstd_rand random{when.seed};
    for (;;) {
        const auto request = co_await connection.read_request();
        if (!request) {
            out.tell_end(request.error());
            co_return;
        }
        out.tell(request->method, request->target);
        out.tell("keep-alive", request->keep_alive);
        out.tell("length",
                 request->content_length ? std::to_string(*request->content_length) : "chunked");
        out.tell(request->fields);
        if (const auto target = http::parse_target(request->target))
            for (const auto& segment : target->segments)
                if (segment.find_first_of(std::string_view{"/\0", 2}) != segment.npos ||
                    segment == "..")
                    std::abort();
        if (random() % 4 == 0)
            continue; // is skipped
        const bool is_whole = co_await read_body(connection, into, out);
        if (!is_whole)
            co_return;
    }
}

asio::awaitable<void> ask(std::unique_ptr<http::stream> from, conditions when, story& out)
{
    http::client_connection connection{std::move(from), "centre.test"};
    for (;;) {
        const auto answer = co_await connection.read_response(when.is_head, when.body_limit);
        if (!answer) {
            out.tell_end(answer.error());
            co_return;
        }
        if (answer->status < 200 || answer->body.size() > when.body_limit)
            std::abort();
        out.tell("status", answer->status);
        out.tell("keep-alive", answer->keep_alive);
        out.tell(answer->fields);
        out.tell("body", as_text(answer->body));
    }
}

asio::awaitable<void> read(std::string_view data, conditions when, manner how, story& out)
{
    auto from = std::make_unique<in_pieces>(data, when, how.piece_bytes);
    switch (when.side) {
    case half::requests:
        return read_messages<true>(std::move(from), when, how.span_bytes, out);
    case half::responses:
        return read_messages<false>(std::move(from), when, how.span_bytes, out);
    case half::server:
        return serve(std::move(from), when, how.span_bytes, out);
    case half::client:
        return ask(std::move(from), when, out);
    }
    std::abort();
}

story told(std::string_view data, const conditions& when, const manner& how)
{
    story out;
    static asio::io_context io;
    io.restart();
    bool is_over = false;
    asio::co_spawn(io, read(data, when, how, out), [&is_over](const std::exception_ptr& thrown) {
        if (thrown)
            std::rethrow_exception(thrown);
        is_over = true;
    });
    io.poll(); // nothing here waits for anything
    if (!is_over)
        std::abort();
    return out;
}

} // namespace

/// Any bytes, in whatever pieces they come and whatever spans they are read into: the same messages, the
/// same error at the same place. What an input means stands in its last bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    FuzzedDataProvider input{data, size};
    conditions when;
    when.side = static_cast<half>(input.ConsumeIntegralInRange(0, 3));
    when.header_limit = input.PickValueInArray<std::size_t>({64, 300, 4u << 10, 16u << 10});
    when.body_limit = input.PickValueInArray<std::size_t>({0, 20, 1u << 10, 64u << 10});
    when.is_head = input.ConsumeIntegralInRange(0, 7) == 7;
    when.is_reset = input.ConsumeBool();
    when.seed = input.ConsumeIntegral<std::uint8_t>();
    // A few are longer than the reader's buffer, which has 64 KiB.
    const auto chance = input.ConsumeIntegral<std::uint8_t>();
    const std::size_t further = chance == 255 ? 70u << 10 : chance > 247 ? 17u << 10 : 0;
    auto coming = input.ConsumeRemainingBytesAsString();
    if (further != 0 && !coming.empty())
        coming.append(further, coming.back());

    const auto expected = told(coming, when, at_once);
    for (const auto& how : in_parts) {
        const auto got = told(coming, when, how);
        if (got.is_same_as(expected))
            continue;
        std::fprintf(stderr, "in pieces of %zu, spans of %zu:\n%s\nat once:\n%s\n", how.piece_bytes,
                     how.span_bytes, got.text().c_str(), expected.text().c_str());
        std::abort();
    }
    return 0;
}
