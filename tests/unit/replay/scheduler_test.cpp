#include "replay/scheduler.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

using namespace titip;
using namespace titip::replay;
using envelope::lane;
using journal::place;

namespace {

constexpr connection first{0};
constexpr connection second{1};

place at(std::uint64_t n)
{
    return place{n};
}

/// The places of all that goes out, one by one, each answered at once.
std::vector<std::uint64_t> drain(scheduler& s)
{
    std::vector<std::uint64_t> out;
    while (const auto picked = s.next(first)) {
        out.push_back(static_cast<std::uint64_t>(picked->place));
        s.on_settled(picked->place);
    }
    return out;
}

} // namespace

TEST_CASE("nothing goes where nothing waits", "[replay]")
{
    scheduler s;
    CHECK_FALSE(s.next(first).has_value());
    CHECK(s.waiting() == 0);
    CHECK(s.in_flight() == 0);
    CHECK_FALSE(s.has_unknown());
}

TEST_CASE("lanes go in their order, and within a lane the older place first", "[replay]")
{
    scheduler s{{.oldest_every = 100}};
    s.add(at(1), lane::bulk, 10);
    s.add(at(2), lane::ordinary, 10);
    s.add(at(3), lane::urgent, 10);
    s.add(at(5), lane::urgent, 10);
    s.add(at(4), lane::ordinary, 10);
    CHECK(drain(s) == std::vector<std::uint64_t>{3, 5, 2, 4, 1});
}

TEST_CASE("the oldest of all lanes has its turn in a stream of urgent records", "[replay]")
{
    scheduler s{{.oldest_every = 4}};
    s.add(at(1), lane::bulk, 10);
    s.add(at(2), lane::ordinary, 10);
    for (std::uint64_t n = 10; n < 30; ++n)
        s.add(at(n), lane::urgent, 10);
    const auto order = drain(s);
    CHECK(order[3] == 1);
    CHECK(order[7] == 2);
    CHECK(order.size() == 22);
}

TEST_CASE("a connection has so many requests unanswered and no more", "[replay]")
{
    scheduler s{{.most_unanswered = 3}};
    for (std::uint64_t n = 1; n <= 10; ++n)
        s.add(at(n), lane::ordinary, 10);
    for (int i = 0; i < 3; ++i)
        REQUIRE(s.next(first).has_value());
    CHECK_FALSE(s.next(first).has_value());
    CHECK(s.next(second)->place == at(4)); // each connection by itself
    s.on_settled(at(1));
    CHECK(s.next(first)->place == at(5));
    CHECK_FALSE(s.next(first).has_value());
    CHECK(s.in_flight() == 4);
    CHECK(s.waiting() == 5);
}

TEST_CASE("what is left of a connection's records is what was not written yet", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 500);
    s.add(at(2), lane::ordinary, 60);
    s.add(at(3), lane::ordinary, 7);
    CHECK(s.left_bytes(first) == 0);
    REQUIRE(s.next(first)->place == at(1));
    REQUIRE(s.next(first)->place == at(2));
    REQUIRE(s.next(second)->place == at(3));
    CHECK(s.left_bytes(first) == 560);
    s.on_written(at(1), 200);
    CHECK(s.left_bytes(first) == 360);
    CHECK(s.left_bytes(second) == 7);
    s.on_settled(at(1));
    CHECK(s.left_bytes(first) == 60);

    s.on_broken(second);
    s.on_reconciled(at(3), 4); // the upstream has four of its bytes
    REQUIRE(s.next(second)->offset == 4);
    CHECK(s.left_bytes(second) == 3);
}

TEST_CASE("a connection has so many bytes unanswered, but always one record", "[replay]")
{
    scheduler s{{.most_unanswered_bytes = 100}};
    s.add(at(1), lane::ordinary, 500);
    s.add(at(2), lane::ordinary, 60);
    s.add(at(3), lane::ordinary, 40);
    s.add(at(4), lane::ordinary, 1);
    CHECK(s.next(first)->place == at(1)); // too large for the limit, and yet it goes
    CHECK_FALSE(s.next(first).has_value());
    s.on_settled(at(1));
    CHECK(s.next(first)->place == at(2));
    CHECK(s.next(first)->place == at(3)); // exactly the limit
    CHECK_FALSE(s.next(first).has_value());
}

TEST_CASE("what was in flight on a broken connection goes again only after a reconcile", "[replay]")
{
    scheduler s;
    for (std::uint64_t n = 1; n <= 4; ++n)
        s.add(at(n), lane::ordinary, 100);
    REQUIRE(s.next(first)->place == at(1));
    REQUIRE(s.next(second)->place == at(2));
    REQUIRE(s.next(first)->place == at(3));
    s.on_broken(first);
    CHECK(s.unknown(64) == std::vector{at(1), at(3)});
    CHECK(s.unknown(1) == std::vector{at(1)});
    CHECK(s.is_in_flight(at(2)));
    CHECK_FALSE(s.is_in_flight(at(1)));
    CHECK(s.next(first)->place == at(4));
    CHECK_FALSE(s.next(first).has_value());

    s.on_reconciled(at(3), 40);
    s.on_settled(at(1)); // the reconcile brought its receipt
    CHECK_FALSE(s.has_unknown());
    const auto again = s.next(first);
    REQUIRE(again.has_value());
    CHECK(again->place == at(3));
    CHECK(again->offset == 40);
    CHECK(again->size_bytes == 100);
    CHECK_FALSE(s.next(first).has_value());
}

TEST_CASE("an answer that leaves it open makes one record unknown and no other", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.add(at(2), lane::ordinary, 100);
    REQUIRE(s.next(first));
    REQUIRE(s.next(first));
    s.on_unknown(at(1));
    CHECK(s.unknown(64) == std::vector{at(1)});
    CHECK(s.is_in_flight(at(2)));
    s.on_unknown(at(7)); // never heard of
    CHECK(s.unknown(64).size() == 1);
}

TEST_CASE("an answer with an offset lets the record go on from there", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    REQUIRE(s.next(first)->offset == 0);
    s.on_position(at(1), 64);
    CHECK(s.next(first)->offset == 64);
    s.on_position(at(1), 1'000); // more than there is: a peer's mistake
    CHECK(s.next(first)->offset == 100);
}

TEST_CASE("a refused record goes once more from its beginning, or not at all", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    REQUIRE(s.next(first));
    s.on_position(at(1), 50);
    REQUIRE(s.next(first)->offset == 50);
    s.on_failed(at(1), true);
    CHECK(s.next(first)->offset == 0);
    s.on_failed(at(1), false);
    CHECK_FALSE(s.next(first).has_value());
    CHECK(s.waiting() == 0);
    CHECK(s.in_flight() == 0);
}

TEST_CASE("a record that is set aside is gone, wherever it was", "[replay]")
{
    scheduler s;
    for (std::uint64_t n = 1; n <= 3; ++n)
        s.add(at(n), lane::ordinary, 100);
    REQUIRE(s.next(first));
    REQUIRE(s.next(first));
    s.on_unknown(at(1));
    for (std::uint64_t n = 1; n <= 3; ++n)
        s.on_failed(at(n), false);
    CHECK(s.waiting() == 0);
    CHECK(s.in_flight() == 0);
    CHECK_FALSE(s.has_unknown());
}

TEST_CASE("an unknown record that is refused in a reconcile goes once more from its beginning",
          "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    REQUIRE(s.next(first));
    s.on_position(at(1), 50);
    REQUIRE(s.next(first));
    s.on_broken(first);
    s.on_failed(at(1), true);
    CHECK_FALSE(s.has_unknown());
    CHECK(s.next(first)->offset == 0);
}

TEST_CASE("what is held does not go, what is in flight then gets its answer and does not come back",
          "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.add(at(2), lane::ordinary, 100);
    s.remove(at(2));
    REQUIRE(s.next(first)->place == at(1));
    CHECK_FALSE(s.next(first).has_value());
    s.remove(at(1));
    CHECK(s.is_in_flight(at(1)));

    SECTION("refused")
    {
        s.on_failed(at(1), true);
        CHECK(s.waiting() == 0);
    }
    SECTION("cut off")
    {
        s.on_broken(first);
        CHECK(s.unknown(64) == std::vector{at(1)}); // what became of it is still asked for
        s.on_reconciled(at(1), 10);
        CHECK(s.waiting() == 0);
        CHECK_FALSE(s.has_unknown());
    }
    SECTION("released in time")
    {
        s.add(at(1), lane::ordinary, 100);
        s.on_position(at(1), 10);
        CHECK(s.next(first)->offset == 10);
    }
    SECTION("released while unknown")
    {
        s.on_broken(first);
        s.add(at(1), lane::ordinary, 100);
        CHECK(s.waiting() == 0); // never twice
        s.on_reconciled(at(1), 10);
        CHECK(s.next(first)->offset == 10);
    }
}

TEST_CASE("a record at which the connection always breaks goes behind the others", "[replay]")
{
    scheduler s{{.patience = 3}};
    s.add(at(1), lane::urgent, 100);
    s.add(at(2), lane::bulk, 100);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(s.next(first)->place == at(1));
        CHECK_FALSE(s.on_broken(first, at(1))); // whose fault it is nobody knows
        s.on_reconciled(at(1), 0);
    }
    REQUIRE(s.next(first)->place == at(2));
    s.on_settled(at(2));
    s.add(at(3), lane::bulk, 100); // a later one, too
    CHECK(s.next(second)->place == at(3));

    REQUIRE(s.next(first)->place == at(1));
    CHECK(s.on_broken(first, at(1))); // another went over the same link meanwhile
}

TEST_CASE("where no record gets through they take turns, and none is to blame", "[replay]")
{
    scheduler s{{.patience = 2}};
    s.add(at(1), lane::ordinary, 100);
    s.add(at(2), lane::ordinary, 100);
    std::vector<std::uint64_t> order;
    for (int i = 0; i < 12; ++i) {
        const auto p = s.next(first)->place;
        order.push_back(static_cast<std::uint64_t>(p));
        CHECK_FALSE(s.on_broken(first, p));
        s.on_reconciled(p, 0);
    }
    CHECK(order == std::vector<std::uint64_t>{1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2});
}

TEST_CASE("a record that comes further at each break is not stuck", "[replay]")
{
    scheduler s{{.patience = 2}};
    s.add(at(1), lane::ordinary, 1'000);
    s.add(at(2), lane::ordinary, 1'000);
    for (std::uint64_t offset = 10; offset < 500; offset += 10) {
        REQUIRE(s.next(first)->place == at(1));
        s.on_settled(at(7));
        CHECK_FALSE(s.on_broken(first, at(1)));
        s.on_reconciled(at(1), offset);
    }
}

TEST_CASE("answers that take no byte further are the record's fault, after some patience",
          "[replay]")
{
    scheduler s{{.patience = 3}};
    s.add(at(1), lane::ordinary, 100);
    for (const bool is_stuck : {false, false, true, true}) {
        REQUIRE(s.next(first));
        CHECK(s.on_position(at(1), 0) == is_stuck);
    }
    REQUIRE(s.next(first));
    CHECK_FALSE(s.on_position(at(1), 40)); // further: all is forgotten
    REQUIRE(s.next(first)->offset == 40);
    CHECK_FALSE(s.on_unknown(at(1)));
    s.on_reconciled(at(1), 40);
    REQUIRE(s.next(first));
    CHECK_FALSE(s.on_unknown(at(1)));
    s.on_reconciled(at(1), 5'000); // more than there is
    CHECK(s.next(first)->offset == 100);
}

TEST_CASE("a record that is known already is not queued twice", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.add(at(1), lane::urgent, 100);
    CHECK(s.waiting() == 1);
    CHECK(drain(s) == std::vector<std::uint64_t>{1});
    CHECK(s.waiting() == 0);
}

TEST_CASE("a reconcile tells the offset of a record that has not been tried here", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.on_reconciled(at(1), 30); // begun before a restart
    CHECK(s.next(first)->offset == 30);
}

TEST_CASE("on the connection for urgent records only those go", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 10);
    s.add(at(2), lane::bulk, 10);
    CHECK_FALSE(s.has_urgent());
    CHECK_FALSE(s.next(second, scheduler::lanes::urgent).has_value());
    s.add(at(4), lane::urgent, 10);
    s.add(at(3), lane::urgent, 10);
    CHECK(s.has_urgent());
    CHECK(s.next(second, scheduler::lanes::urgent)->place == at(3));
    CHECK(s.next(second, scheduler::lanes::urgent)->place == at(4));
    CHECK_FALSE(s.has_urgent());
    CHECK_FALSE(s.next(second, scheduler::lanes::urgent).has_value());
    CHECK(drain(s) == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("an urgent record that is stuck does not hold up the bodies of others", "[replay]")
{
    scheduler s{{.patience = 2}};
    s.add(at(1), lane::urgent, 10);
    const bool others_wait = GENERATE(true, false);
    if (others_wait)
        s.add(at(2), lane::ordinary, 10);
    for (int i = 0; i < 2; ++i) {
        REQUIRE(s.next(second, scheduler::lanes::urgent)->place == at(1));
        s.on_position(at(1), 0);
    }
    CHECK_FALSE(s.has_urgent());
    CHECK_FALSE(s.next(second, scheduler::lanes::urgent).has_value());
    s.add(at(3), lane::urgent, 10);
    CHECK(s.next(second, scheduler::lanes::urgent)->place == at(3));
    CHECK(drain(s).back() == 1); // it goes where all go, behind them
}

TEST_CASE("what goes on the connection for urgent records does not bring the oldest's turn nearer",
          "[replay]")
{
    scheduler s{{.oldest_every = 3}};
    s.add(at(1), lane::bulk, 10);
    for (std::uint64_t n = 10; n < 20; ++n)
        s.add(at(n), lane::urgent, 10);
    for (std::uint64_t n = 10; n < 14; ++n) {
        REQUIRE(s.next(second, scheduler::lanes::urgent)->place == at(n)); // never the oldest
        s.on_settled(at(n));
    }
    CHECK(s.next(first)->place == at(14));
    CHECK(s.next(first)->place == at(15));
    CHECK(s.next(second, scheduler::lanes::urgent)->place == at(16));
    CHECK(s.next(first)->place == at(1));
}

TEST_CASE("what was written and is not gone on from was wasted", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.on_written(at(1), 70); // not in flight: a write that ended late
    REQUIRE(s.next(first));
    s.on_written(at(1), 30);
    s.on_written(at(1), 80);
    CHECK(s.wasted_bytes() == 0);
    SECTION("cut off, and gone on from what came")
    {
        s.on_broken(first);
        CHECK(s.wasted_bytes() == 0); // nobody knows yet
        s.on_reconciled(at(1), 50);
        CHECK(s.wasted_bytes() == 30);
        REQUIRE(s.next(first)->offset == 50);
        s.on_written(at(1), 100);
        s.on_broken(first);
        s.on_settled(at(1)); // the reconcile brought its receipt
        CHECK(s.wasted_bytes() == 30);
    }
    SECTION("all of it came")
    {
        s.on_broken(first);
        s.on_reconciled(at(1), 80);
        CHECK(s.wasted_bytes() == 0);
    }
    SECTION("refused in its middle, and gone on from what was taken")
    {
        s.on_position(at(1), 64);
        CHECK(s.wasted_bytes() == 16);
        s.on_reconciled(at(1), 64); // said once more
        CHECK(s.wasted_bytes() == 16);
    }
    SECTION("begun again")
    {
        s.on_failed(at(1), true);
        CHECK(s.wasted_bytes() == 80);
    }
    SECTION("delivered")
    {
        s.on_settled(at(1));
        CHECK(s.wasted_bytes() == 0);
    }
}

TEST_CASE("what was written of a record that was there already was wasted, and no more", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    s.on_reconciled(at(1), 40); // from before a restart
    REQUIRE(s.next(first)->offset == 40);
    SECTION("some")
    {
        s.on_written(at(1), 90);
        s.on_unwanted(at(1));
        CHECK(s.wasted_bytes() == 50);
        s.on_settled(at(1));
        CHECK(s.wasted_bytes() == 50);
    }
    SECTION("nothing")
    {
        s.on_unwanted(at(1));
        CHECK(s.wasted_bytes() == 0);
    }
    s.on_unwanted(at(7)); // never heard of
    CHECK(s.wasted_bytes() <= 50);
}

namespace {

/// The same rules over one list, with nothing indexed.
class naive_scheduler {
public:
    explicit naive_scheduler(scheduler::options opts) : opts_(opts) {}

    void add(place p, lane l, std::uint64_t size_bytes)
    {
        if (auto* known = find(p))
            known->withdrawn = false;
        else
            all_.push_back({p, l, size_bytes});
    }
    void remove(place p)
    {
        if (auto* known = find(p)) {
            known->withdrawn = true;
            if (known->is == where::waiting)
                drop(p);
        }
    }
    std::optional<scheduler::pick> next(connection on, scheduler::lanes of)
    {
        const bool of_all = of == scheduler::lanes::all;
        std::size_t requests = 0;
        std::uint64_t unanswered_bytes = 0;
        for (const auto& each : all_)
            if (each.is == where::flying && each.on == on) {
                ++requests;
                unanswered_bytes += each.size_bytes;
            }
        const bool oldest = of_all && picks_ % opts_.oldest_every == opts_.oldest_every - 1;
        record* best = nullptr;
        for (auto& each : all_)
            if (each.is == where::waiting && (of_all || is_pressing(each)) &&
                (!best || goes_before(each, *best, oldest)))
                best = &each;
        if (!best || requests >= opts_.most_unanswered)
            return std::nullopt;
        if (requests > 0 && unanswered_bytes + best->size_bytes > opts_.most_unanswered_bytes)
            return std::nullopt;
        picks_ += of_all;
        best->is = where::flying;
        best->on = on;
        return scheduler::pick{best->at, best->size_bytes, best->offset};
    }
    bool has_urgent() const
    {
        return std::ranges::any_of(all_, [this](const record& each) {
            return each.is == where::waiting && is_pressing(each);
        });
    }
    /// Where the attempt under way began; nothing if there is none.
    std::optional<std::uint64_t> offset_of(place p)
    {
        const auto* known = find(p);
        return known && known->is == where::flying ? std::optional{known->offset} : std::nullopt;
    }
    void on_written(place p, std::uint64_t up_to)
    {
        if (auto* known = find(p); known && known->is == where::flying)
            known->written = up_to;
    }
    void on_unwanted(place p)
    {
        if (const auto* known = find(p); known && known->is == where::flying)
            wasted_ += known->written - known->offset;
    }
    std::uint64_t wasted() const { return wasted_; }
    void on_settled(place p)
    {
        ++settled_;
        drop(p);
    }
    void on_failed(place p, bool again)
    {
        auto* known = find(p);
        if (!known || (known->is == where::waiting && again))
            return;
        if (!again || known->withdrawn)
            drop(p);
        else {
            known->is = where::waiting;
            move(*known, 0);
        }
    }
    bool on_position(place p, std::uint64_t offset)
    {
        auto* known = find(p);
        if (!known || known->is != where::flying)
            return false;
        if (known->withdrawn) {
            drop(p);
            return false;
        }
        known->is = where::waiting;
        const bool stuck = stall(*known, true) && offset <= known->offset;
        move(*known, offset);
        return stuck;
    }
    bool on_unknown(place p)
    {
        auto* known = find(p);
        if (!known || known->is != where::flying)
            return false;
        known->is = where::unknown;
        return stall(*known, true);
    }
    bool on_broken(connection on, std::optional<place> hit)
    {
        bool stuck = false;
        for (auto& each : all_)
            if (each.is == where::flying && each.on == on) {
                each.is = where::unknown;
                if (each.at == hit)
                    stuck = stall(each, false);
            }
        return stuck;
    }
    void on_reconciled(place p, std::uint64_t offset)
    {
        auto* known = find(p);
        if (!known || known->is == where::flying)
            return;
        if (known->withdrawn) {
            drop(p);
            return;
        }
        known->is = where::waiting;
        move(*known, offset);
    }
    std::vector<place> unknown() const { return places(where::unknown); }
    std::vector<place> flying() const { return places(where::flying); }
    std::size_t waiting() const { return places(where::waiting).size(); }

private:
    enum class where { waiting, flying, unknown };
    struct record {
        place at{};
        envelope::lane lane{};
        std::uint64_t size_bytes = 0;
        std::uint64_t offset = 0;
        std::uint64_t written = 0;
        where is = where::waiting;
        connection on{};
        bool withdrawn = false;
        unsigned stalls = 0;
        std::uint64_t settled_before = 0;
    };

    bool stall(record& what, bool is_answered) const
    {
        ++what.stalls;
        if (what.stalls == 1)
            what.settled_before = settled_;
        return what.stalls >= opts_.patience && (is_answered || settled_ > what.settled_before);
    }
    void move(record& what, std::uint64_t offset)
    {
        if (offset > what.offset)
            what.stalls = 0;
        if (what.written > offset)
            wasted_ += what.written - offset;
        what.offset = what.written = offset;
    }
    bool is_pressing(const record& what) const
    {
        return what.lane == envelope::lane::urgent && what.stalls < opts_.patience;
    }
    bool goes_before(const record& a, const record& b, bool by_age) const
    {
        if (a.stalls / opts_.patience != b.stalls / opts_.patience)
            return a.stalls / opts_.patience < b.stalls / opts_.patience;
        if (!by_age && a.lane != b.lane)
            return a.lane < b.lane;
        return a.at < b.at;
    }
    record* find(place p)
    {
        for (auto& each : all_)
            if (each.at == p)
                return &each;
        return nullptr;
    }
    void drop(place p)
    {
        std::erase_if(all_, [p](const record& each) { return each.at == p; });
    }
    std::vector<place> places(where wanted) const
    {
        std::vector<place> out;
        for (const auto& each : all_)
            if (each.is == wanted)
                out.push_back(each.at);
        std::ranges::sort(out);
        return out;
    }

    scheduler::options opts_;
    std::vector<record> all_;
    std::uint64_t picks_ = 0;
    std::uint64_t settled_ = 0;
    std::uint64_t wasted_ = 0;
};

} // namespace

TEST_CASE("any course of events goes as the rules say, one by one", "[replay]")
{
    const auto seed = GENERATE(range(1u, 6u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const scheduler::options opts{
        .most_unanswered = 3, .most_unanswered_bytes = 250, .oldest_every = 5, .patience = 2};
    scheduler s{opts};
    naive_scheduler model{opts};
    for (int step = 0; step < 10'000; ++step) {
        CAPTURE(step);
        const auto p = at(1 + random() % 30);
        const auto on = connection{static_cast<std::uint32_t>(random() % 3)};
        const std::uint64_t size_bytes = 1 + static_cast<std::uint64_t>(p) * 37 % 120;
        const auto offset = random() % size_bytes;
        switch (random() % 15) {
        case 0:
        case 1: {
            const auto l = static_cast<lane>(1 + static_cast<std::uint64_t>(p) % 3);
            s.add(p, l, size_bytes);
            model.add(p, l, size_bytes);
            break;
        }
        case 2:
            s.remove(p);
            model.remove(p);
            break;
        case 3:
        case 4:
        case 5: {
            const auto of = random() % 3 == 0 ? scheduler::lanes::urgent : scheduler::lanes::all;
            const auto got = s.next(on, of);
            const auto expected = model.next(on, of);
            REQUIRE(got.has_value() == expected.has_value());
            if (got) {
                REQUIRE(got->place == expected->place);
                REQUIRE(got->size_bytes == expected->size_bytes);
                REQUIRE(got->offset == expected->offset);
            }
            break;
        }
        case 6:
            s.on_settled(p);
            model.on_settled(p);
            break;
        case 7: {
            const bool again = random() % 2 == 0;
            s.on_failed(p, again);
            model.on_failed(p, again);
            break;
        }
        case 8:
            REQUIRE(s.on_position(p, offset) == model.on_position(p, offset));
            break;
        case 9:
            REQUIRE(s.on_unknown(p) == model.on_unknown(p));
            break;
        case 10:
            if (random() % 4 == 0) {
                const auto flying = model.flying();
                const auto hit = flying.empty() || random() % 3 == 0
                                     ? std::optional<place>{}
                                     : flying[random() % flying.size()];
                REQUIRE(s.on_broken(on, hit) == model.on_broken(on, hit));
            }
            break;
        case 11:
        case 12: {
            const auto began = model.offset_of(p).value_or(0);
            const auto up_to = began + random() % (size_bytes - began + 1);
            s.on_written(p, up_to);
            model.on_written(p, up_to);
            break;
        }
        case 13:
            s.on_unwanted(p);
            model.on_unwanted(p);
            break;
        default:
            s.on_reconciled(p, offset);
            model.on_reconciled(p, offset);
            break;
        }
        REQUIRE(s.waiting() == model.waiting());
        REQUIRE(s.has_urgent() == model.has_urgent());
        REQUIRE(s.wasted_bytes() == model.wasted());
        REQUIRE(s.unknown(64) == model.unknown());
        REQUIRE(s.has_unknown() == !model.unknown().empty());
        const auto flying = model.flying();
        REQUIRE(s.in_flight() == flying.size());
        REQUIRE(std::ranges::all_of(flying, [&s](place each) { return s.is_in_flight(each); }));
    }
}

TEST_CASE("what is deferred is not offered before it is recalled, and holds up nobody", "[replay]")
{
    scheduler s;
    for (const auto n : {1u, 2u, 3u})
        s.add(at(n), lane::ordinary, 10);
    REQUIRE(s.next(first)->place == at(1));
    s.defer(at(1));
    CHECK(s.in_flight() == 0);
    CHECK(s.waiting() == 2);
    s.add(at(1), lane::ordinary, 10); // told once more that it waits
    CHECK(drain(s) == std::vector<std::uint64_t>{2, 3});
    CHECK(s.recall(at(1)));
    CHECK_FALSE(s.recall(at(9))); // nobody knows it
    CHECK(drain(s) == std::vector<std::uint64_t>{1});
}

TEST_CASE("a deferred record that was not sent goes on from where the upstream has it", "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 100);
    REQUIRE(s.next(first));
    s.on_written(at(1), 60);
    s.on_position(at(1), 40);
    REQUIRE(s.next(first)->offset == 40);
    s.defer(at(1));
    s.recall(at(1));
    REQUIRE(s.next(first)->offset == 40);
    s.on_written(at(1), 70); // and was refused
    s.defer(at(1));
    s.on_reconciled(at(1), 20);
    s.recall(at(1));
    CHECK(s.next(first)->offset == 20);
}

TEST_CASE("what is held, set aside or delivered while it is deferred does not come back",
          "[replay]")
{
    scheduler s;
    for (const auto n : {1u, 2u, 3u, 4u}) {
        s.add(at(n), lane::ordinary, 10);
        REQUIRE(s.next(first));
        if (n == 4)
            s.remove(at(n)); // held while its answer was under way
        CHECK(s.defer(at(n)) == (n != 4));
    }
    s.remove(at(1));
    s.on_settled(at(2));
    s.on_failed(at(3), false);
    for (const auto n : {1u, 2u, 3u, 4u})
        CHECK_FALSE(s.recall(at(n)));
    CHECK(s.waiting() == 0);
    s.add(at(1), lane::ordinary, 10); // released
    CHECK(drain(s) == std::vector<std::uint64_t>{1});
}

TEST_CASE("a record refused for no fault of its own goes behind others, until it is recalled",
          "[replay]")
{
    scheduler s;
    for (const auto n : {1u, 2u, 3u})
        s.add(at(n), lane::ordinary, 10);
    REQUIRE(s.next(first)->place == at(1));
    s.on_refused(at(1));
    REQUIRE(s.next(first)->place == at(2));
    s.defer(at(2));
    s.recall(at(2));
    CHECK(drain(s) == std::vector<std::uint64_t>{2, 3, 1});
}

TEST_CASE("what was refused before it was deferred has its place again when it is recalled",
          "[replay]")
{
    scheduler s;
    s.add(at(1), lane::ordinary, 10);
    for (int i = 0; i < 2; ++i) {
        REQUIRE(s.next(first)->place == at(1));
        s.on_refused(at(1));
    }
    REQUIRE(s.next(first)->place == at(1));
    REQUIRE(s.defer(at(1))); // others of its certificate were refused as well
    for (const auto n : {2u, 3u})
        s.add(at(n), lane::ordinary, 10);
    REQUIRE(s.recall(at(1)));
    CHECK(drain(s) == std::vector<std::uint64_t>{1, 2, 3});
}

TEST_CASE("what goes last goes behind all that waits, however old it is", "[replay]")
{
    scheduler s{{.oldest_every = 2, .patience = 1}};
    s.add(at(1), lane::urgent, 10, true);
    s.add(at(2), lane::ordinary, 10, true);
    s.add(at(3), lane::bulk, 10);
    CHECK_FALSE(s.has_urgent());
    for (int i = 0; i < 20; ++i) { // stuck, and refused
        REQUIRE(s.next(first)->place == at(3));
        s.on_position(at(3), 0);
        REQUIRE(s.next(first)->place == at(3));
        s.on_refused(at(3));
    }
    s.add(at(4), lane::ordinary, 10);
    CHECK(drain(s) == std::vector<std::uint64_t>{4, 3, 1, 2});
}
