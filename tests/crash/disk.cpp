#include "disk.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace titip::tests::disk {

namespace {

struct open_file {
    std::string name;
    bool is_durable = false;
};

std::mutex mutex; // guards what follows
std::string folder;
std::map<int, open_file> files;
std::vector<event> events;
std::size_t call_count = 0;
std::optional<std::pair<std::size_t, fault>> planned;
std::atomic<bool> hasty = false;

template <class Function>
Function* real(const char* name)
{
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

/// How this call on `fd` is to fail, if it is the one; counts it.
std::optional<fault> fate_of(int fd)
{
    const std::lock_guard lock{mutex};
    if (!files.contains(fd))
        return std::nullopt;
    const auto number = call_count++;
    if (!planned || planned->first != number)
        return std::nullopt;
    if (planned->second == fault::kill)
        ::kill(::getpid(), SIGKILL);
    return std::exchange(planned, std::nullopt)->second;
}

int error_of(fault how)
{
    return how == fault::io_error ? EIO : ENOSPC;
}

void note_write(int fd, std::uint64_t offset, const void* data, std::size_t size)
{
    const std::lock_guard lock{mutex};
    const auto file = files.find(fd);
    if (file == files.end())
        return;
    events.push_back({.what = event::kind::write,
                      .file = file->second.name,
                      .offset = offset,
                      .data = to_bytes({static_cast<const std::byte*>(data), size}),
                      .is_durable = file->second.is_durable});
}

void note_sync(int fd)
{
    const std::lock_guard lock{mutex};
    if (const auto file = files.find(fd); file != files.end())
        events.push_back({.what = event::kind::sync, .file = file->second.name});
}

int sync(int fd, int (*next)(int))
{
    if (const auto fate = fate_of(fd)) {
        errno = error_of(*fate);
        return -1;
    }
    const int done = hasty ? 0 : next(fd);
    if (done == 0)
        note_sync(fd);
    return done;
}

} // namespace

void watch(const std::filesystem::path& which)
{
    const std::lock_guard lock{mutex};
    folder = which.string() + '/';
    files.clear();
    events.clear();
    call_count = 0;
    planned.reset();
}

void mark(std::size_t number)
{
    const std::lock_guard lock{mutex};
    events.push_back({.what = event::kind::mark, .mark = number});
}

std::vector<event> stop()
{
    const std::lock_guard lock{mutex};
    folder.clear();
    files.clear();
    planned.reset();
    return std::exchange(events, {});
}

void fail(std::size_t nth, fault how)
{
    const std::lock_guard lock{mutex};
    planned = {nth, how};
}

std::size_t calls()
{
    const std::lock_guard lock{mutex};
    return call_count;
}

void set_hasty(bool is_hasty)
{
    hasty = is_hasty;
}

image image::of(const std::filesystem::path& folder)
{
    image out;
    for (const auto& each : std::filesystem::directory_iterator{folder}) {
        std::ifstream in{each.path(), std::ios::binary};
        const std::string all{std::istreambuf_iterator<char>{in}, {}};
        out.files_[each.path().filename().string()] = to_bytes(as_bytes(all));
    }
    return out;
}

void image::apply(const event& write)
{
    auto& file = files_[write.file];
    if (file.size() < write.offset + write.data.size())
        file.resize(write.offset + write.data.size());
    std::ranges::copy(write.data, file.begin() + static_cast<std::ptrdiff_t>(write.offset));
}

void image::save(const std::filesystem::path& into) const
{
    std::filesystem::remove_all(into);
    std::filesystem::create_directory(into);
    for (const auto& [name, data] : files_) {
        std::ofstream out{into / name, std::ios::binary};
        out.write(reinterpret_cast<const char*>(data.data()),
                  static_cast<std::streamsize>(data.size()));
        if (!out.flush())
            throw std::runtime_error{"an image could not be written"};
    }
}

} // namespace titip::tests::disk

namespace disk = titip::tests::disk;

extern "C" {

int open(const char* path, int flags, ...)
{
    static auto* const next = disk::real<int(const char*, int, ...)>("open");
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    const int fd = next(path, disk::hasty ? flags & ~O_DSYNC : flags, mode);
    const std::lock_guard lock{disk::mutex};
    const std::string_view name{path};
    if (fd >= 0 && !disk::folder.empty() && name.starts_with(disk::folder))
        disk::files[fd] = {.name = std::string{name.substr(disk::folder.size())},
                           .is_durable = (flags & O_DSYNC) != 0};
    return fd;
}

int close(int fd)
{
    static auto* const next = disk::real<int(int)>("close");
    {
        const std::lock_guard lock{disk::mutex};
        disk::files.erase(fd);
    }
    return next(fd);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset)
{
    static auto* const next = disk::real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
    if (const auto fate = disk::fate_of(fd)) {
        if (*fate != disk::fault::short_write) {
            errno = disk::error_of(*fate);
            return -1;
        }
        size /= 2;
    }
    const auto put = next(fd, data, size, offset);
    if (put > 0)
        disk::note_write(fd, static_cast<std::uint64_t>(offset), data,
                         static_cast<std::size_t>(put));
    return put;
}

ssize_t writev(int fd, const iovec* parts, int count)
{
    static auto* const next = disk::real<ssize_t(int, const iovec*, int)>("writev");
    if (const auto fate = disk::fate_of(fd)) {
        if (*fate != disk::fault::short_write) {
            errno = disk::error_of(*fate);
            return -1;
        }
        count = (count + 1) / 2;
    }
    const auto offset = ::lseek(fd, 0, SEEK_CUR);
    const auto put = next(fd, parts, count);
    auto left = static_cast<std::size_t>(std::max<ssize_t>(put, 0));
    auto at = static_cast<std::uint64_t>(std::max<off_t>(offset, 0));
    for (int i = 0; i < count && left > 0; ++i) {
        const auto size = std::min(left, parts[i].iov_len);
        disk::note_write(fd, at, parts[i].iov_base, size);
        at += size;
        left -= size;
    }
    return put;
}

ssize_t write(int fd, const void* data, size_t size)
{
    static auto* const next = disk::real<ssize_t(int, const void*, size_t)>("write");
    if (const auto fate = disk::fate_of(fd)) {
        if (*fate != disk::fault::short_write) {
            errno = disk::error_of(*fate);
            return -1;
        }
        size /= 2;
    }
    const auto offset = ::lseek(fd, 0, SEEK_CUR);
    const auto put = next(fd, data, size);
    if (put > 0 && offset >= 0)
        disk::note_write(fd, static_cast<std::uint64_t>(offset), data,
                         static_cast<std::size_t>(put));
    return put;
}

int fdatasync(int fd)
{
    static auto* const next = disk::real<int(int)>("fdatasync");
    return disk::sync(fd, next);
}

int fsync(int fd)
{
    static auto* const next = disk::real<int(int)>("fsync");
    return disk::sync(fd, next);
}

int ftruncate(int fd, off_t size) noexcept
{
    static auto* const next = disk::real<int(int, off_t)>("ftruncate");
    if (const auto fate = disk::fate_of(fd)) {
        errno = disk::error_of(*fate);
        return -1;
    }
    return next(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    static auto* const next = disk::real<int(int, int, off_t, off_t)>("fallocate");
    if (const auto fate = disk::fate_of(fd)) {
        errno = disk::error_of(*fate);
        return -1;
    }
    return disk::hasty ? 0 : next(fd, mode, offset, size);
}

} // extern "C"
