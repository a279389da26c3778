#pragma once

#include "node/node.hpp"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace titip::node {

struct restored {
    std::size_t records = 0;
    std::uint64_t bytes = 0;
    std::size_t delivered = 0; ///< of these, with the centre's receipt among the files
    struct left_out {
        std::filesystem::path file;
        std::string why;
    };
    std::vector<left_out> left; ///< files that are no record of ours, or not right any more
};

/// Makes a new store in [node] state from a folder of sealed records (see bundle), on a machine
/// whose store is lost. Offline: no daemon may run on that directory.
///
/// Promise: the store is there whole or not at all; one that is there is not touched. Every record
/// has the manifest as it was signed, so it is known upstream under its old number; the
/// store begins an epoch of its own for new ones. Whatever of it the upstream has already is settled
/// by receipts at the first reconcile, without sending it.
/// A file that cannot be used is named and left where it is. No space left is a failure, and
/// then nothing is left behind.
/// Memory: one record, and a path for each file. `told` hears how many were looked at, of how many.
result<restored, start_failure>
restore(const config& into, const std::filesystem::path& from,
        const std::function<void(std::size_t done, std::size_t all)>& told);

} // namespace titip::node
