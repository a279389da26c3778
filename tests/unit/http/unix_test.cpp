#include "support.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::http::test {

TEST_CASE("curl hands over a megabyte through the Unix socket", "[http]")
{
    folder place;
    asio::io_context io{1};
    const auto seen = std::make_shared<visits>();
    const bytes body = pattern(1'000'000);
    std::ofstream{place / "body", std::ios::binary} << as_text(body);
    running_server server{io, listen_at(io, place / "s"), echo(seen)};
    std::string answer;
    std::thread curl{[&] {
        const std::string command =
            "curl -s --max-time 20 --unix-socket " + (place / "s").string() + " -T " +
            (place / "body").string() +
            " -H 'Expect: 100-continue' http://x/v1/a -w ' %{http_code}' --next -s --unix-socket " +
            (place / "s").string() + " -I http://x/v1/b -o /dev/null -w ' %{http_code}'";
        FILE* const pipe = ::popen(command.c_str(), "r");
        std::array<char, 1'000> text{};
        for (std::size_t n; (n = std::fread(text.data(), 1, text.size(), pipe)) > 0;)
            answer.append(text.data(), n);
        ::pclose(pipe);
        asio::post(io, [&] { server.finish(); });
    }};
    io.run();
    curl.join();
    CHECK(answer == "PUT 1000000 200 200");
    REQUIRE(seen->all.size() == 2);
    CHECK((seen->all[0].body == body));
}

TEST_CASE("a socket file that nobody listens on is replaced, a live one is not", "[http]")
{
    folder place;
    asio::io_context io{1};
    {
        const auto first = listen_at(io, place / "s");
        std::filesystem::rename(place / "s", place / "stale");
    }
    REQUIRE(std::filesystem::exists(place / "stale"));
    const auto second = listen_at(io, place / "stale");
    const auto third = listen_unix(io.get_executor(), place / "stale", 1);
    REQUIRE(!third);
    CHECK(third.error() == boost::system::errc::address_in_use);
    CHECK(second->address() == (place / "stale").string());
}

TEST_CASE("a listener that is too busy to answer is alive", "[http]")
{
    folder place;
    asio::io_context io{1};
    const asio::local::stream_protocol::endpoint at{(place / "s").string()};
    asio::local::stream_protocol::acceptor busy{io, at.protocol()};
    busy.bind(at);
    busy.listen(0);
    asio::local::stream_protocol::socket queued{io};
    queued.connect(at);
    const auto made = listen_unix(io.get_executor(), place / "s", 1);
    REQUIRE(!made);
    CHECK(made.error() == boost::system::errc::address_in_use);
}

TEST_CASE("a file that is no socket is left alone", "[http]")
{
    folder place;
    asio::io_context io{1};
    std::ofstream{place / "s"} << "precious";
    const auto made = listen_unix(io.get_executor(), place / "s", 1);
    REQUIRE(!made);
    CHECK(made.error() == boost::system::errc::address_in_use);
    CHECK(std::filesystem::file_size(place / "s") == 8);
}

TEST_CASE("a path too long for a socket is an error", "[http]")
{
    folder place;
    asio::io_context io{1};
    CHECK(!listen_unix(io.get_executor(), place / std::string(200, 'a'), 1));
}

TEST_CASE("everyone may knock, whatever the umask, and the file goes with the listener", "[http]")
{
    folder place;
    asio::io_context io{1};
    const auto before = ::umask(077);
    auto made = listen_at(io, place / "s");
    ::umask(before);
    const auto mode = std::filesystem::status(place / "s").permissions();
    CHECK(static_cast<int>(mode) == 0666);
    made.reset();
    CHECK(!std::filesystem::exists(place / "s"));
}

namespace {

asio::awaitable<void> look_at_peer(std::unique_ptr<stream> with, credentials& seen)
{
    const auto found = peer_credentials(with->native_handle());
    REQUIRE(found.has_value());
    seen = *found;
    CHECK(with->peer_certificate() == nullptr);
    co_return;
}

asio::awaitable<void> knock(std::filesystem::path at)
{
    const auto peer = co_await dial(std::move(at));
    co_await read_all(*peer);
}

asio::awaitable<void> dial_nobody(std::filesystem::path at)
{
    const auto peer = co_await connect_unix(std::move(at));
    REQUIRE(!peer);
    CHECK(peer.error() == boost::system::errc::no_such_file_or_directory);
}

} // namespace

TEST_CASE("the peer's user and groups are known", "[http]")
{
    folder place;
    asio::io_context io{1};
    credentials seen;
    seen.uid = static_cast<uid_t>(-1);
    auto take = [&](std::unique_ptr<stream> with) { return look_at_peer(std::move(with), seen); };
    running_server server{io, listen_at(io, place / "s"), take};
    run(io, server, knock(place / "s"));
    CHECK(seen.uid == ::getuid());
    REQUIRE(!seen.groups.empty());
    CHECK(seen.groups.front() == ::getgid());
}

TEST_CASE("dialling where nobody is fails", "[http]")
{
    folder place;
    asio::io_context io{1};
    run(io, dial_nobody(place / "s"));
}

namespace {

struct census {
    int present = 0;
    int most = 0;
    int ended = 0;
};

struct guest {
    census& in;
    explicit guest(census& where) : in(where) { in.most = std::max(in.most, ++in.present); }
    ~guest()
    {
        --in.present;
        ++in.ended;
    }
    guest(const guest&) = delete;
    guest& operator=(const guest&) = delete;
};

asio::awaitable<void> stay(std::unique_ptr<stream> with, census& in)
{
    const guest here{in};
    co_await send(*with, "!");
    co_await read_all(*with);
}

asio::awaitable<void> greeted(stream& by)
{
    bytes one(1);
    const auto got = co_await by.read_some(one);
    REQUIRE(got.has_value());
}

/// Two are in; the third is let in when the first leaves.
asio::awaitable<void> crowd_in(std::filesystem::path at, census& in)
{
    auto first = co_await dial(at);
    const auto second = co_await dial(at);
    const auto third = co_await dial(at);
    co_await greeted(*first);
    co_await greeted(*second);
    CHECK(in.present == 2);
    first.reset();
    co_await greeted(*third);
    CHECK(in.present == 2);
}

asio::awaitable<void> come_and_leave_open(std::filesystem::path at,
                                          std::vector<std::unique_ptr<stream>>& open)
{
    for (int i = 0; i < 3; ++i) {
        open.push_back(co_await dial(at));
        co_await greeted(*open.back());
    }
}

asio::awaitable<void> see_closed(std::vector<std::unique_ptr<stream>>& open)
{
    bytes one(1);
    for (const auto& peer : open) {
        const auto got = co_await peer->read_some(one);
        CHECK(got.error() == asio::error::eof);
    }
}

} // namespace

TEST_CASE("no more than the agreed number are served at a time", "[http]")
{
    folder place;
    asio::io_context io{1};
    census in;
    auto take = [&](std::unique_ptr<stream> with) { return stay(std::move(with), in); };
    auto two = listen_unix(io.get_executor(), place / "s", 2);
    REQUIRE(two.has_value());
    running_server server{io, std::move(*two), take};
    run(io, server, crowd_in(place / "s", in));
    CHECK(in.most == 2);
    CHECK(in.ended == 3);
}

TEST_CASE("cancelling a listener closes its connections and waits for them to end", "[http]")
{
    folder place;
    asio::io_context io{1};
    census in;
    auto take = [&](std::unique_ptr<stream> with) { return stay(std::move(with), in); };
    running_server server{io, listen_at(io, place / "s"), take};
    std::vector<std::unique_ptr<stream>> open;
    run(io, server, come_and_leave_open(place / "s", open));
    CHECK(in.ended == 3);
    run(io, see_closed(open));
}

namespace {

/// Has something to finish when it is told to end.
asio::awaitable<void> leave_slowly(std::unique_ptr<stream> with, census& in)
{
    const guest here{in};
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await send(*with, "!");
    co_await read_all(*with);
    asio::steady_timer packing{co_await asio::this_coro::executor, 5ms};
    co_await packing.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<void> cancel_when_in(std::filesystem::path at, asio::cancellation_signal& stop)
{
    const auto peer = co_await dial(std::move(at));
    co_await greeted(*peer);
    stop.emit(asio::cancellation_type::terminal);
}

} // namespace

TEST_CASE("a listener has ended when the last of its connections has", "[http]")
{
    folder place;
    asio::io_context io{1};
    census in;
    const auto on = listen_at(io, place / "s");
    asio::cancellation_signal stop;
    int present_at_end = -1;
    auto take = [&](std::unique_ptr<stream> with) { return leave_slowly(std::move(with), in); };
    asio::co_spawn(io, on->run(take),
                   asio::bind_cancellation_slot(
                       stop.slot(), [&](std::exception_ptr) { present_at_end = in.present; }));
    run(io, cancel_when_in(place / "s", stop));
    CHECK(present_at_end == 0);
    CHECK(in.ended == 1);
}

TEST_CASE("an io_context that goes with everything under way leaves nothing behind", "[http]")
{
    folder place;
    census in;
    std::vector<std::unique_ptr<stream>> open;
    auto take = [&](std::unique_ptr<stream> with) { return stay(std::move(with), in); };
    {
        asio::io_context io{1};
        running_server server{io, listen_at(io, place / "s"), take};
        for (int i = 0; i < 3; ++i)
            io.poll();
        in.ended = 0;
    }
    CHECK(in.present == 0);
}

// UBSan opens a pipe to look at memory, and takes EMFILE for a bad pointer.
#ifndef __SANITIZE_ADDRESS__

namespace {

asio::awaitable<void> dial_without_descriptors(std::filesystem::path at)
{
    ::rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const auto peer = co_await dial(at);
    ::rlimit none = before;
    none.rlim_cur = static_cast<::rlim_t>(peer->native_handle()) + 1;
    ::setrlimit(RLIMIT_NOFILE, &none);
    // The listener meets EMFILE in the meantime.
    asio::steady_timer while_refused{co_await asio::this_coro::executor, 20ms};
    co_await while_refused.async_wait(asio::use_awaitable);
    ::setrlimit(RLIMIT_NOFILE, &before);
    co_await greeted(*peer);
}

} // namespace

TEST_CASE("a listener without descriptors waits and goes on", "[http]")
{
    folder place;
    asio::io_context io{1};
    census in;
    auto take = [&](std::unique_ptr<stream> with) { return stay(std::move(with), in); };
    running_server server{io, listen_at(io, place / "s"), take};
    run(io, server, dial_without_descriptors(place / "s"));
    CHECK(in.ended == 1);
}

#endif

namespace {

asio::awaitable<void> say_nothing(std::unique_ptr<stream> with, error_code& end)
{
    with->set_no_progress_limit(20ms);
    bytes piece(1'000);
    const auto got = co_await with->read_some(piece);
    end = got.error();
    const auto after = co_await with->write(as_bytes("a"));
    CHECK(!after);
}

asio::awaitable<void> write_without_end(std::unique_ptr<stream> with, error_code& end)
{
    with->set_no_progress_limit(20ms);
    const bytes much(10u << 20);
    const auto sent = co_await with->write(much);
    end = sent.error();
}

asio::awaitable<void> stand_by(std::filesystem::path at, error_code& end)
{
    const auto peer = co_await dial(std::move(at));
    asio::steady_timer tick{co_await asio::this_coro::executor};
    while (!end) {
        tick.expires_after(1ms);
        co_await tick.async_wait(asio::use_awaitable);
    }
}

} // namespace

TEST_CASE("a stream on which nothing moves is given up", "[http]")
{
    folder place;
    asio::io_context io{1};
    error_code end;
    const bool writes = GENERATE(false, true);
    auto take = [&](std::unique_ptr<stream> with) {
        return writes ? write_without_end(std::move(with), end) : say_nothing(std::move(with), end);
    };
    running_server server{io, listen_at(io, place / "s"), take};
    run(io, server, stand_by(place / "s", end));
    CHECK(end == boost::system::errc::timed_out);
}

namespace {

/// Answers when all has come.
asio::awaitable<void> answer_at_the_end(std::unique_ptr<stream> with, std::size_t size)
{
    bytes piece(1'000);
    while (size > 0) {
        const auto got = co_await with->read_some(piece);
        REQUIRE(got.has_value());
        size -= *got;
    }
    co_await send(*with, "!");
}

asio::awaitable<void> write_slowly(std::shared_ptr<stream> to, std::size_t size)
{
    asio::steady_timer tick{co_await asio::this_coro::executor};
    for (; size > 0; --size) {
        tick.expires_after(1ms);
        co_await tick.async_wait(asio::use_awaitable);
        co_await send(*to, "a");
    }
}

asio::awaitable<void> wait_for_answer(std::filesystem::path at, std::size_t size,
                                      milliseconds limit)
{
    const auto executor = co_await asio::this_coro::executor;
    const std::shared_ptr<stream> peer = co_await dial(std::move(at));
    peer->set_no_progress_limit(limit);
    asio::co_spawn(executor, write_slowly(peer, size), asio::detached);
    co_await greeted(*peer);
}

} // namespace

TEST_CASE("an answer may take as long as its request takes to go out", "[http]")
{
    folder place;
    asio::io_context io{1};
    const std::size_t size = 300; // as many milliseconds, at least
    auto take = [](std::unique_ptr<stream> with) {
        return answer_at_the_end(std::move(with), size);
    };
    running_server server{io, listen_at(io, place / "s"), take};
    run(io, server, wait_for_answer(place / "s", size, 200ms));
}

} // namespace titip::http::test
