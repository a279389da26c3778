#include "base/fault.hpp"
#include "vault/vault.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace titip;
using vault::errc;

TEST_CASE("who has to back off follows from what a custodian refused", "[vault]")
{
    const auto code = [](errc value) { return error_code{value}; };
    CHECK(code(errc::full) == fault::admission);
    CHECK(code(errc::store_failed) == fault::store);
    for (const auto each :
         {errc::conflict, errc::wrong_offset, errc::unknown, errc::already_complete, errc::rotten,
          errc::wrong_state, errc::erased}) {
        CHECK(code(each) == fault::record);
        CHECK(code(each) != fault::store);
        CHECK(code(each) != fault::link);
    }
}

TEST_CASE("the numbers of a custodian's refusals stand", "[vault]")
{
    CHECK(static_cast<int>(errc::full) == 1);
    CHECK(static_cast<int>(errc::conflict) == 2);
    CHECK(static_cast<int>(errc::wrong_offset) == 3);
    CHECK(static_cast<int>(errc::unknown) == 4);
    CHECK(static_cast<int>(errc::already_complete) == 5);
    CHECK(static_cast<int>(errc::rotten) == 6);
    CHECK(static_cast<int>(errc::wrong_state) == 7);
    CHECK(static_cast<int>(errc::store_failed) == 8);
    CHECK(static_cast<int>(errc::erased) == 9);
}

TEST_CASE("every refusal and every finding has words of its own", "[vault]")
{
    std::set<std::string> said;
    for (int value = 1; value <= 9; ++value)
        said.insert(error_code{static_cast<errc>(value)}.message());
    CHECK(said.size() == 9);
    std::set<std::string_view> kinds;
    for (int value = 1; value <= 5; ++value)
        kinds.insert(to_string(static_cast<vault::finding::kind>(value)));
    CHECK(kinds.size() == 5);
    CHECK_FALSE(kinds.contains(""));
}
