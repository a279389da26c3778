#include "support.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <catch2/catch.hpp>

namespace titip::http::test {

namespace {

struct fixture {
    folder place;
    asio::io_context io{1};
    std::shared_ptr<visits> seen = std::make_shared<visits>();
    server_limits limits;

    /// Sends `text` as it is, half-closes nothing, and returns all that comes back.
    std::string exchange(std::string text)
    {
        running_server server{io, listen_at(io, place / "s"), echo(seen, limits)};
        std::string answer;
        run(io, server, exchange_one(place / "s", std::move(text), answer));
        return answer;
    }

    static asio::awaitable<void> exchange_one(std::filesystem::path at, std::string text,
                                              std::string& answer)
    {
        const auto peer = co_await dial(std::move(at));
        co_await send(*peer, std::move(text));
        answer = co_await read_all(*peer);
    }
};

std::size_t count(std::string_view text, std::string_view part)
{
    std::size_t n = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++n;
    return n;
}

} // namespace

TEST_CASE("requests written back to back are answered in order", "[http]")
{
    fixture f;
    const auto answer =
        f.exchange("PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
                   "GET /b?c=d HTTP/1.1\r\nHost: x\r\n\r\n"
                   "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: 1\r\n\r\n"
                   "DELETE /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    REQUIRE(f.seen->all.size() == 4);
    CHECK(f.seen->all[0].asked.content_length == 5);
    CHECK(as_text(f.seen->all[0].body) == "hello");
    CHECK(f.seen->all[1].asked.target == "/b?c=d");
    CHECK(f.seen->all[1].asked.content_length == 0);
    CHECK(f.seen->all[2].asked.content_length == std::nullopt);
    CHECK(as_text(f.seen->all[2].body) == "abcdefg");
    CHECK_FALSE(f.seen->all[2].asked.fields.has("Trailer"));
    CHECK_FALSE(f.seen->all[3].asked.keep_alive);
    const auto put = answer.find("PUT 5");
    const auto get = answer.find("GET 0");
    const auto post = answer.find("POST 7");
    CHECK((put < get && get < post && post < answer.find("DELETE 0")));
    CHECK(count(answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") == 2);
}

TEST_CASE("an answer to HEAD has no body, whoever forgot to say so", "[http]")
{
    fixture f;
    const auto answer = f.exchange("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK(answer == "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n");
}

TEST_CASE("204 has neither body nor length", "[http]")
{
    fixture f;
    const auto answer = f.exchange("PUT /nothing HTTP/1.0\r\nHost: x\r\n\r\n");
    CHECK(answer == "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a header that is too large is answered 431, whichever way it grows", "[http]")
{
    fixture f;
    f.limits.header_bytes = 1'000;
    const auto line =
        GENERATE(std::string("GET /") + std::string(2'000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n",
                 "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(2'000, 'a'),
                 "GET /" + std::string(600, 'a') +
                     " HTTP/1.1\r\nHost: x\r\nA: " + std::string(600, 'a') + "\r\n\r\n");
    const auto answer = f.exchange(line);
    CHECK(answer.starts_with("HTTP/1.1 431 "));
    CHECK(f.seen->all.empty());
    CHECK(f.seen->end == errc::header_too_large);
}

TEST_CASE("a header just within the limit is read", "[http]")
{
    fixture f;
    const std::string head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: b\r\n\r\n";
    f.limits.header_bytes = head.size();
    CHECK(f.exchange(head).starts_with("HTTP/1.1 200 "));
    f.limits.header_bytes = head.size() - 1;
    CHECK(f.exchange(head).starts_with("HTTP/1.1 431 "));
}

TEST_CASE("what is not HTTP/1.1 is answered 400", "[http]")
{
    fixture f;
    const auto* text = GENERATE(
        "hello\r\n\r\n", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
    CAPTURE(text);
    CHECK(f.exchange(text).starts_with("HTTP/1.1 400 "));
    CHECK(f.seen->all.empty());
    CHECK(f.seen->end == errc::bad_message);
}

TEST_CASE("a chunk's header without an end does not fill the memory", "[http]")
{
    fixture f;
    const auto answer =
        f.exchange("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                   std::string(70'000, 'a'));
    CHECK(answer.empty());
    CHECK(f.seen->end == errc::bad_message);
}

TEST_CASE("a header that does not arrive in time ends the connection", "[http]")
{
    fixture f;
    f.limits.idle = 30ms;
    const auto* text = GENERATE("", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    CHECK(f.exchange(text).empty());
    CHECK(f.seen->end == boost::system::errc::timed_out);
}

namespace {

asio::awaitable<void> drip(std::filesystem::path at, bool& is_cut_off)
{
    const auto peer = co_await dial(std::move(at));
    co_await send(*peer, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
    // Ends when the server does: each letter is progress, the header as a whole is not.
    for (;;) {
        const auto sent = co_await peer->write(as_bytes("a"));
        if (!sent)
            break;
        asio::steady_timer nap{co_await asio::this_coro::executor, 1ms};
        co_await nap.async_wait(asio::use_awaitable);
    }
    is_cut_off = true;
}

} // namespace

TEST_CASE("a header that arrives letter by letter ends the connection too", "[http]")
{
    fixture f;
    f.limits.idle = 50ms;
    f.limits.header_bytes = 1u << 20;
    running_server server{f.io, listen_at(f.io, f.place / "s"), echo(f.seen, f.limits)};
    bool is_cut_off = false;
    run(f.io, server, drip(f.place / "s", is_cut_off));
    CHECK(is_cut_off);
    CHECK(f.seen->end == boost::system::errc::timed_out);
}

namespace {

asio::awaitable<void> send_and_close(std::filesystem::path at, std::string text)
{
    const auto peer = co_await dial(std::move(at));
    co_await send(*peer, std::move(text));
    co_await peer->shutdown();
}

} // namespace

TEST_CASE("when the peer closes in the middle, what came before is kept", "[http]")
{
    fixture f;
    const std::size_t sent = GENERATE(3, 20'000, 100'000);
    const auto* framing =
        GENERATE("Content-Length: 200000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n30d40\r\n");
    CAPTURE(sent, framing);
    running_server server{f.io, listen_at(f.io, f.place / "s"), echo(f.seen, f.limits)};
    const bytes part = pattern(sent);
    std::string text = std::string("PUT / HTTP/1.1\r\nHost: x\r\n") + framing;
    text += as_text(part);
    run(f.io, server, send_and_close(f.place / "s", text));
    REQUIRE(f.seen->all.size() == 1);
    CHECK((f.seen->all[0].body == part));
    CHECK(f.seen->end == asio::error::connection_reset);
}

TEST_CASE("closing between requests is no error, within a header it is", "[http]")
{
    fixture f;
    running_server server{f.io, listen_at(f.io, f.place / "s"), echo(f.seen, f.limits)};
    const bool is_whole = GENERATE(true, false);
    run(f.io, server,
        send_and_close(f.place / "s", is_whole ? "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
                                               : "GET / HTTP/1.1\r\nHost: x\r\n"));
    CHECK((f.seen->end == asio::error::eof) == is_whole);
    CHECK((f.seen->end == asio::error::connection_reset) == !is_whole);
}

namespace {

/// Reads headers only, and answers each.
asio::awaitable<void> ignore_bodies(std::unique_ptr<stream> with, std::vector<std::string>& targets,
                                    error_code& end)
{
    server_connection connection{std::move(with), {}};
    for (;;) {
        auto next = co_await connection.read_request();
        if (!next) {
            end = next.error();
            co_return;
        }
        targets.push_back(next->target);
        response answer;
        co_await connection.write(std::move(answer));
    }
}

struct ignored {
    std::vector<std::string> targets;
    error_code end;
};

ignored ignore(std::string text)
{
    folder place;
    asio::io_context io{1};
    ignored seen;
    auto take = [&seen](std::unique_ptr<stream> with) {
        return ignore_bodies(std::move(with), seen.targets, seen.end);
    };
    running_server server{io, listen_at(io, place / "s"), take};
    run(io, server, send_and_close(place / "s", std::move(text)));
    return seen;
}

const std::string last = "GET /last HTTP/1.1\r\nHost: x\r\n\r\n";

} // namespace

TEST_CASE("a short body that nobody wanted is skipped", "[http]")
{
    const std::string body(64u << 10, 'a');
    const auto text =
        GENERATE_COPY("Content-Length: 65536\r\n\r\n" + body,
                      "Transfer-Encoding: chunked\r\n\r\n10000\r\n" + body + "\r\n0\r\n\r\n");
    const auto seen = ignore("PUT /first HTTP/1.1\r\nHost: x\r\n" + text + last);
    CHECK(seen.targets == std::vector<std::string>{"/first", "/last"});
    CHECK(seen.end == asio::error::eof);
}

TEST_CASE("a long body that nobody wanted ends the connection", "[http]")
{
    const std::string body(65'537, 'a');
    const auto text =
        GENERATE_COPY("Content-Length: 65537\r\n\r\n" + body,
                      "Transfer-Encoding: chunked\r\n\r\n10001\r\n" + body + "\r\n0\r\n\r\n",
                      std::string("Content-Length: 1\r\nExpect: 100-continue\r\n\r\na"));
    const auto seen = ignore("PUT /first HTTP/1.1\r\nHost: x\r\n" + text + last);
    CHECK(seen.targets == std::vector<std::string>{"/first"});
    CHECK(seen.end == errc::body_abandoned);
}

namespace {

asio::awaitable<void> expect_continue(std::filesystem::path at, std::string& first)
{
    const auto peer = co_await dial(std::move(at));
    co_await send(*peer,
                  "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
                  "Connection: close\r\n\r\n");
    bytes piece(1'000);
    const auto got = co_await peer->read_some(piece);
    REQUIRE(got.has_value());
    first = as_text(std::span{piece}.first(*got));
    co_await send(*peer, "abc");
    co_await read_all(*peer);
}

} // namespace

TEST_CASE("a peer that waits with its body is told to go on when the body is wanted", "[http]")
{
    fixture f;
    running_server server{f.io, listen_at(f.io, f.place / "s"), echo(f.seen, f.limits)};
    std::string first;
    run(f.io, server, expect_continue(f.place / "s", first));
    CHECK(first == "HTTP/1.1 100 Continue\r\n\r\n");
    REQUIRE(f.seen->all.size() == 1);
    CHECK(as_text(f.seen->all[0].body) == "abc");
}

namespace {

asio::awaitable<void> answer_injected(std::unique_ptr<stream> with)
{
    server_connection connection{std::move(with), {}};
    const auto next = co_await connection.read_request();
    CHECK(next.has_value());
    response answer;
    answer.fields.add("Location", "/x\r\nSet-Cookie: a=b");
    answer.keep_alive = false;
    co_await connection.write(std::move(answer));
}

} // namespace

TEST_CASE("a value with a line break does not become a header", "[http]")
{
    fixture f;
    running_server server{f.io, listen_at(f.io, f.place / "s"), answer_injected};
    std::string answer;
    run(f.io, server, fixture::exchange_one(f.place / "s", last, answer));
    CHECK(answer.find("Location: /x  Set-Cookie: a=b\r\n") != answer.npos);
}

namespace {

asio::awaitable<void> read_next(std::shared_ptr<server_connection> connection,
                                std::shared_ptr<error_code> end)
{
    const auto next = co_await connection->read_request();
    *end = next ? error_code{} : next.error();
}

/// Owes an answer for longer than a peer may idle, with a read of the next request under way.
asio::awaitable<void> answer_late(std::unique_ptr<stream> with, std::shared_ptr<error_code> end)
{
    const auto executor = co_await asio::this_coro::executor;
    server_limits limits;
    limits.idle = 20ms;
    const auto connection = std::make_shared<server_connection>(std::move(with), limits);
    const auto first = co_await connection->read_request();
    CHECK(first.has_value());
    asio::co_spawn(executor, read_next(connection, end), asio::detached);
    asio::steady_timer poll{executor, 60ms};
    co_await poll.async_wait(asio::use_awaitable);
    CHECK(!*end);
    response answer;
    const auto sent = co_await connection->write(std::move(answer));
    CHECK(sent.has_value());
}

} // namespace

TEST_CASE("a peer that waits for its answer is not idle, afterwards it is", "[http]")
{
    fixture f;
    const auto end = std::make_shared<error_code>();
    auto take = [end](std::unique_ptr<stream> with) { return answer_late(std::move(with), end); };
    running_server server{f.io, listen_at(f.io, f.place / "s"), take};
    std::string answer;
    run(f.io, server, fixture::exchange_one(f.place / "s", last, answer));
    CHECK(answer == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    CHECK(*end == boost::system::errc::timed_out);
}

TEST_CASE("only what can still be answered has a status", "[http]")
{
    CHECK(status_for(errc::header_too_large) == 431);
    CHECK(status_for(errc::bad_message) == 400);
    CHECK(status_for(errc::body_too_large) == 413);
    CHECK(status_for(errc::body_abandoned) == 0);
    CHECK(status_for(asio::error::eof) == 0);
    CHECK(status_for(asio::error::timed_out) == 0);
}

} // namespace titip::http::test
