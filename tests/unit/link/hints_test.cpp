#include "link/hints.hpp"

#include "support/namespace.hpp"

#include <catch2/catch.hpp>

#include <boost/asio/io_context.hpp>

#include <cstdlib>

using namespace titip;

namespace {

bool change_the_network()
{
    return std::system("ip link set lo up && ip address add 127.9.9.9/8 dev lo") == 0;
}

int hear_of_a_change()
{
    asio::io_context io;
    unsigned told = 0;
    link::hints hints{io.get_executor(), [&] { ++told; }};
    if (hints.start() || !change_the_network())
        return 1;
    while (told == 0)
        io.run_one();
    hints.stop(); // else what was asked for keeps it running
    io.run();
    return told == 1 ? 0 : 2;
}

int hear_nothing_after_the_end()
{
    asio::io_context io;
    unsigned told = 0;
    link::hints hints{io.get_executor(), [&] { ++told; }};
    if (hints.start() || !change_the_network())
        return 1;
    io.run_one(); // the first message came, and it settles
    hints.stop();
    io.run();
    return told == 0 ? 0 : 2;
}

} // namespace

TEST_CASE("changes of the network are told, several at once as one", "[link]")
{
    support::check_in_a_network_namespace(hear_of_a_change);
}

TEST_CASE("nothing is told after the end", "[link]")
{
    support::check_in_a_network_namespace(hear_nothing_after_the_end);
}
