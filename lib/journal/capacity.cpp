#include "journal/capacity.hpp"

#include <algorithm>

#include <sys/statvfs.h>

namespace titip::journal {

namespace {

std::uint64_t less(std::uint64_t from, std::uint64_t what) noexcept
{
    return from > what ? from - what : 0;
}

} // namespace

std::optional<disk_room> disk_room_of(int file) noexcept
{
    struct ::statvfs found {};
    if (::fstatvfs(file, &found) != 0)
        return std::nullopt;
    disk_room out{.available_bytes = std::uint64_t{found.f_bavail} * found.f_frsize, .files = {}};
    if (found.f_files > 0)
        out.files = found.f_favail;
    return out;
}

capacity capacity_of(const room_figures& known) noexcept
{
    using limit = capacity::limit;
    capacity out{.by = limit::quota,
                 .used_bytes = known.live_bytes,
                 .left_bytes = less(known.quota_bytes, known.live_bytes),
                 .files = known.disk ? known.disk->files : std::nullopt};
    if (!known.disk)
        return out;
    // Without its reserve the store takes what fits into the file as it is.
    const bool has_reserve = known.reserve == room_figures::reserve_state::had;
    const auto from_disk = has_reserve ? known.disk->available_bytes + known.ahead_bytes : 0;
    const auto left = less(known.unused_bytes + from_disk, known.reserve_bytes);
    if (left < out.left_bytes) {
        out.left_bytes = left;
        out.by = known.reserve == room_figures::reserve_state::user_limit ? limit::user_limit
                                                                          : limit::disk;
    }
    // In so many files at most; no product of what a file system says may overflow.
    if (known.bytes_per_file > 0 && out.files &&
        *out.files < out.left_bytes / known.bytes_per_file) {
        out.left_bytes = *out.files * known.bytes_per_file;
        out.by = limit::files;
    }
    return out;
}

unsigned capacity::used_percent() const noexcept
{
    if (left_bytes == 0)
        return 100;
    return static_cast<unsigned>(static_cast<double>(used_bytes) * 100 /
                                 static_cast<double>(total_bytes()));
}

std::string_view to_string(capacity::limit which) noexcept
{
    switch (which) {
    case capacity::limit::quota:
        return "quota";
    case capacity::limit::disk:
        return "disk";
    case capacity::limit::user_limit:
        return "user-limit";
    case capacity::limit::files:
        break;
    }
    return "files";
}

std::optional<std::uint64_t> days_to_full(std::uint64_t left_bytes, const std::vector<day>& days,
                                          wall_time born, wall_time now)
{
    constexpr milliseconds a_day = 24h;
    if (now - born < a_day)
        return std::nullopt;
    // The store forgets when it counts, and an idle one does not.
    const auto oldest = now - most_days * a_day;
    std::uint64_t accepted = 0;
    std::uint64_t erased = 0;
    auto since = now;
    for (const auto& each : days)
        if (each.begins > oldest && each.begins <= now) {
            accepted += each.accepted_bytes;
            erased += each.erased_bytes;
            since = std::min(since, std::max(each.begins, born));
        }
    if (accepted <= erased)
        return std::nullopt;
    const auto time = std::max<milliseconds>(now - since, a_day);
    const auto net = static_cast<double>(accepted - erased);
    const auto rate =
        net / (static_cast<double>(time.count()) / static_cast<double>(a_day.count()));
    return static_cast<std::uint64_t>(static_cast<double>(left_bytes) / rate);
}

} // namespace titip::journal
