#include "journal/guard.hpp"

#include "base/file.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <csignal>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;

namespace {

constexpr std::size_t page_bytes = 4096;

/// A page of a file, mapped as LMDB does; and then the file ends before it.
volatile const std::byte* page_that_is_gone(const std::filesystem::path& file)
{
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (::ftruncate(fd, page_bytes) != 0)
        ::_exit(99);
    void* const map = ::mmap(nullptr, page_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        ::_exit(99);
    journal::note_map(file.filename() == "data.mdb" ? file : "");
    if (::ftruncate(fd, 0) != 0)
        ::_exit(99);
    ::close(fd);
    return static_cast<volatile const std::byte*>(map);
}

/// Where nothing is ever mapped.
void read_from_nowhere()
{
    [[maybe_unused]] const auto got = *reinterpret_cast<volatile const int*>(page_bytes);
}

struct ending {
    int status = 0;
    std::string marker;

    bool is_the_stores() const
    {
        return WIFEXITED(status) && WEXITSTATUS(status) == 7 && marker.starts_with("yes ");
    }
    bool is_by_signal(int number) const
    {
        return WIFSIGNALED(status) && WTERMSIG(status) == number && marker.starts_with("opening ");
    }
};

/// How a process of its own ends that has a guard and does `work`. `meanwhile` is told its id as
/// soon as the guard is there.
template <class Work>
ending ending_of(
    const temporary_folder& at, Work work,
    const std::function<void(pid_t)>& meanwhile = [](pid_t) {})
{
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    const auto child = ::fork();
    if (child == 0) {
        ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
        for (const int each : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT})
            std::signal(each, SIG_DFL); // Catch's handlers would report it as this process's
        journal::marker marker{at.path()};
        marker.begin_opening();
        journal::guard guard{marker};
        [[maybe_unused]] const auto told = ::write(ready[1], "r", 1);
        work(guard);
        ::_exit(0);
    }
    char told = 0;
    REQUIRE(::read(ready[0], &told, 1) == 1);
    meanwhile(child);
    ending out;
    REQUIRE(::waitpid(child, &out.status, 0) == child);
    ::close(ready[0]);
    ::close(ready[1]);
    const auto line = read_file(at.path() / "untrusted").value();
    out.marker = std::string{as_text(line)};
    return out;
}

void wait_for_a_signal()
{
    for (;;)
        ::pause();
}

} // namespace

TEST_CASE("a page of the store that the disk does not give ends the process with the reason",
          "[journal]")
{
    const temporary_folder at;
    const auto end = ending_of(at, [&at](journal::guard& guard) {
        guard.end_opening();
        [[maybe_unused]] const auto got = *page_that_is_gone(at.path() / "data.mdb");
    });
    CHECK(end.is_the_stores());
    CHECK(end.marker.find("SIGBUS") != std::string::npos);
}

TEST_CASE("a page of another file that is gone says nothing against the store", "[journal]")
{
    const temporary_folder at;
    CHECK(ending_of(at, [&at](journal::guard& guard) {
              guard.end_opening();
              [[maybe_unused]] const auto got = *page_that_is_gone(at.path() / "certificate");
          }).is_by_signal(SIGBUS));
    // And not either where it lies above the store's map, as what was mapped before it does.
    CHECK(ending_of(at, [&at](journal::guard& guard) {
              guard.end_opening();
              volatile const auto* other = page_that_is_gone(at.path() / "certificate");
              page_that_is_gone(at.path() / "data.mdb");
              [[maybe_unused]] const auto got = *other;
          }).is_by_signal(SIGBUS));
}

TEST_CASE("a wild pointer of ours says nothing against the store, whether or not it is open",
          "[journal]")
{
    const temporary_folder at;
    CHECK(ending_of(at, [](journal::guard& guard) {
              guard.end_opening();
              journal::note_map({});
              read_from_nowhere();
          }).is_by_signal(SIGSEGV));
    CHECK(ending_of(at, [&at](journal::guard& guard) {
              guard.end_opening();
              page_that_is_gone(at.path() / "data.mdb");
              read_from_nowhere();
          }).is_by_signal(SIGSEGV));
}

TEST_CASE("whatever ends the process while it opens the store is the store's", "[journal]")
{
    const temporary_folder at;
    CHECK(ending_of(at, [](journal::guard&) { read_from_nowhere(); }).is_the_stores());
    std::filesystem::remove(at.path() / "untrusted");
    CHECK(ending_of(at, [](journal::guard&) { std::abort(); }).is_the_stores());
}

TEST_CASE("a signal that another process sends ends this one, and says nothing against the store",
          "[journal]")
{
    // systemd's watchdog sends SIGABRT to one that waits for a slow disk.
    const temporary_folder at;
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS}) {
        CAPTURE(number);
        const auto send = [number](pid_t to) { ::kill(to, number); };
        CHECK(ending_of(
                  at, [](journal::guard&) { wait_for_a_signal(); }, send)
                  .is_by_signal(number));
        CHECK(ending_of(
                  at,
                  [](journal::guard& guard) {
                      guard.end_opening();
                      wait_for_a_signal();
                  },
                  send)
                  .is_by_signal(number));
    }
}
