#include "base/file.hpp"

#include "base/descriptor.hpp"
#include "base/foreign_folder.hpp"

#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip {

result<bytes> read_file(const std::filesystem::path& path, std::size_t limit_bytes)
{
    const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file)
        return last_error();
    return read_all(file.get(), limit_bytes);
}

result<void> write_file(const std::filesystem::path& path, bytes_view data)
{
    // A rename would put the file in the place of a device, and of the link that somebody meant to follow.
    struct ::stat there {};
    if (::lstat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
        return file_errc::no_file;
    // A name that nobody can have put there before us: exclusive, mode 0600.
    auto temporary = path.string() + ".XXXXXX";
    const descriptor file{::mkostemp(temporary.data(), O_CLOEXEC)};
    if (!file)
        return last_error();
    auto written = write_all(file.get(), data);
    if (written && ::fsync(file.get()) != 0)
        written = last_error();
    if (written && ::rename(temporary.c_str(), path.c_str()) != 0)
        written = last_error();
    if (!written) {
        ::unlink(temporary.c_str());
        return written;
    }
    const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    const descriptor folder{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder || ::fsync(folder.get()) != 0)
        return last_error();
    return {};
}

} // namespace titip
