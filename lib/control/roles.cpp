#include "control/roles.hpp"

#include <algorithm>
#include <vector>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace titip::control {

std::optional<gid_t> find_group(const std::string& name)
{
    std::vector<char> buffer(16u << 10);
    ::group storage{};
    ::group* found = nullptr;
    if (::getgrnam_r(name.c_str(), &storage, buffer.data(), buffer.size(), &found) != 0 || !found)
        return std::nullopt;
    return found->gr_gid;
}

membership membership_of(std::optional<gid_t> group, const std::vector<gid_t>& of_user,
                         const std::vector<gid_t>& of_process) noexcept
{
    if (!group)
        return membership::none;
    if (std::ranges::find(of_process, *group) != of_process.end())
        return membership::full;
    return std::ranges::find(of_user, *group) != of_user.end() ? membership::not_in_login
                                                               : membership::none;
}

membership own_membership(const std::string& group)
{
    constexpr int most = 65'536; // NGROUPS_MAX
    std::vector<gid_t> of_process(most);
    const int has = ::getgroups(most, of_process.data());
    of_process.resize(has > 0 ? static_cast<std::size_t>(has) : 0);
    of_process.push_back(::getegid());

    std::vector<gid_t> of_user;
    std::vector<char> buffer(16u << 10);
    ::passwd storage{};
    ::passwd* user = nullptr;
    if (::getpwuid_r(::geteuid(), &storage, buffer.data(), buffer.size(), &user) == 0 && user) {
        int count = most;
        of_user.resize(most);
        if (::getgrouplist(user->pw_name, user->pw_gid, of_user.data(), &count) < 0)
            count = 0;
        of_user.resize(static_cast<std::size_t>(count));
    }
    return membership_of(find_group(group), of_user, of_process);
}

roles::roles(const role_groups& groups)
    : submit_{groups.submit, find_group(groups.submit)}, read_{groups.read,
                                                               find_group(groups.read)},
      operate_{groups.operate, find_group(groups.operate)}, consume_{groups.consume,
                                                                     find_group(groups.consume)}
{
}

const roles::entry& roles::of(role wanted) const noexcept
{
    switch (wanted) {
    case role::submit:
        return submit_;
    case role::read:
        return read_;
    case role::operate:
        return operate_;
    case role::consume:
        break;
    }
    return consume_;
}

bool roles::has(const http::credentials& who, role wanted) const noexcept
{
    const auto& group = of(wanted);
    return group.id && std::ranges::find(who.groups, *group.id) != who.groups.end();
}

bool roles::has_any(const http::credentials& who) const noexcept
{
    return has(who, role::submit) || has(who, role::read) || has(who, role::operate) ||
           has(who, role::consume);
}

const std::string& roles::group_of(role wanted) const noexcept
{
    return of(wanted).name;
}

} // namespace titip::control
