/// Preloaded into a daemon: for as long as the file named by TITIP_SLOW_SYNC exists, fdatasync() and fsync()
/// do not come back. What it holds says what they do meanwhile: "wait" as a disk would, in a call of the
/// kernel's; "spin" or "lock" as a fault of the daemon's own in the same place would.

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>

#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

namespace {

void be_slow()
{
    const auto* const sign = std::getenv("TITIP_SLOW_SYNC");
    std::string how;
    if (!sign || !(std::ifstream{sign} >> how))
        return;
    if (how == "lock") {
        static std::mutex held;
        held.lock();
        held.lock(); // by its own thread: for ever
    }
    while (::access(sign, F_OK) == 0) {
        if (how == "spin")
            for (std::atomic<int> i = 0; i < 20'000'000; ++i)
                ;
        else {
            const timespec moment{.tv_sec = 0, .tv_nsec = 20'000'000};
            ::nanosleep(&moment, nullptr);
        }
    }
}

template <class Function>
Function next_of(const char* name)
{
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

} // namespace

extern "C" int fdatasync(int file)
{
    static const auto next = next_of<int (*)(int)>("fdatasync");
    be_slow();
    return next(file);
}

extern "C" int fsync(int file)
{
    static const auto next = next_of<int (*)(int)>("fsync");
    be_slow();
    return next(file);
}
