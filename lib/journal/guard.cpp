#include "journal/guard.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <poll.h>
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
std::array<struct sigaction, opening_signals.size()> before; ///< what was there before the guard

/// The marker has it already: a reader that does not read must not keep the process from its end. A pipe
/// that can be written has a page free, which is more than we say.
void say(std::string_view text) noexcept
{
    constexpr int patience_ms = 1'000;
    pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (::poll(&out, 1, patience_ms) == 1) [[maybe_unused]]
        const auto put = ::write(STDERR_FILENO, text.data(), text.size());
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

bool is_in_map(int number, const siginfo_t& info) noexcept
{
    const std::uintptr_t begin = map_begin;
    const std::uintptr_t end = map_end;
    const auto at = reinterpret_cast<std::uintptr_t>(info.si_addr);
    if (begin == 0 || at < begin)
        return false;
    // A page that the disk does not give lies in the map. Behind it are other files and stacks.
    return number == SIGBUS ? at < end : number == SIGSEGV && at < end + reach_bytes;
}

void put_back(int number) noexcept
{
    for (std::size_t i = 0; i < opening_signals.size(); ++i)
        if (opening_signals[i] == number)
            ::sigaction(number, &before[i], nullptr);
}

void on_fault(int number, siginfo_t* info, void*) noexcept
{
    const auto saved = errno;
    // A fault comes from the kernel, abort() from ourselves; what others send (systemd's watchdog:
    // SIGABRT) says nothing against the store, and has no address.
    const bool is_fault = info->si_code > 0;
    const bool is_ours = is_fault || info->si_pid == ::getpid();
    auto* const where = place_to_say.load();
    if (where && ((is_opening && is_ours) || (is_fault && is_in_map(number, *info))))
        end_with(*where, name_of(number));
    put_back(number); // the same again, and it ends the process as it would have
    if (!is_fault)
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
    for (std::size_t i = 0; i < opening_signals.size(); ++i)
        ::sigaction(opening_signals[i], &act, &before[i]);
}

guard::~guard()
{
    for (const int each : opening_signals)
        put_back(each);
    place_to_say = nullptr;
}

void guard::end_opening() noexcept
{
    is_opening = false;
    for (const int each : {SIGILL, SIGFPE, SIGABRT})
        put_back(each);
}

void note_map(const std::filesystem::path& data_file)
{
    map_begin = 0;
    map_end = 0;
    if (data_file.empty())
        return;
    // LMDB does not tell where its map is. proc(5): "begin-end perms offset dev inode path". By name,
    // since on overlayfs the inode there is not the one that stat(2) gives; no other file is so called.
    const auto name = "/" + data_file.filename().string();
    std::ifstream maps{"/proc/self/maps"};
    std::string line;
    std::uintptr_t first = UINTPTR_MAX;
    std::uintptr_t last = 0;
    while (std::getline(maps, line)) {
        std::istringstream words{line};
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
        char dash = 0;
        words >> std::hex >> begin >> dash >> end;
        if (!words || !line.ends_with(name))
            continue;
        first = std::min(first, begin);
        last = std::max(last, end);
    }
    if (last == 0)
        return;
    map_end = last;
    map_begin = first; // a fault is looked at once this is set
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
