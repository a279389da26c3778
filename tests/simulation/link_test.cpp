#include "link/knock.hpp"
#include "link/monitor.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace titip;
using namespace titip::link;
using event = monitor::event;

namespace {

constexpr auto four_weeks = 28 * 24h;
constexpr instant start{1h};

class world {
public:
    explicit world(unsigned seed) : random_(seed) {}
    double chance() { return std::uniform_real_distribution<double>{0.0, 1.0}(random_); }
    int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
    bool one_in(int many) { return below(many) == 0; }
    milliseconds up_to(milliseconds limit)
    {
        return milliseconds{
            static_cast<std::int64_t>(chance() * static_cast<double>(limit.count()))};
    }
    verdict failure()
    {
        const auto first = static_cast<int>(verdict::no_route);
        return static_cast<verdict>(first + below(static_cast<int>(verdict::ok) - first));
    }

private:
    std::mt19937 random_;
};

milliseconds cap_of(verdict why, milliseconds age)
{
    if (!is_below_tls(why))
        return 5min;
    return age < 5min ? 20s : 45s;
}

milliseconds between(instant from, instant to)
{
    return std::chrono::duration_cast<milliseconds>(to - from);
}

/// Another way to the same decisions: remembers all that happened and counts it anew each time.
class naive {
public:
    struct outcome {
        instant at;
        std::optional<verdict> failed; ///< nothing: a good answer
        milliseconds retry_after{};
        double chance = 0;
        bool is_hint = false;
    };

    explicit naive(instant begin) : begin_(begin) {}

    void on_probe_success(instant now) { add({.at = now, .failed = {}}); }
    void on_failure(instant now, verdict why, milliseconds retry_after, double chance)
    {
        add({.at = now, .failed = why, .retry_after = retry_after, .chance = chance});
    }
    void on_hint(instant now)
    {
        const auto earliest = seen_.empty() ? begin_ : std::max(seen_.back().at + 1s, pause_end());
        probe_at_ = std::min(probe_at(), std::max(now, earliest));
    }

    bool is_up() const { return is_up(seen_.size()); }
    verdict newest() const
    {
        if (is_up())
            return verdict::ok;
        const auto last = std::find_if(seen_.rbegin(), seen_.rend(),
                                       [](const outcome& o) { return o.failed.has_value(); });
        return last == seen_.rend() ? verdict::unknown : *last->failed;
    }
    instant since() const { return seen_.empty() ? begin_ : seen_[turned()].at; }
    instant probe_at() const { return probe_at_.value_or(begin_); }

private:
    void add(outcome what)
    {
        seen_.push_back(what);
        probe_at_ = what.failed ? after_failure() : what.at + (is_up() ? milliseconds{5min} : 1s);
    }

    bool is_up(std::size_t outcomes) const
    {
        std::size_t good = 0;
        while (good < outcomes && !seen_[outcomes - good - 1].failed)
            ++good;
        return good >= (good == outcomes ? 1u : 2u);
    }

    // The outcome that made the link what it is.
    std::size_t turned() const
    {
        auto at = seen_.size() - 1;
        while (at > 0 && is_up(at) == is_up())
            --at;
        return at;
    }

    instant pause_end() const
    {
        for (auto each = seen_.rbegin(); each != seen_.rend(); ++each) {
            if (!each->failed)
                break;
            if (each->retry_after > 0ms)
                return each->at + std::min<milliseconds>(each->retry_after, 1h);
        }
        return begin_;
    }

    instant after_failure() const
    {
        const auto from = turned();
        auto wait = milliseconds{1s};
        for (auto i = from; i < seen_.size(); ++i) {
            if (!seen_[i].failed)
                continue;
            wait =
                std::min(wait * 2, cap_of(*seen_[i].failed, between(seen_[from].at, seen_[i].at)));
            if (from > 0 && seen_[i].at < seen_[from].at + 60s)
                wait = std::min<milliseconds>(wait, 2s);
        }
        const auto& last = seen_.back();
        const auto part = is_below_tls(*last.failed) ? (1 + last.chance) / 2 : last.chance;
        const auto jittered = std::chrono::duration_cast<milliseconds>(wait * part);
        return std::max(last.at + 1s, std::max(last.at, pause_end()) + jittered);
    }

    instant begin_;
    std::vector<outcome> seen_;
    std::optional<instant> probe_at_;
};

} // namespace

TEST_CASE("through four weeks without a network we look often enough, and never too often",
          "[link][simulation]")
{
    const auto seed = GENERATE(range(1u, 33u));
    CAPTURE(seed);
    world chance{seed};
    const auto why = chance.failure();
    monitor link{start};
    milliseconds longest = 0ms;
    milliseconds shortest = 24h;
    milliseconds total = 0ms;
    int probes = 0;
    bool was_up = false;
    for (auto now = start; now < start + four_weeks; ++probes) {
        const auto next = link.on_failure(now, why, 0ms, chance.chance());
        const auto wait = std::chrono::duration_cast<milliseconds>(next.probe_at - now);
        longest = std::max(longest, wait);
        shortest = std::min(shortest, wait);
        total += wait;
        was_up = was_up || next.is_up;
        now = next.probe_at;
    }
    CAPTURE(to_string(why));
    CHECK_FALSE(was_up);
    CHECK(longest <= cap_of(why, four_weeks));
    CHECK(longest > cap_of(why, four_weeks) * 9 / 10);
    CHECK(shortest >= 1s);
    CHECK(shortest < 5s);
    // Jitter over the whole cap, or its upper half.
    const auto mean = cap_of(why, four_weeks) * (is_below_tls(why) ? 15 : 10) / 20;
    CHECK(total / probes > mean * 9 / 10);
    CHECK(total / probes < mean * 11 / 10);
    CHECK(link.current().since == start);
}

TEST_CASE("a link that comes back is noticed within the cap and a second, one that breaks within "
          "five minutes",
          "[link][simulation]")
{
    const auto seed = GENERATE(range(1u, 33u));
    CAPTURE(seed);
    world chance{seed};
    monitor link{start};
    bool works = false;
    auto why = verdict::tcp;
    auto changed_at = start;
    auto changes_at = start + 1min;
    milliseconds slowest_to_rise = 0ms;
    milliseconds slowest_to_fall = 0ms;
    int ended = 0;
    for (auto now = start; now < start + four_weeks; now = link.current().probe_at) {
        while (changes_at <= now) {
            works = !works;
            why = works ? why : chance.failure();
            changed_at = changes_at;
            changes_at += 1ms + chance.up_to(chance.one_in(4) ? 12h : milliseconds{10min});
        }
        const auto& known = link.current();
        const auto cap = known.is_up
                             ? milliseconds{0}
                             : cap_of(known.verdict, between(known.since, known.checked_at));
        const auto next =
            works ? link.on_probe_success(now) : link.on_failure(now, why, 0ms, chance.chance());
        const auto late = std::chrono::duration_cast<milliseconds>(now - changed_at);
        if (next.happened == event::outage_ended) {
            ++ended;
            slowest_to_rise = std::max(slowest_to_rise, late - cap);
        }
        if (next.happened == event::outage_began)
            slowest_to_fall = std::max(slowest_to_fall, late);
        if (late > cap + 1s)
            REQUIRE((next.is_up || !works));
    }
    CHECK(ended > 100);
    CHECK(slowest_to_rise <= 1s);
    CHECK(slowest_to_fall <= 5min);
}

namespace {

/// A satellite link that lets nothing through until `back`, and a station that asks on it.
class black_hole {
public:
    explicit black_hole(instant back) : back_(back) {}

    /// When an attempt that begins at `now` has succeeded or failed.
    std::pair<instant, bool> attempt(instant now, knocking& how)
    {
        if (const auto patience = how.patience()) {
            const auto heard = connect(now, *patience);
            if (!heard)
                return {now + *patience, false};
            how.on_answer(between(now, *heard));
            now = *heard;
        }
        const auto connected = connect(now, limit);
        if (!connected)
            return {now + limit, false};
        return {*connected + handshake_and_question, true};
    }
    std::int64_t sent_bytes() const { return sent_bytes_; }

private:
    static constexpr milliseconds round_trip = 600ms;
    static constexpr milliseconds handshake_and_question = 2 * round_trip;
    static constexpr milliseconds limit = 20s;

    std::optional<instant> connect(instant now, milliseconds patience)
    {
        for (const auto after : {0s, 1s, 3s, 7s, 15s}) { // Linux 6.1
            if (after >= patience)
                break;
            if (now + after < back_)
                sent_bytes_ += 60;
            else if (after + round_trip <= patience)
                return now + after + round_trip;
        }
        return std::nullopt;
    }

    instant back_;
    std::int64_t sent_bytes_ = 0;
};

struct recovery {
    milliseconds noticed{}; ///< after the link was back
    std::int64_t sent_bytes = 0;
};

recovery live_through(milliseconds outage, bool was_up, unsigned seed)
{
    world chance{seed};
    monitor link{start};
    knocking how;
    if (was_up) {
        link.on_probe_success(start);
        how.on_success();
        link.on_failure(start, verdict::tcp, 0ms, chance.chance());
        how.on_failure(verdict::tcp);
    }
    const auto back = start + outage + chance.up_to(1min);
    black_hole through{back};
    for (auto now = link.current().probe_at;;) {
        const auto [ended, succeeded] = through.attempt(now, how);
        if (succeeded) {
            how.on_success();
            if (link.on_probe_success(ended).is_up)
                return {between(back, ended + 600ms), through.sent_bytes()};
            link.on_probe_success(ended + 1'600ms); // on the connection that is kept
            return {between(back, ended + 1'600ms), through.sent_bytes()};
        }
        how.on_failure(verdict::tcp);
        now = link.on_failure(ended, verdict::tcp, 0ms, chance.chance()).probe_at;
    }
}

struct spread_of {
    double p50_s = 0;
    double p95_s = 0;
    double most_s = 0;
    double kb_an_hour = 0;
};

spread_of many(milliseconds outage, bool was_up)
{
    constexpr unsigned runs = 4'000;
    std::vector<milliseconds> noticed;
    double bytes = 0;
    for (unsigned seed = 1; seed <= runs; ++seed) {
        const auto one = live_through(outage, was_up, seed);
        noticed.push_back(one.noticed);
        bytes += static_cast<double>(one.sent_bytes);
    }
    std::ranges::sort(noticed);
    const auto at = [&noticed](std::size_t part) {
        return static_cast<double>(noticed[(noticed.size() - 1) * part / 100].count()) / 1000;
    };
    const auto hours = std::chrono::duration<double, std::ratio<3600>>(outage + 30s).count();
    const spread_of out{at(50), at(95), at(100), bytes / runs / hours / 1000};
    fmt::print("black hole of {:>5} s, {}: noticed after {:4.1f} s (p50), {:4.1f} (p95), {:4.1f} "
               "(most); {:4.1f} kB sent an hour\n",
               outage / 1s, was_up ? "link in use" : "at a start", out.p50_s, out.p95_s, out.most_s,
               out.kb_an_hour);
    return out;
}

} // namespace

TEST_CASE("the end of a black hole is noticed within 30 s after minutes and 60 s after hours, and "
          "looking for it costs a few kB an hour",
          "[link][simulation]")
{
    for (const bool was_up : {false, true}) {
        for (const milliseconds outage : {2min, 3min})
            CHECK(many(outage, was_up).most_s <= 30);
        const auto of_minutes = many(700s, was_up);
        CHECK(of_minutes.most_s <= 60);
        // A link that was in use is looked at every second or two for a minute: 1.4 kB.
        CHECK(of_minutes.kb_an_hour <= (was_up ? 20 : 16));
        for (const milliseconds outage : {4h, 72h}) {
            const auto seen = many(outage, was_up);
            CHECK(seen.most_s <= 60);
            CHECK(seen.kb_an_hour <= 10);
        }
    }
}

TEST_CASE("the monitor decides as a naive rewrite of it does", "[link][simulation]")
{
    const auto seed = GENERATE(range(1u, 129u));
    CAPTURE(seed);
    world chance{seed};
    monitor link{start};
    naive model{start};
    auto now = start;
    auto before = event::outage_ended;
    for (int step = 0; step < 200; ++step) {
        CAPTURE(step);
        now = chance.one_in(3) ? now + chance.up_to(chance.one_in(5) ? 2h : milliseconds{20s})
                               : std::max(now, link.current().probe_at);
        const bool was_up = link.current().is_up;
        monitor::decision next;
        switch (chance.below(8)) {
        case 0:
        case 1:
        case 2:
        case 3:
            next = link.on_probe_success(now);
            model.on_probe_success(now);
            break;
        case 4:
            next = link.on_hint(now);
            model.on_hint(now);
            break;
        default: {
            const auto why = chance.failure();
            const auto asked = chance.one_in(4) ? chance.up_to(2h) : 0ms;
            const auto draw = chance.chance();
            next = link.on_failure(now, why, asked, draw);
            model.on_failure(now, why, asked, draw);
        }
        }
        REQUIRE(next.is_up == model.is_up());
        REQUIRE(next.verdict == model.newest());
        REQUIRE(next.since == model.since());
        REQUIRE(next.probe_at == model.probe_at());
        REQUIRE((next.happened == event::outage_ended) ==
                (!was_up && next.is_up && before == event::outage_began));
        if (next.happened != event::none) {
            REQUIRE(next.happened != before);
            before = next.happened;
        }
    }
}

TEST_CASE("7,285 offices do not come back in one second", "[link][simulation]")
{
    std::map<std::int64_t, int> arrivals;
    constexpr int offices = 7'285;
    for (int i = 0; i < offices; ++i) {
        const auto name = "office-" + std::to_string(i);
        const auto at = first_send_at(start, 10min, name) - start;
        ++arrivals[std::chrono::duration_cast<std::chrono::seconds>(at).count()];
    }
    int busiest = 0;
    for (const auto& [second, count] : arrivals) {
        REQUIRE(second >= 0);
        REQUIRE(second < 600);
        busiest = std::max(busiest, count);
    }
    CHECK(arrivals.size() > 590);
    CHECK(busiest < 3 * offices / 600);
}

TEST_CASE("a fleet that was asked to come back in ten minutes does not do so in one moment",
          "[link][simulation]")
{
    world chance{1};
    std::map<std::int64_t, int> arrivals;
    constexpr int offices = 7'285;
    for (int i = 0; i < offices; ++i) {
        monitor link{start};
        auto now = start;
        for (int failures = 0; failures < 8; ++failures)
            now = link.on_failure(now, verdict::application, 0ms, chance.chance()).probe_at;
        const auto next = link.on_failure(now, verdict::maintenance, 10min, chance.chance());
        const auto wait = next.probe_at - now;
        REQUIRE(wait >= 10min);
        ++arrivals[std::chrono::duration_cast<std::chrono::seconds>(wait).count()];
    }
    for (const auto& [second, count] : arrivals)
        REQUIRE(count < offices / 100);
}
