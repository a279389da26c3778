#pragma once

#include "node/config.hpp"

namespace titip::node {

/// Looks at what a configuration names on this machine, before the store is opened: the files of
/// [identity] and [seal] themselves are load_materials()'s. Touches nothing.
/// Returns warnings, each a line that names file, key and what to do; the node can run with them.
std::vector<std::string> check_machine(const config& from, std::string_view file);

} // namespace titip::node
