#pragma once

#include "base/result.hpp"
#include "http/transport.hpp"

#include <optional>
#include <string>

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
