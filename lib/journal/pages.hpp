#pragma once

#include "base/bytes.hpp"
#include "journal/database.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// LMDB 0.9's file read page by page, without LMDB and without a map: for looking at a store that may
/// be damaged anywhere. Nothing in a page is believed; what does not fit is said, not followed. Private
/// to this room.
namespace titip::journal {

using page_number = std::uint64_t;
using page = std::array<std::byte, lmdb_page_bytes>;

/// Reads of a file of pages.
class page_file {
public:
    /// Throws boost::system::system_error.
    explicit page_file(const std::filesystem::path& path);
    page_file(const page_file&) = delete;
    ~page_file();

    /// As of now; a page that is there in part counts.
    page_number size() const;
    /// False: beyond the end, or the disk does not give it.
    bool read(page_number number, page& into) const;
    bool read(page_number first, std::span<std::byte> into) const;

private:
    int file_ = -1;
};

enum class page_kind { branch, leaf, overflow, other };
page_kind kind_of(const page& p) noexcept;
/// What the page says of itself.
page_number number_of(const page& p) noexcept;
/// Of a run of overflow pages.
std::uint32_t run_of(const page& p) noexcept;
inline constexpr std::size_t page_header_bytes = 16;

struct node {
    bytes_view key;
    bytes_view value;          ///< empty if it lies elsewhere
    page_number elsewhere = 0; ///< of a leaf: the value's first overflow page; of a branch: below
    std::uint64_t size_bytes = 0; ///< of the value
    bool is_table = false;        ///< the value describes a table
};
/// The nodes of a branch or leaf, in order; nothing if one of them does not lie within the page.
std::optional<std::vector<node>> nodes_of(const page& p);

/// Those nodes of a page, taken for a leaf, that lie within it, whatever its header says.
std::vector<node> readable_nodes_of(const page& p);

/// What describes a table (MDB_db).
struct table_root {
    std::uint16_t flags = 0;
    std::uint16_t depth = 0;
    std::uint64_t branches = 0;
    std::uint64_t leaves = 0;
    std::uint64_t overflows = 0;
    std::uint64_t entries = 0;
    page_number root = 0;
    static constexpr page_number none = ~page_number{0};
};
table_root read_table_root(bytes_view stored);

/// A meta page.
struct snapshot {
    std::uint64_t transaction = 0;
    page_number last = 0;
    table_root free;
    table_root main;
};
std::optional<snapshot> read_snapshot(const page& p);
/// Commit n writes meta page n % 2, so that the two are neighbours; both are 0 before the first commit.
bool are_neighbours(std::uint64_t even, std::uint64_t odd) noexcept;
/// Of two good ones the newer.
std::optional<snapshot> newest_snapshot(const page_file& from);
/// Both are well-formed, and of commits that followed each other.
bool are_meta_pages_good(const page_file& from);

/// The branches and leaves of a commit's tables, as far as they can be followed.
std::vector<bool> pages_of_trees(const page_file& from, const snapshot& of);

/// Follows a commit's trees and its list of free pages, and says what does not fit: each page is in use
/// once or free, keys ascend and lie where the pages above them say, counts are right. Reads neither values that fill pages of their own nor
/// what is free, so that the cost is a hundredth of the file. Memory: a bit a page.
/// While others write, a read transaction of that commit must be open. `on_step` is told now and then
/// that it goes on.
std::vector<std::string> check_pages(const page_file& from, const snapshot& of,
                                     const std::function<void()>& on_step = {});

} // namespace titip::journal
