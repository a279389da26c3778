#include "journal/backup.hpp"

#include "base/file.hpp"
#include "journal/parts.hpp"

#include <boost/scope_exit.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

/// A copy of the whole store while it is in use: LMDB walks one snapshot and hands us its pages, in
/// order, through a pipe, so that they are hashed and counted on their way, and can be given up at
/// any time. Its transaction ids begin at 1 again, by which open() knows it for a copy.
namespace titip::journal {

namespace {

using kind = backup_failure::kind;

class descriptor {
public:
    explicit descriptor(int fd = -1) : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~descriptor() { close(); }
    void close() noexcept
    {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }
    int get() const noexcept { return fd_; }

private:
    int fd_;
};

[[noreturn]] void give_up(kind what, std::string sentence)
{
    throw backup_failure{what, std::move(sentence)};
}

/// Why nothing can be written there, and what an administrator does about it.
std::string why_not(const std::filesystem::path& folder, int error)
{
    const auto said = std::strerror(error);
    switch (error) {
    case EROFS:
        return fmt::format(
            "{}: {}: the service may write only where its unit allows: systemctl edit titipd, add "
            "[Service] and ReadWritePaths={}, then systemctl restart titipd",
            folder.string(), said, folder.string());
    case EACCES:
    case EPERM:
        return fmt::format("{}: {}: the daemon's user must be able to write there: chown titip it",
                           folder.string(), said);
    case ENOENT:
        return fmt::format("{}: {}: make it first; the service does not see /home, and has a /tmp "
                           "of its own",
                           folder.string(), said);
    default:
        return fmt::format("{}: {}", folder.string(), said);
    }
}

struct target {
    std::filesystem::path folder;
    std::filesystem::path file; ///< the store
    std::filesystem::path told; ///< what it is; written last
    std::filesystem::path part; ///< the store while it is not whole
};

/// "kab-karimun-03-2026-11-25T10-51-36Z": no colons, for file systems that have none.
target target_in(const std::filesystem::path& folder, const std::string& node, wall_time at)
{
    auto name = node + "-" + to_rfc3339(at);
    std::ranges::replace(name, ':', '-');
    return {.folder = folder,
            .file = folder / (name + ".mdb"),
            .told = folder / (name + ".json"),
            .part = folder / (name + ".part")};
}

/// An upper bound: pages that are in use now. Those of the free list are not copied.
std::uint64_t pages_in_use(MDB_env* environment)
{
    MDB_envinfo info{};
    check(mdb_env_info(environment, &info));
    std::uint64_t free_pages = 0;
    const transaction reading{environment, transaction::mode::read};
    cursor walk{reading, table{0}};
    for (auto each = walk.first(); each; each = walk.next()) {
        std::size_t count = 0;
        std::memcpy(&count, each->value.data(), sizeof count);
        free_pages += count;
    }
    return info.me_last_pgno + 1 - std::min<std::uint64_t>(free_pages, info.me_last_pgno);
}

void check_target(const target& into, std::uint64_t total_bytes)
{
    if (!into.folder.is_absolute())
        give_up(kind::refused, "the folder of a backup needs its whole path, from / on");
    const descriptor folder{::open(into.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.get() < 0)
        give_up(kind::refused, why_not(into.folder, errno));
    if (::faccessat(folder.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
        give_up(kind::refused, why_not(into.folder, errno));
    for (const auto& each : {into.file, into.told, into.part})
        if (std::error_code failed; std::filesystem::exists(each, failed))
            give_up(kind::refused, fmt::format("{} is there already: nothing is written over; move "
                                               "it away, or take another folder",
                                               each.string()));
    struct statvfs disk {};
    if (::fstatvfs(folder.get(), &disk) != 0)
        give_up(kind::refused, why_not(into.folder, errno));
    constexpr std::uint64_t beside = 1u
                                     << 20; // the file that says what it is, and the file system's
    const std::uint64_t free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    if (free_bytes < total_bytes + beside)
        give_up(kind::full, fmt::format("{}: the copy needs up to {} bytes, {} are free there",
                                        into.folder.string(), total_bytes + beside, free_bytes));
}

void write_all(int file, bytes_view data, const std::filesystem::path& path)
{
    while (!data.empty()) {
        const auto put = ::write(file, data.data(), data.size());
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            give_up(errno == ENOSPC ? kind::full : kind::failed,
                    fmt::format("{}: {}", path.string(), std::strerror(put < 0 ? errno : EIO)));
        data = data.subspan(static_cast<std::size_t>(put));
    }
}

/// The snapshot's bytes into `file`; their digest.
digest copy_pages(MDB_env* environment, int file, const std::filesystem::path& path,
                  backup_progress& watched)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        give_up(kind::failed, fmt::format("pipe: {}", std::strerror(errno)));
    descriptor from{ends[0]};
    descriptor to{ends[1]};
    std::atomic<int> failed = 0;
    std::thread copier{[environment, &to, &failed] {
        failed = mdb_env_copyfd2(environment, to.get(), MDB_CP_COMPACT);
        to.close();
    }};
    // Closing our end is what ends LMDB's side, whatever it is at (EPIPE).
    BOOST_SCOPE_EXIT(&from, &copier)
    {
        from.close();
        copier.join();
    }
    BOOST_SCOPE_EXIT_END
    hasher sum;
    bytes piece(256u << 10);
    for (;;) {
        if (watched.stop)
            give_up(kind::stopped, "the daemon is stopping: the copy was given up");
        const auto got = ::read(from.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            give_up(kind::failed, fmt::format("pipe: {}", std::strerror(errno)));
        if (got == 0)
            break; // `failed` is written before the pipe closes
        const auto filled = bytes_view{piece}.first(static_cast<std::size_t>(got));
        write_all(file, filled, path);
        sum.update(filled);
        watched.copied_bytes += filled.size();
    }
    if (failed != 0)
        give_up(kind::failed, fmt::format("the store cannot be copied: {}", mdb_strerror(failed)));
    return sum.value();
}

/// What the copy holds, read from the copy: it is one that can be opened.
void look_into(const std::filesystem::path& copy, backup& out)
{
    MDB_env* handle = nullptr;
    check(mdb_env_create(&handle));
    BOOST_SCOPE_EXIT(&handle)
    {
        mdb_env_close(handle);
    }
    BOOST_SCOPE_EXIT_END
    check(mdb_env_set_maxdbs(handle, 16));
    check(
        mdb_env_open(handle, copy.c_str(), MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0));
    const transaction txn{handle, transaction::mode::read};
    tables t{};
    check(mdb_dbi_open(txn.native_handle(), "meta", 0, &t.meta.handle));
    check(mdb_dbi_open(txn.native_handle(), "numbering", 0, &t.numbering.handle));
    v1::Meta meta;
    const auto key = key_builder{}.text("meta");
    open_row(seed::meta, key, txn.get(t.meta, key).value_or(bytes_view{}), meta);
    out.epoch = epoch_id::from_bytes(as_bytes(meta.store_epoch())).value_or(epoch_id{});
    for (const auto& each : meta.tallies())
        out.records += each.records();
    out.head_sequence = meta.previous_sequence();
    out.head_hash = to_digest(as_bytes(meta.previous_head())).value_or(digest{});
    const auto number = numbering_key(out.node, out.epoch);
    if (const auto stored = txn.get(t.numbering, number)) {
        v1::Numbering numbering;
        open_row(seed::numbering, number, *stored, numbering);
        out.head_sequence = numbering.head();
        out.head_hash = to_digest(as_bytes(numbering.head_hash())).value_or(digest{});
    }
}

std::string in_json(const backup& what)
{
    return fmt::format("{{\n"
                       "  \"file\": \"{}\",\n"
                       "  \"node\": \"{}\",\n"
                       "  \"taken_at\": \"{}\",\n"
                       "  \"epoch\": \"{}\",\n"
                       "  \"head\": {{\"sequence\": {}, \"manifest_hash\": \"{}\"}},\n"
                       "  \"records\": {},\n"
                       "  \"size_bytes\": {},\n"
                       "  \"sha256\": \"{}\"\n"
                       "}}\n",
                       what.file.filename().string(), what.node, to_rfc3339(what.taken_at),
                       what.epoch.to_string(), what.head_sequence, to_hex(what.head_hash),
                       what.records, what.size_bytes, to_hex(what.sha256));
}

backup copy_store(MDB_env* environment, const std::string& node, const target& into, wall_time at,
                  backup_progress& watched)
{
    const descriptor file{
        ::open(into.part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (file.get() < 0)
        give_up(kind::refused, why_not(into.folder, errno));
    bool is_done = false;
    BOOST_SCOPE_EXIT(&is_done, &into)
    {
        if (!is_done)
            for (const auto& each : {into.part, into.file})
                ::unlink(each.c_str());
    }
    BOOST_SCOPE_EXIT_END
    backup out{.file = into.file, .node = node, .taken_at = at};
    out.sha256 = copy_pages(environment, file.get(), into.part, watched);
    out.size_bytes = watched.copied_bytes;
    if (::fsync(file.get()) != 0)
        give_up(kind::failed, fmt::format("{}: {}", into.part.string(), std::strerror(errno)));
    look_into(into.part, out);
    if (::rename(into.part.c_str(), into.file.c_str()) != 0)
        give_up(kind::failed, fmt::format("{}: {}", into.file.string(), std::strerror(errno)));
    // Last, and with a sync of the folder: where this file is, the copy is whole.
    const auto told = write_file(into.told, as_bytes(in_json(out)));
    if (!told)
        give_up(kind::failed, fmt::format("{}: {}", into.told.string(), told.error().message()));
    is_done = true;
    return out;
}

} // namespace

namespace {

using outcome = result<backup, backup_failure>;

/// On a thread of its own: the disk may be slow, or hang, and the pool is for records.
template <class Job>
asio::awaitable<outcome> aside(std::jthread& thread, Job job)
{
    auto start = [&thread, &job](auto done) {
        thread = std::jthread{[done = std::move(done), job = std::move(job)]() mutable {
            try {
                done(outcome{job()});
            } catch (backup_failure& failure) {
                done(outcome{std::move(failure)});
            } catch (const std::exception& failure) {
                done(outcome{backup_failure{kind::failed,
                                            fmt::format("the copy failed: {}", failure.what())}});
            }
        }};
    };
    co_return co_await elsewhere<outcome>(std::move(start));
}

} // namespace

asio::awaitable<result<backup, backup_failure>>
store::back_up(std::filesystem::path folder, std::shared_ptr<backup_progress> watched)
{
    if (!parts_->copying.expired())
        co_return backup_failure{kind::refused, "a backup is under way already: wait for its end"};
    const auto under_way = std::make_shared<std::shared_ptr<backup_progress>>(watched);
    parts_->copying = under_way;
    const auto at = wall_now();
    const auto into = target_in(folder, parts_->opts.node, at);
    auto look = [this, into, watched] {
        watched->total_bytes = pages_in_use(parts_->env->get()) * 4096;
        check_target(into, watched->total_bytes);
        return backup{};
    };
    const auto looked = co_await aside(parts_->copier, std::move(look));
    if (!looked)
        co_return looked.error();
    // In the copy too: its own ledger says that it is one.
    const auto noted = co_await note_backup(into.file.string());
    if (!noted)
        co_return backup_failure{kind::failed, noted.error().message()};
    auto copy = [this, into, at, watched] {
        return copy_store(parts_->env->get(), parts_->opts.node, into, at, *watched);
    };
    co_return co_await aside(parts_->copier, std::move(copy));
}

} // namespace titip::journal
