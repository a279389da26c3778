#include "node/restore.hpp"

#include "base/descriptor.hpp"
#include "bundle/folder.hpp"
#include "journal/birth.hpp"
#include "journal/marker.hpp"
#include "node/birth.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::node {

namespace {

namespace fs = std::filesystem;

/// A store that is not complete; in the state directory, because the daemon's user may not write
/// beside it.
constexpr auto unfinished = journal::store::unfinished;

start_failure failure(const fs::path& at, const std::string& why)
{
    return {fmt::format("{}: {}", at.string(), why)};
}

/// What is made by root cannot be opened by the daemon.
result<void, start_failure> check_owner(const fs::path& state)
{
    struct ::stat found {};
    if (::stat(state.c_str(), &found) != 0)
        return failure(state, std::strerror(errno));
    if (found.st_uid == ::geteuid())
        return {};
    const auto* owner = ::getpwuid(found.st_uid);
    const auto name = owner ? std::string{owner->pw_name} : fmt::format("#{}", found.st_uid);
    return failure(state, fmt::format("belongs to {0}: run this as that user, runuser -u {0} -- "
                                      "titip restore ...",
                                      name));
}

result<void, start_failure> sync(const fs::path& folder)
{
    const descriptor opened{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!opened || ::fsync(opened.get()) != 0)
        return failure(folder, std::strerror(errno));
    return {};
}

/// Keeps the directory from others; empty, but for what an earlier attempt left. From here on no
/// daemon begins an empty store in it.
result<std::shared_ptr<void>, start_failure> prepare(const fs::path& state)
{
    // Not those above it: they would be on another disk than the one that is not mounted.
    if (::mkdir(state.c_str(), 0700) != 0 && errno != EEXIST)
        return failure(state, std::strerror(errno));
    if (auto owned = check_owner(state); !owned)
        return owned.error();
    auto reserved = journal::store::reserve(state);
    if (!reserved)
        return start_failure{reserved.error().sentence};
    std::error_code failed;
    for (const auto& each : fs::directory_iterator{state, failed}) {
        const auto name = each.path().filename();
        if (name != "titipd.lock" && name != "lost+found" && name != unfinished &&
            name != journal::marker::file_name)
            return failure(state,
                           "is not empty ([node] state): a store that is there is never replaced; "
                           "move the directory aside, or name another one");
    }
    if (!failed)
        fs::remove(state / journal::marker::file_name, failed); // of a store that is not there
    if (!failed)
        fs::remove_all(state / unfinished, failed);
    if (failed)
        return failure(state, failed.message());
    if (::mkdir((state / unfinished).c_str(), 0700) != 0)
        return failure(state / unfinished, std::strerror(errno));
    if (auto synced = sync(state); !synced)
        return synced.error();
    if (auto forgotten = journal::store::forget_note(*reserved); !forgotten)
        return start_failure{forgotten.error().sentence};
    return *reserved;
}

/// Its space is free again; that it was not finished stays known.
void give_up(const fs::path& state)
{
    std::error_code ignored;
    for (const auto& each : fs::directory_iterator{state / unfinished, ignored})
        fs::remove_all(each.path(), ignored);
}

/// data.mdb is all of a store; its appearing is one step.
result<void, start_failure> put_in_place(const fs::path& state,
                                         const std::shared_ptr<void>& reserved)
{
    const auto made = state / unfinished / "data.mdb";
    const auto wanted = state / "data.mdb";
    if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, wanted.c_str(), RENAME_NOREPLACE) != 0)
        return failure(wanted, std::strerror(errno));
    if (auto synced = sync(state); !synced)
        return synced;
    journal::store::take_note(reserved, state / unfinished);
    std::error_code ignored;
    fs::remove_all(state / unfinished, ignored);
    return {};
}

/// By their names below the folder, which is opened once.
struct record_files {
    foreign_folder in;
    std::vector<std::string> names;
};

result<record_files, start_failure> files_in(const fs::path& folder, restored& out_of)
{
    constexpr auto marker = "titip-copy";
    std::error_code ignored;
    const auto above = fs::absolute(folder).lexically_normal();
    const auto parent =
        above.has_filename() ? above.parent_path() : above.parent_path().parent_path();
    if (!fs::exists(folder / marker, ignored) && fs::exists(parent / marker, ignored))
        return failure(
            folder, fmt::format("is a part of a second copy: name the whole, {}", parent.string()));
    auto opened = foreign_folder::follow(folder);
    if (!opened)
        return failure(folder, opened.error().message());
    record_files out{.in = std::move(*opened), .names = {}};
    const auto listed = bundle::find_files(
        out.in, [&out](const std::string& file) { out.names.push_back(file); },
        [&](const std::string& skipped) {
            // What the system made for itself holds no record.
            if (fs::path{skipped}.filename() != "lost+found")
                out_of.left.push_back({folder / skipped, "this user may not look into it"});
        });
    if (!listed)
        return failure(folder, listed.error().message());
    if (out.names.empty())
        return failure(folder, "there is no record in this folder");
    // By epoch and number: the store's order of places is then that of the numbers.
    std::ranges::sort(out.names, {},
                      [](const std::string& each) { return fs::path{each}.filename().string(); });
    return out;
}

/// The disk's trouble, and not the record's.
bool is_of_the_system(const error_code& why)
{
    return why.category() == boost::system::system_category() ||
           why.category() == boost::system::generic_category();
}

class restoring {
public:
    restoring(const config& into, const materials& with, journal::store& store, restored& out)
        : config_(into), with_(with), store_(store), out_(out)
    {
    }

    /// False: no more can be taken.
    asio::awaitable<result<void, start_failure>> take(const foreign_folder& in, std::string name,
                                                      fs::path file)
    {
        auto found = bundle::read_record(in, name, *with_.authorities);
        // A file that the disk does not give is that file's trouble; many in a row are the disk's.
        constexpr int most_unreadable = 16;
        const bool is_unreadable = !found && bundle::is_unreadable(found.error());
        unreadable_ = is_unreadable ? unreadable_ + 1 : 0;
        if (is_unreadable && unreadable_ < most_unreadable)
            co_return leave(file,
                            fmt::format("the disk does not give it: {}", found.error().message()));
        if (!found && is_of_the_system(found.error()))
            co_return failure(file, found.error().message());
        if (!found)
            co_return leave(file, found.error().message());
        if (!config_.listen && found->manifest.station != config_.name)
            co_return leave(
                file, fmt::format("a record of {}, not of this station", found->manifest.station));
        if (!is_receipt_ours(*found))
            co_return leave(file, "no receipt of this node in it, without which the node that it "
                                  "came from cannot let it go");
        const numbering::key_type epoch{found->manifest.station, found->manifest.epoch.to_string()};
        const auto number = envelope::number(found->manifest.at);
        const newest_record seen{found->manifest.taken_at, found->manifest.at,
                                 found->manifest.epoch, found->manifest_hash};
        if (found->manifest.station == config_.name &&
            (!newest_ ||
             std::tie(newest_->taken_at, newest_->at) < std::tie(seen.taken_at, seen.at)))
            newest_ = seen;
        ::titip::vault::offer offer{.cms = std::move(found->sealed.manifest_cms),
                                    .manifest = std::move(found->manifest),
                                    .hash = found->manifest_hash};
        const auto size_bytes = found->sealed.envelope.size();
        const auto at = co_await store_.restore(std::move(offer), std::move(found->sealed.envelope),
                                                std::move(found->sealed.receipt_given_cms));
        if (!at && at.error() == vault::errc::conflict)
            co_return leave(file, "another record of this id was restored");
        if (!at)
            co_return failure(config_.state, at.error().message());
        if (numbers_[epoch].insert(number).second) { // people copy files
            ++out_.records;
            out_.bytes += size_bytes;
        }
        co_await settle(*at, std::move(found->sealed.receipt_cms));
        co_return result<void, start_failure>{};
    }

    asio::awaitable<result<void, start_failure>> end()
    {
        for (const auto& [epoch, numbers] : numbers_)
            for (auto last = numbers.begin(), next = std::next(last); next != numbers.end();
                 last = next++)
                if (*next != *last + 1)
                    out_.gaps.push_back({epoch.first, epoch.second, *last + 1, *next - 1});
        if (newest_)
            if (const auto named =
                    co_await store_.continue_from(newest_->epoch, newest_->at, newest_->hash);
                !named)
                co_return failure(config_.state, named.error().message());
        if (config_.upstream)
            if (const auto paused = co_await store_.set_paused(true); !paused)
                co_return failure(config_.state, paused.error().message());
        co_return result<void, start_failure>{};
    }

private:
    using numbering = std::map<std::pair<std::string, std::string>, std::set<std::uint64_t>>;

    /// Of what came from below, and at the end of the road of all: that receipt is given again to
    /// whoever asks, so it has to be the one that this node gave for this record.
    bool is_receipt_ours(const bundle::verified_record& found) const
    {
        if (found.manifest.station == config_.name && config_.upstream)
            return true;
        const auto said = with_.authorities->verify(found.sealed.receipt_given_cms, wall_now());
        const auto* given = said ? std::get_if<envelope::receipt>(&said->statement) : nullptr;
        const auto& self = with_.identity->self();
        return given != nullptr && said->signer.name == self.name &&
               said->signer.role == self.role && given->manifest_hash == found.manifest_hash &&
               given->digest == found.manifest.digest;
    }

    result<void, start_failure> leave(const fs::path& file, std::string why)
    {
        out_.left.push_back({file, std::move(why)});
        return {};
    }

    /// One that is not believed is asked for again, upstream.
    asio::awaitable<void> settle(journal::place at, bytes cms)
    {
        if (cms.empty() || !config_.upstream)
            co_return;
        const auto said = with_.authorities->verify(cms, wall_now());
        const auto* receipt = said ? std::get_if<envelope::receipt>(&said->statement) : nullptr;
        if (receipt == nullptr)
            co_return;
        const auto by = said->signer;
        const auto settled = co_await store_.settle(at, *receipt, std::move(cms), by);
        out_.delivered += settled && by.role == trust::role::centre ? 1 : 0;
    }

    /// Of our own, as far as can be told: which of two epochs is the later no file says.
    struct newest_record {
        wall_time taken_at;
        envelope::sequence at;
        epoch_id epoch;
        digest hash;
    };

    const config& config_;
    const materials& with_;
    journal::store& store_;
    restored& out_;
    numbering numbers_;
    std::optional<newest_record> newest_;
    int unreadable_ = 0; ///< in a row
};

asio::awaitable<void> take_all(restoring& by, const record_files& files, const fs::path& folder,
                               const std::function<void(std::size_t, std::size_t)>& told,
                               result<void, start_failure>& out)
{
    const auto& names = files.names;
    for (std::size_t i = 0; i < names.size() && out; ++i) {
        auto path = folder / names[i];
        out = co_await by.take(files.in, names[i], std::move(path));
        told(i + 1, names.size());
    }
    if (out)
        out = co_await by.end();
}

/// A part is not the whole, unless it is asked for.
result<void, start_failure> check_complete(const restore_options& opts, const restored& found)
{
    if (found.records > 0 && (found.left.empty() || opts.without_damaged))
        return {};
    std::string all;
    for (const auto& each : found.left)
        all += fmt::format("\n  {}: {}", each.file.string(), each.why);
    return failure(opts.from,
                   found.records == 0
                       ? fmt::format("no record in it can be used:{}", all)
                       : fmt::format("{} records can be restored and {} files cannot be used: try "
                                     "another copy, or leave them out with --without-damaged:{}",
                                     found.records, found.left.size(), all));
}

} // namespace

result<restored, start_failure>
restore(const config& into, const restore_options& opts,
        const std::function<void(std::size_t done, std::size_t all)>& told)
{
    const auto with = load_materials(into);
    if (!with)
        return with.error();
    restored out;
    const auto files = files_in(opts.from, out);
    if (!files)
        return files.error();
    if (auto refused = refuse_fleeting(into))
        return *std::move(refused);
    const auto reserved = prepare(into.state);
    if (!reserved)
        return reserved.error();

    result<void, start_failure> done;
    {
        asio::io_context io{1};
        asio::thread_pool pool{1};
        if (auto made = journal::make_empty(into.state / unfinished, into.name); !made)
            return start_failure{made.error().sentence};
        auto store = journal::store::open({.directory = into.state / unfinished,
                                           .node = into.name,
                                           .has_upstream = into.upstream.has_value(),
                                           .quota_bytes = into.quota_bytes,
                                           .identity = with->identity},
                                          pool, [](const std::string&) {});
        if (!store)
            return start_failure{store.error().sentence};
        restoring by{into, *with, **store, out};
        asio::co_spawn(io, take_all(by, *files, opts.from, told, done),
                       [](std::exception_ptr failed) {
                           if (failed)
                               std::rethrow_exception(failed);
                       });
        io.run();
        pool.join();
    }
    if (done)
        done = check_complete(opts, out);
    if (done)
        done = put_in_place(into.state, *reserved);
    if (done)
        return out;
    give_up(into.state);
    return done.error();
}

} // namespace titip::node
