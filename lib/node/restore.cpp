#include "node/restore.hpp"

#include "bundle/folder.hpp"
#include "trust/judge.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

namespace titip::node {

namespace {

namespace fs = std::filesystem;

/// A store that is not complete; in the state directory, because the daemon's user may not write
/// beside it.
constexpr auto unfinished = "restoring";

start_failure failure(const fs::path& at, const std::string& why)
{
    return {fmt::format("{}: {}", at.string(), why)};
}

/// Empty, but for what an earlier attempt left.
result<void, start_failure> prepare(const fs::path& state)
{
    std::error_code failed;
    fs::create_directories(state, failed);
    if (failed)
        return failure(state, failed.message());
    fs::remove_all(state / unfinished, failed);
    if (failed)
        return failure(state / unfinished, failed.message());
    fs::directory_iterator each{state, failed};
    if (failed)
        return failure(state, failed.message());
    if (each != fs::directory_iterator{})
        return failure(state,
                       "is not empty ([node] state): a store that is there is never replaced; "
                       "move the directory aside, or name another one");
    return {};
}

/// data.mdb is all of a store; its appearing is one step.
result<void, start_failure> put_in_place(const fs::path& state)
{
    const auto made = state / unfinished / "data.mdb";
    const auto wanted = state / "data.mdb";
    if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, wanted.c_str(), RENAME_NOREPLACE) != 0)
        return failure(wanted, std::strerror(errno));
    const int folder = ::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_synced = folder >= 0 && ::fsync(folder) == 0;
    const auto why = errno;
    if (folder >= 0)
        ::close(folder);
    if (!is_synced)
        return failure(state, std::strerror(why));
    std::error_code ignored;
    fs::remove_all(state / unfinished, ignored);
    return {};
}

result<std::vector<fs::path>, start_failure> files_in(const fs::path& folder)
{
    std::vector<fs::path> out;
    const auto listed = bundle::list(folder, [&out](const fs::path& file) {
        out.push_back(file);
        return true;
    });
    if (!listed)
        return failure(folder, listed.error().message());
    if (out.empty())
        return failure(folder, "there is no record in this folder");
    // By epoch and number: the store's order of places is then that of the numbers.
    std::ranges::sort(out, {}, [](const fs::path& each) { return each.filename().string(); });
    return out;
}

class restoring {
public:
    restoring(const config& into, const materials& with, journal::store& store, restored& out)
        : config_(into), with_(with), store_(store), out_(out)
    {
    }

    /// False: no more can be taken.
    asio::awaitable<result<void, start_failure>> take(fs::path file)
    {
        auto found = bundle::read_record(file, *with_.authorities, judged_at_);
        if (!found)
            co_return leave(file, found.error().message());
        if (!config_.listen && found->manifest.station != config_.name)
            co_return leave(
                file, fmt::format("a record of {}, not of this station", found->manifest.station));
        ::titip::vault::offer offer{.cms = std::move(found->sealed.manifest_cms),
                                    .manifest = std::move(found->manifest),
                                    .hash = found->manifest_hash};
        const auto size_bytes = found->sealed.envelope.size();
        const auto at = co_await store_.restore(std::move(offer), std::move(found->sealed.envelope),
                                                std::move(found->sealed.receipt_given_cms));
        if (!at && (at.error() == vault::errc::conflict || at.error() == vault::errc::wrong_state))
            co_return leave(file,
                            at.error() == vault::errc::conflict
                                ? "another record of this id was restored"
                                : "no receipt in it, without which the centre cannot say that "
                                  "it holds it");
        if (!at)
            co_return failure(config_.state, at.error().message());
        ++out_.records;
        out_.bytes += size_bytes;
        co_await settle(*at, std::move(found->sealed.receipt_cms));
        co_return result<void, start_failure>{};
    }

private:
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
        const auto said = with_.authorities->verify_as_taken(cms);
        const auto* receipt = said ? std::get_if<envelope::receipt>(&said->statement) : nullptr;
        if (receipt == nullptr)
            co_return;
        const auto by = said->signer;
        const auto settled = co_await store_.settle(at, *receipt, std::move(cms), by);
        out_.delivered += settled && by.role == trust::role::centre ? 1 : 0;
    }

    const config& config_;
    const materials& with_;
    journal::store& store_;
    restored& out_;
    wall_time judged_at_ = trust::judge{trust::judge::build_time()}.judged(wall_now());
};

asio::awaitable<void> take_all(restoring& by, const std::vector<fs::path>& files,
                               const std::function<void(std::size_t, std::size_t)>& told,
                               result<void, start_failure>& out)
{
    for (std::size_t i = 0; i < files.size() && out; ++i) {
        out = co_await by.take(files[i]);
        told(i + 1, files.size());
    }
}

} // namespace

result<restored, start_failure>
restore(const config& into, const fs::path& from,
        const std::function<void(std::size_t done, std::size_t all)>& told)
{
    const auto with = load_materials(into);
    if (!with)
        return with.error();
    const auto files = files_in(from);
    if (!files)
        return files.error();
    if (auto ready = prepare(into.state); !ready)
        return ready.error();

    restored out;
    result<void, start_failure> done;
    {
        asio::io_context io{1};
        asio::thread_pool pool{1};
        auto store = journal::store::open({.directory = into.state / unfinished,
                                           .node = into.name,
                                           .has_upstream = into.upstream.has_value(),
                                           .quota_bytes = into.quota_bytes,
                                           .identity = with->identity},
                                          pool, [](const std::string&) {});
        if (!store)
            return start_failure{store.error().sentence};
        restoring by{into, *with, **store, out};
        asio::co_spawn(io, take_all(by, *files, told, done), [](std::exception_ptr failed) {
            if (failed)
                std::rethrow_exception(failed);
        });
        io.run();
        pool.join();
    }
    if (done)
        done = put_in_place(into.state);
    if (done)
        return out;
    std::error_code ignored;
    fs::remove_all(into.state / unfinished, ignored);
    return done.error();
}

} // namespace titip::node
