#include "journal/birth.hpp"
#include "journal/guard.hpp"
#include "journal/pages.hpp"
#include "journal/parts.hpp"

#include "base/descriptor.hpp"
#include "base/digest.hpp"
#include "base/explain.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "journal/scrubber.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::journal {

namespace {

using kind = open_failure::kind;

constexpr auto format = store::newest_format;

[[noreturn]] void refuse(kind what, std::string sentence)
{
    throw open_failure{what, std::move(sentence)};
}

std::string why()
{
    return std::strerror(errno);
}

v1::Meta new_meta(const std::string& node)
{
    const auto epoch = epoch_id::random();
    bytes key(32);
    fill_random(key);
    v1::Meta meta;
    meta.set_format(format);
    meta.set_store_epoch(std::string{as_text(epoch.data())});
    meta.set_submission_key(std::string{as_text(key)});
    meta.set_next_place(1);
    meta.set_next_entry(1);
    meta.set_next_finding(1);
    meta.set_node(node);
    meta.set_born_at_ms(to_ms(wall_now()));
    return meta;
}

/// Before anything else is made of the store: what a later version means by the rest is not known.
void check_format(const v1::Meta& meta)
{
    if (meta.format() > format)
        refuse(
            kind::newer,
            fmt::format("the store has format {}, this program knows {}: install the newer version "
                        "again",
                        meta.format(), format));
}

void check_node(const v1::Meta& meta, const std::string& node)
{
    if (meta.node() != node)
        refuse(kind::foreign,
               fmt::format("the store belongs to node \"{}\", the configuration says \"{}\": set "
                           "[node] name back, or give this node a state directory of its own",
                           meta.node(), node));
}

void check_meta(const v1::Meta& meta, const std::string& node, std::size_t newest_transaction)
{
    check_node(meta, node);
    if (meta.transaction() != newest_transaction)
        refuse(
            kind::untrusted,
            fmt::format("the newest commit is {} but the store was last written by {}: a commit "
                        "was lost; delete nothing, leave the machine as it is and call the centre",
                        newest_transaction, meta.transaction()));
}

std::string no_store_in(const std::filesystem::path& directory)
{
    return fmt::format("there is no store in {}: is the disk mounted that it is on?",
                       directory.string());
}

epoch_id epoch_of(const v1::Meta& meta)
{
    return epoch_id::from_bytes(as_bytes(meta.store_epoch())).value_or(epoch_id{});
}

/// Anything else of that name is refused: a folder, where somebody put the old files, would begin an
/// epoch at each start, and hide that a commit was lost.
bool is_declared_copy(const std::filesystem::path& directory)
{
    const auto said = directory / declared_copy;
    std::error_code failed;
    const auto status = std::filesystem::symlink_status(said, failed);
    if (status.type() == std::filesystem::file_type::not_found)
        return false;
    if (failed)
        refuse(kind::unreadable, fmt::format("{}: {}", said.string(), failed.message()));
    if (!std::filesystem::is_regular_file(status) || std::filesystem::file_size(said, failed) != 0)
        refuse(kind::unreadable,
               fmt::format("{} is not an empty file: move it to another place, then start titipd",
                           said.string()));
    return true;
}

void refuse_declared_without_store(const std::filesystem::path& directory)
{
    if (is_declared_copy(directory))
        refuse(kind::unreadable,
               fmt::format("{} says that a store was put back, but there is none: put data.mdb "
                           "beside it, or remove it to begin with an empty store",
                           (directory / declared_copy).string()));
}

/// Before the commit that it asks for: one that cannot be removed would ask for another epoch at
/// each start. If the power fails in between, the lock that was made empty says the same.
void remove_declaration(const std::filesystem::path& directory)
{
    const auto said = directory / declared_copy;
    if (::unlink(said.c_str()) != 0 && errno != ENOENT)
        refuse(kind::unreadable,
               fmt::format("{} cannot be removed ({}): remove it by hand, then start titipd",
                           said.string(), why()));
}

/// Where the bytes of data.mdb come from.
enum class origin {
    here,   ///< this daemon wrote all of it
    backup, ///< titip backup did: LMDB's compacting copy counts its commits from 1 again, the meta
            ///< row does not. No damage of one page looks like that: both must fit, see
            ///< check_meta_pages()
    copy,   ///< an administrator says that it is one, or the lock beside it knows of no commit
};

origin origin_of(const v1::Meta& meta, std::size_t newest_transaction, std::uint64_t noted_commit,
                 const std::filesystem::path& directory)
{
    const bool is_declared = is_declared_copy(directory);
    if (newest_transaction == 1 && meta.transaction() > 1)
        return origin::backup;
    // data.mdb was put alone into an empty folder, or on another machine. Only of a store in which
    // nothing was done yet the power may have failed before the lock's first sync.
    const bool is_newborn = newest_transaction == 1 && meta.next_entry() == 1;
    const bool is_alone = noted_commit == 0 && !is_newborn;
    return is_declared || is_alone ? origin::copy : origin::here;
}

[[noreturn]] void refuse_older(std::size_t newest, std::uint64_t noted)
{
    refuse(kind::untrusted,
           fmt::format(
               "the newest commit here is {}, but {} was made: a commit was lost, or an "
               "older data.mdb was put back. Delete nothing. If you put it back yourself: "
               "restore as /usr/share/doc/titip/operating.md says under \"Back up and restore\", "
               "which makes this known to the centre. If nobody did: leave the machine as it "
               "is and call the centre",
               newest, noted));
}

std::map<std::string, std::uint64_t, std::less<>> newest_verdicts(const transaction& txn,
                                                                  const tables& t)
{
    std::map<std::string, std::uint64_t, std::less<>> out;
    cursor walk{txn, t.verdicts};
    for (auto each = walk.first(); each;) {
        const auto key = as_text(each->key);
        const std::string station{key.substr(0, key.find('\0'))};
        out[station] = newest_verdict_of(txn, t, station);
        auto next = key_builder{}.text(station);
        const bytes most(sizeof(std::uint64_t) + 1, std::byte{0xff});
        each = walk.seek(next.raw(most));
    }
    return out;
}

} // namespace

environment::environment(const std::filesystem::path& directory, std::uint64_t map_bytes)
{
    open(directory, map_bytes, 0);
}

std::unique_ptr<environment> environment::open_read_only(const std::filesystem::path& directory)
{
    std::unique_ptr<environment> out{new environment};
    const auto file_bytes = std::filesystem::file_size(directory / "data.mdb");
    out->open(directory, (file_bytes + 4095) & ~0xfffull, MDB_RDONLY | MDB_NOLOCK);
    return out;
}

void environment::open(const std::filesystem::path& directory, std::uint64_t map_bytes,
                       unsigned flags)
{
    check(mdb_env_create(&handle_));
    try {
        check(mdb_env_set_maxdbs(handle_, 16));
        check(mdb_env_set_mapsize(handle_, map_bytes));
        check(mdb_env_set_assert(handle_, [](MDB_env*, const char* what) { on_assertion(what); }));
        // Never NOSYNC, WRITEMAP or NORDAHEAD: see docs/architecture.md.
        check(mdb_env_open(handle_, directory.c_str(), MDB_NOTLS | flags, 0600));
        note_map(directory / "data.mdb");
        int dead = 0;
        check(mdb_reader_check(handle_, &dead));
    } catch (...) {
        mdb_env_close(std::exchange(handle_, nullptr));
        throw;
    }
}

environment::~environment()
{
    note_map({});
    if (!handle_)
        return;
    mdb_env_close(handle_);
}

directory_lock::directory_lock(const std::filesystem::path& directory)
{
    std::error_code failed;
    std::filesystem::create_directories(directory, failed);
    const auto path = directory / "titipd.lock";
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0)
        refuse(kind::unreadable, fmt::format("{} ([node] state)", explain(path, last_error())));
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
        const auto said = last_error();
        ::close(file_);
        if (said != boost::system::errc::operation_would_block)
            refuse(kind::unreadable, explain(path, said));
        refuse(
            kind::in_use,
            fmt::format("{} is in use by another titipd: stop that one, or give this one its own "
                        "[node] state",
                        directory.string()));
    }
    // Its one block, before the store reserves what is left of the disk.
    if (noted_commit() == 0)
        note_commit(0);
}

directory_lock::~directory_lock()
{
    ::close(file_);
}

void directory_lock::note_commit(std::uint64_t transaction) noexcept
{
    // Failing costs a check at the next start, nothing else.
    [[maybe_unused]] const auto put = ::pwrite(file_, &transaction, sizeof transaction, 0);
}

void directory_lock::note_start(std::uint64_t transaction)
{
    note_commit(transaction);
    if (noted_commit() != transaction || ::fsync(file_) != 0)
        log::warn("lock-not-noted why=\"{}\"",
                  why()); // at the worst the next start begins an epoch
}

void directory_lock::forget_commits()
{
    note_commit(0);
    if (noted_commit() != 0 || ::fsync(file_) != 0)
        refuse(kind::unreadable, fmt::format("titipd.lock: {}", why()));
}

namespace {

std::uint64_t read_noted_commit(int file) noexcept
{
    std::uint64_t out = 0;
    return ::pread(file, &out, sizeof out, 0) == sizeof out ? out : 0;
}

} // namespace

std::uint64_t directory_lock::noted_commit() const noexcept
{
    return read_noted_commit(file_);
}

std::uint64_t noted_commit_in(const std::filesystem::path& directory)
{
    const int file = ::open((directory / "titipd.lock").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    const auto out = read_noted_commit(file);
    ::close(file);
    return out;
}

namespace {

/// The power failed while the store was being made (see sync_birth): nothing was ever committed. Both
/// meta pages say so, whatever was written behind them; or there is nothing but these two, or zeros in
/// their place. A large file is nobody's birth: records may be in it.
bool is_unborn(const std::array<page, 2>& pages, std::uint64_t file_bytes)
{
    constexpr std::uint64_t most_bytes =
        64 * lmdb_page_bytes; // the first commit is of some ten pages
    const auto says_so = [](const page& raw) {
        const auto said = read_snapshot(raw);
        return said && said->transaction == 0;
    };
    const auto is_blank = [](const page& raw) {
        return std::ranges::all_of(raw, [](std::byte b) { return b == std::byte{}; });
    };
    return (file_bytes <= most_bytes && std::ranges::all_of(pages, says_so)) ||
           (file_bytes <= sizeof pages && std::ranges::all_of(pages, [&](const page& raw) {
                return is_blank(raw) || says_so(raw);
            }));
}

} // namespace

void check_meta_pages(const std::filesystem::path& data_file, std::uint64_t noted_commit)
{
    const int file = ::open(data_file.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        if (errno == ENOENT)
            return; // a new store
        refuse(kind::unreadable, explain(data_file, last_error()));
    }
    std::array<page, 2> pages{};
    const auto got = ::pread(file, pages.data(), sizeof pages, 0);
    ::close(file);
    if (got == 0)
        return;
    const auto first = read_snapshot(pages[0]);
    const auto second = read_snapshot(pages[1]);
    // LMDB would take the older of two differing pages without a word if the newer one lost a bit.
    const bool fit = first && second && are_neighbours(first->transaction, second->transaction);
    std::error_code failed;
    if (noted_commit == 0 && is_unborn(pages, std::filesystem::file_size(data_file, failed))) {
        std::filesystem::remove(data_file, failed);
        if (!failed)
            return;
    }
    if (got != static_cast<ssize_t>(sizeof pages) || !fit)
        refuse(kind::untrusted,
               fmt::format("{}: the two meta pages do not belong together: delete nothing, leave "
                           "the machine as it is and call the centre",
                           data_file.string()));
}

namespace {

/// LMDB does not sync the first two pages of a new file, nor its name. Before these are on disk
/// nothing else is written, so that an unfinished birth can be told from a store that was damaged.
void sync_birth(const std::filesystem::path& directory, const std::filesystem::path& data_file)
{
    for (const auto& each : {data_file, directory}) {
        const int fd = ::open(each.c_str(), O_RDONLY | O_CLOEXEC);
        const bool is_synced = fd >= 0 && ::fsync(fd) == 0;
        const auto failed = errno;
        if (fd >= 0)
            ::close(fd);
        if (!is_synced)
            throw boost::system::system_error(failed, boost::system::system_category());
    }
}

} // namespace

totals to_totals(const v1::Meta& meta, const standing_findings& standing)
{
    totals out;
    for (const auto& each : meta.tallies())
        out.by_state.at(static_cast<std::size_t>(each.state())) = {
            .records = each.records(), .bytes = each.bytes(), .held = each.held()};
    out.next_entry = meta.next_entry();
    out.newest_signed = from_ms(meta.newest_signed_ms());
    out.findings = standing.some;
    out.standing_findings = standing.count;
    out.format = meta.format();
    out.paused = meta.paused();
    out.freed_for = meta.freed_for();
    out.sent_day = meta.sent_day();
    out.sent_bytes = meta.sent_bytes();
    for (const auto& each : meta.days())
        out.days.push_back({.begins = from_ms(each.day() * day_ms),
                            .accepted_bytes = each.accepted_bytes(),
                            .erased_bytes = each.erased_bytes()});
    out.live_bytes = live_bytes(meta);
    out.born = from_ms(meta.born_at_ms());
    return out;
}

namespace {

/// Of a record whose bytes are here; 0: there is none.
std::uint64_t mean_size(const totals& all)
{
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    for (const auto each :
         {state::waiting, state::relayed, state::delivered, state::opened, state::quarantined}) {
        records += all.of(each).records;
        bytes += all.of(each).bytes;
    }
    return records == 0 ? 0 : bytes / records;
}

} // namespace

store::parts::parts(options o, asio::thread_pool& p)
    : opts(std::move(o)), pool(p), lock(opts.directory)
{
    if (!opts.writer)
        opts.writer = std::make_shared<activity>();
}

std::string store_id(bytes_view submission_key)
{
    constexpr std::size_t id_bytes = 16;
    const auto sum = hmac_sha256(submission_key, as_bytes("titip store id"));
    return to_hex(bytes_view{sum}.first(id_bytes));
}

result<bool, open_failure> is_there(const std::filesystem::path& directory)
{
    const auto data_file = directory / "data.mdb";
    const auto noted = noted_commit_in(directory);
    const descriptor file{::open(data_file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    if (!file && (errno == ENOENT || errno == ENOTDIR))
        return noted > 0; // only a part of it is gone, which is for open() to say
    if (!file && (errno == EACCES || errno == EPERM))
        return open_failure{
            kind::unreadable,
            explain(data_file, error_code{errno, boost::system::system_category()})};
    std::array<page, 2> pages{};
    struct ::stat found {};
    // What the disk does not give is there.
    if (!file || noted > 0 || ::fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode))
        return true;
    const auto got = ::pread(file.get(), pages.data(), sizeof pages, 0);
    return got != 0 && (got < 0 || !is_unborn(pages, static_cast<std::uint64_t>(found.st_size)));
}

result<std::string, open_failure> id_in(const std::filesystem::path& directory,
                                        const std::string& node)
{
    // What a daemon writes meanwhile would be read in part.
    const descriptor lock{::open((directory / "titipd.lock").c_str(), O_RDONLY | O_CLOEXEC)};
    if (lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0)
        return open_failure{kind::in_use,
                            fmt::format("{} is in use by titipd", directory.string())};
    try {
        check_meta_pages(directory / "data.mdb", noted_commit_in(directory));
        const auto env = environment::open_read_only(directory);
        const transaction txn{env->get(), transaction::mode::read};
        table from;
        check(mdb_dbi_open(txn.native_handle(), "meta", 0, &from.handle));
        const auto key = key_builder{}.text("meta");
        const auto stored = txn.get(from, key);
        if (!stored)
            return open_failure{kind::untrusted, "the store has no meta row"};
        v1::Meta meta;
        open_row(seed::meta, key, *stored, meta);
        check_format(meta);
        check_node(meta, node);
        return store_id(as_bytes(meta.submission_key()));
    } catch (open_failure& failure) {
        return std::move(failure);
    } catch (const std::exception& failure) { // LMDB, a rotten row, the disk
        return open_failure{kind::untrusted,
                            fmt::format("{}: {}", directory.string(), failure.what())};
    }
}

result<void, open_failure> make_empty(const std::filesystem::path& directory,
                                      const std::string& node)
{
    constexpr std::size_t map_bytes = 16u << 20; // each opening has its own
    try {
        directory_lock lock{directory};
        const auto data_file = directory / "data.mdb";
        check_meta_pages(data_file, lock.noted_commit()); // half a birth is removed
        if (const auto there = is_there(directory); !there)
            return there.error();
        else if (*there)
            refuse(kind::in_use, fmt::format("{}: a store is there", directory.string()));
        refuse_declared_without_store(directory);
        std::error_code absent;
        if (std::filesystem::exists(directory / store::unfinished, absent))
            refuse(kind::unreadable,
                   fmt::format("{0}: a restore was not finished: run titip restore again; or "
                               "remove {0}/{1}, and begin with an empty store",
                               directory.string(), store::unfinished));
        const environment env{directory, map_bytes};
        sync_birth(directory, data_file);
        transaction txn{env.get(), transaction::mode::write};
        const auto t = open_tables(txn);
        make_findings_table(txn);
        auto meta = new_meta(node);
        meta.set_transaction(txn.id());
        const auto key = key_builder{}.text("meta");
        txn.put(t.meta, key, seal_row(seed::meta, key, meta));
        const auto made = txn.id();
        txn.commit();
        lock.note_start(made);
        return {};
    } catch (open_failure& failure) {
        return std::move(failure);
    } catch (const std::exception& failure) {
        return open_failure{kind::unreadable, fmt::format("{}: no store can be made there: {}",
                                                          directory.string(), failure.what())};
    }
}

result<std::shared_ptr<void>, open_failure> store::reserve(const std::filesystem::path& directory)
{
    try {
        return std::shared_ptr<void>{std::make_shared<directory_lock>(directory)};
    } catch (open_failure& failure) {
        return std::move(failure);
    }
}

result<void, open_failure> store::forget_note(const std::shared_ptr<void>& reserved)
{
    try {
        static_cast<directory_lock*>(reserved.get())->forget_commits();
        return {};
    } catch (open_failure& failure) {
        return std::move(failure);
    }
}

void store::take_note(const std::shared_ptr<void>& reserved, const std::filesystem::path& from)
{
    static_cast<directory_lock*>(reserved.get())->note_start(noted_commit_in(from));
}

result<std::unique_ptr<store>, open_failure> store::open(options opts, asio::thread_pool& pool,
                                                         std::function<void(std::string)> failed)
{
    std::unique_ptr<parts> p;
    try {
        const auto there = is_there(opts.directory);
        if (!there)
            return there.error();
        if (!*there)
            return open_failure{kind::unreadable, no_store_in(opts.directory)};
        p = std::make_unique<parts>(std::move(opts), pool);
        const auto data_file = p->opts.directory / "data.mdb";
        check_meta_pages(data_file, p->lock.noted_commit());
        std::error_code failed_to_remove;
        std::filesystem::remove_all(p->opts.directory / compacting_folder, failed_to_remove);
        // Set once and never resized under readers: the quota is ours to keep, below it.
        const auto map_bytes =
            (p->opts.quota_bytes + p->opts.quota_bytes / 4 + (1ull << 30)) & ~0xfffull;
        std::error_code absent;
        if (const auto size = std::filesystem::file_size(data_file, absent); absent || size == 0) {
            refuse_declared_without_store(p->opts.directory);
            refuse(kind::untrusted,
                   fmt::format("{} is gone, though commit {} was made in it: put it back if it was "
                               "moved; else leave the machine as it is and call the centre",
                               data_file.string(), p->lock.noted_commit()));
        }
        p->env = std::make_unique<environment>(p->opts.directory, map_bytes);
        p->room = std::make_unique<space>(data_file,
                                          space::options{.quota_bytes = p->opts.quota_bytes,
                                                         .reserve_bytes = 2 * p->opts.group_bytes});
        p->room->top_up();

        const auto begin = [&p, &data_file](bool may_migrate) {
            v1::Meta meta;
            transaction txn{p->env->get(), transaction::mode::write};
            const auto newest = txn.id() - 1;
            p->t = open_tables(txn);
            const auto key = key_builder{}.text("meta");
            const auto stored = txn.get(p->t.meta, key);
            auto origin = origin::here;
            if (stored) {
                open_row(seed::meta, key, *stored, meta);
                check_format(meta);
                origin = origin_of(meta, newest, p->lock.noted_commit(), p->opts.directory);
            }
            if (origin == origin::here && p->lock.noted_commit() > newest)
                refuse_older(newest, p->lock.noted_commit());
            if (stored)
                check_meta(meta, p->opts.node,
                           origin == origin::backup ? meta.transaction() : newest);
            else
                refuse(kind::untrusted, "the store has commits but no meta row: delete nothing, "
                                        "leave the machine as it is and call the centre");
            const surroundings around{p->opts.node, p->opts.has_upstream, p->opts.identity};
            writing w{txn, p->t, meta, around, *p->room, wall_now()};
            if (origin != origin::here) {
                p->lock.forget_commits();
                remove_declaration(p->opts.directory);
                std::error_code failed_to_remove_it;
                std::filesystem::remove(p->opts.directory / scrubber::progress_name,
                                        failed_to_remove_it);
                sync_birth(p->opts.directory, data_file); // put here by a hand that did not
                w.begin_epoch(epoch_of(meta), origin == origin::backup
                                                  ? "this store is a backup, restored"
                                                  : "this store is a copy");
            }
            if (meta.last_bytes_noted_since_ms() == 0)
                meta.set_last_bytes_noted_since_ms(to_ms(wall_now()));
            std::optional<migrated> moved;
            if (may_migrate && meta.format() < format) {
                const auto from = meta.format();
                moved = migrate(txn, p->t, meta, wall_now());
                w.note(v1::Entry::FORMAT, fmt::format("{} to {}", from, format));
            }
            // Written even if nothing changed: a disk that cannot take this cannot take a record.
            meta.set_transaction(txn.id());
            txn.put(p->t.meta, key, seal_row(seed::meta, key, meta));
            const auto made = txn.id();
            txn.commit();
            p->lock.note_start(made);
            if (origin != origin::here)
                log::warn("epoch-began epoch={} after={}", epoch_of(meta).to_string(),
                          meta.previous_sequence());
            if (moved)
                log::warn("store-format is={} findings={} left_out={}: an earlier titipd refuses "
                          "this store from now on; there is no way back",
                          format, moved->kept, moved->left_out);
            return meta;
        };
        // One transaction: whatever ends it before its commit leaves the store as it was, in its format.
        // A disk that has no room for the new one must not stop recording.
        v1::Meta meta;
        try {
            meta = begin(true);
        } catch (const boost::system::system_error& failure) {
            if (!is_for_want_of_space(failure.code(), *p->room))
                throw;
            log::error("store-format is={} why=\"{}\": there is no space to bring the store to "
                       "format {}; it is gone on with as it is. Free some space, then restart",
                       format - 1, failure.code().message(), format);
            // After a meta page that could not be written LMDB goes on with nothing.
            p->env.reset();
            p->env = std::make_unique<environment>(p->opts.directory, map_bytes);
            meta = begin(false);
        }
        std::uint64_t rows = 0;
        {
            const transaction txn{p->env->get(), transaction::mode::read};
            p->newest_verdicts = newest_verdicts(txn, p->t);
            p->revoked = revoked_in(txn, p->t);
            p->standing = find_standing(txn, p->t, meta);
            rows = row_bytes(txn, p->t);
        }
        p->epoch = epoch_of(meta);
        p->centre_epoch = meta.centre_epoch();
        p->submission_key = to_bytes(as_bytes(meta.submission_key()));
        p->failed = std::move(failed);
        p->newest = to_totals(meta, p->standing);
        p->newest.file_bytes = p->room->file_bytes();
        p->newest.row_bytes = rows;
        p->room->note_refusal(
            mean_size(p->newest)); // full is what would refuse one more like those here
        p->on_looked(look_for_room(p->env->get(), p->t, *p->room, meta));
        auto& shared = *p;
        p->writer = std::make_unique<journal::writer>(
            p->env->get(), p->t, std::move(meta),
            surroundings{p->opts.node, p->opts.has_upstream, p->opts.identity}, *p->room,
            writer::options{.group_bytes = p->opts.group_bytes, .watched = p->opts.writer},
            [&shared](writer::outcome done) { shared.on_commit(std::move(done)); },
            [&shared](standing_room found) { shared.on_looked(found); }, p->failed);
        return std::unique_ptr<store>{new store{std::move(p)}};
    } catch (open_failure& failure) {
        return std::move(failure);
    } catch (const rotten_row& rotten) {
        return open_failure{
            kind::untrusted,
            fmt::format("{}: delete nothing, leave the machine as it is and call the centre",
                        rotten.what())};
    } catch (const boost::system::system_error& failure) {
        const int code = failure.code().value();
        // As for any commit (writer.cpp): of a full disk EIO may be a short write.
        if (code == EIO && p && p->room && p->room->is_disk_full())
            return open_failure{kind::unreadable,
                                "the store cannot be opened: the disk is full, free some space"};
        const bool bad =
            (failure.code().category() == lmdb_category() && code < 0 && code != MDB_MAP_FULL) ||
            code == EIO || code == EROFS;
        return open_failure{
            bad ? kind::untrusted : kind::unreadable,
            fmt::format("the store cannot be opened: {}", failure.code().message())};
    }
}

} // namespace titip::journal
