#pragma once

#include "journal/store.hpp"

#include <functional>

namespace titip::journal {

/// What an examination of a store has to say.
struct remark {
    enum class kind {
        progress,   ///< `text` names what is looked at
        difference, ///< `text` is a sentence
        known,      ///< what the store itself says is wrong, and lives with: no difference
        unopened,   ///< a difference without which LMDB would open it: records cannot be listed
    };
    kind what{};
    std::string text;
    std::uint64_t done = 0; ///< of `total`, in records or steps
    std::uint64_t total = 0;
    place rotten{}; ///< of a store that is open: the record whose bytes are not what was written
};
using teller = std::function<void(const remark&)>;

/// Examines a store that nobody has open, without changing a byte of it: pages, then rows and indexes, then
/// the bytes of every record. Opens it read-only and takes no lock. What is damaged may crash LMDB in it: only
/// for a process that may be lost. While the disk answers, something is told every few hundred reads.
void examine(const std::filesystem::path& directory, const std::string& node, const teller& told);

} // namespace titip::journal
