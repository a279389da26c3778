#pragma once

#include "node/config.hpp"

namespace titip::node {

/// Looks at what a configuration names on this machine, before the store is opened: the files of
/// [identity] and [seal] themselves are load_materials()'s. Touches nothing. `file`, the
/// configuration's, stands in the sentences.
/// Returns warnings, each a line that names file, key and what to do; the node can run with them.
result<std::vector<std::string>, config_error> check_machine(const config& from,
                                                             std::string_view file);

} // namespace titip::node
