#include "journal/guard.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <sys/stat.h>
#include <unistd.h>

namespace titip::journal {

namespace {

constexpr int exit_untrusted = 7;
constexpr std::array opening_signals{SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT};

/// A value's length is a number of 32 bits on its page: reading one that rotted may run so far past
/// the end.
constexpr std::uintptr_t reach_bytes = (4ull << 30) + (1u << 16);

std::atomic<marker*> place_to_say{nullptr};
std::atomic<bool> is_opening{false};
std::atomic<std::uintptr_t> map_begin{0};
std::atomic<std::uintptr_t> map_end{0};
std::atomic<bool> is_for_journal{false};

void say(std::string_view text) noexcept
{
    [[maybe_unused]] const auto put = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Only what signal-safety(7) allows from here on.
[[noreturn]] void end_with(marker& where, std::string_view why) noexcept
{
    const bool is_written = where.distrust(why);
    say(is_for_journal ? "<3>store-failed why=\"" : "store-failed why=\"");
    say(why);
    say(is_written ? "\"\n" : "\"; the marker `untrusted` cannot be written\n");
    ::_exit(exit_untrusted);
}

std::string_view name_of(int number) noexcept
{
    switch (number) {
    case SIGBUS:
        return "SIGBUS: the disk did not give a page of the store";
    case SIGSEGV:
        return "SIGSEGV: a page of the store leads out of it";
    case SIGABRT:
        return "SIGABRT while the store was opened";
    default:
        return "a fatal signal while the store was opened";
    }
}

void on_fault(int number, siginfo_t* info, void*) noexcept
{
    const auto saved = errno;
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const bool is_in_map =
        (number == SIGBUS || number == SIGSEGV) && at >= map_begin && at < map_end + reach_bytes;
    auto* const where = place_to_say.load();
    if (where && (is_opening || is_in_map))
        end_with(*where, name_of(number));
    std::signal(number, SIG_DFL); // the same again, and it ends the process as it would have
    if (number == SIGABRT)
        ::raise(number);
    errno = saved;
}

class alternate_stack {
public:
    alternate_stack() : memory_(std::make_unique<std::byte[]>(bytes_))
    {
        stack_t mine{};
        mine.ss_sp = memory_.get();
        mine.ss_size = bytes_;
        ::sigaltstack(&mine, &before_);
    }
    alternate_stack(const alternate_stack&) = delete;
    ~alternate_stack() { ::sigaltstack(&before_, nullptr); }

private:
    static constexpr std::size_t bytes_ = 64u << 10;
    std::unique_ptr<std::byte[]> memory_;
    stack_t before_{};
};

} // namespace

guard::guard(marker& where)
{
    is_for_journal = std::getenv("JOURNAL_STREAM") != nullptr;
    is_opening = true;
    place_to_say = &where;
    prepare_thread();
    struct sigaction act {};
    act.sa_sigaction = on_fault;
    act.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (const int each : opening_signals)
        ::sigaction(each, &act, nullptr);
}

guard::~guard()
{
    for (const int each : opening_signals)
        std::signal(each, SIG_DFL);
    place_to_say = nullptr;
}

void guard::end_opening() noexcept
{
    is_opening = false;
    for (const int each : {SIGILL, SIGFPE, SIGABRT})
        std::signal(each, SIG_DFL);
}

void note_map(const std::filesystem::path& data_file)
{
    map_begin = 0;
    map_end = 0;
    struct stat status {};
    if (data_file.empty() || ::stat(data_file.c_str(), &status) != 0)
        return;
    // LMDB does not tell where its map is. proc(5): "begin-end perms offset dev inode path".
    std::ifstream maps{"/proc/self/maps"};
    std::string line;
    while (std::getline(maps, line)) {
        std::istringstream words{line};
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
        char dash = 0;
        std::string permissions, offset, device;
        std::uint64_t inode = 0;
        words >> std::hex >> begin >> dash >> end >> permissions >> offset >> device >> std::dec >>
            inode;
        if (words && inode == status.st_ino && line.ends_with("data.mdb")) {
            map_end = end;
            map_begin = begin;
        }
    }
}

void prepare_thread()
{
    static thread_local alternate_stack here;
}

void on_assertion(std::string_view what) noexcept
{
    if (auto* const where = place_to_say.load())
        end_with(*where, what);
}

} // namespace titip::journal
