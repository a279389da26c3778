#include "replay/distrust.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

using namespace titip;
using journal::place;
using replay::distrust;
using fault = distrust::fault;
using ruling = distrust::ruling;
using scope = distrust::scope;

namespace {

digest certificate(int number)
{
    digest out{};
    out[0] = std::byte(number);
    return out;
}

distrust::candidate of(int number, std::uint64_t at, bool goes_last = false)
{
    return {.place = place{at},
            .certificate = certificate(number),
            .station = "office-" + std::to_string(number),
            .goes_last = goes_last};
}

constexpr instant start{};

/// One office with its old certificate (1) and its new one (2).
struct office {
    distrust core;
    instant now = start;

    bool offer(int by, std::uint64_t at, bool goes_last = false)
    {
        const bool out = core.may_offer(of(by, at, goes_last));
        core.check();
        return out;
    }
    ruling refuse(std::uint64_t at, fault why = fault::not_believed, double chance = 0)
    {
        const auto out = core.on_refused(place{at}, why, "not issued by one of ours", now, chance);
        core.check();
        return out;
    }
    std::vector<place> accept(std::uint64_t at)
    {
        auto out = core.on_accepted(place{at});
        core.check();
        return out;
    }
    std::vector<place> due()
    {
        auto out = core.due(now);
        core.check();
        return out;
    }
    void doubt(int by, std::uint64_t first)
    {
        for (auto at = first; at < first + 3; ++at) {
            REQUIRE(offer(by, at));
            refuse(at);
        }
        REQUIRE(core.is_any());
    }
};

} // namespace

TEST_CASE("three refusals in a row defer what the same certificate signed, and nothing else",
          "[replay]")
{
    office it;
    for (const auto at : {1u, 2u, 3u, 4u})
        REQUIRE(it.offer(1, at));
    CHECK(it.refuse(1) == ruling::again);
    CHECK(it.refuse(2) == ruling::again);
    CHECK_FALSE(it.core.is_any());
    CHECK(it.refuse(3) == ruling::deferred);
    CHECK(it.refuse(4) == ruling::deferred); // it was on its way
    CHECK_FALSE(it.offer(1, 1));
    CHECK_FALSE(it.offer(1, 9));
    CHECK(it.offer(2, 10));
    const auto doubts = it.core.doubts();
    REQUIRE(doubts.size() == 1);
    CHECK(doubts[0].why == fault::not_believed);
    CHECK(doubts[0].station == "office-1");
    CHECK(doubts[0].note == "not issued by one of ours");
    CHECK(doubts[0].records == 4);
    CHECK(it.core.of(place{9}));
    CHECK_FALSE(it.core.of(place{10}));
}

TEST_CASE("answers of several connections make one row, which an acceptance begins anew",
          "[replay]")
{
    office it;
    for (const auto at : {1u, 2u, 3u, 4u, 5u, 6u})
        REQUIRE(it.offer(1, at));
    CHECK(it.refuse(1) == ruling::again);
    CHECK(it.refuse(4) == ruling::again);
    it.accept(2);
    CHECK(it.refuse(5) == ruling::again);
    CHECK(it.refuse(3) == ruling::again);
    CHECK_FALSE(it.core.is_any());
    CHECK(it.refuse(6) == ruling::deferred);
}

TEST_CASE("while a certificate is doubted one record is offered again, the one that waited longest",
          "[replay]")
{
    office it;
    it.doubt(1, 1);
    it.offer(1, 1);
    it.offer(1, 2);
    it.offer(1, 7); // never offered yet
    REQUIRE(it.core.next_at() == start + 30s);
    CHECK(it.due().empty());
    it.now = start + 30s;
    CHECK(it.due() == std::vector{place{7}});
    CHECK(it.due().empty());
    CHECK_FALSE(it.core.next_at()); // one at a time
    CHECK(it.offer(1, 7));
    CHECK(it.offer(1, 7)); // the connection broke: the same once more
    CHECK_FALSE(it.offer(1, 8));
    CHECK(it.refuse(7) == ruling::deferred);
    it.now = *it.core.next_at();
    CHECK(it.due() == std::vector{place{8}});
    CHECK(it.offer(1, 8));
    const auto free = it.accept(8);
    CHECK(free == std::vector{place{1}, place{2}, place{3}, place{7}});
    CHECK_FALSE(it.core.is_any());
    CHECK(it.offer(1, 1));
}

TEST_CASE("the waits grow to an hour, and a hint ends them at once", "[replay]")
{
    office it;
    it.doubt(1, 1);
    auto waited = 0ms;
    for (int i = 0; i < 20; ++i) {
        const auto at = it.core.next_at();
        REQUIRE(at);
        waited = std::chrono::duration_cast<milliseconds>(*at - it.now);
        REQUIRE(waited >= 30s);
        REQUIRE(waited <= 1h);
        it.now = *at;
        const auto next = it.due();
        REQUIRE(next.size() == 1);
        REQUIRE(it.offer(1, static_cast<std::uint64_t>(next[0])));
        it.refuse(static_cast<std::uint64_t>(next[0]), fault::not_believed, 0.999);
    }
    CHECK(waited > 59min);
    CHECK(it.due().empty());
    it.core.on_hint(it.now);
    CHECK(it.due().size() == 1);
}

TEST_CASE("one record that is refused among others that are taken does not stop them, and is not "
          "set aside",
          "[replay]")
{
    office it;
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::again);
    for (std::uint64_t at = 2; at < 100; ++at) {
        REQUIRE(it.offer(1, at));
        it.accept(at);
    }
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::deferred);
    CHECK_FALSE(it.offer(1, 1));
    CHECK(it.offer(1, 100));
    REQUIRE(it.core.of(place{1}));
    CHECK(it.core.of(place{1})->of == scope::odd);
    CHECK(it.core.of(place{1})->records == 1);
    it.now = start + 30s;
    CHECK(it.due() == std::vector{place{1}});
    REQUIRE(it.offer(1, 1));
    CHECK(it.accept(1).empty());
    CHECK_FALSE(it.core.is_any());
}

TEST_CASE(
    "one record that is refused again and again, with nothing else to send, doubts no certificate",
    "[replay]")
{
    office it;
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::again);
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::deferred);
    CHECK(it.core.of(place{1})->of == scope::odd);
    CHECK(it.offer(1, 2)); // taken a moment later, and sent at once
    CHECK(it.accept(2).empty());
    CHECK_FALSE(it.offer(1, 1));
    it.doubt(1, 10); // others of it say what one alone cannot
    CHECK_FALSE(it.offer(1, 20));
    REQUIRE(it.core.doubts().size() == 1); // and then it is one doubt, not two
    CHECK(it.core.of(place{1})->of == scope::certificate);
    it.now = start + 30s;
    CHECK(it.due().size() == 1);
    CHECK(it.accept(20) ==
          std::vector{place{1}, place{12}}); // 10 and 11 did not come to their turn
}

TEST_CASE("an odd record that is on trial while its certificate comes to be doubted has its trial, "
          "and is one of the others then",
          "[replay]")
{
    office it;
    REQUIRE(it.offer(1, 1));
    it.refuse(1);
    REQUIRE(it.offer(1, 1));
    it.refuse(1);
    it.now = start + 30s;
    REQUIRE(it.due() == std::vector{place{1}});
    REQUIRE(it.offer(1, 1));
    it.doubt(1, 10);
    CHECK(it.refuse(1) == ruling::deferred);
    REQUIRE(it.core.doubts().size() == 1);
    CHECK(it.core.doubts()[0].records >= 2);
    CHECK(it.accept(10).size() >= 1);
    CHECK_FALSE(it.core.is_any());
}

TEST_CASE("a record whose receipt is not believed is deferred alone, until one is believed",
          "[replay]")
{
    office it;
    for (const auto at : {1u, 2u, 3u})
        REQUIRE(it.offer(1, at));
    it.core.on_receipt_not_believed(place{1}, "not issued by one of ours", it.now, 0);
    it.core.on_receipt_not_believed(place{2}, "not issued by one of ours", it.now, 0);
    it.core.check();
    CHECK_FALSE(it.offer(1, 1));
    CHECK(it.offer(1, 3));
    CHECK(it.accept(3).empty()); // that says nothing of the receipts of the others
    REQUIRE(it.core.of(place{2}));
    CHECK(it.core.of(place{2})->why == fault::receipt);
    it.now = start + 30s;
    CHECK(it.due() == std::vector{place{1}});
    REQUIRE(it.offer(1, 1));
    it.core.on_receipt_not_believed(place{1}, "not issued by one of ours", it.now, 0);
    it.core.check();
    CHECK(it.due().empty());
    it.core.on_hint(it.now);
    CHECK(it.due() == std::vector{place{2}});
    REQUIRE(it.offer(1, 2));
    CHECK(it.accept(2) == std::vector{place{1}});
    CHECK_FALSE(it.core.is_any());
}

TEST_CASE("one more receipt that is not believed at the time of a try makes the wait longer",
          "[replay]")
{
    office it;
    for (const auto at : {1u, 2u, 3u})
        REQUIRE(it.offer(1, at));
    it.core.on_receipt_not_believed(place{1}, "not issued by one of ours", it.now, 0);
    REQUIRE(it.core.next_at() == start + 30s);
    it.now = start + 20s; // on its way since before the doubt
    it.core.on_receipt_not_believed(place{2}, "not issued by one of ours", it.now, 0.999);
    CHECK(it.core.next_at() == start + 30s);
    it.now = start + 31s; // the try is due, and what it would say is known
    it.core.on_receipt_not_believed(place{3}, "not issued by one of ours", it.now, 0.999);
    it.core.check();
    REQUIRE(it.core.next_at());
    CHECK(*it.core.next_at() >= it.now + 30s);
    CHECK(it.due().empty());
}

TEST_CASE("a record that is freed is refused for the first time in whatever it joins", "[replay]")
{
    office it;
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::again);
    REQUIRE(it.offer(1, 1));
    CHECK(it.refuse(1) == ruling::deferred); // odd
    it.now = start + 30s;
    REQUIRE(it.due() == std::vector{place{1}});
    REQUIRE(it.offer(1, 1));
    REQUIRE(it.offer(1, 2));
    it.refuse(2);
    REQUIRE(it.offer(1, 2));
    it.refuse(2);                    // odd too
    CHECK(it.accept(1).size() == 1); // and free now
    CHECK(it.refuse(2) == ruling::again);
    CHECK_FALSE(it.core.is_any());
}

TEST_CASE("a record that is accepted while it is deferred is not among those that go again",
          "[replay]")
{
    office it;
    it.doubt(1, 1);
    CHECK_FALSE(it.offer(1, 2));
    CHECK_FALSE(it.offer(1, 1));
    CHECK(it.accept(2) == std::vector{place{1}, place{3}}); // a HEAD brought its receipt
    CHECK_FALSE(it.core.of(place{2}));
}

TEST_CASE("a record that came free for one try is set aside again and does not count", "[replay]")
{
    office it;
    for (const auto at : {1u, 2u, 3u, 4u}) {
        REQUIRE(it.offer(1, at, true));
        CHECK(it.refuse(at) == ruling::set_aside);
    }
    CHECK_FALSE(it.core.is_any());
    it.doubt(1, 10);
    REQUIRE_FALSE(it.offer(1, 5, true));
    it.offer(1, 10);
    it.offer(1, 11);
    for (const auto expected : {10u, 11u, 12u}) { // those that do not go last are tried before
        it.now += 2h;
        CHECK(it.due() == std::vector{place{expected}});
        REQUIRE(it.offer(1, expected));
        it.core.on_gone(place{expected});
        it.core.check();
    }
    CHECK(it.due() == std::vector{place{5}});
    REQUIRE(it.offer(1, 5, true));
    CHECK(it.refuse(5) == ruling::set_aside);
    CHECK_FALSE(it.core.is_any()); // nothing is left that could be doubted
}

TEST_CASE("what does not wait any more is not offered, and its trial passes to the next",
          "[replay]")
{
    office it;
    it.doubt(1, 1);
    it.offer(1, 1);
    it.offer(1, 2);
    it.now = start + 30s;
    REQUIRE(it.due() == std::vector{place{1}});
    it.core.on_gone(place{1});
    it.core.check();
    CHECK(it.due() == std::vector{place{2}});
    for (const auto at : {2u, 3u})
        it.core.on_gone(place{at});
    it.core.check();
    CHECK_FALSE(it.core.is_any());
    CHECK(it.core.doubts().empty());
}

namespace {

/// Offices and a centre that changes its mind, over connections that break, against the rules.
class world {
public:
    explicit world(unsigned seed) : random_(seed) {}

    void run()
    {
        for (int by = 1; by <= 3; ++by)
            believed_[by] = one_in(2);
        for (int step = 0; step < 3'000; ++step) {
            core_.check();
            now_ += milliseconds{below(5'000)};
            if (one_in(300))
                believed_[1 + static_cast<int>(below(3))] = one_in(2);
            if (one_in(500))
                core_.on_hint(now_);
            if (added_ < 200 && one_in(4)) {
                waiting_[place{++added_}] = 1 + static_cast<int>(below(3));
                last_[place{added_}] = one_in(10);
            }
            for (const auto at : core_.due(now_))
                free(at);
            one_in(3) ? answer() : one_in(20) ? break_off() : send();
            if (one_in(100) && !waiting_.empty())
                hold();
        }
        for (auto& [by, is] : believed_)
            is = true;
        for (int step = 0; step < 5'000 && !all_done(); ++step) {
            core_.check();
            now_ += 1h;
            for (const auto at : core_.due(now_))
                free(at);
            if (waiting_.empty() || on_way_.size() > 4)
                answer();
            else
                send();
        }
        CHECK(waiting_.empty());
        CHECK(deferred_.empty());
        CHECK(on_way_.empty());
        CHECK_FALSE(core_.is_any());
        // What was not held or free for one try has arrived: nothing is set aside.
        CHECK(taken_ + held_ + again_aside_ == added_);
    }

private:
    std::size_t below(std::size_t limit) { return random_() % limit; }
    bool one_in(std::size_t many) { return below(many) == 0; }
    bool all_done() const { return waiting_.empty() && deferred_.empty() && on_way_.empty(); }

    void free(place at)
    {
        const auto found = deferred_.extract(at);
        REQUIRE_FALSE(found.empty());
        waiting_[at] = found.mapped();
    }
    void send()
    {
        if (waiting_.empty())
            return;
        const auto [at, by] =
            *std::next(waiting_.begin(), static_cast<std::ptrdiff_t>(below(waiting_.size())));
        waiting_.erase(at);
        auto next = of(by, static_cast<std::uint64_t>(at), last_[at]);
        if (core_.may_offer(next))
            on_way_.emplace_back(at, by);
        else
            deferred_[at] = by;
    }
    void answer()
    {
        if (on_way_.empty())
            return;
        const auto [at, by] = on_way_.front();
        on_way_.pop_front();
        if (believed_[by]) {
            ++taken_;
            for (const auto each : core_.on_accepted(at))
                free(each);
            CHECK_FALSE(is_doubted(by));
            return;
        }
        switch (core_.on_refused(at, fault::not_believed, "no", now_,
                                 static_cast<double>(below(1'000)) / 1'000)) {
        case ruling::again:
            waiting_[at] = by;
            break;
        case ruling::deferred:
            deferred_[at] = by;
            break;
        case ruling::set_aside:
            REQUIRE(last_[at]);
            ++again_aside_;
            break;
        }
    }
    bool is_doubted(int by) const
    {
        const auto all = core_.doubts();
        return std::ranges::any_of(all, [by](const auto& each) {
            return each.of == scope::certificate && each.certificate == certificate(by);
        });
    }
    void break_off()
    {
        for (const auto& [at, by] : on_way_) // a reconcile says that none of them arrived
            waiting_[at] = by;
        on_way_.clear();
    }
    void hold()
    {
        const auto at = waiting_.begin()->first;
        waiting_.erase(at);
        core_.on_gone(at);
        ++held_;
    }

    std::mt19937 random_;
    distrust core_;
    instant now_{};
    std::map<int, bool> believed_;
    std::map<place, int> waiting_, deferred_;
    std::map<place, bool> last_;
    std::deque<std::pair<place, int>> on_way_;
    std::uint64_t added_ = 0, taken_ = 0, held_ = 0, again_aside_ = 0;
};

} // namespace

TEST_CASE("whatever the upstream believes and however connections break, all arrives in the end",
          "[replay]")
{
    const auto seed = GENERATE(range(1u, 101u));
    CAPTURE(seed);
    world{seed}.run();
}

TEST_CASE("four weeks of doubt cost few offers, however much waits", "[replay]")
{
    const auto seed = GENERATE(range(1u, 9u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    std::uniform_real_distribution<double> chance{0.0, 1.0};
    office it;
    it.doubt(1, 1);
    for (std::uint64_t at = 1; at <= 5'000; ++at)
        it.core.may_offer(of(1, at));
    it.core.check();
    std::size_t offers = 0;
    while (it.now < start + 28 * 24h) {
        it.now = it.core.next_at().value();
        for (const auto at : it.core.due(it.now)) {
            ++offers;
            REQUIRE(it.core.may_offer(of(1, static_cast<std::uint64_t>(at))));
            it.core.on_refused(at, fault::not_believed, "no", it.now, chance(random));
        }
    }
    CHECK(offers > 28 * 24);     // at least one an hour
    CHECK(offers < 28 * 24 * 3); // half an hour on average
}
