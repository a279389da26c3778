#include "journal/space.hpp"

#include <boost/system/system_error.hpp>

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace titip::journal {

namespace {

/// Allocating in larger steps keeps extents long and the call rare; a small disk gets the reserve.
constexpr std::uint64_t generous_bytes = 64u << 20;

[[noreturn]] void throw_errno(const char* what)
{
    throw boost::system::system_error(errno, boost::system::system_category(), what);
}

} // namespace

space::space(const std::filesystem::path& data_file, options opts)
    : opts_(opts), file_(::open(data_file.c_str(), O_RDWR | O_CLOEXEC))
{
    if (file_ < 0)
        throw_errno("data.mdb");
}

space::~space()
{
    ::close(file_);
}

std::uint64_t space::file_bytes() const
{
    struct stat status {};
    if (::fstat(file_, &status) != 0)
        throw_errno("data.mdb");
    return static_cast<std::uint64_t>(status.st_size);
}

bool space::top_up()
{
    const auto end = file_bytes();
    if (allocated_end_ >= end + opts_.reserve_bytes)
        return true;
    for (const auto ahead : {opts_.reserve_bytes + generous_bytes, opts_.reserve_bytes}) {
        if (::fallocate(file_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end),
                        static_cast<off_t>(ahead)) == 0) {
            allocated_end_ = end + ahead;
            return true;
        }
        if (errno == EOPNOTSUPP) { // such a file system keeps no reserve: statvfs alone decides
            struct statvfs disk {};
            return ::fstatvfs(file_, &disk) == 0 &&
                   disk.f_bavail * disk.f_frsize >= opts_.reserve_bytes;
        }
    }
    return false;
}

bool space::is_disk_full() const
{
    struct statvfs disk {};
    return ::fstatvfs(file_, &disk) == 0 && disk.f_bavail * disk.f_frsize < opts_.reserve_bytes;
}

} // namespace titip::journal
