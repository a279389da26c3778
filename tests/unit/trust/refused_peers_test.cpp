#include "trust/refused_peers.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using trust::refused_for;
using trust::refused_peers;

namespace {
constexpr auto now = instant{} + 1'000h;
}

TEST_CASE("each peer that is refused counts once in a day, however often it comes", "[trust]")
{
    refused_peers all;
    CHECK(all.note(refused_for::expired, "a", "a", now));
    for (int i = 1; i < 1'000; ++i)
        CHECK_FALSE(all.note(refused_for::expired, "a", "a", now + i * 1min));
    CHECK(all.note(refused_for::expired, "b", "b", now + 2h));
    const auto counted = all.of(refused_for::expired, now + 17h);
    CHECK(counted.peers == 2);
    CHECK(counted.names == std::vector<std::string>{"a", "b"});
    CHECK_FALSE(counted.is_at_least);
    CHECK(all.of(refused_for::foreign, now).peers == 0);
    // "b" has stayed away for a day, "a" came last after sixteen hours.
    CHECK(all.of(refused_for::expired, now + 27h).names == std::vector<std::string>{"a"});
    CHECK(all.note(refused_for::expired, "b", "b", now + 27h));
}

TEST_CASE("a station that comes in with a new certificate is refused no more", "[trust]")
{
    refused_peers all;
    all.note(refused_for::expired, "a", "a", now);
    all.note(refused_for::foreign, "0123", "a", now);
    all.note(refused_for::foreign, "4567", "b", now);
    all.note(refused_for::not_accepted, "10.0.0.1", {}, now);
    all.forget("a");
    CHECK(all.of(refused_for::expired, now).peers == 0);
    CHECK(all.of(refused_for::foreign, now).peers == 1);
    CHECK(all.of(refused_for::not_accepted, now).peers == 1);
}

TEST_CASE("whoever knocks with a thousand certificates fills only that count, for a day", "[trust]")
{
    refused_peers all;
    std::size_t lines = 0;
    for (std::size_t i = 0; i < 3 * refused_peers::most; ++i)
        lines += all.note(refused_for::foreign, std::to_string(i), {}, now) ? 1 : 0;
    CHECK(lines == refused_peers::most + 1);
    CHECK(all.of(refused_for::foreign, now).peers == refused_peers::most);
    CHECK(all.of(refused_for::foreign, now).is_at_least);
    CHECK(all.note(refused_for::expired, "a", "a", now));
    CHECK_FALSE(all.of(refused_for::expired, now).is_at_least);
    // A day later there is room again.
    CHECK(all.note(refused_for::foreign, "new", {}, now + 25h));
    CHECK(all.of(refused_for::foreign, now + 25h).peers == 1);
    CHECK_FALSE(all.of(refused_for::foreign, now + 25h).is_at_least);
}
