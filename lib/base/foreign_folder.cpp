#include "base/foreign_folder.hpp"

#include <cassert>
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace titip {

namespace {

class file_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.file"; }
    std::string message(int value) const override
    {
        switch (static_cast<file_errc>(value)) {
        case file_errc::no_file:
            return "a link, a device or the like has this name: it is left as it is";
        }
        return "unknown error of a file";
    }
};

struct closes {
    void operator()(DIR* opened) const { ::closedir(opened); }
};

/// Where the kernel has no openat2(2) (before Linux 5.6), or a container forbids it: name by name.
int open_by_steps(int in, const std::string& name, int flags, ::mode_t mode)
{
    struct ::stat home {};
    struct ::stat found {};
    if (::fstat(in, &home) != 0)
        return -1;
    descriptor at;
    for (std::size_t from = 0; from <= name.size();) {
        const auto slash = std::min(name.find('/', from), name.size());
        const bool is_last = slash == name.size();
        const int how = is_last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC;
        descriptor next{::openat(at ? at.get() : in, name.substr(from, slash - from).c_str(),
                                 how | O_NOFOLLOW, is_last ? mode : 0)};
        if (!next || ::fstat(next.get(), &found) != 0)
            return -1;
        if (found.st_dev != home.st_dev) {
            errno = EXDEV;
            return -1;
        }
        at = std::move(next);
        from = slash + 1;
    }
    return ::fcntl(at.get(), F_DUPFD_CLOEXEC, 0);
}

int open_beneath(int in, const std::string& name, int flags, ::mode_t mode)
{
    ::open_how how{};
    how.flags = static_cast<std::uint64_t>(flags);
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    for (;;) {
        const auto got = ::syscall(SYS_openat2, in, name.c_str(), &how, sizeof how);
        if (got >= 0)
            return static_cast<int>(got);
        if (errno == ENOSYS || errno == EPERM)
            return open_by_steps(in, name, flags, mode);
        if (errno != EINTR && errno != EAGAIN) // EAGAIN: something was renamed meanwhile
            return -1;
    }
}

/// What openat2() says of a link on the way, another mount, something else than a folder.
error_code why_not_below()
{
    if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)
        return file_errc::no_file;
    return last_error();
}

result<descriptor> open_folder(const std::filesystem::path& at, int links)
{
    descriptor opened{::open(at.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | links)};
    if (!opened)
        return last_error();
    return opened;
}

} // namespace

boost::system::error_code make_error_code(file_errc value) noexcept
{
    static const file_category category;
    return {static_cast<int>(value), category};
}

result<foreign_folder> foreign_folder::open(const std::filesystem::path& at)
{
    auto opened = open_folder(at, O_NOFOLLOW);
    if (!opened)
        return opened.error();
    return foreign_folder{std::move(*opened)};
}

result<foreign_folder> foreign_folder::follow(const std::filesystem::path& at)
{
    auto opened = open_folder(at, 0);
    if (!opened)
        return opened.error();
    return foreign_folder{std::move(*opened)};
}

result<descriptor> foreign_folder::open_below(const std::string& name, int flags,
                                              ::mode_t mode) const
{
    assert(!name.empty() && name.front() != '/');
    // Looked at before: opening a device may do something already.
    const bool is_folder = (flags & O_DIRECTORY) != 0;
    struct ::stat found {};
    const auto fits = [&found, is_folder] {
        return is_folder ? S_ISDIR(found.st_mode) : S_ISREG(found.st_mode);
    };
    const bool is_there = ::fstatat(at_.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
    if (!is_there && (errno != ENOENT || (flags & O_CREAT) == 0))
        return why_not_below();
    if (is_there && !fits())
        return file_errc::no_file;
    descriptor opened{
        open_beneath(at_.get(), name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode)};
    if (!opened)
        return why_not_below();
    if (::fstat(opened.get(), &found) != 0)
        return last_error();
    if (!fits())
        return file_errc::no_file;
    return opened;
}

result<foreign_folder> foreign_folder::folder(const std::string& name) const
{
    auto opened = open_below(name, O_RDONLY | O_DIRECTORY, 0);
    if (!opened)
        return opened.error();
    return foreign_folder{std::move(*opened)};
}

result<foreign_folder> foreign_folder::make_folder(const std::string& name, bool* is_new) const
{
    const bool was_made = ::mkdirat(at_.get(), name.c_str(), 0700) == 0;
    if (!was_made && errno != EEXIST)
        return last_error();
    if (is_new != nullptr)
        *is_new = was_made;
    return folder(name);
}

result<descriptor> foreign_folder::read(const std::string& name) const
{
    return open_below(name, O_RDONLY, 0);
}

result<descriptor> foreign_folder::write(const std::string& name, ::mode_t mode) const
{
    return open_below(name, O_WRONLY | O_CREAT, mode);
}

result<void> foreign_folder::remove(const std::string& name) const
{
    if (::unlinkat(at_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
        return last_error();
    return {};
}

result<void> foreign_folder::each_name(const std::function<result<void>(const char*)>& told) const
{
    const int again = ::openat(at_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return last_error();
    const std::unique_ptr<DIR, closes> opened{::fdopendir(again)};
    if (!opened)
        return last_error();
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(opened.get());
        if (entry == nullptr && errno != 0)
            return last_error();
        if (entry == nullptr)
            return {};
        if (auto done = told(entry->d_name); !done)
            return done;
    }
}

} // namespace titip
