#include "support.hpp"

#include "http/reader.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <catch2/catch.hpp>

#include <fmt/format.h>

namespace titip::http::test {

namespace {

asio::awaitable<void> say(std::unique_ptr<stream> with, std::string answer, std::size_t at_a_time)
{
    bytes asked(4'096);
    const auto got = co_await with->read_some(asked);
    CHECK(got.has_value());
    for (std::size_t at = 0; at < answer.size(); at += at_a_time) {
        co_await send(*with, answer.substr(at, at_a_time));
        if (at_a_time < answer.size()) // the other end reads before more is written
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
    co_await with->shutdown();
}

struct outcome {
    std::vector<response> answers;
    error_code end;
};

asio::awaitable<void> ask(std::filesystem::path at, bool is_head, std::size_t limit_bytes,
                          outcome& seen)
{
    auto peer = co_await dial(std::move(at));
    client_connection connection{std::move(peer), "centre.test"};
    const fields none;
    const auto sent = co_await connection.write_request(is_head ? "HEAD" : "GET", "/", none, 0);
    CHECK(sent.has_value());
    for (;;) {
        auto answer = co_await connection.read_response(is_head, limit_bytes);
        if (!answer) {
            seen.end = answer.error();
            co_return;
        }
        seen.answers.push_back(std::move(*answer));
    }
}

/// What a client makes of `answer`, byte for byte from a server, until it closes.
outcome make_of(std::string answer, bool is_head = false, std::size_t limit_bytes = 100'000,
                std::size_t at_a_time = std::string::npos)
{
    folder place;
    asio::io_context io{1};
    auto take = [&](std::unique_ptr<stream> with) {
        return say(std::move(with), answer, std::min(at_a_time, answer.size()));
    };
    running_server server{io, listen_at(io, place / "s"), take};
    outcome seen;
    run(io, server, ask(place / "s", is_head, limit_bytes, seen));
    return seen;
}

} // namespace

TEST_CASE("answers are read one by one, those that only say 'wait' are skipped", "[http]")
{
    const auto seen =
        make_of("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                "HTTP/1.1 201 Created\r\nContent-Length: 3\r\nUpload-Offset: 7\r\n\r\nabc"
                "HTTP/1.1 204 No Content\r\n\r\n"
                "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2\r\nno\r\n1\r\nt\r\n0\r\n\r\n");
    REQUIRE(seen.answers.size() == 3);
    CHECK(seen.answers[0].status == 201);
    CHECK(seen.answers[0].fields.find("upload-offset") == "7");
    CHECK_FALSE(seen.answers[0].fields.has("Link"));
    CHECK(as_text(seen.answers[0].body) == "abc");
    CHECK(seen.answers[1].status == 204);
    CHECK(seen.answers[2].status == 503);
    CHECK(as_text(seen.answers[2].body) == "not");
    CHECK(seen.end == asio::error::eof);
}

TEST_CASE("an answer to HEAD ends with its header", "[http]")
{
    const auto seen = make_of("HTTP/1.1 200 OK\r\nContent-Length: 812345\r\n\r\n"
                              "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                              true);
    REQUIRE(seen.answers.size() == 2);
    CHECK(seen.answers[0].body.empty());
    CHECK(seen.answers[0].fields.find("Content-Length") == "812345");
    CHECK(seen.answers[1].status == 404);
}

TEST_CASE("an answer without a length ends where the connection does", "[http]")
{
    const std::string body(50'000, 'a');
    const auto seen = make_of("HTTP/1.0 200 OK\r\n\r\n" + body);
    REQUIRE(seen.answers.size() == 1);
    CHECK((as_text(seen.answers[0].body) == body));
    CHECK_FALSE(seen.answers[0].keep_alive);
}

TEST_CASE("an answer that breaks off is an error, not a short answer", "[http]")
{
    const auto* text = GENERATE(
        "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
    const auto seen = make_of(text);
    CHECK(seen.answers.empty());
    CHECK(seen.end == asio::error::connection_reset);
}

TEST_CASE("an answer above the limit is refused, one of exactly the limit is not", "[http]")
{
    const std::size_t size = GENERATE(10, 40'000);
    const std::string body(size, 'a');
    const auto chunk = fmt::format("{:x}", size);
    const auto text = GENERATE_COPY("Content-Length: " + std::to_string(size) + "\r\n\r\n" + body,
                                    "Transfer-Encoding: chunked\r\n\r\n" + chunk + "\r\n" + body +
                                        "\r\n0\r\n\r\n",
                                    "Connection: close\r\n\r\n" + body);
    CAPTURE(size, text.substr(0, 20));
    CHECK(make_of("HTTP/1.1 200 OK\r\n" + text, false, size).answers.size() == 1);
    const auto refused = make_of("HTTP/1.1 200 OK\r\n" + text, false, size - 1);
    CHECK(refused.answers.empty());
    CHECK(refused.end == errc::body_too_large);
}

TEST_CASE("the room for an answer is not what the peer claims", "[http]")
{
    CHECK(make_of("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n").end ==
          errc::body_too_large);
}

TEST_CASE("what is no answer is not taken for one", "[http]")
{
    CHECK(make_of("SSH-2.0-OpenSSH_9.2\r\n").end == errc::bad_message);
    CHECK(make_of("HTTP/1.1 200 OK\r\nA: " + std::string(40'000, 'a')).end ==
          errc::header_too_large);
}

TEST_CASE("a status that HTTP does not know ends the connection, and nothing else", "[http]")
{
    // 101 too: nobody asked for another protocol.
    const auto* status = GENERATE("099", "000", "012", "101");
    const auto* rest = GENERATE("Content-Length: 5\r\n\r\nhello", "Content-Length: 0\r\n\r\n",
                                "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                                "Connection: close\r\n\r\nhello");
    const bool is_head = GENERATE(false, true);
    CAPTURE(status, rest, is_head);
    const auto seen = make_of(fmt::format("HTTP/1.1 {} X\r\n{}", status, rest), is_head);
    CHECK(seen.answers.empty());
    CHECK(seen.end == errc::bad_message);
}

TEST_CASE("answers that only say 'wait' are bounded in number", "[http]")
{
    const std::string wait = "HTTP/1.1 102 Processing\r\n\r\n";
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    std::string many;
    for (std::size_t i = 0; i < most_interim_answers; ++i)
        many += wait;
    CHECK(make_of(many + answer + many + answer).answers.size() == 2); // each answer anew
    const auto seen = make_of(many + wait + answer);
    CHECK(seen.answers.empty());
    CHECK(seen.end == errc::bad_message);
}

TEST_CASE("an answer is the same in whatever pieces it arrives", "[http]")
{
    const auto* coded = GENERATE("0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n",
                                 "5;a=b\r\nhello\r\n00;c\r\nTrailer: 1\r\n\r\n");
    const auto at_a_time = GENERATE(range<std::size_t>(1, 8));
    CAPTURE(coded, at_a_time);
    const auto text = fmt::format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", coded);
    const auto seen = make_of(text, false, 100, at_a_time);
    REQUIRE(seen.answers.size() == 1);
    CHECK(as_text(seen.answers[0].body) == (coded[0] == '5' ? "hello" : ""));
    CHECK(seen.end == asio::error::eof);
}

namespace {

asio::awaitable<void> pipeline(std::filesystem::path at, std::vector<std::string>& answers)
{
    auto peer = co_await dial(std::move(at));
    client_connection connection{std::move(peer), "centre.test"};
    fields extra;
    extra.add("Titip-Version", "1");
    const bytes body = pattern(100'000);
    for (const char* method : {"PUT", "GET", "POST"}) {
        const std::size_t size = method == std::string_view{"GET"} ? 0 : body.size();
        const auto sent = co_await connection.write_request(method, "/x", extra, size);
        CHECK(sent.has_value());
        // In two pieces, as the body of a record goes out
        const auto data = bytes_view{body}.first(size);
        const auto first = co_await connection.write_body(data.first(size / 3));
        const auto second = co_await connection.write_body(data.subspan(size / 3));
        CHECK((first && second));
    }
    for (int i = 0; i < 3; ++i) {
        const auto answer = co_await connection.read_response(false, 1'000);
        REQUIRE(answer.has_value());
        answers.emplace_back(as_text(answer->body));
    }
    co_await connection.transport().shutdown();
}

asio::awaitable<void> write_nonsense(std::filesystem::path at)
{
    auto peer = co_await dial(std::move(at));
    client_connection connection{std::move(peer), "centre.test"};
    const fields none;
    for (const char* target : {"", "/a b", "/a\r\nX: y"}) {
        const auto sent = co_await connection.write_request("GET", target, none, 0);
        CHECK(!sent);
    }
}

} // namespace

TEST_CASE("several requests are sent before their answers are read", "[http]")
{
    folder place;
    asio::io_context io{1};
    const auto seen = std::make_shared<visits>();
    running_server server{io, listen_at(io, place / "s"), echo(seen)};
    std::vector<std::string> answers;
    run(io, server, pipeline(place / "s", answers));
    CHECK(answers == std::vector<std::string>{"PUT 100000", "GET 0", "POST 100000"});
    REQUIRE(seen->all.size() == 3);
    CHECK((seen->all[2].body == pattern(100'000)));
    CHECK(seen->all[1].asked.fields.find("Host") == "centre.test");
    CHECK(seen->all[1].asked.fields.find("Titip-Version") == "1");
    CHECK(seen->end == asio::error::eof);
}

TEST_CASE("a target that would break the request line is not sent", "[http]")
{
    folder place;
    asio::io_context io{1};
    const auto seen = std::make_shared<visits>();
    running_server server{io, listen_at(io, place / "s"), echo(seen)};
    run(io, server, write_nonsense(place / "s"));
    CHECK(seen->all.empty());
}

} // namespace titip::http::test
