#include "journal/backup.hpp"

#include "base/descriptor.hpp"
#include "base/file.hpp"
#include "base/file_system.hpp"
#include "base/foreign_folder.hpp"
#include "base/log.hpp"
#include "journal/parts.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/scope_exit.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/// A copy of the whole store while it is in use: LMDB walks one snapshot and hands us its pages, in
/// order, through a pair of sockets, so that they are hashed and counted on their way. Its
/// transaction ids begin at 1 again, by which open() knows it for a copy.
namespace titip::journal {

namespace {

using kind = backup_failure::kind;

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
        return fmt::format("{}: {}: the daemon's user must be able to write there: chown titip it. "
                           "The service does not see /home, /root and /run/user at all",
                           folder.string(), said);
    case ENOENT:
        return fmt::format("{}: {}: make it first; the service does not see /home, and has a /tmp "
                           "of its own",
                           folder.string(), said);
    default:
        return fmt::format("{}: {}", folder.string(), said);
    }
}

/// `path` could not be written to.
backup_failure not_written(const std::filesystem::path& path, int error)
{
    const auto said = fmt::format("{}: {}", path.string(), std::strerror(error));
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return {kind::full, said};
    case EFBIG:
        return {kind::full, said + ": no file there may be so large (on FAT 4 GiB): take a disk "
                                   "with another file system"};
    default:
        return {kind::failed, said};
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
    return info.me_last_pgno + 1 -
           std::min<std::uint64_t>(free_pages(environment), info.me_last_pgno);
}

bool is_within(const std::filesystem::path& folder, const std::filesystem::path& directory)
{
    std::error_code failed;
    const auto inner = std::filesystem::canonical(folder, failed);
    const auto outer = std::filesystem::canonical(directory, failed);
    return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

/// What an earlier copy left that was given up or killed. Only names that target_in() makes.
void remove_remains(const target& into, const std::string& node)
{
    const auto size = into.part.filename().string().size();
    std::error_code failed;
    for (const auto& each : std::filesystem::directory_iterator{into.folder, failed}) {
        const auto name = each.path().filename().string();
        if (name.size() == size && name.starts_with(node + "-") && name.ends_with("Z.part"))
            std::filesystem::remove(each.path(), failed);
    }
}

/// The store that is copied, as the target's disk has to know it.
struct source {
    std::filesystem::path directory;
    std::uint64_t copy_bytes = 0; ///< at most
    /// Free bytes that must stay on the store's own disk, which a copy must never fill.
    std::uint64_t spared_bytes = 0;
};

/// A store whose files are gone as easily has no better.
void check_lasting(const target& into, const source& from)
{
    using gone = fleeting::kind;
    const auto there = find_fleeting(into.folder);
    const auto here = there ? find_fleeting(from.directory) : std::nullopt;
    if (!there || (here && (here->what == gone::memory || there->what == gone::layer)))
        return;
    give_up(
        kind::refused,
        there->what == gone::memory
            ? fmt::format("{} is in memory ({}): what is written there is gone when the machine "
                          "is switched off. Take a folder on a disk",
                          into.folder.string(), there->name)
            : fmt::format("{} is a container's own layer ({}): what is written there is gone "
                          "with the container. Take a folder on a disk",
                          into.folder.string(), there->name));
}

void check_target(const target& into, const source& from)
{
    if (!into.folder.is_absolute())
        give_up(kind::refused, "the folder of a backup needs its whole path, from / on");
    const descriptor folder{::open(into.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.get() < 0)
        give_up(kind::refused, why_not(into.folder, errno));
    if (::faccessat(folder.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
        give_up(kind::refused, why_not(into.folder, errno));
    check_lasting(into, from);
    if (is_within(into.folder, from.directory))
        give_up(kind::refused, fmt::format("{} belongs to the store itself: take another folder, "
                                           "on another disk",
                                           into.folder.string()));
    for (const auto& each : {into.file, into.told, into.part})
        // A link as well, whatever it leads to.
        if (std::error_code failed;
            std::filesystem::exists(std::filesystem::symlink_status(each, failed)))
            give_up(kind::refused, fmt::format("{} is there already: nothing is written over; move "
                                               "it away, or take another folder",
                                               each.string()));
}

/// Free bytes there, less what must stay free.
std::uint64_t room_at(int file, const target& into, const source& from)
{
    struct statvfs disk {};
    struct stat there {};
    struct stat here {};
    if (::fstatvfs(file, &disk) != 0 || ::fstat(file, &there) != 0 ||
        ::stat(from.directory.c_str(), &here) != 0)
        throw not_written(into.folder, errno);
    const std::uint64_t free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    const auto spared = there.st_dev == here.st_dev ? from.spared_bytes : 0;
    return free_bytes - std::min(spared, free_bytes);
}

void check_room(int file, const target& into, const source& from, std::uint64_t needed_bytes)
{
    const auto room = room_at(file, into, from);
    if (room < needed_bytes)
        give_up(kind::full,
                fmt::format("{}: the copy needs up to {} bytes more, {} are free there{}",
                            into.folder.string(), needed_bytes, room,
                            room == 0 ? " beside what the store's records may need: take another "
                                        "disk"
                                      : ""));
}

/// What the store holds, of the moment before the copy: that may hold a little more.
void describe(const transaction& txn, const tables& t, backup& out)
{
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
    boost::json::object head;
    head["sequence"] = what.head_sequence;
    head["manifest_hash"] = to_hex(what.head_hash);
    boost::json::object out;
    out["file"] = what.file.filename().string();
    out["node"] = what.node;
    out["taken_at"] = to_rfc3339(what.taken_at);
    out["epoch"] = what.epoch.to_string();
    out["head"] = std::move(head);
    out["records"] = what.records;
    out["size_bytes"] = what.size_bytes;
    out["sha256"] = to_hex(what.sha256);
    return boost::json::serialize(out) + "\n";
}

using outcome = result<backup, backup_failure>;

} // namespace

/// One copy under way, in two threads. LMDB's reads the snapshot: it must end before the store does,
/// and soon, since no page that is freed meanwhile is used again. The other writes to a disk that may
/// be slow, or hang for ever: it owns all that it uses, touches nothing of the store, and nobody
/// waits for it. Given up, it ends by itself, if ever, and leaves at most a .part.
class copying {
public:
    explicit copying(std::shared_ptr<backup_progress> watched) : watched_(std::move(watched)) {}

    /// Before the threads begin.
    void prepare(target into, source from, backup about)
    {
        into_ = std::move(into);
        from_ = std::move(from);
        about_ = std::move(about);
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            throw backup_failure{kind::failed, std::strerror(errno)};
        pages_in_.emplace(ends[0]);
        pages_out_.emplace(ends[1]);
    }

    /// LMDB's thread.
    void read_snapshot(MDB_env* environment) noexcept
    {
        {
            std::unique_lock lock{mutex_};
            changed_.wait(lock, [this] { return is_ready_ || is_given_up_; });
            if (is_given_up_)
                return;
        }
        const int failed = mdb_env_copyfd2(environment, pages_in_->get(), MDB_CP_COMPACT);
        const std::lock_guard lock{mutex_};
        read_ = failed;
        ::shutdown(pages_in_->get(), SHUT_WR);
    }

    /// The other's.
    void write_target() noexcept
    {
        std::optional<outcome> done;
        try {
            done.emplace(copy());
        } catch (backup_failure& failure) {
            done.emplace(std::move(failure));
        } catch (const std::exception& failure) {
            done.emplace(
                backup_failure{kind::failed, fmt::format("the copy failed: {}", failure.what())});
        }
        give_up_pages();
        const std::lock_guard lock{mutex_};
        done_ = std::move(done);
        is_over_ = true;
    }

    /// Ends the snapshot, whatever the target's disk does: LMDB's next write to us fails, and the
    /// one that waits for room. Any thread.
    void give_up_pages() noexcept
    {
        const std::lock_guard lock{mutex_};
        is_given_up_ = true;
        if (pages_out_)
            ::shutdown(pages_out_->get(), SHUT_RDWR);
        changed_.notify_all();
    }

    /// The target's disk has been let go of, however it ended.
    bool is_over()
    {
        const std::lock_guard lock{mutex_};
        return is_over_;
    }

    /// Nothing while it is under way.
    std::optional<outcome> taken()
    {
        const std::lock_guard lock{mutex_};
        return std::exchange(done_, std::nullopt);
    }

private:
    backup copy()
    {
        check_target(into_, from_);
        remove_remains(into_, about_.node);
        const descriptor file{
            ::open(into_.part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (file.get() < 0)
            give_up(kind::refused, why_not(into_.folder, errno));
        bool is_named = false;
        bool is_told = false;
        bool is_done = false;
        BOOST_SCOPE_EXIT(&is_named, &is_told, &is_done, this_) // and nothing that is another's
        {
            ::unlink(this_->into_.part.c_str());
            if (is_named && !is_done)
                ::unlink(this_->into_.file.c_str());
            if (is_told && !is_done)
                ::unlink(this_->into_.told.c_str());
        }
        BOOST_SCOPE_EXIT_END
        constexpr std::uint64_t beside = 1u << 20; // the file that says what it is
        check_room(file.get(), into_, from_, from_.copy_bytes + beside);
        copy_pages(file.get());
        if (::fsync(file.get()) != 0)
            throw not_written(into_.part, errno);
        about_.size_bytes = watched_->copied_bytes;
        read_back(into_.part, about_.size_bytes, about_.sha256);
        go_on();
        if (!rename_to_file())
            throw not_written(into_.file, errno);
        is_named = true;
        // Last, and with a sync of the folder: where this file is, the copy is whole.
        const auto text = in_json(about_);
        const auto told = write_file(into_.told, as_bytes(text));
        if (!told && told.error() == file_errc::no_file)
            give_up(kind::failed,
                    fmt::format("{}: {}", into_.told.string(), told.error().message()));
        if (!told)
            throw not_written(into_.told, told.error().value());
        is_told = true;
        read_back(into_.told, text.size(), sha256(as_bytes(text)));
        is_done = true;
        return about_;
    }

    /// Throws if nobody wants the copy any more.
    void go_on()
    {
        const std::lock_guard lock{mutex_};
        if (is_given_up_)
            give_up(kind::stopped, "the copy was given up");
    }

    void copy_pages(int file)
    {
        // A copy of gigabytes must not fill the memory with pages that wait to be written: the
        // store's own syncs would wait behind them.
        constexpr std::uint64_t window_bytes = 8u << 20;
        constexpr std::uint64_t look_again_bytes = 64u << 20;
        {
            const std::lock_guard lock{mutex_};
            is_ready_ = true;
            changed_.notify_all();
        }
        hasher sum;
        bytes piece(256u << 10);
        std::uint64_t written = 0;
        for (;;) {
            const auto got = ::recv(pages_out_->get(), piece.data(), piece.size(), 0);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                give_up(kind::failed, fmt::format("socket: {}", std::strerror(errno)));
            go_on();
            if (got == 0)
                break;
            const auto filled = bytes_view{piece}.first(static_cast<std::size_t>(got));
            if (const auto put = write_all(file, filled); !put)
                throw not_written(into_.part, put.error().value());
            sum.update(filled);
            const auto before = std::exchange(written, written + filled.size());
            if (before / window_bytes != written / window_bytes)
                push(file, before / window_bytes * window_bytes, window_bytes);
            if (before / look_again_bytes != written / look_again_bytes)
                check_room(file, into_, from_,
                           from_.copy_bytes - std::min(written, from_.copy_bytes));
            watched_->copied_bytes = written;
        }
        const std::lock_guard lock{mutex_};
        if (read_ != 0)
            give_up(kind::failed, fmt::format("the store cannot be copied: {}",
                                              mdb_strerror(read_.value_or(EPIPE))));
        about_.sha256 = sum.value();
    }

    /// From the disk, past what this machine has of it in memory; a stick, or a file system in user
    /// space, may have more in a memory of its own.
    void read_back(const std::filesystem::path& path, std::uint64_t size_bytes,
                   const digest& wanted)
    {
        const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
        if (!file)
            throw not_written(path, errno);
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
        ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
        hasher sum;
        bytes piece(256u << 10);
        std::uint64_t read = 0;
        for (;;) {
            const auto got = ::read(file.get(), piece.data(), piece.size());
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                give_up(kind::failed,
                        fmt::format("{}: what was written cannot be read back ({}): take another "
                                    "disk",
                                    path.string(), std::strerror(errno)));
            if (got == 0)
                break;
            go_on();
            sum.update(bytes_view{piece}.first(static_cast<std::size_t>(got)));
            // And out of memory: a copy of gigabytes would drive everything else out of it.
            ::posix_fadvise(file.get(), static_cast<off_t>(read), got, POSIX_FADV_DONTNEED);
            read += static_cast<std::uint64_t>(got);
            watched_->copied_bytes += static_cast<std::uint64_t>(got);
        }
        if (read != size_bytes || sum.value() != wanted)
            give_up(kind::failed,
                    fmt::format("{}: what is read back is not what was written: this disk loses "
                                "what is written to it: take another one",
                                path.string()));
    }

    /// To the disk, and out of memory. What fails here, fsync() says again.
    static void push(int file, std::uint64_t offset, std::uint64_t size)
    {
        const auto from = static_cast<off_t>(offset);
        ::sync_file_range(file, from, static_cast<off_t>(size),
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER);
        ::posix_fadvise(file, from, static_cast<off_t>(size), POSIX_FADV_DONTNEED);
    }

    bool rename_to_file() const
    {
        if (::renameat2(AT_FDCWD, into_.part.c_str(), AT_FDCWD, into_.file.c_str(),
                        RENAME_NOREPLACE) == 0)
            return true;
        std::error_code failed; // some file systems know no such flag (NFS)
        return errno == EINVAL && !std::filesystem::exists(into_.file, failed) &&
               ::rename(into_.part.c_str(), into_.file.c_str()) == 0;
    }

    target into_;
    source from_;
    backup about_;
    const std::shared_ptr<backup_progress> watched_;
    std::optional<descriptor> pages_in_;  ///< LMDB's end
    std::optional<descriptor> pages_out_; ///< ours

    std::mutex mutex_; ///< guards what follows
    std::condition_variable changed_;
    bool is_ready_ = false; ///< the target can be written to
    bool is_given_up_ = false;
    std::optional<int> read_; ///< what LMDB said at the end
    std::optional<outcome> done_;
    bool is_over_ = false;
};

void give_up_copy(copying& under_way) noexcept
{
    under_way.give_up_pages();
}

namespace {

/// Whatever ends the coroutine that waits for it.
struct given_up_at_end {
    std::shared_ptr<copying> what;
    explicit given_up_at_end(std::shared_ptr<copying> w) : what(std::move(w)) {}
    ~given_up_at_end() { what->give_up_pages(); }
};

/// Nothing, or why it could not be begun.
template <class Prepare>
std::optional<backup_failure> begin(const std::shared_ptr<copying>& what, Prepare& prepare,
                                    MDB_env* environment, std::jthread& reader)
{
    try {
        prepare();
        reader = std::jthread{[what, environment] { what->read_snapshot(environment); }};
        std::thread{[what] { what->write_target(); }}.detach();
        return std::nullopt;
    } catch (backup_failure& failure) {
        return std::move(failure);
    } catch (const std::system_error& none) {
        return backup_failure{kind::failed,
                              fmt::format("no thread is to be had for the copy: {}", none.what())};
    }
}

} // namespace

asio::awaitable<result<backup, backup_failure>>
store::back_up(std::filesystem::path folder, std::shared_ptr<backup_progress> watched)
{
    if (const auto earlier = parts_->copying.lock(); earlier && !earlier->is_over())
        co_return backup_failure{kind::refused,
                                 "a backup is under way already: wait for its end. If there is "
                                 "none, an earlier one hangs in the disk that it was written to: "
                                 "take that disk away, or restart titipd"};
    const auto work = std::make_shared<journal::copying>(watched);
    parts_->copying = work;
    const given_up_at_end at_end{work};
    backup about{.file = {}, .node = parts_->opts.node, .epoch = {}, .taken_at = wall_now()};
    const auto into = target_in(folder, about.node, about.taken_at);
    about.file = into.file;
    const auto began = now();
    source from{.directory = parts_->opts.directory,
                .copy_bytes = 0,
                .spared_bytes = parts_->room->reserve_bytes() + parts_->opts.quota_bytes -
                                std::min(parts_->opts.quota_bytes, began.file_bytes)};
    auto describe_it = [this, &about, &from]() -> result<void> {
        from.copy_bytes = pages_in_use(parts_->env->get()) * lmdb_page_bytes;
        const transaction txn{parts_->env->get(), transaction::mode::read};
        describe(txn, parts_->t, about);
        return {};
    };
    const auto look = [this, &describe_it] { return parts_->guarded(describe_it); };
    const auto looked = co_await run_on(parts_->pool, look);
    if (!looked)
        co_return backup_failure{kind::failed, looked.error().message()};
    watched->total_bytes = 2 * from.copy_bytes; // written, and read back
    if (watched->stop)
        co_return backup_failure{kind::stopped, "the daemon is stopping"};

    auto prepare = [&work, &into, &from, &about] { work->prepare(into, from, about); };
    if (auto failed = begin(work, prepare, parts_->env->get(), parts_->copier))
        co_return std::move(*failed);

    // Looked at from here, not told: the thread at the target may outlive us.
    constexpr milliseconds pause = 50ms;
    asio::steady_timer timer{co_await asio::this_coro::executor};
    auto copied = std::uint64_t{0};
    auto moved_at = monotonic::now();
    std::optional<outcome> done;
    while (!done) {
        timer.expires_after(pause);
        co_await timer.async_wait(asio::use_awaitable);
        if (const auto before = std::exchange(copied, watched->copied_bytes); before != copied)
            moved_at = monotonic::now();
        const auto here = now();
        done = work->taken();
        if (done)
            break;
        if (watched->stop)
            co_return backup_failure{kind::stopped,
                                     "the daemon is stopping: the copy was given up"};
        if (monotonic::now() - moved_at > parts_->opts.copy_patience)
            co_return backup_failure{
                kind::failed,
                fmt::format("{}: the disk takes nothing any more: the copy was given up",
                            into.folder.string())};
        // What is freed meanwhile is not used again: the store must not grow to its end for a copy.
        const auto most_file_bytes = parts_->opts.quota_bytes + parts_->opts.quota_bytes / 8;
        if ((began.has_room && !here.has_room) ||
            (here.file_bytes > began.file_bytes && here.file_bytes > most_file_bytes))
            co_return backup_failure{kind::full,
                                     "the store needs its space for records: the copy was given "
                                     "up; take a faster disk, or try again when less is recorded"};
    }
    if (!*done)
        co_return std::move(done->error());
    const auto noted = co_await note_backup(
        fmt::format("{} bytes={}", (*done)->file.string(), (*done)->size_bytes));
    if (!noted)
        log::warn("backup-not-noted why=\"{}\"", noted.error().message()); // it is there, and whole
    co_return std::move(*done);
}

} // namespace titip::journal
