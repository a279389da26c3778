#include "journal/compact.hpp"

#include "base/descriptor.hpp"
#include "base/explain.hpp"
#include "journal/birth.hpp"
#include "journal/marker.hpp"
#include "journal/parts.hpp"
#include "journal/rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::journal {

namespace {

namespace fs = std::filesystem;
using kind = open_failure::kind;

void require(bool good)
{
    if (!good)
        throw boost::system::system_error(last_error());
}

descriptor open_file(const fs::path& path, int flags)
{
    descriptor out{::open(path.c_str(), flags | O_CLOEXEC, 0600)};
    require(static_cast<bool>(out));
    return out;
}

std::uint64_t used_bytes(MDB_env* environment)
{
    MDB_envinfo info{};
    check(mdb_env_info(environment, &info));
    return (info.me_last_pgno + 1) * lmdb_page_bytes;
}

/// The number of the newest commit, if the store says the same of itself.
std::uint64_t newest_commit(const transaction& txn)
{
    table meta_table;
    check(mdb_dbi_open(txn.native_handle(), "meta", 0, &meta_table.handle));
    const auto key = key_builder{}.text("meta");
    const auto stored = txn.get(meta_table, key);
    if (!stored)
        throw open_failure{kind::untrusted, "the store has no meta row"};
    v1::Meta meta;
    open_row(seed::meta, key, *stored, meta);
    if (txn.id() == 1 && meta.transaction() > 1)
        throw open_failure{kind::unreadable,
                           "it is a backup that was not opened yet: start titipd first"};
    if (meta.transaction() != txn.id())
        throw open_failure{kind::untrusted,
                           fmt::format("the newest commit is {}, but the store was last written by "
                                       "{}: a commit was lost",
                                       txn.id(), meta.transaction())};
    return meta.transaction();
}

/// LMDB numbers a copy's only commit 1. It gets the number that it had, in the page where that
/// number belongs (n % 2), beside an empty one before it: what stands in the store, and beside it,
/// about its newest commit stays true, and the next commit does not overwrite this one.
void renumber(int copy, std::uint64_t commit)
{
    // mdb.c of 0.9: MDB_page begins with its number; MDB_meta, 16 bytes on, ends with the id.
    constexpr std::size_t id_at = 16 + 24 + 96 + 8;
    std::array<std::byte, 2 * lmdb_page_bytes> pages{};
    require(::pread(copy, pages.data(), pages.size(), 0) == static_cast<ssize_t>(pages.size()));
    auto newest = std::span{pages}.last<lmdb_page_bytes>();
    auto empty = std::span{pages}.first<lmdb_page_bytes>();
    if (commit % 2 == 0)
        std::swap_ranges(newest.begin(), newest.end(), empty.begin());
    for (std::uint64_t page = 0; page < 2; ++page) {
        const auto id = commit % 2 == page ? commit : commit - 1;
        std::memcpy(pages.data() + page * lmdb_page_bytes, &page, sizeof page);
        std::memcpy(pages.data() + page * lmdb_page_bytes + id_at, &id, sizeof id);
    }
    require(::pwrite(copy, pages.data(), pages.size(), 0) == static_cast<ssize_t>(pages.size()));
}

void compare(const transaction& one, const transaction& other, table in_one, table in_other)
{
    cursor a{one, in_one};
    cursor b{other, in_other};
    auto left = a.first();
    auto right = b.first();
    for (; left && right; left = a.next(), right = b.next())
        if (!std::ranges::equal(left->key, right->key) ||
            !std::ranges::equal(left->value, right->value))
            break;
    if (left || right)
        throw open_failure{kind::unreadable, "the copy is not what was copied: the disk or the "
                                             "memory of this machine is not sound"};
}

/// Every entry of every table, as the copy has it on disk.
void compare_all(const transaction& one, const transaction& other)
{
    table names_here;
    table names_there;
    check(mdb_dbi_open(one.native_handle(), nullptr, 0, &names_here.handle));
    check(mdb_dbi_open(other.native_handle(), nullptr, 0, &names_there.handle));
    cursor walk{one, names_here};
    std::size_t tables = 0;
    for (auto each = walk.first(); each; each = walk.next(), ++tables) {
        const std::string name{as_text(each->key)};
        table here;
        table there;
        check(mdb_dbi_open(one.native_handle(), name.c_str(), 0, &here.handle));
        check(mdb_dbi_open(other.native_handle(), name.c_str(), 0, &there.handle));
        compare(one, other, here, there);
    }
    MDB_stat found{};
    check(mdb_stat(other.native_handle(), names_there.handle, &found));
    if (found.ms_entries != tables)
        throw open_failure{kind::unreadable, "the copy has other tables than the store"};
}

void sync(const fs::path& path)
{
    const auto file = open_file(path, O_RDONLY);
    require(::fsync(file.get()) == 0);
}

/// Where the copy is made; gone afterwards, whatever happens.
class workshop {
public:
    explicit workshop(fs::path at) : path(std::move(at))
    {
        fs::remove_all(path); // of one that was killed
        fs::create_directory(path);
    }
    workshop(const workshop&) = delete;
    ~workshop()
    {
        std::error_code failed;
        fs::remove_all(path, failed);
    }
    const fs::path path;
};

compacted replace_by_copy(const fs::path& directory)
{
    const auto data_file = directory / "data.mdb";
    const directory_lock lock{directory};
    // A daemon in safe mode does not have it open. What is free in it is what salvage looks in too.
    if (const auto doubt = marker::standing_in(directory))
        throw open_failure{kind::untrusted,
                           fmt::format("it is not trusted ({}): titip verify first", doubt->why)};
    const workshop beside{directory / compacting_folder};
    check_meta_pages(data_file, lock.noted_commit());
    compacted out{.bytes_before = fs::file_size(data_file)};
    {
        const environment store{directory, out.bytes_before};
        const transaction all{store.get(), transaction::mode::read};
        const auto commit = newest_commit(all);
        if (lock.noted_commit() > commit)
            throw open_failure{kind::untrusted,
                               fmt::format("the newest commit here is {}, but {} was made", commit,
                                           lock.noted_commit())};
        {
            const auto copy = open_file(beside.path / "data.mdb", O_RDWR | O_CREAT | O_EXCL);
            check(mdb_env_copyfd2(store.get(), copy.get(), MDB_CP_COMPACT));
            renumber(copy.get(), commit);
            struct stat owner {}; // root may do this for the daemon's user
            require(::stat(data_file.c_str(), &owner) == 0 &&
                    ::fchown(copy.get(), owner.st_uid, owner.st_gid) == 0 &&
                    ::fchmod(copy.get(), owner.st_mode & 07777) == 0);
            require(::fsync(copy.get()) == 0);
            // The comparison is to read what the disk has.
            require(::posix_fadvise(copy.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
        }
        const environment made{beside.path, out.bytes_before};
        const transaction copied{made.get(), transaction::mode::read};
        if (newest_commit(copied) != commit)
            throw open_failure{kind::unreadable, "the copy does not go on from the same commit"};
        compare_all(all, copied);
        out.bytes_after = used_bytes(made.get());
    }
    fs::rename(beside.path / "data.mdb", data_file);
    sync(directory);
    return out;
}

} // namespace

result<compacted, open_failure> compact(const std::filesystem::path& directory)
{
    const auto there = is_there(directory);
    if (!there)
        return there.error();
    if (const auto folder = titip::is_there(directory); !folder)
        return open_failure{kind::unreadable, explain(directory, folder.error())};
    if (!*there)
        return open_failure{kind::unreadable,
                            fmt::format("{}: there is no store: is the disk mounted that it is on?",
                                        directory.string())};
    const auto leave = [&](kind what, const std::string& why) {
        return open_failure{what,
                            fmt::format("{}: {}; the store is as it was", directory.string(), why)};
    };
    try {
        return replace_by_copy(directory);
    } catch (const open_failure& failure) {
        return leave(failure.what, failure.sentence);
    } catch (const rotten_row& rotten) {
        return leave(kind::untrusted, rotten.what());
    } catch (const std::exception& failure) { // LMDB, the disk, the file system
        return leave(kind::unreadable, failure.what());
    }
}

} // namespace titip::journal
