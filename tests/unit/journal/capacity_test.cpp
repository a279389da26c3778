#include "journal/capacity.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

#include <fcntl.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;
using journal::capacity;
using journal::capacity_of;
using journal::days_to_full;
using journal::room_figures;

namespace {

constexpr std::uint64_t mb = 1'000'000;

room_figures on_disk(std::uint64_t quota, std::uint64_t live, std::uint64_t available)
{
    return {.quota_bytes = quota,
            .live_bytes = live,
            .reserve_bytes = 16 * mb,
            .ahead_bytes = 16 * mb,
            .disk = journal::disk_room{.available_bytes = available, .files = {}}};
}

} // namespace

TEST_CASE("the smaller of quota and disk is what there is", "[journal]")
{
    const auto by_quota = capacity_of(on_disk(1'000 * mb, 800 * mb, 5'000 * mb));
    CHECK(by_quota.by == capacity::limit::quota);
    CHECK(by_quota.total_bytes() == 1'000 * mb);
    CHECK(by_quota.used_percent() == 80);

    const auto by_disk = capacity_of(on_disk(64'000 * mb, 360 * mb, 40 * mb));
    CHECK(by_disk.by == capacity::limit::disk);
    CHECK(by_disk.total_bytes() == 400 * mb);
    CHECK(by_disk.left_bytes == 40 * mb);
    CHECK(by_disk.used_percent() == 90);

    // Over the quota, after it was lowered.
    const auto over = capacity_of(on_disk(100 * mb, 360 * mb, 4'000 * mb));
    CHECK(over.left_bytes == 0);
    CHECK(over.used_percent() == 100);
}

TEST_CASE("pages that erasing has freed count as room of the disk, its reserve does not",
          "[journal]")
{
    auto known = on_disk(64'000 * mb, 100 * mb, 0);
    CHECK(capacity_of(known).left_bytes == 0);
    known.unused_bytes = 200 * mb;
    CHECK(capacity_of(known).left_bytes == 200 * mb);
    // Without its reserve: what is free of the disk is none of the store's.
    known.reserve = room_figures::reserve_state::disk_full;
    known.disk->available_bytes = 10 * mb;
    CHECK(capacity_of(known).left_bytes == 184 * mb);
    known.unused_bytes = 0;
    CHECK(capacity_of(known).left_bytes == 0);
    CHECK(capacity_of(known).by == capacity::limit::disk);
}

TEST_CASE("what the file system gives this user counts, whatever is free on it", "[journal]")
{
    auto known = on_disk(64'000 * mb, 100 * mb, 9'000 * mb);
    known.reserve = room_figures::reserve_state::user_limit;
    const auto found = capacity_of(known);
    CHECK(found.left_bytes == 0);
    CHECK(found.by == capacity::limit::user_limit);
    CHECK(to_string(found.by) == "user-limit");
}

TEST_CASE("where each record is a file, the files that a disk still takes are its room",
          "[journal]")
{
    room_figures known{.quota_bytes = ~0ull,
                       .live_bytes = 300 * mb,
                       .disk = journal::disk_room{.available_bytes = 9'000 * mb, .files = 100},
                       .bytes_per_file = mb};
    CHECK(capacity_of(known).by == capacity::limit::files);
    CHECK(capacity_of(known).used_percent() == 75);
    known.disk->files = 0;
    CHECK(capacity_of(known).left_bytes == 0);
    known.disk->files = ~0ull;
    CHECK(capacity_of(known).by == capacity::limit::disk);
    known.bytes_per_file = 0; // all in one file: none more is needed
    known.disk->files = 0;
    CHECK(capacity_of(known).left_bytes == 9'000 * mb);
}

TEST_CASE("files bind where they give less room than the disk, however many they are", "[journal]")
{
    constexpr std::uint64_t per_file = 4'000;
    room_figures known{.quota_bytes = ~0ull,
                       .disk = journal::disk_room{.available_bytes = 9'000 * mb, .files = 100'000},
                       .bytes_per_file = per_file};
    CHECK(capacity_of(known).by == capacity::limit::files);
    CHECK(capacity_of(known).left_bytes == 100'000 * per_file);
    const auto enough = 9'000 * mb / per_file;
    known.disk->files = enough - 1;
    CHECK(capacity_of(known).by == capacity::limit::files);
    CHECK(capacity_of(known).left_bytes == 9'000 * mb - per_file);
    known.disk->files = enough;
    CHECK(capacity_of(known).by == capacity::limit::disk);
    CHECK(capacity_of(known).left_bytes == 9'000 * mb);
}

TEST_CASE(
    "a disk that says nothing leaves the quota, and 100 percent is only where nothing is left",
    "[journal]")
{
    auto known = on_disk(1'000 * mb, 999 * mb, 0);
    known.disk.reset();
    CHECK(capacity_of(known).by == capacity::limit::quota);
    CHECK(capacity_of(known).used_percent() == 99);
    CHECK(capacity{}.used_percent() == 100);
    CHECK(capacity_of({.quota_bytes = ~0ull, .live_bytes = 0}).used_percent() == 0);
}

TEST_CASE("the forecast counts what came less what went, over a day at least", "[journal]")
{
    const auto now = wall_time{} + 20'000 * 24h + 12h;
    const auto began = [&](int days_ago) { return wall_time{} + (20'000 - days_ago) * 24h; };
    const auto born = began(400);
    std::vector<journal::day> days;
    for (int ago = 6; ago >= 0; --ago)
        days.push_back({.begins = began(ago), .accepted_bytes = 13'000});
    CHECK(days_to_full(80'000, days, born, now) == 5u); // 91,000 in 6.5 days
    CHECK(days_to_full(0, days, born, now) == 0u);
    auto emptied = days;
    emptied[2].erased_bytes = 7 * 13'000;
    CHECK_FALSE(days_to_full(80'000, emptied, born, now).has_value());
    CHECK_FALSE(days_to_full(80'000, {}, born, now).has_value());
    const std::vector<journal::day> today{{.begins = began(0), .accepted_bytes = 10'000}};
    CHECK(days_to_full(80'000, today, born, now) == 8u);
    // Days of long ago, and those that a clock which was ahead has left, are none of the last ones.
    for (const int ago : {8, 400, -1})
        CHECK_FALSE(
            days_to_full(80'000, {{.begins = began(ago), .accepted_bytes = 10'000}}, born, now)
                .has_value());
}

TEST_CASE("there is no forecast from less than a day of life", "[journal]")
{
    const auto now = wall_time{} + 20'000 * 24h + 12h;
    const std::vector<journal::day> days{{.begins = now - 36h, .accepted_bytes = 4'000},
                                         {.begins = now - 12h, .accepted_bytes = 10'000}};
    CHECK_FALSE(days_to_full(80'000, days, now - 2h, now).has_value());
    CHECK_FALSE(days_to_full(80'000, days, now - 23h, now).has_value());
    CHECK_FALSE(days_to_full(80'000, days, now + 1h, now).has_value()); // the clock was ahead
    // Of 28 hours, not of the 36 since the first day began.
    CHECK(days_to_full(120'000, days, now - 28h, now) == 10u);
}

TEST_CASE("a store says what it has room for, and a busy one what is left", "[journal]")
{
    journal_fixture at;
    at.options.quota_bytes = std::filesystem::space(at.folder.path()).capacity + (1u << 30);
    auto& store = at.open();
    const auto empty = store.now().room;
    CHECK(empty.by == capacity::limit::disk);
    CHECK(empty.left_bytes > 0);
    REQUIRE(finish(store.accept(submission_of(noise(3'000'000, at.random)))).has_value());
    const auto one = store.now().room;
    CHECK(one.used_bytes >= empty.used_bytes + 3'000'000);
    at.options.quota_bytes = 8u << 20;
    CHECK(at.reopen().now().room.by == capacity::limit::quota);
    CHECK(at.store->now().room.used_percent() > 30);
}
