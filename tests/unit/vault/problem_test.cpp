#include "vault/problem.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace titip;
using vault::problem;

TEST_CASE("the words of a refusal's type stand", "[vault]")
{
    CHECK(to_string(problem::not_believed) == "titip:not-believed");
    CHECK(to_string(problem::role) == "titip:role");
    CHECK(to_string(problem::limit) == "titip:limit");
    CHECK(to_string(problem::full) == "titip:full");
    CHECK(to_string(problem::conflict) == "titip:conflict");
    CHECK(to_string(problem::mismatch) == "titip:mismatch");
    CHECK(to_string(problem::revoked) == "titip:revoked");
}

TEST_CASE("a type is read as it is written, and any other word is none", "[vault]")
{
    for (const auto each : {problem::not_believed, problem::role, problem::limit, problem::full,
                            problem::conflict, problem::mismatch, problem::revoked})
        CHECK(vault::to_problem(to_string(each)) == each);
    for (const auto* other : {"", "about:blank", "titip:", "titip:of-later", "TITIP:ROLE",
                              "titip:role ", "role", "titip:not-believed\n"})
        CHECK_FALSE(vault::to_problem(other).has_value());
}
