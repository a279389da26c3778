/// Preloaded into a daemon: fdatasync() of a file named data.mdb fails with EIO for as long as the file
/// named by TITIP_SYNC_FAILS exists. What was written stays in the page cache, as after a disk's
/// own error. And the disk says that it is full for as long as the one named by TITIP_DISK_FULL does.

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <dlfcn.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace {

bool is_there(const char* variable)
{
    const auto* const sign = std::getenv(variable);
    return sign && ::access(sign, F_OK) == 0;
}

} // namespace

extern "C" int fstatvfs(int file, struct statvfs* into)
{
    static const auto next =
        reinterpret_cast<int (*)(int, struct statvfs*)>(::dlsym(RTLD_NEXT, "fstatvfs"));
    const int done = next(file, into);
    if (done == 0 && is_there("TITIP_DISK_FULL"))
        into->f_bavail = 0;
    return done;
}

extern "C" int fdatasync(int file)
{
    static const auto next = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fdatasync"));
    char link[64];
    char target[PATH_MAX];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const auto size = ::readlink(link, target, sizeof target);
    if (size > 0 && is_there("TITIP_SYNC_FAILS") &&
        std::string_view{target, static_cast<std::size_t>(size)}.ends_with("/data.mdb")) {
        errno = EIO;
        return -1;
    }
    return next(file);
}
