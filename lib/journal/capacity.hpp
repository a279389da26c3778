#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace titip::journal {

/// What a file system can give to the user that asks: without the blocks that it keeps for root.
struct disk_room {
    std::uint64_t available_bytes = 0;
    /// Files that it can still take; nothing: it does not count them (FAT, btrfs).
    std::optional<std::uint64_t> files;
};
/// Of an open file; nothing: the system does not say.
std::optional<disk_room> disk_room_of(int file) noexcept;

/// What is known of two limits that know nothing of each other: the quota, and the disk.
struct room_figures {
    std::uint64_t quota_bytes = 0;
    std::uint64_t live_bytes = 0;    ///< in use, as it counts against the quota
    std::uint64_t reserve_bytes = 0; ///< must stay free on the disk
    std::uint64_t unused_bytes = 0;  ///< pages of the file that hold nothing: erasing freed them
    std::uint64_t ahead_bytes = 0;   ///< allocated behind the file's end, the reserve's part too
    std::optional<disk_room> disk;   ///< nothing: only the quota is known
    enum class reserve_state { had, disk_full, user_limit } reserve = reserve_state::had;
    std::uint64_t bytes_per_file = 0; ///< where each record is a file; 0: all are in one
};

/// How much can be kept, by the smaller of the two. What is said to anyone of space comes from here:
/// percentages, forecasts, warnings, metrics.
struct capacity {
    /// Which one binds. user_limit: the file system gives this user no more (EDQUOT), whatever is free
    /// on it.
    enum class limit {
        quota,
        disk,
        user_limit,
        files, ///< it has room, and takes no more files (no inodes)
    } by = limit::quota;
    std::uint64_t used_bytes = 0;
    std::uint64_t left_bytes = 0;
    std::optional<std::uint64_t> files; ///< that the disk can still take

    std::uint64_t total_bytes() const noexcept { return used_bytes + left_bytes; }
    unsigned used_percent() const noexcept; ///< rounded down; 100 only where nothing is left
    friend bool operator==(const capacity&, const capacity&) = default;
};
capacity capacity_of(const room_figures& known) noexcept;
std::string_view to_string(capacity::limit) noexcept;

/// Few enough that a start, a log or a note may find none.
inline constexpr std::uint64_t few_files = 32;

/// What came and what went on a day of UTC, in pages.
struct day {
    wall_time begins{};
    std::uint64_t accepted_bytes = 0;
    std::uint64_t erased_bytes = 0;
};
constexpr std::size_t most_days = 8; ///< a week, and the one that has begun

/// Days until nothing is left, at the rate of the last ones; nothing if it does not fill, or the store
/// has not lived for a day: a busy morning is none of the days to come.
std::optional<std::uint64_t> days_to_full(std::uint64_t left_bytes, const std::vector<day>& days,
                                          wall_time born, wall_time now);

} // namespace titip::journal
