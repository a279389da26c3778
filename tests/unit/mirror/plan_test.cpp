#include "mirror/plan.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>

using namespace titip;
using namespace titip::mirror;
using journal::place;
using kind = plan::step::kind;

namespace {

name_hash name_of(std::uint64_t at)
{
    return name_hash{at * 1'000'003};
}

constexpr std::uint64_t whole = 1'000;
const wall_time clock_{from_ms(1'764'000'000'000)};

row row_of(std::uint64_t at, row::kind what = row::kind::kept)
{
    return {.place = place{at},
            .record = record_id::random(),
            .accepted_at = from_ms(static_cast<std::int64_t>(1'000 * at)),
            .name = name_of(at),
            .least_bytes = whole,
            .what = what};
}

/// A plan whose folder was listed as having `names`, and whose journal has `rows`.
void list(plan& of, const std::vector<std::uint64_t>& names, const std::vector<row>& rows,
          instant now)
{
    REQUIRE(of.next(now).what == kind::list);
    std::vector<listed_file> found;
    for (const auto each : names)
        found.push_back({name_of(each), whole});
    of.on_listed(found, now, "disk-1", clock_);
    for (const auto& each : rows) {
        REQUIRE(of.next(now).what == kind::scan);
        of.on_row(each);
        REQUIRE(of.next(now).place == each.place);
    }
    of.on_scanned(now, clock_);
    of.check();
}

/// What is next beside reading back, in a journal of which nothing is here to be read.
plan::step next_of(plan& it, instant now)
{
    while (it.next(now).what == kind::read)
        REQUIRE(it.on_next_stored(std::nullopt, {}, now, clock_) == plan::turn::over);
    return it.next(now);
}

const instant start{};

wall_time clock_at(instant now)
{
    return clock_ + std::chrono::duration_cast<milliseconds>(now - start);
}

} // namespace

TEST_CASE("what is missing is written in order of place, and nothing else", "[mirror]")
{
    plan it;
    list(it, {2, 99}, {row_of(1), row_of(2), row_of(3), row_of(5)}, start);
    for (const std::uint64_t each : {1, 3, 5}) {
        const auto next = next_of(it, start);
        REQUIRE(next.what == kind::write);
        CHECK(next.place == place{each});
        it.on_written(next.place, start);
    }
    CHECK(it.now().missing == 0);
    const auto then = next_of(it, start);
    CHECK(then.what == kind::wait);
    CHECK(next_of(it, then.until).what == kind::check);
}

TEST_CASE("a record that is completed late is not passed over", "[mirror]")
{
    plan it;
    list(it, {1, 3}, {row_of(1), row_of(3)}, start);
    it.on_accepted(place{4}, record_id::random(), clock_);
    it.on_accepted(place{2}, record_id::random(), clock_);
    CHECK(next_of(it, start).place == place{2});
    it.on_written(place{2}, start);
    CHECK(next_of(it, start).place == place{4});
}

TEST_CASE("what is accepted while the folder is compared is written once", "[mirror]")
{
    plan it;
    it.on_listed({}, start);
    it.on_row(row_of(1));
    it.on_accepted(place{2}, record_id::random(), clock_); // the scan comes by it
    it.on_accepted(place{3}, record_id::random(), clock_); // and not by this one
    it.on_row(row_of(2));
    it.on_scanned(start);
    for (const std::uint64_t each : {1, 2, 3}) {
        REQUIRE(next_of(it, start).place == place{each});
        it.on_written(place{each}, start);
    }
    CHECK(next_of(it, start).what == kind::wait);
}

TEST_CASE("after trouble it looks again, later and later, and begins with a listing", "[mirror]")
{
    plan it;
    list(it, {}, {row_of(1)}, start);
    auto now = start;
    std::vector<milliseconds> pauses;
    for (int i = 0; i < 8; ++i) {
        it.on_trouble(trouble::not_mounted, "gone", now, clock_);
        const auto next = next_of(it, now);
        REQUIRE(next.what == kind::wait);
        pauses.push_back(std::chrono::duration_cast<milliseconds>(next.until - now));
        now = next.until;
        REQUIRE(next_of(it, now).what == kind::list);
    }
    CHECK(pauses == std::vector<milliseconds>{1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s});
    CHECK(it.now().trouble_since == clock_);
    list(it, {}, {row_of(1), row_of(2)}, now);
    CHECK(it.now().why == trouble::not_mounted); // a listing proves nothing
    REQUIRE(next_of(it, now).what == kind::check);
    CHECK_FALSE(it.on_checked(now).has_value());
    CHECK(it.now().why == trouble::none);
    CHECK(next_of(it, now).what == kind::write);
    it.on_written(place{1}, now);
    it.on_trouble(trouble::full, "", now, clock_);
    CHECK(next_of(it, now).until == now + 1s);
}

TEST_CASE("for four weeks without the disk it is looked for every half minute", "[mirror]")
{
    plan it;
    auto now = start;
    for (int looks = 0; now < start + 28 * 24h; ++looks) {
        REQUIRE(next_of(it, now).what == kind::list);
        it.on_trouble(trouble::not_mounted, "", now, clock_);
        REQUIRE(next_of(it, now).until - now <= 30s);
        REQUIRE(looks < 81'000);
        now = next_of(it, now).until;
    }
}

TEST_CASE("trouble and its end are told once each", "[mirror]")
{
    plan it;
    using news = plan::news;
    CHECK(it.take_news() == news::none);
    for (int i = 0; i < 3; ++i) {
        it.on_trouble(trouble::not_mounted, "", start, clock_);
        CHECK(it.take_news() == (i == 0 ? news::trouble : news::none));
    }
    auto now = start + 1min;
    list(it, {}, {row_of(1), row_of(2)}, now);
    CHECK(it.take_news() == news::none);
    it.on_checked(now);
    it.on_written(place{1}, now);
    CHECK(it.take_news() == news::none); // the second may find the disk full
    it.on_trouble(trouble::full, "", now, clock_);
    CHECK(it.take_news() == news::trouble);
    now += 1min;
    REQUIRE(next_of(it, now).what == kind::write);
    it.on_written(place{2}, now);
    CHECK(it.take_news() == news::good_again);
    CHECK(it.take_news() == news::none);
}

TEST_CASE("what the journal erased is erased here, at a bounded rate, behind what is to be written",
          "[mirror]")
{
    plan it;
    auto now = start + 1h;
    list(it, {1, 2, 3}, {row_of(1, row::kind::erased), row_of(2, row::kind::erased), row_of(3)},
         now);
    REQUIRE(next_of(it, now).what == kind::erase);
    CHECK(next_of(it, now).place == place{1});
    it.on_erased(place{1}, now);
    const auto next = next_of(it, now);
    REQUIRE(next.what == kind::wait);
    CHECK(next.until == now + 100ms);
    it.on_accepted(place{4}, record_id::random(), clock_);
    CHECK(next_of(it, now).what == kind::write);
    now = next.until;
    CHECK(next_of(it, now).what == kind::erase); // not for ever behind what is to be written
    it.on_erased(place{2}, now);
    CHECK(next_of(it, now).what == kind::write);
    it.on_written(place{4}, now);
    it.on_erased_in_journal(place{3});
    now += 1s;
    CHECK(next_of(it, now).what == kind::erase);
    it.on_erased(place{3}, now);
    CHECK(next_of(it, now).what == kind::wait);
}

TEST_CASE("on a full disk what can be erased goes first", "[mirror]")
{
    plan it;
    auto now = start + 1h;
    list(it, {1, 2}, {row_of(1, row::kind::erased), row_of(2, row::kind::erased), row_of(3)}, now);
    it.on_trouble(trouble::full, "", now, clock_);
    for (const std::uint64_t each : {1, 2}) {
        REQUIRE(next_of(it, now).what == kind::erase);
        it.on_erased(place{each}, now);
        if (each == 1)
            REQUIRE(next_of(it, now).what == kind::wait);
        now += 100ms;
    }
    CHECK(next_of(it, now).what == kind::wait);
    now += 1s;
    CHECK(next_of(it, now).what == kind::write); // on a full disk only a record that fits says more
    CHECK(it.now().why == trouble::full);
    it.on_written(place{3}, now);
    CHECK(it.now().why == trouble::none);
}

TEST_CASE("a record that is erased before it was copied is not missed", "[mirror]")
{
    plan it;
    list(it, {}, {row_of(1), row_of(2)}, start);
    it.on_erased_in_journal(place{1});
    CHECK(it.now().missing == 1);
    it.on_skipped(place{2});
    CHECK(it.now().missing == 0);
    CHECK(it.now().skipped == 1);
}

TEST_CASE("a rotten record is repaired first, if the copy has it", "[mirror]")
{
    plan it;
    list(it, {2}, {row_of(1, row::kind::rotten), row_of(2, row::kind::rotten), row_of(3)}, start);
    REQUIRE(next_of(it, start).what == kind::repair);
    CHECK(next_of(it, start).place == place{2});
    it.on_rotten(place{2});
    it.on_rotten(place{3});
    it.on_repaired(place{2});
    CHECK(next_of(it, start).place == place{3});
    it.on_trouble(trouble::failed, "I/O error", start, clock_);
    CHECK(it.take_repairs() == std::vector{place{3}});
    CHECK(it.take_repairs().empty());
}

TEST_CASE("the report says how many are missing, since when, and which is the newest", "[mirror]")
{
    plan it;
    CHECK_FALSE(it.now().is_counted);
    const auto newest = record_id::random();
    it.on_accepted(place{7}, newest, clock_);
    CHECK(it.now().missing == 1); // as far as is known
    list(it, {1}, {row_of(1), row_of(2), row_of(3), row_of(7)}, start);
    const auto now = it.now();
    CHECK(now.is_counted);
    CHECK(now.missing == 3);
    CHECK(now.missing_since == from_ms(2'000));
    it.on_accepted(place{8}, newest, clock_);
    CHECK(it.now().newest_missing == newest);
    it.on_trouble(trouble::full, "no space left", start, clock_);
    CHECK(it.now().missing == 4);
    CHECK(it.now().why == trouble::full);
    CHECK(it.now().detail == "no space left");
}

TEST_CASE("more that is missing than is remembered is found by another look", "[mirror]")
{
    plan::options few;
    few.most_missing = 3;
    few.most_erasures = 1;
    plan it{few};
    auto now = start;
    std::set<std::uint64_t> there{90, 91};
    std::set<std::uint64_t> wanted;
    for (std::uint64_t n = 1; n <= 10; ++n)
        wanted.insert(n);
    for (int rounds = 0;; ++rounds) {
        REQUIRE(rounds < 100);
        const auto next = next_of(it, now);
        if (next.what == kind::wait && there == wanted && it.now().missing == 0)
            break;
        if (next.what == kind::wait)
            now = next.until;
        if (next.what == kind::list) {
            std::vector<row> rows;
            for (const auto n : wanted)
                rows.push_back(row_of(n));
            rows.push_back(row_of(90, row::kind::erased));
            rows.push_back(row_of(91, row::kind::erased));
            list(it, {there.begin(), there.end()}, rows, now);
            CHECK(it.now().missing == static_cast<std::size_t>(std::ranges::count_if(
                                          wanted, [&](auto n) { return !there.contains(n); })));
        }
        if (next.what == kind::write) {
            there.insert(static_cast<std::uint64_t>(next.place));
            it.on_written(next.place, now);
        }
        if (next.what == kind::erase) {
            there.erase(static_cast<std::uint64_t>(next.place));
            it.on_erased(next.place, now);
        }
    }
}

TEST_CASE("whatever happens to disk and journal, in the end the copy is what the journal has",
          "[mirror]")
{
    const auto seed = GENERATE(range(1u, 129u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    plan::options few;
    // More than there are of those that can never be written, or erased: else these are all it sees.
    constexpr std::size_t most_poisoned = 3;
    few.most_missing = 2 * (most_poisoned + 1 + random() % 20); // half of it for what is ruined
    few.most_erasures = most_poisoned + 1 + random() % 5;
    plan it{few};
    std::map<std::uint64_t, row::kind> journal;
    // Two disks that take turns, and the folder that is there without one.
    struct medium {
        int number = 0;
        std::map<std::uint64_t, std::uint64_t> files; // place -> size
    };
    constexpr auto ruined = whole + 1;
    std::array<medium, 2> disks{medium{1, {}}, medium{2, {}}};
    int numbers = 2;
    medium* mounted = &disks[0];
    int listed = 0;
    std::set<std::uint64_t> poisoned; // cannot be written, or not be erased
    trouble weather = trouble::none;
    instant now = start;
    instant wild_until = start;
    for (int i = 0;; ++i) {
        REQUIRE(i < 1'000'000);
        const bool is_wild = i < 2'000;
        if (is_wild && random() % 4 == 0) {
            const auto at = journal.size() + 1;
            journal[at] = row::kind::kept;
            if (poisoned.size() < most_poisoned && random() % 40 == 0)
                poisoned.insert(at);
            it.on_accepted(place{at}, record_id::random(), clock_);
            if (random() % 20 == 0)
                it.on_accepted(place{at}, record_id::random(), clock_);
        }
        if (is_wild && !journal.empty()) {
            const auto at = 1 + random() % journal.size();
            if (random() % 8 == 0 && journal[at] == row::kind::kept) {
                journal[at] = row::kind::erased;
                it.on_erased_in_journal(place{at});
            } else if (random() % 8 == 0)
                it.on_held_elsewhere(place{at});
            else if (random() % 30 == 0 && journal[at] == row::kind::kept) {
                journal[at] = row::kind::rotten;
                it.on_rotten(place{at});
            }
            if (random() % 300 == 0)
                disks[random() % 2] = medium{++numbers, {}}; // a new one
            auto& any = disks[random() % 2].files;
            if (random() % 30 == 0 && !any.empty()) // right in size, wrong in its bytes
                std::next(any.begin(), static_cast<std::ptrdiff_t>(random() % any.size()))->second =
                    ruined;
        }
        it.check();
        if (random() % 50 == 0)
            mounted = random() % 3 == 0 ? nullptr : &disks[random() % 2];
        if (random() % 20 == 0)
            weather = std::array{trouble::none, trouble::full, trouble::read_only,
                                 trouble::failed}[random() % 4];
        if (!is_wild) {
            weather = trouble::none;
            mounted = &disks[0];
        }
        it.take_news();
        const auto next = it.next(now);
        wild_until = is_wild ? now : wild_until;
        if (!is_wild && next.what == kind::check && it.now().why == trouble::none &&
            listed == mounted->number && now > wild_until + 72h)
            break; // nothing else is left to do, and all was read
        if (next.what == kind::wait) {
            now = next.until;
            continue;
        }
        const auto at = static_cast<std::uint64_t>(next.place);
        if (next.what != kind::scan && mounted == nullptr) {
            it.on_trouble(trouble::not_mounted, "", now, clock_);
            continue;
        }
        if (next.what != kind::scan && next.what != kind::list && mounted->number != listed) {
            it.look_again();
            continue;
        }
        const bool writes =
            next.what == kind::write || next.what == kind::erase || next.what == kind::check;
        if (writes && weather != trouble::none) {
            it.on_trouble(weather, "", now, clock_,
                          next.what == kind::check ? place{} : next.place);
            continue;
        }
        switch (next.what) {
        case kind::wait:
            break;
        case kind::repair:
            journal[at] = journal[at] == row::kind::rotten ? row::kind::kept : journal[at];
            it.on_repaired(next.place);
            break;
        case kind::list: {
            listed = mounted->number;
            std::vector<listed_file> files;
            for (const auto& [each, size] : mounted->files)
                files.push_back({name_of(each), size});
            it.on_listed(files, now, std::to_string(listed), clock_at(now));
            break;
        }
        case kind::scan: {
            const auto from = journal.upper_bound(at);
            if (from == journal.end())
                it.on_scanned(now, clock_at(now));
            else
                it.on_row(row_of(from->first, from->second));
            break;
        }
        case kind::write:
            if (journal[at] == row::kind::erased)
                it.on_skipped(next.place);
            else if (poisoned.contains(at))
                it.on_trouble(trouble::failed, "", now, clock_, next.place);
            else {
                // What was pulled out in the middle of writing may have the name, and not the bytes.
                const bool is_torn = is_wild && random() % 10 == 0;
                mounted->files[at] = is_torn ? whole - 1 : whole;
                if (is_torn) {
                    it.on_trouble(trouble::not_mounted, "", now, clock_, next.place);
                    mounted = nullptr;
                } else
                    it.on_written(next.place, now);
            }
            break;
        case kind::erase:
            REQUIRE(journal[at] == row::kind::erased);
            if (poisoned.contains(at) && mounted->files.contains(at))
                it.on_trouble(trouble::failed, "", now, clock_, next.place);
            else {
                mounted->files.erase(at);
                it.on_erased(next.place, now);
            }
            break;
        case kind::check:
            it.on_checked(now);
            break;
        case kind::read: {
            const auto from = journal.upper_bound(at);
            const bool is_end = from == journal.end();
            const auto which = is_end ? std::nullopt : std::optional{place{from->first}};
            if (it.on_next_stored(which, clock_, now, clock_at(now)) != plan::turn::read)
                break;
            const auto there = mounted->files.find(from->first);
            const auto of = row_of(from->first, from->second);
            if (from->second != row::kind::kept)
                it.on_read(0, now);
            else if (there == mounted->files.end())
                it.on_gone(of, now);
            else if (there->second != whole)
                it.on_ruined(of, now, clock_);
            else
                it.on_read(whole, now);
            break;
        }
        }
    }
    std::set<std::uint64_t> wanted;
    std::set<std::uint64_t> there;
    for (const auto& [at, what] : journal)
        if (what != row::kind::erased && !poisoned.contains(at))
            wanted.insert(at);
    for (const auto& [at, size] : disks[0].files)
        if (size == whole && !poisoned.contains(at))
            there.insert(at);
    // One that was found rotten without a copy is in neither; the journal has set it aside.
    for (const auto& [at, what] : journal)
        if (what == row::kind::rotten && !there.contains(at))
            wanted.erase(at);
    // What this disk does not keep is known, if it is not written any more.
    std::set<std::uint64_t> bad;
    std::ranges::set_difference(wanted, there, std::inserter(bad, bad.end()));
    CHECK(std::ranges::includes(wanted, there));
    CHECK(it.now().missing == bad.size());
    CHECK(it.now().beyond_help == bad.size());
    CHECK((bad.empty() || it.now().lost >= 2));
}

TEST_CASE("one file that cannot be erased brings no listing after the other, and two lines in all",
          "[mirror]")
{
    plan it;
    auto now = start + 1h;
    const std::vector rows{row_of(1), row_of(2, row::kind::erased)};
    list(it, {1, 2}, rows, now);
    int listings = 0;
    int told = 0;
    const auto end = now + 10min;
    while (now < end) {
        const auto next = next_of(it, now);
        if (next.what == kind::wait)
            now = next.until;
        else if (next.what == kind::list) {
            ++listings;
            list(it, {1, 2}, rows, now);
        } else // erasing, and what else writes: the disk can only be read
            it.on_trouble(trouble::read_only, "", now, clock_);
        told += it.take_news() == plan::news::none ? 0 : 1;
    }
    CHECK(listings == 0);
    CHECK(told == 1);
}

TEST_CASE("a disk that is full or fails is not looked through again and again", "[mirror]")
{
    const auto why =
        GENERATE(trouble::full, trouble::failed, trouble::read_only, trouble::tampered);
    plan it;
    auto now = start;
    list(it, {}, {row_of(1), row_of(2)}, now);
    int listings = 0;
    int tries = 0;
    while (now < start + 24h) {
        const auto next = next_of(it, now);
        if (next.what == kind::wait)
            now = next.until;
        else if (next.what == kind::list) {
            ++listings;
            list(it, {}, {row_of(1), row_of(2)}, now);
        } else {
            ++tries;
            it.on_trouble(why, "", now, clock_, next.place);
        }
    }
    CHECK(listings == 0);
    CHECK(tries > 2'000); // and still every half minute
    CHECK(it.now().missing == 2);
    // It is well again: what it may have lost is looked for, once.
    const auto well = now;
    while (now < well + 5h) {
        const auto next = next_of(it, now);
        if (next.what == kind::wait)
            now = next.until;
        else if (next.what == kind::list) {
            ++listings;
            list(it, {1, 2}, {row_of(1), row_of(2)}, now);
        } else if (next.what == kind::write)
            it.on_written(next.place, now);
        else
            it.on_checked(now);
    }
    CHECK(listings == (why == trouble::full ? 0 : 1));
}

TEST_CASE("what is nowhere else is copied first", "[mirror]")
{
    plan it;
    std::vector<row> rows;
    for (std::uint64_t n = 1; n <= 20; ++n) {
        rows.push_back(row_of(n));
        rows.back().is_only_here = n % 10 == 0;
    }
    list(it, {}, rows, start);
    CHECK(it.now().missing == 20);
    CHECK(it.now().only_here == 2);
    it.on_held_elsewhere(place{10});
    CHECK(it.now().only_here == 1);
    it.on_lost_elsewhere(place{10});
    CHECK(it.now().only_here == 2);
    it.on_accepted(place{21}, record_id::random(), clock_);
    for (const std::uint64_t each : {10, 20, 21, 1, 2}) {
        REQUIRE(next_of(it, start).what == kind::write);
        CHECK(next_of(it, start).place == place{each});
        if (each == 20)
            it.on_held_elsewhere(place{21}); // and so it waits its turn
        it.on_written(next_of(it, start).place, start);
        if (each == 20)
            break;
    }
    CHECK(it.now().only_here == 0);
    CHECK(next_of(it, start).place == place{1});
    CHECK(it.first_missing() == place{1});
}

TEST_CASE("a file that is too short is none", "[mirror]")
{
    plan it;
    REQUIRE(next_of(it, start).what == kind::list);
    it.on_listed({{name_of(1), whole - 1}, {name_of(2), whole + 700}}, start);
    it.on_row(row_of(1));
    it.on_row(row_of(2));
    it.on_scanned(start);
    CHECK(it.now().missing == 1);
    CHECK(next_of(it, start).place == place{1});
}

TEST_CASE("one record that cannot be written keeps no other from being written", "[mirror]")
{
    plan it;
    auto now = start;
    const std::vector rows{row_of(1), row_of(2), row_of(3, row::kind::erased)};
    list(it, {3}, rows, now);
    std::vector<std::uint64_t> written;
    std::optional<place> given_up;
    int tries = 0;
    while (now < start + 50min) {
        const auto next = next_of(it, now);
        if (next.what == kind::wait)
            now = next.until;
        else if (next.what == kind::write && next.place == place{2}) {
            written.push_back(2);
            it.on_written(next.place, now);
        } else if (next.what == kind::write || next.what == kind::erase) {
            ++tries;
            it.on_trouble(trouble::failed, "is a directory", now, clock_, next.place);
        } else if (next.what == kind::check) {
            if (const auto at = it.on_checked(now))
                given_up = at;
        } else
            REQUIRE(next.what == kind::check);
    }
    CHECK(written == std::vector<std::uint64_t>{2});
    CHECK(tries <= 6);
    CHECK(given_up == place{1});
    CHECK(it.now().skipped == 1);
    CHECK(it.now().why == trouble::none);
}

TEST_CASE("another disk in the same place is looked through at once", "[mirror]")
{
    plan it;
    list(it, {1, 2}, {row_of(1), row_of(2)}, start);
    CHECK(it.now().missing == 0);
    it.look_again();
    list(it, {}, {row_of(1), row_of(2)}, start);
    CHECK(it.now().missing == 2);
    CHECK(it.now().why == trouble::none);
}

namespace {

/// A journal of `rows`, of which the disk has what was written to it, in its own way.
struct office {
    std::map<std::uint64_t, row> journal;
    std::set<std::uint64_t> named;  ///< files on the disk
    std::set<std::uint64_t> ruined; ///< of these, what is not what was written
    std::string disk = "disk-1";
    wall_time clock = clock_;
    instant now = start;
    std::size_t writes = 0;
    std::size_t reads = 0;
    /// What writing this record does to others; false: it is not kept itself.
    std::function<bool(std::uint64_t)> keeps = [](std::uint64_t) { return true; };

    void take(plan& into, std::uint64_t at)
    {
        journal[at] = row_of(at);
        into.on_accepted(place{at}, journal[at].record, clock);
    }
    void pass(milliseconds time)
    {
        now += time;
        clock += time;
    }
    void carry_out(plan& it)
    {
        it.check();
        const auto next = it.next(now);
        const auto at = static_cast<std::uint64_t>(next.place);
        switch (next.what) {
        case kind::wait:
            pass(std::chrono::ceil<milliseconds>(next.until - now));
            break;
        case kind::list: {
            std::vector<listed_file> files;
            for (const auto each : named)
                files.push_back({name_of(each), whole});
            it.on_listed(files, now, disk, clock);
            break;
        }
        case kind::scan: {
            const auto from = journal.upper_bound(at);
            if (from == journal.end())
                it.on_scanned(now, clock);
            else
                it.on_row(from->second);
            break;
        }
        case kind::write:
            ++writes;
            named.insert(at);
            ruined.erase(at);
            if (keeps(at))
                it.on_written(next.place, now);
            else {
                ruined.insert(at);
                it.on_ruined(journal.at(at), now, clock);
            }
            break;
        case kind::read: {
            const auto from = journal.upper_bound(at);
            const bool is_end = from == journal.end();
            const auto which = is_end ? std::nullopt : std::optional{from->second.place};
            if (it.on_next_stored(which, is_end ? wall_time{} : from->second.accepted_at, now,
                                  clock) != plan::turn::read)
                break;
            ++reads;
            if (!named.contains(from->first))
                it.on_gone(from->second, now);
            else if (ruined.contains(from->first))
                it.on_ruined(from->second, now, clock);
            else
                it.on_read(from->second.least_bytes, now);
            break;
        }
        case kind::check:
            it.on_checked(now);
            break;
        case kind::erase:
        case kind::repair:
            FAIL("nothing is erased or rotten here");
        }
    }
    void go_on(plan& it, milliseconds time)
    {
        for (const auto until = now + time; now < until;)
            carry_out(it);
    }
};

} // namespace

TEST_CASE("names and sizes prove nothing: each copy is read back soon after the disk is there, and "
          "then once a day",
          "[mirror]")
{
    plan it;
    office here;
    for (std::uint64_t n = 1; n <= 50; ++n) {
        here.journal[n] = row_of(n);
        here.named.insert(n);
    }
    here.go_on(it, 1s);
    CHECK(here.reads == 50); // 50 kB
    CHECK(it.now().unread == 0);
    here.go_on(it, 10min);
    CHECK(here.reads == 50);
    here.go_on(it, 24h);
    CHECK(here.reads == 100);
    here.go_on(it, 48h);
    CHECK(here.reads == 200);
    CHECK(here.writes == 0);
    CHECK(here.clock - it.now().oldest_read <= 24h + 1min);
    it.look_again(); // it was pulled out, and is plugged in again
    here.go_on(it, 1s);
    CHECK(here.reads >= 250);
}

TEST_CASE("reading back keeps within its rate, and gives way to what is to be written", "[mirror]")
{
    plan::options slow;
    slow.read_soon_bytes_per_s = 10 * whole;
    slow.read_bytes_per_s = whole;
    plan it{slow};
    office here;
    for (std::uint64_t n = 1; n <= 100; ++n) {
        here.journal[n] = row_of(n);
        here.named.insert(n);
    }
    here.go_on(it, 5s);
    CHECK(here.reads >= 50);
    CHECK(here.reads <= 52);
    CHECK(it.now().unread == 100 - here.reads);
    here.take(it, 101);
    REQUIRE(it.next(here.now).what == kind::write);
    here.go_on(it, 10s);
    CHECK(it.now().unread == 0);
    const auto soon = here.reads;
    while (it.next(here.now).what != kind::read) // the next pass
        here.carry_out(it);
    CHECK(here.now - start >= 24h);
    here.go_on(it, 50s);
    CHECK(here.reads >= soon + 48);
    CHECK(here.reads <= soon + 52);
    here.go_on(it, 2min);
    CHECK(here.reads == soon + 101);
}

TEST_CASE(
    "what is not what was written is missing, is written again, and the loss stays told until "
    "another disk is there",
    "[mirror]")
{
    plan it;
    office here;
    for (std::uint64_t n = 1; n <= 60; ++n) {
        here.journal[n] = row_of(n);
        here.named.insert(n);
        if (n % 3 == 0)
            here.ruined.insert(n);
    }
    here.go_on(it, 1s);
    CHECK(here.ruined.empty());
    CHECK(here.writes == 20);
    CHECK(it.now().missing == 0);
    CHECK(it.now().lost == 20);
    CHECK(it.now().lost_since == clock_);
    CHECK(it.take_loss());
    CHECK_FALSE(it.take_loss());
    here.go_on(it, 48h);
    CHECK(it.now().lost == 20); // it is well since; it is not believed again for that
    const auto remembered = it.disks();

    plan next_day;
    next_day.recall(remembered);
    CHECK(next_day.now().lost == 20);
    CHECK_FALSE(next_day.take_loss()); // the log has it already
    here.disk = "disk-2";
    here.go_on(next_day, 1min);
    CHECK(next_day.now().lost == 0);
    here.disk = "disk-1"; // two that take turns
    next_day.look_again();
    here.go_on(next_day, 1min);
    CHECK(next_day.now().lost == 20);
}

TEST_CASE("a file that the disk lost twice is written no more, and stays missing over a listing",
          "[mirror]")
{
    plan it;
    office here;
    here.keeps = [](std::uint64_t at) { return at != 2; };
    for (std::uint64_t n = 1; n <= 3; ++n)
        here.take(it, n);
    here.go_on(it, 48h);
    CHECK(here.writes == 4);
    const auto now = it.now();
    CHECK(now.missing == 1);
    CHECK(now.beyond_help == 1);
    CHECK(now.only_here == 1);
    CHECK(now.lost == 2);
    CHECK(now.why == trouble::none);
    it.look_again(); // pulled out and plugged in: its name is there
    here.go_on(it, 48h);
    CHECK(it.now().missing == 1);
    CHECK(here.writes == 4);
    here.take(it, 4); // the others go on
    here.go_on(it, 1min);
    CHECK(here.writes == 5);
    here.disk = "disk-2";
    here.named.clear();
    here.keeps = [](std::uint64_t) { return true; };
    it.look_again();
    here.go_on(it, 1min);
    CHECK(it.now().missing == 0);
    CHECK(here.writes == 9);
}

TEST_CASE("a stick that is smaller than it says is found out, and not written to for ever",
          "[mirror]")
{
    // Each file that is written takes the room of an older one: the stick has room for 40.
    std::deque<std::uint64_t> room;
    office here;
    here.keeps = [&](std::uint64_t at) {
        std::erase(room, at);
        room.push_back(at);
        if (room.size() > 40) {
            here.ruined.insert(room.front());
            room.pop_front();
        }
        return true; // read back at once, it is there
    };
    std::optional<plan> it{plan{}};
    constexpr std::uint64_t records = 100;
    for (std::uint64_t n = 1; n <= records; ++n)
        here.take(*it, n);
    here.go_on(*it, 5min);
    CHECK(it->now().lost > 0);
    CHECK(it->take_loss());
    for (int day = 0; day < 60; ++day) { // an office that switches its machine off each evening
        here.go_on(*it, 8h);
        CHECK(it->now().lost > 0);
        const auto remembered = it->disks();
        it.emplace();
        it->recall(remembered);
        here.pass(16h);
    }
    CHECK(here.writes <= records + 3 * records);
    const auto until_then = here.writes;
    for (int day = 0; day < 60; ++day) {
        here.go_on(*it, 24h);
        const auto remembered = it->disks();
        it.emplace();
        it->recall(remembered);
    }
    CHECK(here.writes == until_then);
    here.take(*it, records + 1); // what is new may be kept; a copy is better than none
    here.go_on(*it, 48h);
    CHECK(here.writes > until_then);
    CHECK(here.writes <= until_then + 3); // and what that took the room of, twice at most
    CHECK_FALSE(here.ruined.contains(records + 1));
    CHECK(it->now().missing == here.ruined.size());
}

TEST_CASE("one file that is cut short at a listing was being written, and two are a loss",
          "[mirror]")
{
    for (const std::uint64_t cut : {1u, 2u}) {
        plan it;
        REQUIRE(it.next(start).what == kind::list);
        std::vector<listed_file> files;
        for (std::uint64_t n = 1; n <= 5; ++n)
            files.push_back({name_of(n), n <= cut ? 0 : whole});
        it.on_listed(files, start, "disk-1", clock_);
        for (std::uint64_t n = 1; n <= 5; ++n)
            it.on_row(row_of(n));
        it.on_scanned(start, clock_);
        CHECK(it.now().missing == cut);
        CHECK(it.now().lost == (cut == 1 ? 0u : 2u));
        CHECK(it.take_loss() == (cut == 2));
    }
}

TEST_CASE("one file that is cut short at each listing is still none that the disk lost", "[mirror]")
{
    plan it;
    for (std::uint64_t cut = 1; cut <= 3; ++cut) { // the machine is switched off each evening
        std::vector<listed_file> files;
        for (std::uint64_t n = 1; n <= 5; ++n)
            files.push_back({name_of(n), n == cut ? 0 : whole});
        it.look_again();
        it.on_listed(files, start, "disk-1", clock_);
        for (std::uint64_t n = 1; n <= 5; ++n)
            it.on_row(row_of(n));
        it.on_scanned(start, clock_);
        CHECK(it.now().missing == 1);
        CHECK(it.now().unread == 4); // that one is written anew, and read then
        CHECK(it.now().lost == 0);
    }
}

TEST_CASE("what a disk loses beyond all belief is counted no more", "[mirror]")
{
    plan it;
    it.recall({{.disk = "disk-1", .lost = 1'000}});
    std::vector<listed_file> files;
    for (std::uint64_t n = 1; n <= 5; ++n)
        files.push_back({name_of(n), n <= 2 ? 0 : whole});
    it.on_listed(files, start, "disk-1", clock_);
    for (std::uint64_t n = 1; n <= 5; ++n)
        it.on_row(row_of(n));
    it.on_scanned(start, clock_);
    CHECK(it.now().lost == 1'000);
    CHECK(it.now().beyond_help == 2);
}

TEST_CASE(
    "a file that is known to be lost is not lost once more where a listing finds it cut short",
    "[mirror]")
{
    plan it;
    const std::vector<row> rows{row_of(1), row_of(2), row_of(3), row_of(4)};
    list(it, {1, 2, 3, 4}, rows, start);
    for (const std::uint64_t n : {1, 2})
        it.on_ruined(rows[n - 1], start, clock_);
    REQUIRE(it.now().lost == 2);
    it.look_again(); // it was pulled out before they were written again
    std::vector<listed_file> files;
    for (std::uint64_t n = 1; n <= 4; ++n)
        files.push_back({name_of(n), n <= 2 ? 0 : whole});
    it.on_listed(files, start, "disk-1", clock_);
    for (const auto& each : rows)
        it.on_row(each);
    it.on_scanned(start, clock_);
    CHECK(it.now().lost == 2);
    CHECK(it.now().missing == 2);
    CHECK(it.now().beyond_help == 0);
}

TEST_CASE("a pass goes on where an earlier process stopped, and what that one read is read again",
          "[mirror]")
{
    plan::options slow;
    slow.read_soon_bytes_per_s = whole;
    plan it{slow};
    office here;
    for (std::uint64_t n = 1; n <= 100; ++n) {
        here.journal[n] = row_of(n);
        here.named.insert(n);
    }
    here.go_on(it, 30s);
    const auto stopped = it.disks().front().read_up_to;
    CHECK(stopped >= place{29});
    CHECK(stopped <= place{31});
    plan again{slow};
    again.recall(it.disks());
    here.reads = 0;
    while (again.next(here.now).what != kind::read)
        here.carry_out(again);
    CHECK(again.next(here.now).place == stopped);
    here.go_on(again, 90s);
    CHECK(again.now().unread > 0);
    here.go_on(again, 20s);
    CHECK(again.now().unread == 0);
    CHECK(here.reads >= 100);
}

TEST_CASE("from a disk that is full, or can only be read, copies are read back all the same",
          "[mirror]")
{
    const auto why = GENERATE(trouble::full, trouble::read_only);
    plan it;
    office here;
    for (std::uint64_t n = 1; n <= 9; ++n)
        here.journal[n] = row_of(n);
    here.named = {1, 2, 3};
    while (it.next(here.now).what != kind::write)
        here.carry_out(it);
    std::set<std::uint64_t> read;
    for (const auto end = here.now + 1h; here.now < end;) {
        const auto next = it.next(here.now);
        if (next.what == kind::write || next.what == kind::check)
            it.on_trouble(why, "", here.now, here.clock, next.place);
        else
            here.carry_out(it);
    }
    CHECK(here.reads == 3);
    CHECK(it.now().why == why);
    CHECK(it.now().missing == 6);
}

TEST_CASE("a copy that somebody removed is written again, and the disk is not accused", "[mirror]")
{
    plan it;
    office here;
    for (std::uint64_t n = 1; n <= 3; ++n)
        here.take(it, n);
    here.go_on(it, 1min);
    here.named.erase(2);
    here.go_on(it, 25h);
    CHECK(here.named.contains(2));
    CHECK(it.now().missing == 0);
    CHECK(it.now().lost == 0);
}

TEST_CASE("what is remembered of disks may be of any content", "[mirror]")
{
    plan it;
    std::deque<disk_memory> many;
    for (int n = 0; n < 100; ++n)
        many.push_back({.disk = "disk-" + std::to_string(n % 7),
                        .lost = ~0ull,
                        .lost_since = from_ms(-1),
                        .read_up_to = place{~0ull},
                        .pass_began = from_ms(std::numeric_limits<std::int64_t>::min()),
                        .earlier_began = from_ms(std::numeric_limits<std::int64_t>::max())});
    it.recall(many);
    it.check();
    office here;
    for (std::uint64_t n = 1; n <= 3; ++n)
        here.take(it, n);
    here.go_on(it, 49h);
    CHECK(it.now().missing == 0);
    CHECK(here.clock - it.now().oldest_read <= 25h);
    it.recall({});
    it.check();
}

TEST_CASE("trouble of an earlier process goes on, with what was missing then", "[mirror]")
{
    plan it;
    it.go_on_missing(clock_, {row_of(7), row_of(8, row::kind::erased), row_of(9)});
    CHECK(it.now().missing == 2);
    CHECK(it.now().trouble_since == clock_);
    CHECK_FALSE(it.now().is_counted);
    CHECK(it.take_news() == plan::news::none); // that process has told it
    it.on_trouble(trouble::not_mounted, "", start, clock_ + 1h);
    CHECK(it.now().trouble_since == clock_);
    list(it, {7, 9}, {row_of(7), row_of(9)}, start + 1min);
    CHECK(it.now().missing == 0);
    it.on_checked(start + 1min);
    CHECK(it.take_news() == plan::news::good_again);
}

TEST_CASE("what was read back longest ago is of the pass before, or came since", "[mirror]")
{
    plan it;
    list(it, {1, 2}, {row_of(1), row_of(2)}, start);
    const auto old = from_ms(1'000);
    const auto read = [&](std::uint64_t at, wall_time accepted_at, instant now) {
        REQUIRE(it.on_next_stored(place{at}, accepted_at, now, clock_at(now)) == plan::turn::read);
        it.on_read(whole, now);
        return it.now().oldest_read;
    };
    const auto end = [&](instant now) {
        REQUIRE(it.on_next_stored(std::nullopt, {}, now, clock_at(now)) == plan::turn::over);
        return it.now().oldest_read;
    };
    CHECK(read(1, old, start) == old); // in the first pass nothing was read before
    CHECK(read(2, old, start + 1min) == old);
    CHECK(end(start + 2min) == clock_at(start));
    CHECK(read(1, old, start + 24h) == clock_at(start));
    const auto came = clock_at(start + 12h);
    CHECK(read(2, came, start + 25h) == came);
    CHECK(end(start + 26h) == clock_at(start + 24h));
}

TEST_CASE("where no record is, none was read back", "[mirror]")
{
    plan it;
    list(it, {}, {}, start);
    for (const auto now : {start, start + 24h}) {
        REQUIRE(it.on_next_stored(std::nullopt, {}, now, clock_at(now)) == plan::turn::over);
        CHECK(it.now().oldest_read == wall_time{});
    }
}

TEST_CASE("what is missing beyond what is known by name is not counted again when it is looked for",
          "[mirror]")
{
    plan it{{.most_missing = 2}};
    list(it, {5}, {row_of(1), row_of(2), row_of(3), row_of(4), row_of(5)}, start);
    it.on_trouble(trouble::read_only, "", start, clock_);
    REQUIRE(it.now().missing == 4);
    for (const std::uint64_t at : {3, 4}) { // no name tells that these have no file
        REQUIRE(it.on_next_stored(place{at}, clock_, start, clock_) == plan::turn::read);
        CHECK_FALSE(it.on_gone(row_of(at), start));
    }
    CHECK(it.now().missing == 4);
    it.check();
}
