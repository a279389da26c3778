/// Preloaded into a daemon: fdatasync() of a file named data.mdb fails with EIO for as long as the file
/// named by TITIP_SYNC_FAILS exists. What was written stays in the page cache, as after a disk's
/// own error.

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <dlfcn.h>
#include <unistd.h>

extern "C" int fdatasync(int file)
{
    static const auto next = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fdatasync"));
    char link[64];
    char target[PATH_MAX];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const auto size = ::readlink(link, target, sizeof target);
    const auto* const sign = std::getenv("TITIP_SYNC_FAILS");
    if (size > 0 && sign && ::access(sign, F_OK) == 0 &&
        std::string_view{target, static_cast<std::size_t>(size)}.ends_with("/data.mdb")) {
        errno = EIO;
        return -1;
    }
    return next(file);
}
