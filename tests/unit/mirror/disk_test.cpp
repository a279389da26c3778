#include "mirror/disk.hpp"

#include "base/file.hpp"
#include "mirror/trouble.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace titip;
using namespace titip::mirror;

namespace {

/// A folder in memory, which is on another device than the store's, and what a mount point looks like
/// where /run is one.
struct two_devices {
    two_devices()
    {
        for (auto [made, in] : {std::pair{&where.folder, "/dev/shm/titip-disk.XXXXXX"},
                                std::pair{&where.store, "/tmp/titip-store.XXXXXX"}}) {
            std::string name = in;
            REQUIRE(::mkdtemp(name.data()));
            *made = name;
        }
        struct ::stat first {};
        struct ::stat second {};
        ::stat(where.store.c_str(), &first);
        ::stat(where.folder.c_str(), &second);
        are_two = first.st_dev != second.st_dev;
    }
    two_devices(const two_devices&) = delete;
    ~two_devices()
    {
        std::filesystem::remove_all(where.folder);
        std::filesystem::remove_all(where.store);
    }
    error_code why_not() const
    {
        const auto opened = disk::open(where);
        return opened ? error_code{} : opened.error();
    }

    disk::whereabouts where{.folder = {}, .store = {}, .station = "office-1"};
    bool are_two = false;
};

} // namespace

TEST_CASE("what was not marked counts as no disk, where it may be a mount point", "[mirror]")
{
    two_devices here;
    if (!here.are_two)
        return;
    CHECK(here.why_not() == mirror::errc::not_mounted);
    std::ofstream{here.where.folder / "photo.jpg"} << "of last summer";
    CHECK(here.why_not() == mirror::errc::not_mounted);
    CHECK(disk::look(here.where).error() == mirror::errc::not_mounted);
    CHECK_FALSE(std::filesystem::exists(here.where.folder / "titip-copy"));
    std::filesystem::remove_all(here.where.folder);
    CHECK(here.why_not() == mirror::errc::not_mounted);
    CHECK(trouble_of(here.why_not()) == trouble::not_mounted);
    CHECK_FALSE(mark(here.where).has_value());
    CHECK_FALSE(std::filesystem::exists(here.where.folder));
}

TEST_CASE("a marked disk is its station's, and known by its number", "[mirror]")
{
    two_devices here;
    if (!here.are_two)
        return;
    std::ofstream{here.where.folder / "photo.jpg"} << "of last summer";
    const auto id = mark(here.where).value();
    CHECK(mark(here.where).value() == id);
    CHECK(disk::open(here.where).value().id() == id);
    CHECK(disk::look(here.where).has_value());

    auto other = here.where;
    other.station = "office-2";
    CHECK(disk::open(other).error() == mirror::errc::other_station);
    CHECK(mark(other).error() == mirror::errc::other_station);

    std::filesystem::remove(here.where.folder / "titip-copy");
    CHECK(mark(here.where).value() != id);
    std::ofstream{here.where.folder / "titip-copy"} << "titip-copy 1\nstat"; // what was not synced
    CHECK(here.why_not() == mirror::errc::mark_ruined);
}

TEST_CASE("a mark that is no longer what was written is said as that", "[mirror]")
{
    two_devices here;
    if (!here.are_two)
        return;
    REQUIRE(mark(here.where).has_value());
    const auto opened = disk::open(here.where);
    REQUIRE(opened.has_value());
    REQUIRE(opened->probe(false).has_value());
    std::ofstream{here.where.folder / "0198f2c1.titip"} << "a record";
    std::ofstream{here.where.folder / "titip-copy"} << std::string(80, '\0');
    CHECK(here.why_not() == mirror::errc::mark_ruined);
    CHECK(opened->probe(false).error() == mirror::errc::mark_ruined);
    CHECK(trouble_of(mirror::errc::mark_ruined) == trouble::mark_ruined);
    REQUIRE(mark(here.where).has_value()); // a person says that it is to be used all the same
    CHECK(here.why_not() == error_code{});
    CHECK(opened->probe(false).error() == mirror::errc::other_disk);
}

TEST_CASE("a folder on the store's own device is no second disk, marked or not", "[mirror]")
{
    two_devices here;
    std::filesystem::remove(here.where.folder);
    here.where.folder = here.where.store / "copy";
    std::filesystem::create_directory(here.where.folder);
    std::ofstream{here.where.folder / "titip-copy"} << "titip-copy 1\nstation office-1\ndisk 0\n";
    CHECK(here.why_not() == mirror::errc::store_disk);
    CHECK(mark(here.where).error() == mirror::errc::store_disk);
}

TEST_CASE("a probe reads from the disk, and writes to it when asked", "[mirror]")
{
    two_devices here;
    if (!here.are_two)
        return;
    REQUIRE(mark(here.where).has_value());
    const auto opened = disk::open(here.where).value();
    CHECK(opened.probe(false).has_value());
    CHECK_FALSE(std::filesystem::exists(here.where.folder / "titip-probe"));
    CHECK(opened.probe(true).has_value());
    const auto size = std::filesystem::file_size(here.where.folder / "titip-probe");
    CHECK(opened.probe(true).has_value());
    CHECK(std::filesystem::file_size(here.where.folder / "titip-probe") == size);
    CHECK_FALSE(opened.is_gone());
    std::filesystem::remove(here.where.folder / "titip-copy");
    CHECK_FALSE(opened.probe(false).has_value());
}

TEST_CASE("a device or a link with a name of ours on a disk is neither written to nor followed",
          "[mirror]")
{
    two_devices here;
    if (!here.are_two || ::geteuid() != 0)
        return;
    const auto mark_file = here.where.folder / "titip-copy";
    const auto probe_file = here.where.folder / "titip-probe";
    const auto precious = here.where.store / "precious";
    std::ofstream{precious} << "precious";
    std::ofstream{here.where.folder / "photo.jpg"} << "of last summer"; // so it is no mount point
    const auto text_of = [](const std::filesystem::path& file) {
        return std::string{as_text(read_file(file).value())};
    };
    // /dev/null's numbers: what would be written there is gone, and missed by nobody.
    const auto make_device = [](const std::filesystem::path& file) {
        REQUIRE(::mknod(file.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0);
    };
    REQUIRE(mark(here.where).has_value());
    const auto opened = disk::open(here.where).value();
    make_device(probe_file);
    CHECK(opened.probe(false).has_value());
    CHECK(opened.probe(true).error() == file_errc::no_file);
    CHECK(trouble_of(file_errc::no_file) == trouble::tampered);
    CHECK(std::filesystem::is_character_file(probe_file));
    std::filesystem::remove(probe_file);
    std::filesystem::create_symlink(precious, probe_file);
    CHECK(opened.probe(true).error() == file_errc::no_file);
    std::filesystem::remove(probe_file);
    REQUIRE(::mkfifo(probe_file.c_str(), 0600) == 0);
    CHECK(opened.probe(true).error() == file_errc::no_file);

    // The mark itself: a person who says that the disk is to be used does not say that of a device.
    std::filesystem::remove(mark_file);
    make_device(mark_file);
    CHECK(opened.probe(false).error() == mirror::errc::mark_ruined);
    CHECK(here.why_not() == mirror::errc::mark_ruined);
    CHECK(mark(here.where).error() == file_errc::no_file);
    CHECK(std::filesystem::is_character_file(mark_file));
    std::filesystem::remove(mark_file);
    std::filesystem::create_symlink(precious, mark_file);
    CHECK(mark(here.where).error() == file_errc::no_file);
    CHECK(text_of(precious) == "precious");
    std::filesystem::remove(mark_file);
    std::ofstream{mark_file} << std::string(5'000, 'x');
    CHECK(here.why_not() == mirror::errc::mark_ruined);
}

TEST_CASE("what the system says of a disk is told apart by what a person has to do", "[mirror]")
{
    const auto of = [](int what) { return trouble_of({what, boost::system::system_category()}); };
    CHECK(of(ENOSPC) == trouble::full);
    CHECK(of(EDQUOT) == trouble::full);
    CHECK(trouble_of(bundle::errc::no_more_files) == trouble::full);
    CHECK(of(EROFS) == trouble::read_only);
    CHECK(of(EACCES) == trouble::forbidden);
    CHECK(of(EPERM) == trouble::forbidden);
    CHECK(of(ENODEV) == trouble::not_mounted);
    CHECK(of(EIO) == trouble::failed);
    CHECK(trouble_of(mirror::errc::not_marked) == trouble::not_marked);
    CHECK(trouble_of(mirror::errc::other_station) == trouble::other_station);
    CHECK(trouble_of(mirror::errc::store_disk) == trouble::not_mounted);
}
