#include "commands.hpp"
#include "output.hpp"

#include "base/digest.hpp"
#include "bundle/folder.hpp"
#include "control/words.hpp"
#include "journal/salvage.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

namespace titip::cli {

namespace {

namespace words = control::words;
namespace fs = std::filesystem;
using boost::json::object;

class salvager {
public:
    salvager(fs::path path, bundle::folder folder, bool json)
        : path_(std::move(path)), folder_(std::move(folder)), json_(json)
    {
    }

    journal::salvage_hands hands()
    {
        const bool shows_progress = !json_ && ::isatty(STDERR_FILENO) != 0;
        return {.save = [this](const journal::salvaged& what) { return save(what); },
                .save_bare = [this](const journal::bare_envelope& what) { return save(what); },
                .lose = [this](const journal::loss& what) { lose(what); },
                .progress =
                    [shows_progress](std::uint64_t done, std::uint64_t total) {
                        constexpr std::uint64_t now_and_then = 1u << 14; // pages: 64 MiB
                        if (shows_progress && done % now_and_then == 0)
                            fmt::print(stderr, "\r\x1b[K{} %", done * 100 / total);
                    }};
    }

    void conclude(const journal::salvage_count& found) const
    {
        object said;
        said["folder"] = path_.string();
        said["saved"] = found.saved;
        said["bare"] = found.bare;
        said["lost"] = found.lost;
        said["arriving"] = found.arriving;
        said["erased"] = found.erased;
        said["unreadable_pages"] = found.unreadable_pages;
        said["missing_pages"] = found.missing_pages;
        if (found.vanished)
            said["vanished"] = *found.vanished;
        if (json_)
            put("{}\n", boost::json::serialize(said));
        else
            for (const auto& each : words::salvaged(said))
                put("{}\n", each);
    }

private:
    result<void> save(const journal::salvaged& what) const
    {
        return folder_.write({.epoch = what.epoch,
                              .at = envelope::sequence{what.sequence},
                              .record = what.key.record},
                             {.manifest_cms = what.manifest_cms,
                              .receipt_cms = what.receipt_cms,
                              .receipt_given_cms = what.receipt_given_cms,
                              .envelope = what.envelope});
    }

    result<void> save(const journal::bare_envelope& what) const
    {
        const auto bare = folder_.place().make_folder("without-manifest");
        if (!bare)
            return bare.error();
        // Two stores have the same places. And a file that is not whole does not have the sum that it is named by.
        const auto sum = to_hex(sha256(what.envelope)).substr(0, 16);
        auto file = bare->write(
            fmt::format("place-{}-{}.cms", static_cast<std::uint64_t>(what.place), sum));
        if (!file)
            return file.error();
        if (::ftruncate(file->get(), 0) != 0)
            return last_error();
        if (auto written = write_all(file->get(), what.envelope); !written)
            return written;
        if (::fsync(file->get()) != 0 || !file->close())
            return last_error();
        if (auto synced = bare->sync(); !synced)
            return synced;
        return folder_.place().sync();
    }

    void lose(const journal::loss& what) const
    {
        object said;
        said["place"] = static_cast<std::uint64_t>(what.place);
        if (what.key) {
            said["id"] = what.key->record.to_string();
            said["station"] = what.key->station;
        }
        said["why"] = what.why;
        if (json_)
            put("{}\n", boost::json::serialize(said));
        else
            put("{}\n", words::not_salvaged(said));
    }

    fs::path path_;
    bundle::folder folder_;
    bool json_;
};

} // namespace

int salvage(const std::string& state, const std::string& out, bool json)
{
    // Not its parents: a disk that is not mounted must not be filled in its place.
    if (::mkdir(out.c_str(), 0700) != 0 && errno != EEXIST) {
        fmt::print(stderr, "titip: {}: {}\n", out, std::strerror(errno));
        return refused;
    }
    auto folder = bundle::folder::open(out);
    if (!folder) {
        fmt::print(stderr, "titip: {}: {}\n", out, folder.error().message());
        return refused;
    }
    salvager into{out, std::move(*folder), json};
    const auto found = journal::salvage(state, into.hands());
    if (!found) {
        fmt::print(stderr, "titip: {}\n", found.error().sentence);
        return refused;
    }
    into.conclude(*found);
    return found->is_all() ? done : no;
}

} // namespace titip::cli
