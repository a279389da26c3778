#include "base/fault.hpp"
#include "vault/limit.hpp"
#include "vault/vault.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace titip;
using vault::limit;

TEST_CASE("what a station has too much of makes it wait, and blames no record", "[vault]")
{
    std::set<std::string> said;
    for (const auto each : {limit::numbers, limit::arriving, limit::share}) {
        const error_code code = each;
        CHECK(code == fault::admission);
        CHECK(code != fault::record);
        CHECK(vault::is_limit(code));
        CHECK(said.insert(code.message()).second);
    }
    CHECK_FALSE(vault::is_limit(vault::errc::full));
    CHECK_FALSE(vault::is_limit({}));
}
