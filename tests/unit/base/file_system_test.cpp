#include "base/file_system.hpp"

#include <catch2/catch.hpp>

#include <linux/magic.h>
#include <sys/vfs.h>

using namespace titip;
using kind = fleeting::kind;

namespace {

std::string shown(const footing& at)
{
    const auto found = judge(at);
    if (!found)
        return "stays";
    return (found->what == kind::memory ? "memory " : "layer ") + found->name;
}

constexpr long ext4 = EXT4_SUPER_MAGIC;
constexpr long fuse = 0x65735546;

} // namespace

TEST_CASE("what goes with the power or with a container is told from a disk")
{
    CHECK(shown({.magic = TMPFS_MAGIC, .type = "devtmpfs", .device = {}}) == "memory devtmpfs");
    CHECK(shown({.magic = TMPFS_MAGIC, .type = {}, .device = {}}) == "memory tmpfs");
    CHECK(shown({.magic = RAMFS_MAGIC, .type = {}, .device = {}}) == "memory ramfs");
    CHECK(shown({.magic = OVERLAYFS_SUPER_MAGIC, .type = "overlay", .device = {}}) ==
          "layer overlay");
    CHECK(shown({.magic = fuse, .type = "fuse.fuse-overlayfs", .device = {}}) ==
          "layer fuse.fuse-overlayfs");
    CHECK(shown({.magic = ext4, .type = "ext4", .device = "zram0"}) == "memory zram0");
    CHECK(shown({.magic = ext4, .type = "ext4", .device = "ram12"}) == "memory ram12");
    CHECK(shown({.magic = ext4, .type = "ext4", .device = "sda1", .is_containers = true}) ==
          "layer ext4");

    CHECK(shown({.magic = ext4, .type = "ext4", .device = "sda1"}) == "stays");
    CHECK(shown({.magic = ext4, .type = "ext4", .device = "rampart"}) == "stays");
    CHECK(shown({.magic = fuse, .type = "fuseblk", .device = "sdb1"}) == "stays"); // NTFS
    CHECK(shown({.magic = fuse, .type = "fuse.mergerfs", .device = {}}) == "stays");
    CHECK(shown({.magic = 0x9123683E, .type = "btrfs", .device = {}}) == "stays");
}

TEST_CASE("a folder of this machine that is in memory is known for one")
{
    struct ::statfs found {};
    if (::statfs("/dev/shm", &found) != 0 || found.f_type != TMPFS_MAGIC)
        return; // not on this machine
    const auto at = find_fleeting("/dev/shm");
    REQUIRE(at);
    CHECK(at->what == kind::memory);
    CHECK(at->name == "tmpfs");
    CHECK_FALSE(find_fleeting("/dev/shm/there/is/no/such/folder"));
}

TEST_CASE("a disk that comes where a path leads through is seen, also under a mount that hides it")
{
    const std::string root = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n";
    const std::string hiding = "80 22 254:0 /var/lib/titip /var/lib/titip rw - ext4 /dev/vda rw\n";
    const std::string disk = "91 22 8:1 / /var/lib/titip rw - ext4 /dev/sda1 rw\n";
    const std::string above = "92 22 8:2 / /var rw - ext4 /dev/sda2 rw\n";
    const std::string beside = "93 22 8:3 / /var/lib/titip2 rw - ext4 /dev/sda3 rw\n";
    const std::string within = "94 22 8:3 / /var/lib/titip/copies rw - ext4 /dev/sda3 rw\n";
    const auto at = [](const std::string& all) { return mounts_over(all, "/var/lib/titip"); };
    CHECK(at(root).empty());
    CHECK(at(root + hiding) == hiding);
    CHECK(at(root + hiding + disk) == hiding + disk);
    CHECK(at(above + root + beside + within) == above);
    CHECK(at("nonsense\n\n1 2\n").empty());
    const std::string spaced = "95 22 8:4 / /srv/a\\040disk rw - ext4 /dev/sda4 rw\n";
    CHECK(mounts_over(spaced, "/srv/a disk/state") == spaced);
    CHECK(mounts_over(spaced, "/srv/a").empty());
}

TEST_CASE("a machine made of a container's image is not taken for a container")
{
    const std::string whole = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
    const std::string folder = "22 1 8:1 /var/lib/docker/vfs/dir/5f0c / rw - ext4 /dev/sda1 rw\n";
    const std::string bind = "31 22 8:1 /srv/data /var/lib/titip rw - ext4 /dev/sda1 rw\n";
    CHECK_FALSE(is_root_a_folder(whole));
    CHECK_FALSE(is_root_a_folder(whole + bind));
    CHECK(is_root_a_folder(folder + bind));
    CHECK_FALSE(is_root_a_folder(folder + whole));
    CHECK_FALSE(is_root_a_folder(""));
}
