#include "link/verdict.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <string>

using namespace titip::link;

TEST_CASE("every verdict on the link has a name of its own that reads back", "[link]")
{
    std::set<std::string> names;
    for (int number = 0; number <= static_cast<int>(verdict::ok); ++number) {
        const auto value = static_cast<verdict>(number);
        names.insert(std::string{to_string(value)});
        CHECK(parse_verdict(to_string(value)) == value);
    }
    CHECK(names.size() == static_cast<std::size_t>(verdict::ok) + 1);
    CHECK(to_string(verdict::no_route) == "no-route");
    CHECK_FALSE(parse_verdict("down"));
    CHECK_FALSE(parse_verdict(""));
}

TEST_CASE("only what ends before TLS is cheap to try", "[link]")
{
    for (const auto cheap : {verdict::no_route, verdict::dns, verdict::tcp})
        CHECK(is_below_tls(cheap));
    for (const auto dear :
         {verdict::unknown, verdict::tls, verdict::clock, verdict::expired, verdict::portal,
          verdict::auth, verdict::application, verdict::maintenance, verdict::loop, verdict::ok})
        CHECK_FALSE(is_below_tls(dear));
}
