#pragma once

#include "node/config.hpp"

namespace titip::node {

enum class occasion {
    check, ///< --check: the service may not have run yet
    start,
};

/// Looks at what a configuration names on this machine, before the store is opened: directories,
/// groups, who may read the key, which of the recipients is the wrong one. Whether the files of
/// [identity] and [seal] can be read at all is load_materials()'s to say. Touches nothing. `file`,
/// the configuration's, stands in the sentences.
/// Returns warnings, each a line that names file, key and what to do; the node can run with them.
result<std::vector<std::string>, config_error> check_machine(const config& from,
                                                             std::string_view file, occasion when);

} // namespace titip::node
