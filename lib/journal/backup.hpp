#pragma once

#include "base/digest.hpp"
#include "base/record_id.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

namespace titip::journal {

/// How far a backup has come. Read and written from any thread.
struct backup_progress {
    std::atomic<std::uint64_t> copied_bytes = 0;
    std::atomic<std::uint64_t> total_bytes = 0; ///< at most so many
    std::atomic<bool> stop = false;             ///< give it up
};

/// A copy of a store, as the file beside it says too. Epoch, head and records are those of the moment
/// before it was begun; the copy may hold a little more.
struct backup {
    std::filesystem::path file;
    std::string node;
    epoch_id epoch;
    std::uint64_t head_sequence = 0; ///< of our own records in `epoch`, or in the one before if it
                                     ///< has none; 0: none at all
    digest head_hash{};
    std::uint64_t records = 0;
    std::uint64_t size_bytes = 0;
    digest sha256{};
    wall_time taken_at{};
};

struct backup_failure {
    enum class kind {
        refused, ///< by what stands or is allowed there: nothing was changed
        full,
        stopped,
        failed, ///< while it was written; what was written is gone again
    };
    backup_failure::kind what{};
    std::string sentence;
};

} // namespace titip::journal
