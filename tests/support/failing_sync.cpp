/// Preloaded into a daemon: fdatasync() of a file named data.mdb fails with EIO for as long as the file
/// named by TITIP_SYNC_FAILS exists. What was written stays in the page cache, as after a disk's
/// own error. And the disk says that it is full for as long as the one named by TITIP_DISK_FULL does. While
/// the one named by TITIP_DISK_FORGETS does, a file *.titip has lost its bytes when what this machine has
/// of it in memory is dropped. And read() fails with EIO for a file whose name has what TITIP_UNREADABLE
/// says in it.

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
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

extern "C" int posix_fadvise(int file, off_t from, off_t size, int advice)
{
    static const auto next =
        reinterpret_cast<int (*)(int, off_t, off_t, int)>(::dlsym(RTLD_NEXT, "posix_fadvise"));
    char link[64];
    char target[PATH_MAX];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const auto length = ::readlink(link, target, sizeof target);
    if (length > 0 && advice == POSIX_FADV_DONTNEED && is_there("TITIP_DISK_FORGETS") &&
        std::string_view{target, static_cast<std::size_t>(length)}.ends_with(".titip")) {
        const int again = ::open(link, O_WRONLY);
        const char zeros[4096] = {};
        for (off_t at = 0, end = ::lseek(file, 0, SEEK_END); at < end; at += sizeof zeros)
            if (::pwrite(again, zeros, std::min(sizeof zeros, static_cast<std::size_t>(end - at)),
                         at) < 0)
                break;
        ::lseek(file, 0, SEEK_SET);
        ::close(again);
    }
    return next(file, from, size, advice);
}

extern "C" ssize_t read(int file, void* into, size_t size)
{
    static const auto next =
        reinterpret_cast<ssize_t (*)(int, void*, size_t)>(::dlsym(RTLD_NEXT, "read"));
    static const auto* const bad = std::getenv("TITIP_UNREADABLE");
    char link[64];
    char target[PATH_MAX];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const auto length = bad ? ::readlink(link, target, sizeof target) : 0;
    if (length > 0 && std::string_view{target, static_cast<std::size_t>(length)}.find(bad) !=
                          std::string_view::npos) {
        errno = EIO;
        return -1;
    }
    return next(file, into, size);
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
