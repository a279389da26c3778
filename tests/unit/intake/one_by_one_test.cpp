#include "intake/one_by_one.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>
#include <vector>

using namespace titip;

namespace {

namespace asio = boost::asio;

/// Goes in, says so, stays until `over` rings, and says that it leaves.
asio::awaitable<void> work(intake::one_by_one& all, std::string name, bell& over,
                           std::vector<std::string>& said)
{
    const auto turn = co_await all.enter(name);
    said.push_back("in " + name);
    co_await over.wait();
    said.push_back("out " + name);
}

} // namespace

TEST_CASE("of one name one goes in at a time, and another name does not wait", "[intake]")
{
    asio::io_context io{1};
    intake::one_by_one all{io.get_executor()};
    bell over{io.get_executor()};
    std::vector<std::string> said;
    for (const auto* name : {"a", "a", "a", "b"})
        asio::co_spawn(io, work(all, name, over, said), asio::detached);
    io.poll();
    CHECK(said == std::vector<std::string>{"in a", "in b"});
    for (std::size_t left = 3; left > 0; --left) {
        over.ring();
        io.restart();
        io.poll();
    }
    CHECK(said == std::vector<std::string>{"in a", "in b", "out a", "out b", "in a", "out a",
                                           "in a", "out a"});
}

TEST_CASE("one that throws leaves its place", "[intake]")
{
    asio::io_context io{1};
    intake::one_by_one all{io.get_executor()};
    int entered = 0;
    const auto fail = [](intake::one_by_one& in, int& count) -> asio::awaitable<void> {
        const auto turn = co_await in.enter("a");
        ++count;
        throw std::runtime_error{"as told"};
    };
    for (int i = 0; i < 3; ++i)
        asio::co_spawn(io, fail(all, entered), asio::detached);
    io.poll();
    CHECK(entered == 3);
}
