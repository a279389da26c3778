/// A store of format 1 is brought to format 2 when it is opened, in one transaction. Here that is ended at
/// every point: by a kill before each call, by power failures between any two with what was not synced
/// dropped, kept or torn, by calls that fail, and by LMDB's own "the map is full" at each of its calls.
/// Afterwards the store opens and holds what it held; and what failed for want of space was no reason
/// not to go on recording.

#include "disk.hpp"
#include "workload.hpp"

#include "journal/meddling.hpp"

#include <fmt/format.h>

#include <atomic>

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;
using disk::event;

namespace {

/// Of LMDB's calls that take space the one (from 0) that finds none; counts down.
std::atomic<long> full_at = -1;
std::atomic<long> lmdb_calls = 0;

bool is_full_now()
{
    ++lmdb_calls;
    return full_at >= 0 && full_at-- == 0;
}

template <class Function>
Function* real(const char* name)
{
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

} // namespace

extern "C" {

int mdb_put(MDB_txn* txn, MDB_dbi dbi, MDB_val* key, MDB_val* data, unsigned flags)
{
    static auto* const next = real<decltype(mdb_put)>("mdb_put");
    return is_full_now() ? MDB_MAP_FULL : next(txn, dbi, key, data, flags);
}

int mdb_dbi_open(MDB_txn* txn, const char* name, unsigned flags, MDB_dbi* dbi)
{
    static auto* const next = real<decltype(mdb_dbi_open)>("mdb_dbi_open");
    return (flags & MDB_CREATE) != 0 && is_full_now() ? MDB_MAP_FULL : next(txn, name, flags, dbi);
}

int mdb_txn_commit(MDB_txn* txn)
{
    static auto* const next = real<decltype(mdb_txn_commit)>("mdb_txn_commit");
    if (!is_full_now())
        return next(txn);
    mdb_txn_abort(txn);
    return MDB_MAP_FULL;
}

} // extern "C"

namespace {

std::size_t failures = 0;

void fails(const std::string& what)
{
    ++failures;
    fmt::print("FAILED {}\n", what);
}

journal::store::options options_for(const std::filesystem::path& folder)
{
    return {.directory = folder,
            .node = "office-1",
            .has_upstream = true,
            .quota_bytes = 1u << 30,
            .group_bytes = 1u << 20,
            .identity = everyone().station};
}

/// A store of format 1, with findings of each kind in its Meta.
class old_store {
public:
    old_store()
    {
        const std::filesystem::path golden{TITIP_SOURCE "/tests/unit/journal/golden"};
        std::filesystem::create_directories(folder_.path() / "old");
        const auto unpack =
            fmt::format("gzip -dc '{}' > '{}'", (golden / "format-1.mdb.gz").string(),
                        (folder_.path() / "old/data.mdb").string());
        if (std::system(unpack.c_str()) != 0)
            throw std::runtime_error{"the golden store cannot be unpacked"};
        std::filesystem::copy_file(golden / "format-1.lock", folder_.path() / "old/titipd.lock");
        image_ = disk::image::of(folder_.path() / "old");
    }
    const disk::image& image() const { return image_; }
    void put(const std::filesystem::path& where) const { image_.save(where); }

private:
    temporary_folder folder_;
    disk::image image_;
};

/// Of a store that no process has open.
struct seen_format {
    std::uint32_t format = 0;
    bool has_table = false;
    int in_meta = 0;
    bool operator==(const seen_format&) const = default;
};

seen_format format_in(const std::filesystem::path& folder)
{
    const auto env = journal::environment::open_read_only(folder);
    const journal::transaction txn{env->get(), journal::transaction::mode::read};
    const auto t = journal::find_tables(txn);
    v1::Meta meta;
    const auto key = journal::key_builder{}.text("meta");
    journal::open_row(journal::seed::meta, key, txn.get(t.meta, key).value(), meta);
    return {meta.format(), t.findings.has_value(), meta.findings_size()};
}

/// Either it is as it was, so that the version before opens it, or it is of the new format whole.
bool is_either(const std::filesystem::path& folder, int findings)
{
    const auto seen = format_in(folder);
    return seen == seen_format{1, false, findings} || seen == seen_format{2, true, 0};
}

void look_at_power_failures(const old_store& old, int findings, const std::string& expected)
{
    temporary_folder room;
    const auto folder = room.path() / "store";
    old.put(folder);
    disk::watch(folder);
    {
        asio::thread_pool pool{1};
        if (!journal::store::open(options_for(folder), pool, [](const std::string&) {}))
            return fails("the store does not open");
    }
    const auto trace = disk::stop();
    disk::image durable = old.image();
    std::vector<event> loose;
    std::size_t images = 0;
    const auto look = [&](auto how_much) {
        auto image = durable;
        for (std::size_t i = 0; i < loose.size(); ++i) {
            event part = loose[i];
            part.data.resize(std::min<std::size_t>(how_much(i), part.data.size()));
            if (!part.data.empty())
                image.apply(part);
        }
        ++images;
        image.save(room.path() / "image");
        if (!is_either(room.path() / "image", findings))
            return fails(fmt::format("power failure {}: neither format", images));
        const auto found = snapshot_of(room.path() / "image");
        if (found != expected)
            fails(fmt::format("power failure {}:\n  {}\n  {}", images, found, expected));
    };
    constexpr std::size_t whole = ~std::size_t{0};
    for (const auto& each : trace) {
        if (each.what == event::kind::sync) {
            for (const auto& write : loose)
                if (write.file == each.file)
                    durable.apply(write);
            std::erase_if(loose, [&](const event& write) { return write.file == each.file; });
        } else
            loose.push_back(each);
        look([](std::size_t) { return whole; });
        look([](std::size_t) { return std::size_t{0}; });
        for (std::size_t one = 0; one < loose.size(); ++one) {
            look([one](std::size_t i) { return i == one ? 0 : whole; });
            look([one](std::size_t i) { return i == one ? whole : 0; });
            for (const std::size_t cut : {512, 3'584}) // sectors; power_test tears at each
                look([one, cut](std::size_t i) { return i == one ? cut : whole; });
        }
        if (each.what == event::kind::write && each.is_durable) {
            durable.apply(each);
            loose.pop_back();
        }
    }
    fmt::print("{} images of power failures\n", images);
}

/// Opens and takes a record in a child. 0: both done; 1: not opened; 2: opened, and nothing is taken.
int live_in_child(const std::filesystem::path& folder, const std::function<void()>& arrange)
{
    std::fflush(stdout);
    const auto child = ::fork();
    if (child == 0) {
        int code = 1;
        try {
            disk::watch(folder);
            arrange();
            asio::thread_pool pool{1};
            const auto opened =
                journal::store::open(options_for(folder), pool, [](const std::string&) {});
            std::mt19937_64 random{9};
            const auto what = submission_of(noise(9'000, random));
            if (opened) // once more, as a capture program does
                code = finish((*opened)->accept(what)) || finish((*opened)->accept(what)) ? 0 : 2;
        } catch (...) {
            code = 3;
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Calls from number `first` on, but for number `end`, whose failure is no reason not to record.
struct harmless {
    std::size_t first = 0;
    std::size_t end = 0;
};

/// `arrange`: lets call n fail, of so many.
void try_each(const old_store& old, int findings, const std::string& expected, const char* what,
              harmless goes_on, std::size_t calls, const std::function<void(std::size_t)>& arrange)
{
    temporary_folder room;
    const auto folder = room.path() / "store";
    std::size_t stayed = 0;
    for (std::size_t tried = 0; tried <= calls; ++tried) {
        old.put(folder);
        const auto done = live_in_child(folder, [&] { arrange(tried); });
        const auto seen = format_in(folder);
        if (!is_either(folder, findings))
            fails(fmt::format("{} {}: neither format", what, tried));
        stayed += seen.format == 1 ? 1 : 0;
        if (tried >= goes_on.first && tried < goes_on.end && done != 0)
            fails(fmt::format("{} {}: recording did not go on ({})", what, tried, done));
        const auto found = snapshot_of(folder);
        // What was accepted is one record, and one line of the ledger, more.
        const bool is_right = done == 0
                                  ? found.size() > expected.size() && !found.starts_with("refused")
                                  : found == expected || found.size() > expected.size();
        if (!is_right || found.starts_with("refused") || found.find("DIFFERS") != found.npos)
            fails(fmt::format("{} {}:\n  {}\n  {}", what, tried, found, expected));
        if (format_in(folder) != seen_format{2, true, 0})
            fails(fmt::format("{} {}: the next start did not bring it to format 2", what, tried));
    }
    fmt::print("{}: {} runs, {} left it in format 1\n", what, calls + 1, stayed);
    if (stayed == 0)
        fails(fmt::format("{}: none met the migration", what));
}

} // namespace

int main()
{
    const old_store old;
    temporary_folder room;
    old.put(room.path() / "store");
    const int findings = format_in(room.path() / "store").in_meta;
    const auto expected = snapshot_of(room.path() / "store");
    fmt::print("{}\n", expected);
    if (findings == 0 || expected.find("finding 1 ") == expected.npos ||
        format_in(room.path() / "store") != seen_format{2, true, 0})
        fails("the store that was kept has no findings");
    disk::set_hasty(true);
    look_at_power_failures(old, findings, expected);
    // How many there are, where none fails.
    old.put(room.path() / "store");
    std::size_t calls = 0;
    std::size_t opening = 0;
    std::size_t lmdb = 0;
    {
        disk::watch(room.path() / "store");
        lmdb_calls = 0;
        asio::thread_pool pool{1};
        const auto opened = journal::store::open(options_for(room.path() / "store"), pool,
                                                 [](const std::string&) {});
        opening = disk::calls();
        std::mt19937_64 random{9};
        if (!opened || !finish((*opened)->accept(submission_of(noise(9'000, random)))))
            fails("the store that was kept takes no record");
        calls = disk::calls();
        lmdb = static_cast<std::size_t>(lmdb_calls);
    }
    disk::stop();
    try_each(old, findings, expected, "killed", {}, calls,
             [](std::size_t n) { disk::fail(n, disk::fault::kill); });
    try_each(old, findings, expected, "disk error", {}, calls,
             [](std::size_t n) { disk::fail(n, disk::fault::io_error); });
    try_each(old, findings, expected, "short write", {}, calls,
             [](std::size_t n) { disk::fail(n, disk::fault::short_write); });
    // The first is LMDB's lock file, without which no version opens a store. After the last, a disk that
    // was full for a record is full for the next one until somebody has looked.
    try_each(old, findings, expected, "disk full", {1, opening}, calls,
             [](std::size_t n) { disk::fail(n, disk::fault::no_space); });
    try_each(old, findings, expected, "map full", {0, lmdb + 1}, lmdb,
             [](std::size_t n) { full_at = static_cast<long>(n); });
    fmt::print("{} wrong\n", failures);
    return failures == 0 ? 0 : 1;
}
