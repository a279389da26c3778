#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace titip {

/// A place whose files go with the machine's memory, or with a container: what is synced there
/// survives neither a power cut nor the container's end.
struct fleeting {
    enum class kind {
        memory, ///< tmpfs, ramfs; a disk in memory (brd, zram), or a file there as a disk
        layer,  ///< what a container writes: overlay, fuse-overlayfs, aufs, its own root
    };
    fleeting::kind what{};
    std::string name; ///< of the file system or the device, as the system has it: "tmpfs", "zram0"
};

/// What is known of where a file lies.
struct footing {
    long magic = 0;        ///< statfs(2)
    std::string_view type; ///< as in /proc/self/mountinfo: "fuse.fuse-overlayfs"; empty: not known
    std::string_view device;    ///< as in /sys/class/block: "zram0"; empty: not known
    bool is_containers = false; ///< on the root of a Docker or Podman container, a folder
};
/// Pure. Nothing: as far as can be told, what is there stays.
std::optional<fleeting> judge(const footing& at);

/// Of a path that is there. Through loop devices down to the file that holds them.
std::optional<fleeting> find_fleeting(const std::filesystem::path& at);

/// Pure. Whether "/" is a folder of a file system and not all of one: as a container has it whose layers
/// are folders, subvolumes or snapshots.
bool is_root_a_folder(std::string_view mountinfo);

/// Pure. The lines of /proc/self/mountinfo (proc(5)) of what is mounted on that path or on one above
/// it, but for "/": they differ when a disk came or went there, also under a mount that hides it.
std::string mounts_over(std::string_view mountinfo, const std::filesystem::path& at);
/// Of this process. Empty as well where it cannot be read.
std::string mounts_over(const std::filesystem::path& at);

} // namespace titip
