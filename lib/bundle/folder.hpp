#pragma once

#include "base/foreign_folder.hpp"
#include "base/record_id.hpp"
#include "bundle/record_file.hpp"

#include <functional>
#include <string>
#include <string_view>

/// A folder of sealed records, one file each, that can be read without a journal, on any machine
/// and file system. The files lie in folders of their own below it:
///
///     0198f2c1-0000004/0198f2c1-0000004711-3b3f7032-25c7-4403-b3ab-e3aeb11cf493.titip
///     epoch    thousand epoch   sequence   record
///
/// Rationale: a name of this length takes 6 of the 65,536 entries that FAT has for a folder, so
/// that one folder would be full with 10,900 records. A name is for finding; what a record is, its
/// file says.
///
/// Threads: any, but one writer a folder. Everything here waits for the disk.
namespace titip::bundle {

/// What a file is named after.
struct label {
    epoch_id epoch;
    envelope::sequence at{};
    record_id record;
};
label label_of(const envelope::manifest& m);

/// Legal on FAT and exFAT. Only the first eight digits of the epoch stand in it.
std::string file_name(const label& of);
/// Below the folder: where folder::write() puts it.
std::string path_of(const label& of);
/// Whether the disk itself does not give a file that is there: its sectors, or what the file system
/// knows of it.
bool is_unreadable(const error_code& why) noexcept;
/// Whether a file that is whole holds this record at all. A stick with less room than it says writes in
/// circles: a file of one name then has the bytes of another.
bool is_of(const label& name, const sealed_record& file) noexcept;
/// Whether this is a name of ours; nothing else in a folder is looked at.
bool is_file_name(std::string_view name) noexcept;

/// The folder, opened once: what is done there is done in this one, whatever its path has become
/// meanwhile. A disk that is taken away leaves a mount point on the first disk, which would be
/// written to in its place; and whoever had the disk in hand may have put there what they like
/// (foreign_folder): what has a record's name and is no file is errc::name_taken.
class folder {
public:
    /// errc::folder_missing: no such folder, or a link.
    static result<folder> open(const std::filesystem::path& at);

    /// Puts a record there, and reads it back. A file of this name is read: if it holds the same
    /// envelope, nothing is written; if it is damaged, or what the disk gives is of another name, it is
    /// replaced; if it holds this record in other bytes, errc::name_taken. errc::not_kept: what is
    /// read back is not what was written; it is left, as what tells of the disk. Other errors: the
    /// system's; then what was written is removed again.
    ///
    /// Read back past what this machine has in memory, as read() does. What a stick, or a file system
    /// in user space (FUSE), keeps in a memory of its own may still answer in the disk's place: only
    /// reading it again later shows that.
    ///
    /// Written under its own name and not renamed: on FAT a rename is two writes, between which two
    /// names have the same bytes, and who removes one has removed both. A reader believes only the
    /// digest at a file's end.
    result<void> write(const label& of, const sealed_record& what) const;

    /// Nothing to do if it is not there. A folder of a thousand that became empty goes with it.
    result<void> erase(const label& of) const;

    /// See read_sealed(). From the disk: what this machine has of it in memory is dropped first.
    result<sealed_record> read(const label& of) const { return read(path_of(of)); }
    result<sealed_record> read(const std::string& path) const;

    struct file {
        std::string path; ///< below the folder
        std::uint64_t size_bytes = 0;
        wall_time written_at{}; ///< as the disk has it: a hint, the clock may have been wrong
    };
    /// Every file of ours in the folders of ours, in no order. What else lies on the disk (ext4 has a
    /// lost+found that only root may look into) is not touched. Memory: one name.
    result<void> list(const std::function<void(file)>& told) const;

    /// For what lies beside the records.
    const foreign_folder& place() const noexcept { return at_; }

private:
    explicit folder(foreign_folder at) noexcept : at_(std::move(at)) {}
    result<void> gives_back(const label& of, const sealed_record& what) const;

    foreign_folder at_;
};

/// Every file with a name of ours, also where people copied them to, three folders deep; in no order, by
/// their names below `in`. Links and other mounts are passed over. `skipped` hears of the folders that
/// this user may not look into. Errors: what the system says; then not all were told.
result<void> find_files(const foreign_folder& in,
                        const std::function<void(const std::string&)>& told,
                        const std::function<void(const std::string&)>& skipped);

} // namespace titip::bundle
