#pragma once

#include "control/verification.hpp"

#include <filesystem>

namespace titip::node {

/// A store that nobody has open, looked at by a process of its own, which the store may crash or hang
/// without harm to this one: the daemon's program once more. It is given up when it says nothing for
/// half a minute; on a disk that answers at all it speaks with each record.
struct child_end {
    control::verification::outcome how{}; ///< none: it said all it had to say
    std::string why;
};
asio::awaitable<child_end> examine_in_child(asio::any_io_executor on,
                                            std::filesystem::path directory, std::string node,
                                            journal::teller told);

/// What that process does: one line of JSON on standard output for each remark. The exit code.
int examine_as_child(const std::filesystem::path& directory, const std::string& node);

} // namespace titip::node
