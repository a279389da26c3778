#pragma once

#include "journal/store.hpp"

#include <functional>
#include <map>

namespace titip::journal {

/// A record whose every byte is what was written.
struct salvaged {
    journal::place place{};
    vault::key key;
    epoch_id epoch;
    std::uint64_t sequence = 0;
    bytes manifest_cms;
    bytes receipt_cms;
    bytes receipt_given_cms;
    bytes envelope;
};

/// An envelope that is whole by its own account, of a record whose row is gone in every version: it
/// opens with a recipient's key, but cannot be sent, having no manifest.
struct bare_envelope {
    journal::place place{};
    bytes envelope;
};

/// A record of which something is missing. Without a key, only its place is known.
struct loss {
    journal::place place{};
    std::optional<vault::key> key;
    std::string why;
};

/// What to do with what is found; an error ends the search.
struct salvage_hands {
    std::function<result<void>(const salvaged&)> save;
    std::function<result<void>(const bare_envelope&)> save_bare;
    std::function<void(const loss&)> lose;
    /// Pages looked at, of so many; again from the beginning for each reading of the file.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct salvage_count {
    std::uint64_t saved = 0;
    std::uint64_t bare = 0;
    std::uint64_t lost = 0;
    std::uint64_t erased = 0;           ///< nothing to save: the centre has opened them
    std::uint64_t arriving = 0;         ///< incomplete: their senders have them
    std::uint64_t unreadable_pages = 0; ///< that the disk does not give
    std::uint64_t missing_pages = 0;    ///< at the end; the last ones may never have been used
    /// Records that were counted, and of which nothing is left that would name them; nothing if the
    /// newest commit's count was not found.
    std::optional<std::uint64_t> vanished;

    bool is_all() const noexcept { return lost == 0 && vanished == 0; }
};

/// Takes records out of a store that cannot be opened, without LMDB and without believing any of its
/// trees: every page of data.mdb is looked at, and what matches its checksum is right, wherever it
/// lies. So it works with meta pages, roots and indexes gone.
///
///     rows      old versions lie in free pages: of those that match, the one that got furthest counts,
///               or the one in a tree of the newest commit where both meta pages are good.
///               If that is one of a record that was still arriving, its bytes may be whole all the same
///     ghosts    a commit that the power cut short leaves pages, whose places are given once more: the
///               record is the one in a tree of the newest commit. If neither is, each is looked for
///     ledger    of what is neither lost nor here: it was erased, or given up by its sender
///     chunks    named by any leaf page, of this commit or an older one; one that none names is looked
///               for among all pages, its checksum being seeded with its place and number
///     envelope  only with the SHA-256 that its row names
///
/// Memory: 130 bytes a record and 32 a chunk of at most 8 GiB of records at a time, for each of which
/// the file is read once; and one record. Changes nothing. Errors: open_failure::in_use while a daemon
/// has the store open, unreadable without data.mdb; what a hand says.
result<salvage_count, open_failure> salvage(const std::filesystem::path& directory,
                                            const salvage_hands& hands);

} // namespace titip::journal
