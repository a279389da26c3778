#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <utility>

namespace titip {

/// A file descriptor of the system's, closed at the end.
class descriptor {
public:
    explicit descriptor(int fd = -1) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor() { close(); }
    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Some file systems say only here that bytes were not written.
    bool close() noexcept;

private:
    int fd_;
};

/// What errno says.
error_code last_error() noexcept;

/// All of it, from where `file` stands.
result<void> write_all(int file, bytes_view data);
/// To the end; errc::file_too_large past `limit_bytes`.
result<bytes> read_all(int file, std::size_t limit_bytes);
/// What cannot be synced (EINVAL, on FAT through some drivers; EBADF, over FUSE) is as good as that
/// file system has it.
result<void> sync_folder(int folder);

} // namespace titip
