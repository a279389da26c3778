#include "journal/support.hpp"
#include "vault/contract.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;

TEST_CASE("the journal of a centre keeps a custodian's contract", "[journal]")
{
    journal_fixture at;
    at.options.node = "centre";
    at.options.has_upstream = false;
    at.options.identity = everyone().centre;
    keeps_the_contract(at.open());
}

TEST_CASE("the journal of a relay keeps a custodian's contract", "[journal]")
{
    journal_fixture at;
    at.options.node = "hub-1";
    at.options.identity = everyone().relay;
    keeps_the_contract(at.open());
}

TEST_CASE("parts, receipts and custody survive a restart", "[journal]")
{
    journal_fixture at;
    at.options.node = "centre";
    at.options.has_upstream = false;
    at.options.identity = everyone().centre;
    sender from{everyone().station};
    const auto data = noise(9'000, at.random);
    const auto whole = from.next(data);
    const auto part = from.next(data);
    at.open();
    const auto receipt = finish(at.store->complete(whole, 0, data)).value();
    REQUIRE(finish(at.store->keep(part, 0, to_bytes(bytes_view{data}.first(5'000)))).has_value());

    auto& store = at.reopen();
    CHECK((finish(store.complete(whole, 0, data)).value() == receipt));
    CHECK(finish(store.find(part.key())).value()->offset == 5'000);
    const auto custody =
        said_in<envelope::custody>(finish(store.reconcile("office-1", {})).value().custody_cms);
    REQUIRE(custody.epochs.size() == 1);
    CHECK(custody.epochs[0].ranges.size() == 1);
    REQUIRE(
        finish(store.complete(part, 5'000, to_bytes(bytes_view{data}.subspan(5'000)))).has_value());
    CHECK((finish(store.read(part.key(), 0, data.size())).value() == data));
}
