#pragma once

#include "journal/store.hpp"

/// How a store comes to be, apart from how it is opened: store::open() never makes one. A folder
/// without a store is also what a disk that is not mounted leaves.
namespace titip::journal {

/// Whether a store is there, also a damaged one; changes nothing. False for what a power failure left
/// of one that was never finished. Fails if this user may not look.
result<bool, open_failure> is_there(const std::filesystem::path& directory);

/// Makes an empty store, synced; or nothing that is_there(). Fails where one is.
result<void, open_failure> make_empty(const std::filesystem::path& directory,
                                      const std::string& node);

/// 32 hexadecimal digits, the same for ever: for a store's backups and copies too. Two stores that
/// were born apart differ, also if one was made of the other's records. From the key that a store is
/// born with and keeps: a field of its own would have to be written into those that are older than
/// it, and their backups would be other stores.
std::string store_id(bytes_view submission_key);
/// That of this node's store, which nobody has open; changes nothing. A damaged one may end the
/// process.
result<std::string, open_failure> id_in(const std::filesystem::path& directory,
                                        const std::string& node);

} // namespace titip::journal
