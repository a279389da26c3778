#include "control/roles.hpp"

#include <algorithm>
#include <vector>

#include <grp.h>

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
