#pragma once

#include "base/result.hpp"
#include "http/transport.hpp"

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace titip::control {

/// What a local user may do. Groups decide; root is nothing special.
enum class role { submit, read, operate, consume };

/// The groups' names, as configured.
struct role_groups {
    std::string submit;
    std::string read;
    std::string operate;
    std::string consume;
};

/// Nothing if this system has no such group.
std::optional<gid_t> find_group(const std::string& name);

/// What a user is to a group.
enum class membership {
    none,         ///< not in it, or the system has no such group
    not_in_login, ///< in it, and the login began before that
    full,         ///< the process has it
};
/// `of_user`: what the system says of the user now; `of_process`: what the login got when it began.
membership membership_of(std::optional<gid_t> group, const std::vector<gid_t>& of_user,
                         const std::vector<gid_t>& of_process) noexcept;
/// Of this process and its user.
membership own_membership(const std::string& group);

class roles {
public:
    /// Looks the groups up once; a group that this system does not have grants its role to nobody.
    explicit roles(const role_groups& groups);

    bool has(const http::credentials& who, role wanted) const noexcept;
    bool has_any(const http::credentials& who) const noexcept;
    /// For the sentence of a refusal: the group that one would have to be in.
    const std::string& group_of(role wanted) const noexcept;

private:
    struct entry {
        std::string name;
        std::optional<gid_t> id;
    };
    const entry& of(role wanted) const noexcept;
    entry submit_;
    entry read_;
    entry operate_;
    entry consume_;
};

} // namespace titip::control
