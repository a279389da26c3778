#include "replay/scheduler.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <vector>

using namespace titip;
using namespace titip::replay;
using envelope::lane;
using journal::place;

namespace {

/// What a custodian has of each record. A record may be completed once; a body that does not begin
/// where its stored part ends is a sender that did not listen.
class modelled_server {
public:
    std::uint64_t offset_of(place p) const
    {
        const auto found = stored_.find(p);
        return found == stored_.end() ? 0 : found->second;
    }
    bool is_complete(place p) const { return complete_.contains(p); }
    void take(place p, std::uint64_t offset, std::uint64_t count, std::uint64_t size_bytes)
    {
        REQUIRE(offset == offset_of(p));
        REQUIRE_FALSE(is_complete(p));
        stored_[p] = offset + count;
        if (stored_[p] == size_bytes)
            complete_[p] = true;
    }
    void forget(place p) { stored_.erase(p); }
    std::size_t complete() const { return complete_.size(); }

private:
    std::map<place, std::uint64_t> stored_;
    std::map<place, bool> complete_;
};

/// Several connections that break when they like, between a scheduler and a custodian.
class world {
public:
    explicit world(unsigned seed)
        : random_(seed), opts_{.most_unanswered = 1 + below(8),
                               .most_unanswered_bytes = 200 + below(2'000),
                               .oldest_every = static_cast<unsigned>(1 + below(8))},
          scheduler_(opts_), pipes_(1 + below(4)), breaks_one_in_(2 + below(60))
    {
    }

    void run(std::size_t records)
    {
        std::uint64_t steps = 0;
        while (settled_.size() < records) {
            REQUIRE(++steps < 200'000);
            if (added_.size() < records && one_in(3))
                add();
            const auto on = below(pipes_.size());
            if (one_in(breaks_one_in_))
                break_off(on);
            else if (one_in(2))
                send(on);
            else
                answer(on);
            if (!scheduler_.unknown(1).empty() && one_in(4))
                reconcile();
        }
        CHECK(server_.complete() == records);
        CHECK(scheduler_.waiting() == 0);
        CHECK(scheduler_.in_flight() == 0);
        CHECK_FALSE(scheduler_.has_unknown());
    }

private:
    std::size_t below(std::size_t limit) { return random_() % limit; }
    bool one_in(std::size_t many) { return below(many) == 0; }

    void add()
    {
        const place p{added_.size() + 1};
        const std::uint64_t size_bytes = 1 + below(900);
        scheduler_.add(p, static_cast<lane>(1 + below(3)), size_bytes);
        added_[p] = size_bytes;
        waits_.insert(p);
    }

    void send(std::size_t on)
    {
        auto& pipe = pipes_[on];
        const auto picked = scheduler_.next(connection{static_cast<std::uint32_t>(on)});
        if (!picked)
            return;
        const auto p = picked->place;
        REQUIRE(waits_.contains(p)); // neither in flight, nor unknown, nor settled
        REQUIRE(picked->size_bytes == added_.at(p));
        REQUIRE(picked->offset == server_.offset_of(p));
        count_turn(p);
        waits_.erase(p);
        pipe.push_back(*picked);
        std::uint64_t bytes = 0;
        for (const auto& each : pipe)
            bytes += each.size_bytes;
        REQUIRE(pipe.size() <= opts_.most_unanswered);
        REQUIRE((pipe.size() == 1 || bytes <= opts_.most_unanswered_bytes));
    }

    /// Of any `oldest_every` picks one is the oldest that waits.
    void count_turn(place taken)
    {
        passed_over_ = *waits_.begin() == taken ? 0 : passed_over_ + 1;
        REQUIRE(passed_over_ < opts_.oldest_every);
    }

    void answer(std::size_t on)
    {
        auto& pipe = pipes_[on];
        if (pipe.empty())
            return;
        const auto [p, size_bytes, offset, lane, goes_last] = pipe.front();
        pipe.pop_front();
        const auto kind = below(20);
        if (kind == 0) { // refused before its end, once more: what was there is thrown away
            server_.forget(p);
            scheduler_.on_failed(p, true);
            waits_.insert(p);
        } else if (kind == 1) { // taken over, or a commit under way: 409 with an offset
            const auto part = below(size_bytes - offset);
            if (part > 0)
                server_.take(p, offset, part, size_bytes);
            scheduler_.on_position(p, server_.offset_of(p));
            waits_.insert(p);
        } else if (kind == 2) { // 2xx without a receipt
            server_.take(p, offset, size_bytes - offset, size_bytes);
            scheduler_.on_unknown(p);
        } else {
            server_.take(p, offset, size_bytes - offset, size_bytes);
            settle(p);
        }
    }

    /// Requests had come whole, in part, or not at all; no answer ever comes.
    void break_off(std::size_t on)
    {
        auto& pipe = pipes_[on];
        bool arrives = true;
        for (const auto& each : pipe) {
            if (!arrives)
                break;
            const auto [p, size_bytes, offset, lane, goes_last] = each;
            const auto count = one_in(2) ? size_bytes - offset : below(size_bytes - offset + 1);
            arrives = count == size_bytes - offset;
            if (count > 0)
                server_.take(p, offset, count, size_bytes);
        }
        pipe.clear();
        scheduler_.on_broken(connection{static_cast<std::uint32_t>(on)});
    }

    void reconcile()
    {
        for (const auto p : scheduler_.unknown(1 + below(5)))
            if (server_.is_complete(p))
                settle(p);
            else {
                scheduler_.on_reconciled(p, server_.offset_of(p));
                waits_.insert(p);
            }
    }

    void settle(place p)
    {
        scheduler_.on_settled(p);
        REQUIRE(settled_.emplace(p, true).second);
    }

    std::mt19937 random_;
    scheduler::options opts_;
    scheduler scheduler_;
    modelled_server server_;
    std::vector<std::deque<scheduler::pick>> pipes_;
    std::size_t breaks_one_in_;
    std::map<place, std::uint64_t> added_; ///< sizes
    std::set<place> waits_;
    unsigned passed_over_ = 0; ///< picks in a row that were not the oldest
    std::map<place, bool> settled_;
};

} // namespace

TEST_CASE("over connections that break at any moment every record is delivered exactly once",
          "[replay]")
{
    const auto block = GENERATE(range(0u, 30u));
    for (unsigned i = 0; i < 100; ++i) {
        const unsigned seed = block * 100 + i + 1;
        CAPTURE(seed);
        world{seed}.run(30);
    }
}
