#include "journal/parts.hpp"

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace titip::journal {

namespace {

using kind = open_failure::kind;

constexpr std::uint32_t format = 1;
constexpr std::size_t page_bytes = 4096;

[[noreturn]] void refuse(kind what, std::string sentence)
{
    throw open_failure{what, std::move(sentence)};
}

std::string why()
{
    return std::strerror(errno);
}

struct meta_page {
    std::uint64_t transaction = 0;
    bool is_good = false;
};

/// A meta page as LMDB 0.9 writes it (mdb.c, MDB_page and MDB_meta): page header of 16 bytes,
/// magic, version, address, map size, two MDB_db of 48 bytes, last page, transaction id.
meta_page read_meta_page(bytes_view page)
{
    constexpr std::uint32_t magic = 0xBEEFC0DE;
    constexpr std::uint16_t is_meta = 0x08;
    std::uint16_t flags = 0;
    std::uint32_t found_magic = 0;
    std::uint32_t version = 0;
    meta_page out;
    std::memcpy(&flags, page.data() + 10, sizeof flags);
    std::memcpy(&found_magic, page.data() + 16, sizeof found_magic);
    std::memcpy(&version, page.data() + 20, sizeof version);
    std::memcpy(&out.transaction, page.data() + 16 + 24 + 96 + 8, sizeof out.transaction);
    out.is_good = (flags & is_meta) != 0 && found_magic == magic && version == 1;
    return out;
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
    meta.set_node(node);
    meta.set_born_at_ms(to_ms(wall_now()));
    return meta;
}

void check_meta(const v1::Meta& meta, const std::string& node, std::size_t newest_transaction)
{
    if (meta.format() > format)
        refuse(
            kind::newer,
            fmt::format("the store has format {}, this program knows {}: install the newer version "
                        "again",
                        meta.format(), format));
    if (meta.node() != node)
        refuse(kind::foreign,
               fmt::format("the store belongs to node \"{}\", the configuration says \"{}\": set "
                           "[node] name back, or give this node a state directory of its own",
                           meta.node(), node));
    if (meta.transaction() != newest_transaction)
        refuse(
            kind::untrusted,
            fmt::format("the newest commit is {} but the store was last written by {}: a commit "
                        "was lost; delete nothing, leave the machine as it is and call the centre",
                        newest_transaction, meta.transaction()));
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
    check(mdb_env_create(&handle_));
    try {
        check(mdb_env_set_maxdbs(handle_, 16));
        check(mdb_env_set_mapsize(handle_, map_bytes));
        // Never NOSYNC, WRITEMAP or NORDAHEAD: see docs/architecture.md.
        check(mdb_env_open(handle_, directory.c_str(), MDB_NOTLS, 0600));
        int dead = 0;
        check(mdb_reader_check(handle_, &dead));
    } catch (...) {
        mdb_env_close(handle_);
        throw;
    }
}

environment::~environment()
{
    mdb_env_close(handle_);
}

directory_lock::directory_lock(const std::filesystem::path& directory)
{
    std::error_code failed;
    std::filesystem::create_directories(directory, failed);
    const auto path = directory / "titipd.lock";
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0)
        refuse(kind::unreadable,
               fmt::format("{}: {}: the state directory must exist and belong to the daemon's user",
                           path.string(), why()));
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
        ::close(file_);
        refuse(
            kind::in_use,
            fmt::format("{} is in use by another titipd: stop that one, or give this one its own "
                        "[node] state",
                        directory.string()));
    }
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

std::uint64_t directory_lock::noted_commit() const noexcept
{
    std::uint64_t out = 0;
    return ::pread(file_, &out, sizeof out, 0) == sizeof out ? out : 0;
}

void check_meta_pages(const std::filesystem::path& data_file, std::uint64_t noted_commit)
{
    const int file = ::open(data_file.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        if (errno == ENOENT)
            return; // a new store
        refuse(kind::unreadable, fmt::format("{}: {}", data_file.string(), why()));
    }
    bytes pages(2 * page_bytes);
    const auto got = ::pread(file, pages.data(), pages.size(), 0);
    ::close(file);
    if (got == 0)
        return;
    const auto first = read_meta_page(bytes_view{pages}.first(page_bytes));
    const auto second = read_meta_page(bytes_view{pages}.last(page_bytes));
    const auto newer = std::max(first.transaction, second.transaction);
    const auto older = std::min(first.transaction, second.transaction);
    // Commit n writes page n % 2, so the two are neighbours; both are 0 before the first commit.
    // LMDB would take the older of two differing pages without a word if the newer one lost a bit.
    const bool neighbours =
        newer == older + 1 && (first.transaction % 2 == 0) && (second.transaction % 2 == 1);
    const bool fresh = newer == 0;
    // The power failed while the store was being made (see sync_birth): nothing was ever committed,
    // neither here nor as noted beside it, and there is nothing but the first two pages, or zeros
    // in their place.
    std::error_code failed;
    const auto is_unborn = [](const meta_page& page, bytes_view raw) {
        const bool is_blank =
            std::ranges::all_of(raw, [](std::byte b) { return b == std::byte{}; });
        return is_blank || (page.is_good && page.transaction == 0);
    };
    if (noted_commit == 0 && is_unborn(first, bytes_view{pages}.first(page_bytes)) &&
        is_unborn(second, bytes_view{pages}.last(page_bytes)) &&
        std::filesystem::file_size(data_file, failed) <= pages.size()) {
        std::filesystem::remove(data_file, failed);
        if (!failed)
            return;
    }
    if (got != static_cast<ssize_t>(pages.size()) || !first.is_good || !second.is_good ||
        !(neighbours || fresh))
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

totals to_totals(const v1::Meta& meta)
{
    totals out;
    for (const auto& each : meta.tallies())
        out.by_state.at(static_cast<std::size_t>(each.state())) = {
            .records = each.records(), .bytes = each.bytes(), .held = each.held()};
    out.next_entry = meta.next_entry();
    out.newest_signed = from_ms(meta.newest_signed_ms());
    for (const auto& each : meta.findings())
        out.findings.push_back(to_finding(each));
    out.paused = meta.paused();
    for (const auto& each : meta.days())
        out.days.push_back({.begins = from_ms(each.day() * day_ms),
                            .accepted_bytes = each.accepted_bytes(),
                            .erased_bytes = each.erased_bytes()});
    out.live_bytes = live_bytes(meta);
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
}

result<std::shared_ptr<void>, open_failure> store::reserve(const std::filesystem::path& directory)
{
    try {
        auto out = std::make_shared<directory_lock>(directory);
        std::error_code absent;
        if (!std::filesystem::exists(directory / "data.mdb", absent))
            out->note_commit(0); // what is noted is of a store that is no longer there
        return std::shared_ptr<void>{std::move(out)};
    } catch (open_failure& failure) {
        return std::move(failure);
    }
}

result<std::unique_ptr<store>, open_failure> store::open(options opts, asio::thread_pool& pool,
                                                         std::function<void(std::string)> failed)
{
    try {
        auto p = std::make_unique<parts>(std::move(opts), pool);
        const auto data_file = p->opts.directory / "data.mdb";
        check_meta_pages(data_file, p->lock.noted_commit());
        // Set once and never resized under readers: the quota is ours to keep, below it.
        const auto map_bytes =
            (p->opts.quota_bytes + p->opts.quota_bytes / 4 + (1ull << 30)) & ~0xfffull;
        std::error_code absent;
        const bool is_new = std::filesystem::file_size(data_file, absent) == 0 || absent;
        if (is_new && std::filesystem::exists(p->opts.directory / unfinished, absent))
            refuse(
                kind::unreadable,
                fmt::format("{0}: a restore was not finished: run titip restore again; or remove "
                            "{0}/{1}, and begin with an empty store",
                            p->opts.directory.string(), unfinished));
        p->env = std::make_unique<environment>(p->opts.directory, map_bytes);
        if (is_new)
            sync_birth(p->opts.directory, data_file);
        p->room = std::make_unique<space>(data_file,
                                          space::options{.quota_bytes = p->opts.quota_bytes,
                                                         .reserve_bytes = 2 * p->opts.group_bytes});
        p->room->top_up();

        v1::Meta meta;
        std::uint64_t rows = 0;
        {
            transaction txn{p->env->get(), transaction::mode::write};
            const auto newest = txn.id() - 1;
            if (p->lock.noted_commit() > newest)
                refuse(
                    kind::untrusted,
                    fmt::format(
                        "the newest commit here is {}, but {} was made: a commit was lost; delete "
                        "nothing, leave the machine as it is and call the centre",
                        newest, p->lock.noted_commit()));
            p->t = open_tables(txn);
            const auto key = key_builder{}.text("meta");
            if (const auto stored = txn.get(p->t.meta, key)) {
                open_row(seed::meta, key, *stored, meta);
                check_meta(meta, p->opts.node, newest);
            } else if (newest > 0)
                refuse(kind::untrusted, "the store has commits but no meta row: delete nothing, "
                                        "leave the machine as it is and call the centre");
            else
                meta = new_meta(p->opts.node);
            // Written even if nothing changed: a disk that cannot take this cannot take a record.
            meta.set_transaction(txn.id());
            txn.put(p->t.meta, key, seal_row(seed::meta, key, meta));
            txn.commit();
        }
        {
            const transaction txn{p->env->get(), transaction::mode::read};
            p->newest_verdicts = newest_verdicts(txn, p->t);
            rows = row_bytes(txn, p->t);
        }
        p->epoch = epoch_id::from_bytes(as_bytes(meta.store_epoch())).value_or(epoch_id{});
        p->submission_key = to_bytes(as_bytes(meta.submission_key()));
        p->failed = std::move(failed);
        p->newest = to_totals(meta);
        p->newest.file_bytes = p->room->file_bytes();
        p->newest.row_bytes = rows;
        p->room->note_refusal(
            mean_size(p->newest)); // full is what would refuse one more like those here
        p->newest.has_room = finds_room(p->env->get(), *p->room, meta, p->room->refused_bytes());
        auto& shared = *p;
        p->writer = std::make_unique<journal::writer>(
            p->env->get(), p->t, std::move(meta),
            surroundings{p->opts.node, p->opts.has_upstream, p->opts.identity}, *p->room,
            writer::options{.group_bytes = p->opts.group_bytes},
            [&shared](writer::outcome done) { shared.on_commit(std::move(done)); }, p->failed);
        return std::unique_ptr<store>{new store{std::move(p)}};
    } catch (open_failure& failure) {
        return std::move(failure);
    } catch (const rotten_row& rotten) {
        return open_failure{
            kind::untrusted,
            fmt::format("{}: delete nothing, leave the machine as it is and call the centre",
                        rotten.what())};
    } catch (const boost::system::system_error& failure) {
        const bool bad = failure.code().category() == lmdb_category() && failure.code().value() < 0;
        return open_failure{
            bad ? kind::untrusted : kind::unreadable,
            fmt::format("the store cannot be opened: {}", failure.code().message())};
    }
}

} // namespace titip::journal
