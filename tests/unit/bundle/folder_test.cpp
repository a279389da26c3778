#include "bundle/folder.hpp"

#include "base/descriptor.hpp"
#include "base/file.hpp"
#include "support/pki.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace titip;
using namespace titip::bundle;

namespace {

class temporary_folder {
public:
    temporary_folder() : path_(std::filesystem::temp_directory_path() / "titip-bundle.XXXXXX")
    {
        auto name = path_.string();
        REQUIRE(::mkdtemp(name.data()));
        path_ = name;
    }
    temporary_folder(const temporary_folder&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path_); }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// A station of an authority, and what it signs.
struct office {
    support::pki ca;
    support::credential files = ca.station("office-1");
    trust::identity identity = trust::identity::load(files.certificate, files.key).value();
    trust::authorities believed = trust::authorities::load(ca.authorities()).value();

    envelope::manifest manifest_of(bytes_view sealed, std::uint64_t at = 1) const
    {
        envelope::manifest out;
        out.record = record_id::random();
        out.station = "office-1";
        out.epoch = epoch;
        out.at = envelope::sequence{at};
        out.taken_at = wall_now();
        out.size_bytes = sealed.size();
        out.digest = sha256(sealed);
        if (at > 1)
            out.previous.fill(std::byte{1});
        return out;
    }
    sealed_record record_of(const envelope::manifest& m, bytes sealed) const
    {
        return {.manifest_cms = identity.sign(envelope::encode(m)),
                .receipt_cms = {},
                .receipt_given_cms = to_bytes(as_bytes("what was given below")),
                .envelope = std::move(sealed)};
    }
    epoch_id epoch = epoch_id::random();
};

const office& shared_office()
{
    static const office made;
    return made;
}

bytes some_bytes(std::size_t size)
{
    bytes out(size);
    fill_random(out);
    return out;
}

std::filesystem::path path_of(const std::filesystem::path& in, const label& of)
{
    return in / bundle::path_of(of);
}

result<void> write_record(const std::filesystem::path& in, const label& of,
                          const sealed_record& what)
{
    const auto opened = folder::open(in);
    if (!opened)
        return opened.error();
    return opened->write(of, what);
}

result<void> erase_record(const std::filesystem::path& in, const label& of)
{
    const auto opened = folder::open(in);
    if (!opened)
        return opened.error();
    return opened->erase(of);
}

result<void> write_file_of(const std::filesystem::path& file, const sealed_record& what)
{
    const descriptor opened{::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    REQUIRE(opened);
    return write_sealed(opened.get(), what);
}

result<sealed_record> read_sealed(const std::filesystem::path& file)
{
    const descriptor opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    REQUIRE(opened);
    return bundle::read_sealed(opened.get());
}

/// As a mirror sees them.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& in)
{
    std::vector<std::filesystem::path> out;
    const auto opened = folder::open(in);
    REQUIRE(opened.has_value());
    REQUIRE(opened->list([&](const folder::file& each) {
        CHECK(each.size_bytes == std::filesystem::file_size(in / each.path));
        out.push_back(in / each.path);
    }));
    std::ranges::sort(out);
    return out;
}

result<verified_record> read_record(const std::filesystem::path& file,
                                    const trust::authorities& believed)
{
    return bundle::read_record(foreign_folder::open(file.parent_path()).value(),
                               file.filename().string(), believed);
}

/// As a restore does.
std::vector<std::filesystem::path> found_in(const std::filesystem::path& in)
{
    std::vector<std::filesystem::path> out;
    REQUIRE(find_files(
        foreign_folder::open(in).value(), [&](const auto& each) { out.push_back(in / each); },
        [](const auto&) {}));
    std::ranges::sort(out);
    return out;
}

void put(const std::filesystem::path& file, bytes_view data)
{
    REQUIRE(write_file(file, data));
}

} // namespace

namespace {

/// While it stands, a record's file is on the disk not what was written to it: when what this machine
/// has of it in memory is dropped, `then` is done to it.
std::function<void(const std::string& file)> forgets;

} // namespace

extern "C" int posix_fadvise(int file, off_t from, off_t size, int advice)
{
    static auto* const next =
        reinterpret_cast<int (*)(int, off_t, off_t, int)>(::dlsym(RTLD_NEXT, "posix_fadvise"));
    const auto itself = "/proc/self/fd/" + std::to_string(file);
    char name[4096] = {};
    if (forgets && advice == POSIX_FADV_DONTNEED &&
        ::readlink(itself.c_str(), name, sizeof name - 1) > 0)
        forgets(name);
    return next(file, from, size, advice);
}

TEST_CASE("what a disk does not keep is known when it was written", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(5'000);
    const auto manifest = from.manifest_of(sealed);
    const auto label = label_of(manifest);
    const auto file = path_of(at.path(), label);
    // In place, as it is open.
    const auto over = [](const std::string& name, bytes_view with) {
        const descriptor out{::open(name.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC)};
        CHECK(write_all(out.get(), with));
    };
    const auto zeros = [&over](const std::string& name) {
        over(name, bytes(std::filesystem::file_size(name)));
    };
    const auto half = [](const std::string& name) {
        std::filesystem::resize_file(name, std::filesystem::file_size(name) / 2);
    };
    // A stick that is smaller than it says: the bytes of another, whole as they are.
    const auto other = some_bytes(5'000);
    const auto other_manifest = from.manifest_of(other);
    const temporary_folder beside;
    REQUIRE(write_record(beside.path(), label_of(other_manifest),
                         from.record_of(other_manifest, other)));
    const auto anothers_file = read_file(path_of(beside.path(), label_of(other_manifest))).value();
    const auto anothers = [&](const std::string& name) { over(name, anothers_file); };
    for (const std::function<void(const std::string&)>& then :
         {std::function<void(const std::string&)>{zeros}, {half}, {anothers}}) {
        forgets = then;
        const auto written = write_record(at.path(), label, from.record_of(manifest, sealed));
        forgets = nullptr;
        REQUIRE(written.has_error());
        CHECK(written.error() == errc::not_kept);
        // On a disk that does keep it, it is written over what is left.
        REQUIRE(write_record(at.path(), label, from.record_of(manifest, sealed)));
        CHECK(read_record(file, from.believed).value().sealed.envelope == sealed);
        std::filesystem::remove(file);
    }
}

TEST_CASE("a record's file gives back what was signed and sealed, of any size that travels",
          "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto size = GENERATE(std::size_t{1}, std::size_t{4'096}, std::size_t{8u << 20});
    const auto sealed = some_bytes(size);
    const auto manifest = from.manifest_of(sealed);
    const auto record = from.record_of(manifest, sealed);
    REQUIRE(write_record(at.path(), label_of(manifest), record));

    const auto files = files_in(at.path());
    REQUIRE(files == std::vector{path_of(at.path(), label_of(manifest))});
    const auto back = read_record(files.front(), from.believed).value();
    CHECK(back.manifest == manifest);
    CHECK(back.manifest_hash == envelope::hash_of(envelope::encode(manifest)));
    CHECK(back.sealed.manifest_cms == record.manifest_cms);
    CHECK(back.sealed.receipt_cms.empty());
    CHECK(back.sealed.receipt_given_cms == record.receipt_given_cms);
    CHECK(back.sealed.envelope == sealed);
}

TEST_CASE("a file is named after epoch, sequence and record, in letters that FAT knows", "[bundle]")
{
    const label of{.epoch = epoch_id::from_bytes(bytes(16, std::byte{0xab})).value(),
                   .at = envelope::sequence{4'711},
                   .record = record_id::parse("3b3f7032-25c7-4403-b3ab-e3aeb11cf493").value()};
    CHECK(file_name(of) == "abababab-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip");
    CHECK(bundle::path_of(of) == "abababab-0000004/"
                                 "abababab-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip");
    CHECK(is_file_name(file_name(of)));
    auto far = of;
    far.at = envelope::sequence{~0ull};
    CHECK(is_file_name(file_name(far)));
    for (const auto* other :
         {"", ".titip", "abababab-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.part",
          "abababab-000000471-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip",
          "abababag-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip",
          "abababab-00000047a1-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip",
          "abababab_0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip",
          "abababab-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf49.titip",
          "._abababab-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip"})
        CHECK_FALSE(is_file_name(other));
}

TEST_CASE("no byte of a file can be changed, and none at its end be missing, without being noticed",
          "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(300);
    const auto manifest = from.manifest_of(sealed);
    const auto file = at.path() / "whole";
    REQUIRE(write_file_of(file, from.record_of(manifest, sealed)));
    const auto good = read_file(file).value();
    REQUIRE(read_sealed(file).has_value());

    const auto changed = at.path() / "changed";
    for (std::size_t i = 0; i < good.size(); ++i) {
        CAPTURE(i);
        auto bad = good;
        bad[i] ^= std::byte{0x10};
        put(changed, bad);
        REQUIRE_FALSE(read_sealed(changed).has_value());
        put(changed, bytes_view{good}.first(i));
        REQUIRE_FALSE(read_sealed(changed).has_value());
    }
    auto longer = good;
    longer.push_back(std::byte{0});
    put(changed, longer);
    CHECK_FALSE(read_sealed(changed).has_value());
}

TEST_CASE("why a file is not believed is said exactly", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(300);
    const auto manifest = from.manifest_of(sealed);
    const auto file = at.path() / "file";
    REQUIRE(write_file_of(file, from.record_of(manifest, sealed)));
    const auto good = read_file(file).value();
    const auto why = [&file](bytes_view data) {
        put(file, data);
        return read_sealed(file).error();
    };

    CHECK(why({}) == errc::cut_short);
    CHECK(why(bytes(good.size())) ==
          errc::cut_short); // what FAT shows of a file that was not synced
    CHECK(why(bytes_view{good}.first(good.size() - 1)) == errc::cut_short);
    CHECK(why(bytes_view{good}.first(10)) == errc::not_a_record);
    CHECK(why(as_bytes("a shopping list")) == errc::not_a_record);
    CHECK(why(bytes(9u << 20, std::byte{'x'})) == errc::not_a_record);
    auto other = good;
    other[other.size() - 100] ^= std::byte{1};
    CHECK(why(other) == errc::damaged);
    other = good;
    other[std::string_view{"titip-record "}.size()] = std::byte{'2'};
    CHECK(why(other) == errc::newer_format);
    CHECK(read_record(at.path() / "none", from.believed).error() ==
          boost::system::errc::no_such_file_or_directory);
    CHECK(read_record(at.path(), from.believed).error() == errc::not_a_record);
}

TEST_CASE("a whole file is believed only if its station signed for just this envelope", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(300);
    const auto manifest = from.manifest_of(sealed);
    const auto read = [&at, &from](const sealed_record& what) {
        const auto file = at.path() / "file";
        std::filesystem::remove(file);
        REQUIRE(write_file_of(file, what));
        return read_record(file, from.believed);
    };
    REQUIRE(read(from.record_of(manifest, sealed)).has_value());

    CHECK(read(from.record_of(manifest, some_bytes(300))).error() == errc::wrong_envelope);
    CHECK(read(from.record_of(manifest, some_bytes(299))).error() == errc::wrong_envelope);
    const office stranger;
    CHECK(read(stranger.record_of(manifest, sealed)).error() == trust::errc::foreign);
    auto forged = from.record_of(manifest, sealed);
    forged.manifest_cms[forged.manifest_cms.size() / 2] ^= std::byte{1};
    CHECK(read(forged).error() == trust::errc::bad_signature);
    auto withdrawn = from.record_of(manifest, sealed);
    const envelope::withdrawal never{.record = manifest.record,
                                     .station = "office-1",
                                     .epoch = manifest.epoch,
                                     .at = manifest.at,
                                     .digest = manifest.digest,
                                     .reason = "wrong person",
                                     .operator_id = "siti",
                                     .decided_at = wall_now()};
    withdrawn.manifest_cms = from.identity.sign(envelope::encode(never));
    CHECK(read(withdrawn).error() == errc::no_manifest);
}

TEST_CASE("a record is believed years after its station's certificate, whatever its clock said",
          "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(300);
    const auto now = wall_now();
    const auto ended = from.ca.station("office-1", {now - 48h, now - 24h});
    const auto then = trust::identity::load(ended.certificate, ended.key).value();
    for (const auto taken_at : {from_ms(1'000), now - 36h, now, now + 200 * 365 * 24h}) {
        auto manifest = from.manifest_of(sealed);
        manifest.taken_at = taken_at;
        auto record = from.record_of(manifest, sealed);
        record.manifest_cms = then.sign(envelope::encode(manifest));
        const auto file = at.path() / "file";
        std::filesystem::remove(file);
        REQUIRE(write_file_of(file, record));
        CHECK(read_record(file, from.believed).has_value());
    }
}

TEST_CASE("a record that is in the folder is not written again, and one that is damaged there is",
          "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(5'000);
    const auto manifest = from.manifest_of(sealed);
    const auto record = from.record_of(manifest, sealed);
    const auto label = label_of(manifest);
    const auto file = path_of(at.path(), label);
    REQUIRE(write_record(at.path(), label, record));
    const auto written = std::filesystem::last_write_time(file) - std::chrono::hours{1};
    std::filesystem::last_write_time(file, written);
    REQUIRE(write_record(at.path(), label, record));
    CHECK(std::filesystem::last_write_time(file) == written);

    std::filesystem::resize_file(file, 1'000);
    const titip::descriptor before{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    REQUIRE(write_record(at.path(), label, record));
    struct ::stat of_before {};
    REQUIRE(::fstat(before.get(), &of_before) == 0);
    CHECK(of_before.st_nlink == 0); // its blocks did not keep it: others are taken
    CHECK(read_record(file, from.believed).value().sealed.envelope == sealed);

    // Another station may have chosen this epoch and this id: what is there and good, stays.
    CHECK(write_record(at.path(), label, from.record_of(manifest, some_bytes(10))).error() ==
          errc::name_taken);
    CHECK(read_record(file, from.believed).value().sealed.envelope == sealed);

    auto later = read_file(file).value();
    later[std::string_view{"titip-record "}.size()] = std::byte{'2'};
    put(file, later);
    CHECK(write_record(at.path(), label, record).error() == errc::newer_format);
    CHECK(read_file(file).value() == later);
}

TEST_CASE("the folder of a disk that is not there is not made", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(10);
    const auto manifest = from.manifest_of(sealed);
    const auto missing = at.path() / "media";
    CHECK(write_record(missing, label_of(manifest), from.record_of(manifest, sealed)).error() ==
          errc::folder_missing);
    CHECK(erase_record(missing, label_of(manifest)).error() == errc::folder_missing);
    CHECK_FALSE(std::filesystem::exists(missing));
}

TEST_CASE("what failed to be written leaves nothing behind", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(10);
    const auto manifest = from.manifest_of(sealed);
    const auto file = path_of(at.path(), label_of(manifest));
    std::filesystem::create_directories(file); // a folder where the file should be
    CHECK_FALSE(
        write_record(at.path(), label_of(manifest), from.record_of(manifest, sealed)).has_value());
    CHECK(std::distance(std::filesystem::directory_iterator{file.parent_path()}, {}) == 1);
}

TEST_CASE("records are found wherever in the folder people put them, and erased one by one",
          "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    std::vector<label> labels;
    for (const std::uint64_t n : {1, 999, 1'000, 1'001}) {
        const auto sealed = some_bytes(10);
        const auto manifest = from.manifest_of(sealed, n);
        labels.push_back(label_of(manifest));
        REQUIRE(write_record(at.path(), labels.back(), from.record_of(manifest, sealed)));
    }
    CHECK(files_in(at.path()).size() == 4);
    CHECK(std::distance(std::filesystem::directory_iterator{at.path()}, {}) == 2);
    put(at.path() / "notes.txt", as_bytes("do not lend this disk"));
    const auto moved = at.path() / file_name(labels[0]);
    std::filesystem::rename(path_of(at.path(), labels[0]), moved);
    CHECK(std::ranges::count(found_in(at.path()), moved) == 1);
    CHECK(std::ranges::count(files_in(at.path()), moved) == 0); // its place is empty

    CHECK(erase_record(at.path(), labels[0]));
    for (std::size_t i = 1; i < labels.size(); ++i)
        CHECK(erase_record(at.path(), labels[i]));
    CHECK(found_in(at.path()) == std::vector{moved});
    std::size_t left = 0; // the two folders are gone
    for (const auto& each : std::filesystem::directory_iterator{at.path()})
        left += each.is_directory() ? 1 : 0;
    CHECK(left == 0);
}

TEST_CASE("a folder of somebody else's on the disk, as ext4's lost+found, is not looked into",
          "[bundle]")
{
    if (::geteuid() != 0)
        return; // the folder of another user is made by root only
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(100);
    const auto manifest = from.manifest_of(sealed);
    REQUIRE(::chmod(at.path().c_str(), 0777) == 0);
    REQUIRE(::mkdir((at.path() / "lost+found").c_str(), 0700) == 0);
    constexpr uid_t nobody = 65'534;
    REQUIRE(::seteuid(nobody) == 0);
    const auto written =
        write_record(at.path(), label_of(manifest), from.record_of(manifest, sealed));
    const auto opened = folder::open(at.path());
    std::size_t listed = 0;
    const auto done = opened ? opened->list([&listed](const auto&) { ++listed; }) : opened.error();
    std::size_t found = 0;
    std::vector<std::string> skipped;
    const auto looked = find_files(
        foreign_folder::open(at.path()).value(), [&found](const auto&) { ++found; },
        [&skipped](const auto& each) { skipped.push_back(each); });
    REQUIRE(::seteuid(0) == 0);
    CHECK(written.has_value());
    CHECK(done.has_value());
    CHECK(listed == 1);
    CHECK(looked.has_value());
    CHECK(found == 1);
    CHECK(skipped == std::vector<std::string>{"lost+found"}); // and that is said
}

TEST_CASE("neither a link nor a pipe in the folder leads elsewhere, or keeps anybody waiting",
          "[bundle]")
{
    const temporary_folder at;
    const temporary_folder other;
    const auto& from = shared_office();
    const auto sealed = some_bytes(100);
    const auto manifest = from.manifest_of(sealed);
    const auto label = label_of(manifest);
    const auto record = from.record_of(manifest, sealed);
    const auto file = path_of(at.path(), label);
    std::filesystem::create_directory_symlink(other.path(), file.parent_path());
    CHECK_FALSE(write_record(at.path(), label, record).has_value());
    put(other.path() / file_name(label), as_bytes("precious"));
    CHECK_FALSE(erase_record(at.path(), label).has_value());
    CHECK(files_in(at.path()).empty());
    CHECK(read_file(other.path() / file_name(label)).has_value());
    const auto link = at.path() / "link";
    std::filesystem::create_directory_symlink(other.path(), link);
    CHECK(folder::open(link).error() == errc::folder_missing);

    std::filesystem::remove(file.parent_path());
    std::filesystem::create_directory(file.parent_path());
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    CHECK_FALSE(write_record(at.path(), label, record).has_value());
    CHECK(files_in(at.path()).empty());
    CHECK(read_record(file, from.believed).error() == errc::not_a_record);
}

TEST_CASE("a link or a device with a record's name is neither followed nor touched", "[bundle]")
{
    const temporary_folder at;
    const temporary_folder other;
    const auto& from = shared_office();
    const auto sealed = some_bytes(100);
    const auto manifest = from.manifest_of(sealed);
    const auto label = label_of(manifest);
    const auto record = from.record_of(manifest, sealed);
    const auto file = path_of(at.path(), label);
    REQUIRE(write_record(other.path(), label, record));
    const auto elsewhere = path_of(other.path(), label);
    std::filesystem::create_directory(file.parent_path());
    const auto make_link = [&] { std::filesystem::create_symlink(elsewhere, file); };
    const auto make_empty_link = [&] {
        std::filesystem::create_symlink(other.path() / "nothing yet", file);
    };
    // /dev/null's numbers: what is written there is gone, and is not missed by this test.
    const auto make_device = [&] {
        REQUIRE(::mknod(file.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0);
    };
    std::vector<std::function<void()>> makers{make_link, make_empty_link};
    if (::geteuid() == 0)
        makers.emplace_back(make_device);
    for (const auto& make : makers) {
        make();
        const auto before = std::filesystem::symlink_status(file).type();
        CHECK(write_record(at.path(), label, record).error() == errc::name_taken);
        CHECK(folder::open(at.path())->read(label).error() == errc::name_taken);
        CHECK(read_record(file, from.believed).error() == errc::not_a_record);
        CHECK(files_in(at.path()).empty());
        CHECK(found_in(at.path()) == std::vector{file}); // for a restore, which says what it is
        CHECK(std::filesystem::symlink_status(file).type() == before);
        CHECK(erase_record(at.path(), label)); // the name, and not what it leads to
        std::filesystem::create_directory(file.parent_path());
    }
    CHECK(read_record(elsewhere, from.believed).has_value());
    CHECK_FALSE(std::filesystem::exists(other.path() / "nothing yet"));

    // The folder that it lies in is one: for a restore, which looks three deep, too.
    std::filesystem::remove(file.parent_path());
    std::filesystem::create_directory_symlink(elsewhere.parent_path(), file.parent_path());
    CHECK(write_record(at.path(), label, record).error() == errc::name_taken);
    CHECK(found_in(at.path()).empty());
    const auto around =
        bundle::read_record(foreign_folder::open(at.path()).value(),
                            std::filesystem::relative(file, at.path()).string(), from.believed);
    CHECK(around.error() == errc::not_a_record);
}

TEST_CASE("what was opened is written to, whatever its path has become", "[bundle]")
{
    const temporary_folder at;
    const auto& from = shared_office();
    const auto sealed = some_bytes(100);
    const auto manifest = from.manifest_of(sealed);
    const auto path = at.path() / "backup";
    std::filesystem::create_directory(path);
    const auto opened = folder::open(path).value();
    std::filesystem::rename(path, at.path() / "away");
    std::filesystem::create_directory(path); // the mount point of a disk that is gone
    REQUIRE(opened.write(label_of(manifest), from.record_of(manifest, sealed)));
    CHECK(files_in(path).empty());
    CHECK(files_in(at.path() / "away").size() == 1);
}
