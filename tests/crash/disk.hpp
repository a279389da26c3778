#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

/// Stands between this program and its disk. The program's own definitions of open, write, pwrite,
/// writev, fdatasync, fsync, ftruncate and fallocate are found before the C library's, by LMDB too,
/// so that what goes to the files of one folder can be noted, refused, or kept from the platter.
/// Threads: any.
namespace titip::tests::disk {

struct event {
    enum class kind { write, sync, mark };
    kind what{};
    std::string file; ///< its name within the folder
    std::uint64_t offset = 0;
    bytes data;
    bool is_durable = false; ///< through an O_DSYNC descriptor: on the platter when it returned
    std::size_t mark = 0;
};

/// Notes what is done to the files that are opened in `folder` from now on.
void watch(const std::filesystem::path& folder);
/// Puts a number between the calls.
void mark(std::size_t number);
/// Ends watching, and what fail() asked for; what was noted.
std::vector<event> stop();

enum class fault { io_error, no_space, short_write, kill };
/// Of the calls that change or sync a watched file, lets number `nth` (from 0) fail, once; `kill`: this
/// process ends before it.
void fail(std::size_t nth, fault how);
/// Such calls since watch().
std::size_t calls();

/// Syncs and reservations return at once, on any file: for looking at thousands of images.
void set_hasty(bool is_hasty);

/// What the files of a folder hold.
class image {
public:
    /// What is in a folder now.
    static image of(const std::filesystem::path& folder);
    void apply(const event& write);
    void save(const std::filesystem::path& folder) const;
    bool operator==(const image&) const = default;

private:
    std::map<std::string, bytes> files_;
};

} // namespace titip::tests::disk
