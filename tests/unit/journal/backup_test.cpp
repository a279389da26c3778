#include "base/descriptor.hpp"
#include "base/file.hpp"
#include "journal/compact.hpp"
#include "journal/examine.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

/// Backups to disks that are slow, full, or hang.
using namespace titip;
using namespace titip::tests;
using kind = journal::backup_failure::kind;

namespace {

/// While it stands, whoever writes to a file that is named *.part waits.
class hanging_disk {
public:
    hanging_disk() { set(true); }
    ~hanging_disk() { set(false); }

    static void wait_at(int file)
    {
        std::unique_lock lock{mutex()};
        if (!hangs())
            return;
        char name[4096] = {};
        const auto size =
            ::readlink(fmt::format("/proc/self/fd/{}", file).c_str(), name, sizeof name - 1);
        if (size <= 0 || !std::string_view{name}.ends_with(".part"))
            return;
        has_caught() = true;
        changed().notify_all();
        changed().wait(lock, [] { return !hangs(); });
    }
    /// Until a writer hangs.
    static void await_writer()
    {
        std::unique_lock lock{mutex()};
        changed().wait(lock, [] { return has_caught(); });
    }

private:
    static std::mutex& mutex()
    {
        static std::mutex made;
        return made;
    }
    static std::condition_variable& changed()
    {
        static std::condition_variable made;
        return made;
    }
    static bool& hangs()
    {
        static bool yes = false;
        return yes;
    }
    static bool& has_caught()
    {
        static bool yes = false;
        return yes;
    }
    static void set(bool yes)
    {
        const std::lock_guard lock{mutex()};
        hangs() = yes;
        has_caught() = false;
        changed().notify_all();
    }
};

class office : public journal_fixture {
public:
    office()
    {
        std::filesystem::create_directories(to);
        open();
    }
    void accept() { REQUIRE(finish(store->accept(submission_of(noise(500, random)))).has_value()); }
    result<journal::backup, journal::backup_failure>
    back_up(std::shared_ptr<journal::backup_progress> watched =
                std::make_shared<journal::backup_progress>())
    {
        return finish(store->back_up(to, std::move(watched)));
    }
    /// What hung has let go of everything.
    bool is_left_empty() const
    {
        for (int i = 0; i < 500 && !std::filesystem::is_empty(to); ++i)
            std::this_thread::sleep_for(10ms);
        return std::filesystem::is_empty(to);
    }

    const std::filesystem::path to = folder.path() / "backup";
};

asio::awaitable<bool> accept_many(journal_fixture& at, int many)
{
    for (int i = 0; i < many; ++i) {
        auto what = submission_of(noise(20'000, at.random));
        const auto done = co_await at.store->accept(std::move(what));
        if (!done)
            co_return false;
    }
    co_return true;
}

asio::awaitable<bool> back_up_meanwhile(journal_fixture& at, std::filesystem::path to,
                                        std::filesystem::path& copy)
{
    auto watched = std::make_shared<journal::backup_progress>();
    const auto done = co_await at.store->back_up(std::move(to), std::move(watched));
    if (done)
        copy = done->file;
    co_return done.has_value();
}

} // namespace

extern "C" ssize_t write(int file, const void* data, size_t size)
{
    static auto* const next =
        reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(::dlsym(RTLD_NEXT, "write"));
    hanging_disk::wait_at(file);
    return next(file, data, size);
}

namespace {

/// While it stands, a file whose name ends so is not on the disk what was written to it: when what
/// this machine has of it in memory is dropped, one byte is another.
class forgetful_disk {
public:
    explicit forgetful_disk(std::string_view name) { ending() = name; }
    ~forgetful_disk() { ending() = {}; }

    static void forget(int file)
    {
        const auto itself = fmt::format("/proc/self/fd/{}", file);
        char name[4096] = {};
        if (ending().empty() || ::readlink(itself.c_str(), name, sizeof name - 1) <= 0 ||
            !std::string_view{name}.ends_with(ending()))
            return;
        const descriptor again{::open(itself.c_str(), O_RDWR | O_CLOEXEC)};
        char last = 0;
        const auto at = ::lseek(again.get(), -1, SEEK_END);
        if (::pread(again.get(), &last, 1, at) == 1) {
            last = static_cast<char>(last ^ 1);
            CHECK(::pwrite(again.get(), &last, 1, at) == 1);
        }
    }

private:
    static std::string_view& ending()
    {
        static std::string_view which;
        return which;
    }
};

} // namespace

extern "C" int posix_fadvise(int file, off_t from, off_t size, int advice)
{
    static auto* const next =
        reinterpret_cast<int (*)(int, off_t, off_t, int)>(::dlsym(RTLD_NEXT, "posix_fadvise"));
    if (advice == POSIX_FADV_DONTNEED && size == 0)
        forgetful_disk::forget(file);
    return next(file, from, size, advice);
}

TEST_CASE("a backup is done only when what was written, and what tells of it, was read back",
          "[journal]")
{
    office it;
    it.accept();
    for (const std::string_view name : {".part", ".json"}) {
        const forgetful_disk forgets{name};
        const auto done = it.back_up();
        REQUIRE(done.has_error());
        CHECK(done.error().what == kind::failed);
        CHECK(done.error().sentence.find("this disk loses what is written to it") !=
              std::string::npos);
        CHECK(it.is_left_empty());
    }
    const auto watched = std::make_shared<journal::backup_progress>();
    const auto done = it.back_up(watched);
    REQUIRE(done.has_value());
    CHECK(watched->copied_bytes >= 2 * done->size_bytes);
    CHECK(watched->copied_bytes <= watched->total_bytes + 4'096); // and the file beside it
}

TEST_CASE("a backup whose disk takes nothing is given up, and holds up neither store nor daemon",
          "[journal]")
{
    office it;
    it.options.copy_patience = 2s; // a busy machine takes that long until it hangs
    it.reopen();
    it.accept();
    {
        const hanging_disk hangs;
        const auto given_up = it.back_up();
        REQUIRE(given_up.has_error());
        CHECK(given_up.error().what == kind::failed);
        CHECK(given_up.error().sentence.find("takes nothing any more") != std::string::npos);
        it.accept();
        // Nothing is begun beside what hangs.
        const auto second = it.back_up();
        REQUIRE(second.has_error());
        CHECK(second.error().sentence.find("hangs in the disk") != std::string::npos);
        it.options.copy_patience = 1min;
        it.reopen(); // waits for the snapshot's end, not for the disk
        it.accept();
    }
    CHECK(it.is_left_empty());
    CHECK(it.back_up().has_value());
    CHECK(it.failures.empty());
}

TEST_CASE("a daemon that stops waits for no disk", "[journal]")
{
    office it;
    it.options.copy_patience = 1h;
    it.reopen();
    it.accept();
    const hanging_disk hangs;
    const auto watched = std::make_shared<journal::backup_progress>();
    std::jthread stopper{[watched] {
        hanging_disk::await_writer();
        watched->stop = true;
    }};
    const auto stopped = it.back_up(watched);
    REQUIRE(stopped.has_error());
    CHECK(stopped.error().what == kind::stopped);
    it.close();
}

TEST_CASE(
    "a backup that was put in place and not opened yet is clean, and is opened before it is made "
    "smaller",
    "[journal]")
{
    office it;
    it.accept();
    it.accept();
    const auto copy = it.back_up();
    REQUIRE(copy.has_value());
    it.accept(); // so that more is noted beside the store than the copy has
    it.close();
    std::filesystem::remove(it.data_file());
    std::filesystem::copy_file(copy->file, it.data_file());
    std::vector<std::string> differences;
    journal::examine(it.options.directory, it.options.node, [&](const journal::remark& each) {
        if (each.what != journal::remark::kind::progress)
            differences.push_back(each.text);
    });
    CHECK(differences.empty());
    const auto refused = journal::compact(it.options.directory);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().sentence.find("a backup that was not opened yet") != std::string::npos);
    it.open();
    it.close();
    CHECK(journal::compact(it.options.directory).has_value());
    it.open();
    CHECK(it.store->now().of(journal::state::waiting).records == 2);
}

TEST_CASE("what an earlier backup of this node left is removed by the next, and nothing else",
          "[journal]")
{
    office it;
    it.accept();
    const auto put = [&it](const std::string& name) {
        REQUIRE(write_file(it.to / name, bytes(3)).has_value());
        return it.to / name;
    };
    const auto ours = put("office-1-2026-01-31T00-00-00Z.part");
    const std::vector others{put("office-1-b-2026-01-31T00-00-00Z.part"),
                             put("office-2-2026-01-31T00-00-00Z.part"),
                             put("office-1-2026-01-31T00-00-00Z.mdb"), put("letter.part")};
    REQUIRE(it.back_up().has_value());
    CHECK_FALSE(std::filesystem::exists(ours));
    for (const auto& each : others)
        CHECK(std::filesystem::exists(each));
}

TEST_CASE("a backup never takes the space of the store that it copies", "[journal]")
{
    office it;
    it.accept();
    const auto refused = [&it](const std::filesystem::path& to) {
        return finish(it.store->back_up(to, std::make_shared<journal::backup_progress>())).error();
    };
    SECTION("in its own folder, by whatever name")
    {
        const auto inner = it.options.directory / "backup";
        std::filesystem::create_directories(inner);
        const auto link = it.folder.path() / "link";
        std::filesystem::create_directory_symlink(inner, link);
        for (const auto& each : {it.options.directory, inner, link}) {
            CHECK(refused(each).what == kind::refused);
            CHECK(refused(each).sentence.find("belongs to the store itself") != std::string::npos);
        }
        CHECK(std::filesystem::is_empty(inner));
    }
    SECTION("on its own disk, what the quota may still need")
    {
        const auto disk = std::filesystem::space(it.folder.path());
        it.options.quota_bytes = 2 * disk.capacity;
        it.reopen();
        CHECK(refused(it.to).what == kind::full);
        CHECK(std::filesystem::is_empty(it.to));
    }
}

TEST_CASE("a backup that is made while records come in is a whole store", "[journal]")
{
    office it;
    for (int i = 0; i < 50; ++i)
        it.accept();
    std::filesystem::path copy;
    std::vector<asio::awaitable<bool>> work;
    work.push_back(accept_many(it, 100));
    work.push_back(back_up_meanwhile(it, it.to, copy));
    for (const bool done : finish_all(std::move(work)))
        CHECK(done);
    const auto events = finish(it.store->ledger(0, 1'000)).value();
    const auto noted = std::ranges::find(events, "backup", &journal::ledger_entry::event);
    REQUIRE(noted != events.end());
    CHECK(noted->detail.find(copy.string() + " bytes=") == 0);
    it.close();

    std::filesystem::remove_all(it.options.directory);
    std::filesystem::create_directories(it.options.directory);
    std::filesystem::copy_file(copy, it.data_file());
    it.open();
    CHECK(finish(it.store->audit()).value().empty());
    const auto all = finish(it.store->list({}, std::nullopt, 1'000)).value();
    CHECK(all.size() >= 50);
    for (const auto& each : all)
        CHECK(finish(it.store->check_intact(each.place)).has_value());
}

TEST_CASE("what has come to a backup's name meanwhile is not written over", "[journal]")
{
    office it;
    it.accept();
    auto hangs = std::make_unique<hanging_disk>();
    std::filesystem::path others;
    std::jthread somebody{[&it, &hangs, &others] {
        hanging_disk::await_writer();
        others = std::filesystem::directory_iterator
        {
            it.to
            } -> path();
        others.replace_extension(".mdb");
        (void)write_file(others, bytes(3));
        hangs.reset();
    }};
    const auto done = it.back_up();
    somebody.join();
    REQUIRE(done.has_error());
    CHECK((read_file(others).value() == bytes(3)));
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator{it.to})
        ++files;
    CHECK(files == 1);
}

TEST_CASE("a link that has come to the name of what tells of a backup is not written over",
          "[journal]")
{
    office it;
    it.options.copy_patience = 1min;
    it.reopen();
    it.accept();
    auto hangs = std::make_unique<hanging_disk>();
    std::filesystem::path others;
    std::jthread somebody{[&it, &hangs, &others] {
        hanging_disk::await_writer();
        others = std::filesystem::directory_iterator
        {
            it.to
            } -> path();
        others.replace_extension(".json");
        std::filesystem::create_symlink(it.folder.path() / "elsewhere", others);
        hangs.reset();
    }};
    const auto done = it.back_up();
    somebody.join();
    REQUIRE(done.has_error());
    CHECK(done.error().sentence.find("a link") != std::string::npos);
    CHECK(std::filesystem::is_symlink(others));
    CHECK_FALSE(std::filesystem::exists(it.folder.path() / "elsewhere"));
    CHECK(std::distance(std::filesystem::directory_iterator{it.to}, {}) == 1);
}
