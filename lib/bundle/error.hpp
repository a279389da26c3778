#pragma once

#include "base/result.hpp"

namespace titip::bundle {

/// Why a file is not believed, or could not be written. The numbers are part of the control API:
/// never reuse one.
enum class errc {
    not_a_record = 1,   ///< begins with something else: not written by us
    newer_format = 2,   ///< begins as ours, with a format that this program does not know
    cut_short = 3,      ///< ends before it should: the disk was pulled out, or was full
    damaged = 4,        ///< its length is right and its digest is not
    wrong_envelope = 5, ///< the envelope in it is not the one that its manifest names
    no_manifest = 6,    ///< whole, and what was signed in it is something else than a manifest
    name_taken = 7,     ///< another record, and a good one, has the file's name
    folder_missing = 8, ///< there is no such folder: not mounted?
    no_more_files =
        10,       ///< the disk has room, and takes no other file: no inodes, a full FAT folder
    not_kept = 9, ///< the disk took it, and gives back something else
};

boost::system::error_code make_error_code(errc) noexcept;

} // namespace titip::bundle

template <>
struct boost::system::is_error_code_enum<titip::bundle::errc> : std::true_type {
};
