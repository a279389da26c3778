#include "link/prober.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using link::parse_node_info;

TEST_CASE("a node that does not say its version speaks the first, and takes records of any size",
          "[link]")
{
    const auto old = parse_node_info(R"({"name":"centre","accepting":true,"newest_verdict":7})");
    REQUIRE(old);
    CHECK(old->protocol == 1);
    CHECK(old->most_bytes == 0);
    CHECK(old->newest_verdict == 7);
    const auto ours =
        parse_node_info(R"({"name":"centre","protocol":2,"most_bytes":8388608,"future":[{}]})");
    REQUIRE(ours);
    CHECK(ours->protocol == 2);
    CHECK(ours->most_bytes == 8'388'608);
}

TEST_CASE("whatever a node says of its version, it is a version", "[link]")
{
    for (const auto* odd : {"0", "-1", "1.5", "\"2\"", "null", "[]", "true", "1e400"}) {
        const auto said =
            std::string{R"({"name":"c","most_bytes":)"} + odd + R"(,"protocol":)" + odd + "}";
        const auto info = parse_node_info(said);
        CAPTURE(said);
        CHECK((!info || info->protocol == 1));
    }
    CHECK(parse_node_info(R"({"name":"c","protocol":18446744073709551615})")->protocol ==
          1'000'000);
    for (const auto* none : {"", "{", "[]", "{}", R"({"name":5})", R"({"name":"a\nb"})", "<html>"})
        CHECK_FALSE(parse_node_info(none));
}

TEST_CASE("whatever window a node asks for, it is one of an hour at most", "[link]")
{
    const auto spread_of = [](std::string_view said) {
        return parse_node_info(R"({"name":"c","spread_s":)" + std::string{said} + "}")->spread;
    };
    CHECK(spread_of("300") == 5min);
    CHECK(spread_of("3601") == 1h);
    CHECK(spread_of("9223372036854775807") == 1h); // as milliseconds it has no room
    CHECK(spread_of("18446744073709551615") == 1h);
    CHECK(spread_of("-1") == 0s);
}
