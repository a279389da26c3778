#pragma once

#include "journal/store.hpp"

#include <cstdint>
#include <filesystem>

namespace titip::journal {

struct compacted {
    std::uint64_t bytes_before = 0;
    std::uint64_t bytes_after = 0;
};

/// Puts a copy without free pages in place of a store that no daemon has open: LMDB's file never
/// shrinks by itself. The copy is written beside it (which needs the room), synced, compared with
/// the store entry by entry, and only then renamed over it: killed at any moment, or after any
/// failure, there is one whole store. It goes on from the same commit, in the same epoch.
/// Takes the calling thread for as long as reading and writing all of it takes.
result<compacted, open_failure> compact(const std::filesystem::path& directory);

} // namespace titip::journal
