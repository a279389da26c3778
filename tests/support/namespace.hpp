#pragma once

#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace titip::support {

/// Runs `what` in a process with a network of its own, which has nothing but a loopback that is down;
/// 0 says that all was right. As root only: else it is not tried, and said.
inline void check_in_a_network_namespace(int (*what)())
{
    constexpr int not_possible = 77;
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
        ::_exit(::unshare(CLONE_NEWNET) == 0 ? what() : not_possible);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == not_possible)
        WARN("needs root");
    else
        CHECK(WEXITSTATUS(status) == 0);
}

} // namespace titip::support
