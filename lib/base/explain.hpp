#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <string>

namespace titip {

/// What the system said of a file or directory, and what that means: "PATH: Permission denied: the user
/// titip may not use it, or may not pass a directory above it". Names no cause but the one that the
/// system named; where it says little, neither does this. One line, for people.
std::string explain(const std::filesystem::path& at, const error_code& why);

/// The user that this process runs as: by name, or "uid 997" where the system has none.
std::string own_user();

/// What lies there, or that nothing does, or why that cannot be told.
result<bool> is_there(const std::filesystem::path& at);

} // namespace titip
