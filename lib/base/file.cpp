#include "base/file.hpp"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip {

namespace {

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    ~descriptor()
    {
        if (fd_ >= 0)
            ::close(fd_);
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

error_code last_error()
{
    return {errno, boost::system::system_category()};
}

} // namespace

result<bytes> read_file(const std::filesystem::path& path, std::size_t limit_bytes)
{
    const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.get() < 0)
        return last_error();
    bytes out;
    std::size_t filled = 0;
    for (;;) {
        if (out.size() - filled < 65'536)
            out.resize(out.size() + std::max<std::size_t>(65'536, out.size()));
        const auto got = ::read(file.get(), out.data() + filled, out.size() - filled);
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

namespace {

result<void> write_all(int file, bytes_view data)
{
    while (!data.empty()) {
        const auto put = ::write(file, data.data(), data.size());
        if (put < 0)
            return last_error();
        data = data.subspan(static_cast<std::size_t>(put));
    }
    if (::fsync(file) != 0)
        return last_error();
    return {};
}

} // namespace

result<void> write_file(const std::filesystem::path& path, bytes_view data)
{
    // A name that nobody can have put there before us: exclusive, mode 0600.
    auto temporary = path.string() + ".XXXXXX";
    const descriptor file{::mkostemp(temporary.data(), O_CLOEXEC)};
    if (file.get() < 0)
        return last_error();
    auto written = write_all(file.get(), data);
    if (written && ::rename(temporary.c_str(), path.c_str()) != 0)
        written = last_error();
    if (!written) {
        ::unlink(temporary.c_str());
        return written;
    }
    const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    const descriptor folder{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.get() < 0 || ::fsync(folder.get()) != 0)
        return last_error();
    return {};
}

} // namespace titip
