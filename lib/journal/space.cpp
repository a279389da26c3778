#include "journal/space.hpp"

#include <boost/system/system_error.hpp>

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
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
    reserve_ = room_figures::reserve_state::had;
    if (allocated_end_ >= end + opts_.reserve_bytes)
        return true;
    for (const auto ahead : {opts_.reserve_bytes + generous_bytes, opts_.reserve_bytes}) {
        if (::fallocate(file_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end),
                        static_cast<off_t>(ahead)) == 0) {
            allocated_end_ = end + ahead;
            return true;
        }
        if (errno == EOPNOTSUPP) { // such a file system keeps no reserve: statvfs alone decides
            const auto disk = disk_room_of(file_);
            if (disk && disk->available_bytes >= opts_.reserve_bytes)
                return true;
            break;
        }
    }
    reserve_ = errno == EDQUOT ? room_figures::reserve_state::user_limit
                               : room_figures::reserve_state::disk_full;
    return false;
}

bool space::is_disk_full() const
{
    const auto disk = disk_room_of(file_);
    if (disk && disk->available_bytes < opts_.reserve_bytes)
        return true;
    // What the file system gives this user may be less than what is free on it.
    const auto end = static_cast<off_t>(file_bytes());
    return ::fallocate(file_, FALLOC_FL_KEEP_SIZE, end, static_cast<off_t>(opts_.reserve_bytes)) !=
               0 &&
           (errno == ENOSPC || errno == EDQUOT);
}

capacity space::look(std::uint64_t live_bytes, std::uint64_t unused_bytes) const
{
    const auto end = file_bytes();
    return capacity_of({.quota_bytes = opts_.quota_bytes,
                        .live_bytes = live_bytes,
                        .reserve_bytes = opts_.reserve_bytes,
                        .unused_bytes = unused_bytes,
                        .ahead_bytes = allocated_end_ > end ? allocated_end_ - end : 0,
                        .disk = disk_room_of(file_),
                        .reserve = reserve_});
}

} // namespace titip::journal
