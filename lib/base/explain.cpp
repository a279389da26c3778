#include "base/explain.hpp"

#include "base/descriptor.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <vector>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip {

namespace {

/// Empty: the system's own words say all that is known.
std::string meaning_of(int code)
{
    switch (code) {
    case EACCES:
        return fmt::format("the user {} may not use it, or may not pass a directory above it",
                           own_user());
    case EPERM:
        return fmt::format("the user {} may not do this with it", own_user());
    case ENOTDIR:
        return "something in this path is not a directory";
    case EISDIR:
        return "it is a directory, a file is wanted";
    case ELOOP:
        return "a symbolic link is in the way";
    case EROFS:
        return "its file system can only be read now";
    case ENOSPC:
        return "remove other things from that disk";
    case EDQUOT:
        return fmt::format("the file system gives the user {} no more", own_user());
    case EIO:
        return "the disk does not do what it is told: look at the system's log, journalctl -k";
    case EMFILE:
    case ENFILE:
        return "it is a limit of this machine, not of the file";
    default:
        return {};
    }
}

} // namespace

std::string own_user()
{
    std::vector<char> buffer(16u << 10);
    ::passwd storage{};
    ::passwd* found = nullptr;
    const auto uid = ::geteuid();
    if (::getpwuid_r(uid, &storage, buffer.data(), buffer.size(), &found) == 0 && found)
        return found->pw_name;
    return fmt::format("uid {}", uid);
}

std::string explain(const std::filesystem::path& at, const error_code& why)
{
    const bool is_of_the_system = why.category() == boost::system::system_category() ||
                                  why.category() == boost::system::generic_category();
    const auto meaning = is_of_the_system ? meaning_of(why.value()) : std::string{};
    return fmt::format("{}: {}{}{}", at.string(), why.message(), meaning.empty() ? "" : ": ",
                       meaning);
}

result<bool> is_there(const std::filesystem::path& at)
{
    using boost::system::in_place_error; // a code would do for a bool too
    using boost::system::in_place_value;
    struct ::stat found {};
    const bool has_found = ::stat(at.c_str(), &found) == 0;
    if (!has_found && errno != ENOENT)
        return {in_place_error, last_error()};
    return {in_place_value, has_found};
}

} // namespace titip
