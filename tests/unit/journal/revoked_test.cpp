#include "journal/support.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;

namespace {

journal::revoked_certificate one(int n)
{
    return {.certificate = sha256(as_bytes(std::to_string(n))),
            .name = "station:office-" + std::to_string(n),
            .why = "crl",
            .at = from_ms(1'790'000'000'000)};
}

} // namespace

TEST_CASE("who is shut out is kept over a restart, with lines in the ledger, until an operator "
          "says otherwise",
          "[journal]")
{
    journal_fixture f;
    f.open();
    CHECK(f.store->revoked().empty());
    for (const auto n : {1, 2, 1})
        REQUIRE(finish(f.store->keep_revoked(one(n))).has_value());
    CHECK(f.store->revoked().size() == 2);
    CHECK(finish(f.store->forget_revoked(one(3).certificate, "x")).error() == vault::errc::unknown);
    REQUIRE(finish(f.store->forget_revoked(one(2).certificate, "by uid 7: a mistake")).has_value());
    CHECK(f.store->revoked().size() == 1);
    f.store.reset();
    f.open();
    const auto kept = f.store->revoked();
    REQUIRE(kept.size() == 1);
    CHECK(kept[0].certificate == one(1).certificate);
    CHECK(kept[0].name == "station:office-1");
    CHECK(kept[0].why == "crl");
    CHECK(kept[0].at == one(1).at);
    std::vector<std::string> told;
    for (const auto& each : finish(f.store->ledger(0, 100)).value())
        if (each.event == "revoked" || each.event == "unrevoked")
            told.push_back(std::string{each.event} + ' ' + each.detail);
    REQUIRE(told.size() == 3);
    CHECK(told[2] == "unrevoked " + to_hex(one(2).certificate) + " by uid 7: a mistake");
    CHECK(finish(f.store->audit()).value().empty());
}

TEST_CASE("no more certificates are kept than there is room for, and each of these is", "[journal]")
{
    journal_fixture f;
    f.open();
    for (std::size_t n = 0; n < journal::most_revoked; n += 64) { // many share a commit
        std::vector<asio::awaitable<result<void>>> all;
        for (std::size_t i = n; i < n + 64; ++i)
            all.push_back(f.store->keep_revoked(one(static_cast<int>(i))));
        for (const auto& each : finish_all(std::move(all)))
            REQUIRE(each.has_value());
    }
    CHECK(finish(f.store->keep_revoked(one(-1))).error() == vault::errc::full);
    REQUIRE(finish(f.store->keep_revoked(one(5))).has_value()); // it is there
    CHECK(f.store->revoked().size() == journal::most_revoked);
    REQUIRE(finish(f.store->forget_revoked(one(0).certificate, "x")).has_value());
    CHECK(finish(f.store->keep_revoked(one(-1))).has_value());
}
