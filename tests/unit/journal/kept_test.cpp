#include "journal/support.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;
using envelope::lane;

namespace {

struct office : journal_fixture {
    office() { open(); }
    journal::place accept(lane in = lane::ordinary)
    {
        auto offered = submission_of(noise(500, random));
        offered.lane = in;
        return finish(store->accept(std::move(offered))).value().place;
    }
    std::vector<std::pair<std::uint64_t, std::uint64_t>> kept()
    {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
        const auto known = finish(store->upstream()).value();
        for (const auto& each : told(known)) {
            CHECK(each.epoch == store->epoch());
            out.emplace_back(each.first, each.last);
        }
        return out;
    }
    static std::vector<vault::kept_range> told(const journal::upstream_view& known)
    {
        auto out = known.waiting;
        out.insert(out.end(), known.kept.begin(), known.kept.end());
        return out;
    }
    vault::key key(journal::place at) { return finish(store->outgoing_of(at)).value().view.key; }
};

using ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

} // namespace

TEST_CASE("what waits while later numbers have gone before it is told as kept, and is no gap above",
          "[journal]")
{
    office below;
    for (int i = 0; i < 4; ++i)
        below.accept();
    const auto urgent = below.accept(lane::urgent);
    const auto last = below.accept();
    CHECK(below.kept() == ranges{{1, 6}});

    journal_fixture above;
    above.options.node = "centre";
    above.options.has_upstream = false;
    above.options.identity = everyone().centre;
    above.open();
    const auto what = finish(below.store->manifest_of(below.key(urgent))).value();
    auto bytes = finish(below.store->read(below.key(urgent), 0, 99'999)).value();
    const auto receipt = finish(above.store->complete(
        {what.manifest_cms, said_in<envelope::manifest>(what.manifest_cms), what.manifest_hash}, 0,
        std::move(bytes)));
    REQUIRE(receipt.has_value());
    REQUIRE(
        finish(below.store->settle(urgent, receipt_for(what), *receipt, everyone().centre->self()))
            .has_value());
    REQUIRE(finish(below.store->hold(below.key(last))).has_value());
    CHECK(below.kept() == ranges{{1, 4}, {6, 6}});
    const auto known = finish(below.store->upstream()).value();
    vault::question asked{.heads = known.heads, .kept = office::told(known)};
    const auto told = finish(above.store->reconcile("office-1", asked)).value();
    CHECK(told.findings.empty());
}
