#include "base/foreign_folder.hpp"

#include "base/file.hpp"
#include "base/secret.hpp"

#include <catch2/catch.hpp>

#include <openssl/crypto.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titip;
namespace fs = std::filesystem;

namespace {

struct temporary_folder {
    fs::path path;
    temporary_folder()
    {
        auto name = (fs::temp_directory_path() / "titip-foreign.XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    temporary_folder(const temporary_folder&) = delete;
    ~temporary_folder() { fs::remove_all(path); }
};

void put(const fs::path& file, std::string_view text)
{
    std::ofstream{file} << text;
}

std::string text_of(const fs::path& file)
{
    return std::string{as_text(read_file(file).value())};
}

/// Of what is no file. None is waited for, none is opened, none is changed.
void make_others(const fs::path& in, const fs::path& outside)
{
    fs::create_symlink(outside / "precious", in / "link");
    fs::create_symlink(outside / "nothing", in / "dangling");
    fs::create_symlink("file", in / "inner-link");
    REQUIRE(::mkfifo((in / "pipe").c_str(), 0600) == 0);
    fs::create_directory(in / "folder");
    if (::geteuid() == 0) {
        REQUIRE(::mknod((in / "device").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0);
    }
}

} // namespace

TEST_CASE("in a folder of others only files are read and written, at names in it", "[base]")
{
    const temporary_folder at;
    const temporary_folder outside;
    put(outside.path / "precious", "precious");
    put(at.path / "file", "ours");
    make_others(at.path, outside.path);
    const auto folder = foreign_folder::open(at.path).value();

    CHECK(as_text(read_all(folder.read("file").value().get(), 100).value()) == "ours");
    for (const std::string name : {"link", "dangling", "inner-link", "pipe", "folder", "device"}) {
        CAPTURE(name);
        if (name == "device" && ::geteuid() != 0)
            continue;
        const auto before = fs::symlink_status(at.path / name).type();
        CHECK(folder.read(name).error() == file_errc::no_file);
        CHECK(folder.write(name).error() == file_errc::no_file);
        CHECK(fs::symlink_status(at.path / name).type() == before);
        if (name != "folder")
            CHECK(folder.folder(name).error() == file_errc::no_file);
    }
    CHECK(text_of(outside.path / "precious") == "precious");
    CHECK_FALSE(fs::exists(outside.path / "nothing"));
    CHECK(folder.read("none").error() == boost::system::errc::no_such_file_or_directory);
    CHECK(folder.read("none/file").error() == boost::system::errc::no_such_file_or_directory);

    CHECK(write_all(folder.write("new").value().get(), as_bytes("new")));
    CHECK(text_of(at.path / "new") == "new");
    CHECK(folder.write("file").has_value());
    CHECK(text_of(at.path / "file") == "ours"); // who opens it cuts it off
    CHECK(folder.remove("link"));
    CHECK(folder.remove("link")); // it is gone, as it should be
    CHECK(text_of(outside.path / "precious") == "precious");
}

TEST_CASE("nothing leads out of a folder of others: no link on the way, no name, no mount",
          "[base]")
{
    const temporary_folder at;
    const temporary_folder outside;
    put(outside.path / "precious", "precious");
    fs::create_directories(at.path / "in" / "deep");
    put(at.path / "in" / "deep" / "file", "ours");
    fs::create_directory_symlink(outside.path, at.path / "away");
    fs::create_directory_symlink("in", at.path / "inner");
    const auto folder = foreign_folder::open(at.path).value();

    CHECK(folder.read("in/deep/file").has_value());
    CHECK(folder.folder("in/deep").value().read("file").has_value());
    CHECK(folder.read("away/precious").error() == file_errc::no_file);
    CHECK(folder.read("inner/deep/file").error() == file_errc::no_file);
    CHECK_FALSE(folder.read("../" + outside.path.filename().string() + "/precious").has_value());
    CHECK(folder.make_folder("away").error() == file_errc::no_file);
    bool is_new = false;
    CHECK(folder.make_folder("made", &is_new).has_value());
    CHECK(is_new);
    CHECK(folder.make_folder("made", &is_new).has_value());
    CHECK_FALSE(is_new);

    std::set<std::string> names;
    CHECK(folder.each_name([&names](const char* name) -> result<void> {
        names.insert(name);
        return {};
    }));
    CHECK(names == std::set<std::string>{".", "..", "in", "away", "inner", "made"});

    CHECK(foreign_folder::open(at.path / "away").error().category() ==
          boost::system::system_category());
    CHECK(foreign_folder::follow(at.path / "away").has_value()); // where a person said so

    if (::geteuid() != 0 || ::mount("tmpfs", (at.path / "made").c_str(), "tmpfs", 0, nullptr) != 0)
        return;
    put(at.path / "made" / "file", "of another disk");
    const auto there = folder.read("made/file");
    const auto below = folder.folder("made");
    ::umount2((at.path / "made").c_str(), MNT_DETACH);
    CHECK(there.error() == file_errc::no_file);
    CHECK(below.error() == file_errc::no_file);
}

namespace {

/// As a kernel before 5.6, or a container that does not know the call.
bool forbid_openat2()
{
    ::sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const ::sock_fprog all{std::size(filter), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0 &&
           ::syscall(SYS_openat2, AT_FDCWD, "/", nullptr, 0) < 0 && errno == ENOSYS;
}

} // namespace

TEST_CASE("the same holds step by step, where the kernel cannot do it at once", "[base]")
{
    const temporary_folder at;
    fs::create_directories(at.path / "in" / "deep");
    put(at.path / "in" / "deep" / "file", "ours");
    fs::create_directory_symlink("in", at.path / "inner");
    fs::create_symlink("file", at.path / "in" / "deep" / "link");
    fs::create_directory(at.path / "mount");
    const bool is_mounted =
        ::geteuid() == 0 && ::mount("tmpfs", (at.path / "mount").c_str(), "tmpfs", 0, nullptr) == 0;
    if (is_mounted)
        put(at.path / "mount" / "file", "of another disk");
    const auto child = ::fork(); // the filter cannot be taken away again
    if (child == 0) {
        const auto folder = foreign_folder::open(at.path).value();
        const auto is_refused = [](const auto& got) {
            return !got && got.error() == file_errc::no_file;
        };
        const bool is_good =
            forbid_openat2() && folder.read("in/deep/file") && folder.write("in/new") &&
            folder.folder("in").value().read("deep/file") &&
            is_refused(folder.read("inner/deep/file")) && is_refused(folder.read("in/deep/link")) &&
            is_refused(folder.write("in/deep/link")) && !folder.read("in/none") &&
            (!is_mounted || is_refused(folder.read("mount/file")));
        std::_Exit(is_good ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    ::umount2((at.path / "mount").c_str(), MNT_DETACH);
    CHECK(status == 0);
    CHECK(fs::exists(at.path / "in" / "new"));
}

TEST_CASE("a file of ours takes the place of a file, and of nothing else", "[base]")
{
    const temporary_folder at;
    const temporary_folder outside;
    put(outside.path / "precious", "precious");
    put(at.path / "file", "old");
    make_others(at.path, outside.path);
    CHECK(write_file(at.path / "file", as_bytes("new")));
    CHECK(text_of(at.path / "file") == "new");
    for (const auto& each : fs::directory_iterator{at.path}) {
        CAPTURE(each.path().filename().string());
        const auto before = each.symlink_status().type();
        if (before == fs::file_type::regular)
            continue;
        CHECK(write_file(each.path(), as_bytes("a citizen's record")).error() ==
              file_errc::no_file);
        CHECK(fs::symlink_status(each.path()).type() == before);
    }
    CHECK(text_of(outside.path / "precious") == "precious");
    // And no temporary file is left.
    for (const auto& each : fs::directory_iterator{at.path})
        CHECK(each.path().extension() == "");
}

TEST_CASE("a secret is read whole or not at all, from a pipe too", "[base]")
{
    const temporary_folder at;
    put(at.path / "key", std::string(1'000, 'k'));
    CHECK(read_secret(at.path / "key", 1'000).value().view().size() == 1'000);
    CHECK(read_secret(at.path / "key", 999).error() == boost::system::errc::file_too_large);
    CHECK(read_secret(at.path / "none", 999).error() ==
          boost::system::errc::no_such_file_or_directory);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    REQUIRE(write_all(ends[1], as_bytes("piped")));
    ::close(ends[1]);
    const auto piped = read_secret("/dev/fd/" + std::to_string(ends[0]), 999);
    ::close(ends[0]);
    CHECK(as_text(piped.value().view()) == "piped");

    auto one = read_secret(at.path / "key", 1'000).value();
    const auto other = std::move(one);
    CHECK(one.view().empty());
    CHECK(other.view().size() == 1'000);
}

TEST_CASE("in a process of its own: what OpenSSL gives back is written over", "[.][base]")
{
    REQUIRE(cleanse_what_openssl_frees()); // before OpenSSL has taken any memory
    constexpr std::size_t size = 200;
    // What is taken next is what was given back last, if the C library has not had it otherwise since.
    const auto has_secret = [] {
        const std::unique_ptr<char, decltype(&std::free)> again{
            static_cast<char*>(std::malloc(size)), std::free};
        return std::string_view{again.get(), size}.find("SECRET") != std::string_view::npos;
    };
    const auto fill = [](void* with) {
        for (std::size_t i = 0; i + 6 <= size; i += 6)
            std::memcpy(static_cast<char*>(with) + i, "SECRET", 6);
        return with;
    };
    auto* one = fill(OPENSSL_malloc(size));
    OPENSSL_free(one);
    CHECK_FALSE(has_secret());
    one = fill(OPENSSL_malloc(size));
    one = OPENSSL_realloc(one, 100 * size);
    CHECK(std::string_view{static_cast<const char*>(one), 6} == "SECRET");
    CHECK_FALSE(has_secret());
    OPENSSL_free(one);
}

TEST_CASE("what OpenSSL gives back is written over, also where it takes more instead", "[base]")
{
    const auto own = fs::read_symlink("/proc/self/exe").string();
    const auto run = "'" + own + "' 'in a process of its own*' > /dev/null";
    CHECK(std::system(run.c_str()) == 0);
}
