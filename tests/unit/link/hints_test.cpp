#include "link/hints.hpp"

#include <catch2/catch.hpp>

#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titip;

namespace {

constexpr int as_told = 0;
constexpr int not_possible = 77;

/// In a network namespace of its own, so a process of its own.
int run_in_a_namespace(int (*what)())
{
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
        ::_exit(::unshare(CLONE_NEWNET) == 0 ? what() : not_possible);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int hear_of_the_loopback()
{
    asio::io_context io;
    unsigned told = 0;
    link::hints hints{io.get_executor(), [&] { ++told; }};
    if (hints.start())
        return 1;
    if (std::system("ip link set lo up && ip address add 127.9.9.9/8 dev lo") != 0)
        return 2;
    while (told == 0)
        io.run_one();
    hints.stop(); // else what was asked for keeps it running
    io.run();
    return told == 1 ? as_told : 3;
}

} // namespace

TEST_CASE("changes of the network are told, several at once as one", "[link]")
{
    const auto came = run_in_a_namespace(hear_of_the_loopback);
    if (came == not_possible)
        WARN("not as root: not tried");
    else
        CHECK(came == as_told);
}

TEST_CASE("nothing is told after the end", "[link]")
{
    asio::io_context io;
    link::hints hints{io.get_executor(), [] { FAIL("told"); }};
    REQUIRE_FALSE(hints.start());
    hints.stop();
    io.run();
}
