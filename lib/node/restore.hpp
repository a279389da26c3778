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
    /// Numbers between the first of an epoch and its last here that no file has: erased after the
    /// centre had opened them, or lost.
    struct gap {
        std::string station;
        std::string epoch;
        std::uint64_t first = 0;
        std::uint64_t last = 0;
    };
    std::vector<gap> gaps;
};

struct restore_options {
    std::filesystem::path from;
    bool without_damaged = false; ///< files that cannot be used are left out
};

/// Makes a new store in [node] state from a folder of sealed records (see bundle), on a machine
/// whose store is lost. Offline: no daemon can run on that directory meanwhile.
///
/// Promise: the store is there whole or not at all; one that is there is not touched. Once it was
/// begun, no daemon begins an empty store there, also after a power failure, until it is finished or
/// given up. Every record has the manifest as it was signed, so it is known upstream under its old
/// number; the store begins an epoch of its own for new ones. Whatever of it the upstream has
/// already is settled by receipts at the first reconcile, without sending it. It begins paused:
/// what was held back is not known from the files.
/// Failures: any error of the disk that is read, no space, no record at all; and a file that cannot
/// be used, unless `without_damaged`: a part is not put in place as the whole unasked. No file is
/// touched.
/// Memory: one record, and a path for each file. `told` hears how many were looked at, of how many.
result<restored, start_failure>
restore(const config& into, const restore_options& opts,
        const std::function<void(std::size_t done, std::size_t all)>& told);

} // namespace titip::node
