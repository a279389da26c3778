#include "base/descriptor.hpp"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

namespace titip {

bool descriptor::close() noexcept
{
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
}

error_code last_error() noexcept
{
    return {errno, boost::system::system_category()};
}

result<void> write_all(int file, bytes_view data)
{
    while (!data.empty()) {
        const auto put = ::write(file, data.data(), data.size());
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return last_error();
        data = data.subspan(static_cast<std::size_t>(put));
    }
    return {};
}

result<bytes> read_all(int file, std::size_t limit_bytes)
{
    bytes out;
    std::size_t filled = 0;
    for (;;) {
        if (out.size() - filled < 65'536)
            out.resize(out.size() + std::max<std::size_t>(65'536, out.size()));
        const auto got = ::read(file, out.data() + filled, out.size() - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return last_error();
        if (got == 0)
            break;
        filled += static_cast<std::size_t>(got);
        if (filled > limit_bytes)
            return make_error_code(boost::system::errc::file_too_large);
    }
    out.resize(filled);
    return out;
}

result<void> sync_folder(int folder)
{
    if (::fsync(folder) != 0 && errno != EINVAL && errno != EBADF && errno != ENOTSUP)
        return last_error();
    return {};
}

} // namespace titip
