#include "mirror/disk.hpp"

#include "journal/capacity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <sstream>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace titip::mirror {

namespace {

constexpr auto marker_name = "titip-copy";
constexpr auto probe_name = "titip-probe";

class mirror_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.mirror"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::not_mounted:
            return "no disk is mounted there";
        case errc::store_disk:
            return "the folder is on the disk of the store itself";
        case errc::not_marked:
            return "the disk there is not marked as a second disk";
        case errc::other_station:
            return "the disk there is another station's second disk";
        case errc::other_disk:
            return "another disk is there now";
        case errc::mark_ruined:
            return "the mark of the disk, titip-copy, is not what was written";
        }
        return "unknown error of the second disk";
    }
};

struct marker {
    std::string station;
    std::string id;
};

/// Nothing: there is none. errc::mark_ruined: what a power failure left of one, or the disk.
result<std::optional<marker>> read_marker(const foreign_folder& folder)
{
    const auto file = folder.read(marker_name);
    if (!file && file.error() == boost::system::errc::no_such_file_or_directory)
        return std::optional<marker>{};
    if (!file)
        return file.error() == file_errc::no_file ? make_error_code(errc::mark_ruined)
                                                  : file.error();
    // Past what this machine has in memory: a disk that was pulled out is known here also when it is gone.
    ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
    constexpr std::size_t limit_bytes = 4'096;
    const auto stored = read_all(file->get(), limit_bytes);
    if (!stored && stored.error() == boost::system::errc::file_too_large)
        return errc::mark_ruined;
    if (!stored)
        return stored.error();
    std::istringstream in{std::string{as_text(*stored)}};
    std::string family;
    std::string format;
    std::string station_key;
    std::string disk_key;
    marker out;
    if (!(in >> family >> format >> station_key >> out.station >> disk_key >> out.id) ||
        family != marker_name || station_key != "station" || disk_key != "disk")
        return errc::mark_ruined;
    return std::optional{std::move(out)};
}

result<std::string> write_marker(const foreign_folder& folder, const std::string& station)
{
    const auto id = epoch_id::random().to_string();
    const auto text = fmt::format("{} 1\nstation {}\ndisk {}\n", marker_name, station, id);
    auto file = folder.write(marker_name, 0644);
    if (!file)
        return file.error();
    ::fchmod(file->get(), 0644); // made by root, it is read by the daemon; FAT has no modes
    result<void> done;
    if (::ftruncate(file->get(), 0) != 0)
        done = last_error();
    if (done)
        done = write_all(file->get(), as_bytes(text));
    if (done && (::fsync(file->get()) != 0 || !file->close()))
        done = last_error();
    if (done)
        done = folder.sync();
    if (!done)
        return done.error();
    return id;
}

/// How many other things lie there; what systems put on an empty disk does not count.
result<std::size_t> count_others(const foreign_folder& folder)
{
    constexpr std::array<std::string_view, 6> nothing{
        ".", "..", "lost+found", "System Volume Information", marker_name, probe_name};
    std::size_t out = 0;
    const auto counted = folder.each_name([&](const char* name) -> result<void> {
        out += std::ranges::find(nothing, name) == nothing.end() ? 1 : 0;
        return {};
    });
    if (!counted)
        return counted.error();
    return out;
}

/// Not when it is where a disk would be mounted.
bool is_disk_of_its_own(int folder, dev_t device)
{
    struct ::stat root {};
    struct ::statfs kind {};
    return ::stat("/", &root) == 0 && root.st_dev != device && ::fstatfs(folder, &kind) == 0 &&
           kind.f_type != TMPFS_MAGIC && kind.f_type != RAMFS_MAGIC &&
           kind.f_type != OVERLAYFS_SUPER_MAGIC;
}

struct found_folder {
    bundle::folder files;
    dev_t device{};
    std::optional<marker> said;
    bool is_mark_ruined = false;
};

result<found_folder> find(const disk::whereabouts& where)
{
    auto files = bundle::folder::open(where.folder);
    if (!files)
        return files.error() == bundle::errc::folder_missing ? make_error_code(errc::not_mounted)
                                                             : files.error();
    struct ::stat second {};
    struct ::stat first {};
    if (::fstat(files->place().get(), &second) != 0 || ::stat(where.store.c_str(), &first) != 0)
        return last_error();
    if (second.st_dev == first.st_dev)
        return errc::store_disk;
    auto said = read_marker(files->place());
    if (!said && said.error() == errc::mark_ruined)
        return found_folder{std::move(*files), second.st_dev, {}, true};
    if (!said)
        return said.error();
    if (*said && (*said)->station != where.station)
        return errc::other_station;
    return found_folder{std::move(*files), second.st_dev, std::move(*said)};
}

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const mirror_category category;
    return {static_cast<int>(value), category};
}

namespace {

/// Of a folder without a marker: whether it can have none but because it is new.
result<void> is_to_be_marked(const found_folder& found)
{
    const auto others = count_others(found.files.place());
    if (!others)
        return others.error();
    if (found.is_mark_ruined && *others > 0) // no mount point has one
        return errc::mark_ruined;
    if (!is_disk_of_its_own(found.files.place().get(), found.device))
        return errc::not_mounted;
    if (*others > 0)
        return errc::not_marked;
    return {};
}

} // namespace

result<void> disk::look(const whereabouts& where)
{
    const auto found = find(where);
    if (!found)
        return found.error();
    if (found->said)
        return {};
    return is_to_be_marked(*found);
}

result<disk> disk::open(const whereabouts& where)
{
    auto found = find(where);
    if (!found)
        return found.error();
    if (found->said)
        return disk{std::move(found->files), std::move(found->said->id)};
    if (const auto wanted = is_to_be_marked(*found); !wanted)
        return wanted.error();
    auto id = write_marker(found->files.place(), where.station);
    if (!id)
        return id.error();
    return disk{std::move(found->files), std::move(*id)};
}

result<void> disk::probe(bool writing) const
{
    const auto said = read_marker(files_.place());
    if (!said)
        return said.error();
    if (!*said)
        return errc::not_marked;
    if ((*said)->id != id_)
        return errc::other_disk;
    if (!writing)
        return {};
    // In place and of one size: the disk gives no room for it, and a cheap one wears the less.
    auto file = files_.place().write(probe_name);
    if (!file) {
        const auto why = file.error();
        const auto room = journal::disk_room_of(files_.place().get());
        constexpr std::uint64_t some_bytes = 1u << 20;
        if (why == boost::system::errc::no_space_on_device && room &&
            room->available_bytes > some_bytes)
            return bundle::errc::no_more_files;
        return why;
    }
    const auto text = fmt::format("{:>20}\n", to_ms(wall_now()));
    if (auto written = write_all(file->get(), as_bytes(text)); !written)
        return written;
    if (::fsync(file->get()) != 0 || !file->close())
        return last_error();
    return {};
}

bool disk::is_gone() const
{
    struct ::stat found {};
    if (::fstat(files_.place().get(), &found) != 0)
        return false;
    const auto number = found.st_dev;
    if (major(number) == 0) // FUSE, and others without a device of their own
        return false;
    const auto device = fmt::format("/sys/dev/block/{}:{}", major(number), minor(number));
    return ::access("/sys/dev/block", F_OK) == 0 && ::access(device.c_str(), F_OK) != 0;
}

result<std::string> mark(const disk::whereabouts& where)
{
    auto found = find(where);
    if (!found)
        return found.error();
    if (found->said)
        return std::move(found->said->id);
    return write_marker(found->files.place(), where.station);
}

} // namespace titip::mirror
