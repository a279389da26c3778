#include "control/roles.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <vector>

#include <grp.h>

namespace titip::control {

namespace {

std::optional<gid_t> look_up(const std::string& name)
{
    std::vector<char> buffer(16u << 10);
    ::group storage{};
    ::group* found = nullptr;
    if (::getgrnam_r(name.c_str(), &storage, buffer.data(), buffer.size(), &found) != 0 || !found) {
        log::warn("unknown-group name={}: nobody has its role", name);
        return std::nullopt;
    }
    return found->gr_gid;
}

} // namespace

roles::roles(const role_groups& groups)
    : submit_{groups.submit, look_up(groups.submit)}, read_{groups.read, look_up(groups.read)},
      operate_{groups.operate, look_up(groups.operate)}, consume_{groups.consume,
                                                                  look_up(groups.consume)}
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
