#pragma once

#include "base/record_id.hpp"
#include "bundle/record_file.hpp"

#include <functional>
#include <optional>
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
/// file says. Files that lie elsewhere in the folder, as people copy them, are found as well.
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
/// Where write_record() puts it.
std::filesystem::path path_of(const std::filesystem::path& folder, const label& of);
/// Whether this is a name of ours; nothing else in a folder is looked at.
bool is_file_name(std::string_view name) noexcept;

/// Puts a record into the folder, which must be there: the folder of a disk that is not mounted is
/// never made. A file of this name is read: if it holds the same envelope, nothing is written; if
/// it is damaged, it is replaced; if it holds another record, errc::name_taken. Other errors:
/// errc::folder_missing and the system's.
result<void> write_record(const std::filesystem::path& folder, const label& of,
                          const sealed_record& what);

/// Nothing to do if it is not there. A folder of a thousand that became empty goes with it.
result<void> erase_record(const std::filesystem::path& folder, const label& of);

/// Every file whose name is one of ours, in no order, until `told` says false. Memory: one name.
/// errc::folder_missing, or what the system says; then not all were told.
result<void> list(const std::filesystem::path& folder,
                  const std::function<bool(const std::filesystem::path& file)>& told);

} // namespace titip::bundle
