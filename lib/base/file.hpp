#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <filesystem>

namespace titip {

/// A whole file; errc::file_too_large past `limit_bytes`, else what the system says.
result<bytes> read_file(const std::filesystem::path& path, std::size_t limit_bytes = 64u << 20);

/// The one way to write a file of ours, as a whole: temporary file (mode 0600) beside it, fsync, rename, fsync of the folder.
/// If it fails nothing of `data` stays. file_errc::no_file (foreign_folder.hpp): not over a link, a device or the like.
result<void> write_file(const std::filesystem::path& path, bytes_view data);

} // namespace titip
