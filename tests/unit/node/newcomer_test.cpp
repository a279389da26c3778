#include "node/newcomer.hpp"

#include <catch2/catch.hpp>

using titip::node::newcomer;

TEST_CASE("a store that is still being copied is not opened, however long that takes", "[node]")
{
    newcomer store;
    CHECK_FALSE(store.on_look(false, ""));
    for (int kilobytes = 8; kilobytes < 10'000; ++kilobytes)
        REQUIRE_FALSE(store.on_look(true, std::to_string(kilobytes)));
    for (int looks = 1; looks < newcomer::enough_looks; ++looks)
        CHECK_FALSE(store.on_look(true, "9999"));
    CHECK(store.on_look(true, "9999"));
}

TEST_CASE("a copy that pauses, or is taken away, is waited for from there again", "[node]")
{
    newcomer store;
    const auto pauses_at = [&](const char* file) {
        for (int looks = 0; looks < newcomer::enough_looks; ++looks)
            CHECK_FALSE(store.on_look(true, file));
    };
    pauses_at("half");
    pauses_at("more");
    CHECK_FALSE(store.on_look(false, "more")); // what is there is no store
    pauses_at("again");
    CHECK_FALSE(store.on_look(false, ""));
    pauses_at("all");
    CHECK(store.on_look(true, "all"));
}
