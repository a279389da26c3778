#pragma once

#include "bundle/folder.hpp"

#include <filesystem>
#include <string>

namespace titip::mirror {

/// Why a folder is not taken for the second disk. The numbers are part of the control API: never
/// reuse one.
enum class errc {
    not_mounted = 1,   ///< there is no such folder, or only the one that a disk is mounted on
    store_disk = 2,    ///< it is on the disk of the store itself
    not_marked = 3,    ///< a disk is there, and it was never said that it is for this
    other_station = 4, ///< it is another station's second disk
    other_disk = 5,    ///< a disk of this station's, and not the one that was there before
    mark_ruined = 6,   ///< the disk has a mark, and the mark is not what was written
};
boost::system::error_code make_error_code(errc) noexcept;

/// The folder on the second disk, opened for one operation (see bundle::folder).
///
/// A file `titip-copy` in it says whose copy it is, and which disk:
///
///     titip-copy 1
///     station kab-karimun-03
///     disk 5f0c6a9be1d24c07a1f2d3c4b5a69788
///
/// Rationale: the mount point of a disk that is not there is a folder as well, and on a machine with
/// a /var of its own, or in memory, it is not even on the store's device. What has no marker counts
/// as not mounted. Two disks that take turns are told apart by the number.
/// The marker is made by `titip mark-disk`, or by itself in a folder that is empty and cannot be a
/// mount point: neither on the device of the store nor on that of "/", nor in memory.
class disk {
public:
    struct whereabouts {
        std::filesystem::path folder; ///< normal, without a slash at its end
        std::filesystem::path store;  ///< the journal's directory
        std::string station;
    };

    static result<disk> open(const whereabouts& where);
    /// Whether open() would do, as far as that can be said without writing.
    static result<void> look(const whereabouts& where);

    const std::string& id() const noexcept { return id_; }
    const bundle::folder& files() const noexcept { return files_; }

    /// Whether the disk itself answers, by reading from it past what this machine has in memory: the
    /// folder's entries are known here also when the disk is gone. errc::mark_ruined if its mark is no
    /// longer what open() found. `writing`: and whether it can be written.
    result<void> probe(bool writing) const;

    /// Whether the device is no longer there: a mount outlives it.
    bool is_gone() const;

private:
    disk(bundle::folder files, std::string id) : files_(std::move(files)), id_(std::move(id)) {}

    bundle::folder files_;
    std::string id_;
};

/// Marks a folder with whatever is in it; returns the disk's number. One that is marked already for
/// this station stays as it is. errc::not_mounted, store_disk, other_station, and the system's.
result<std::string> mark(const disk::whereabouts& where);

} // namespace titip::mirror

template <>
struct boost::system::is_error_code_enum<titip::mirror::errc> : std::true_type {
};
