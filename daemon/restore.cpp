#include "commands.hpp"
#include "output.hpp"

#include "base/descriptor.hpp"
#include "control/words.hpp"
#include "mirror/disk.hpp"
#include "node/birth.hpp"
#include "node/check.hpp"
#include "node/restore.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

namespace titip::cli {

namespace {

/// Only for who watches: a log has no use for it.
void show_progress(std::size_t done, std::size_t all)
{
    if (::isatty(STDERR_FILENO) == 1)
        fmt::print(stderr, "\r{} of {}{}", done, all, done == all ? "\n" : "");
}

boost::json::object to_json(const node::restored& what, bool is_paused)
{
    boost::json::object out;
    out["records"] = what.records;
    out["bytes"] = what.bytes;
    out["delivered"] = what.delivered;
    boost::json::array left;
    for (const auto& each : what.left) {
        boost::json::object one;
        one["file"] = each.file.string();
        one["why"] = each.why;
        left.push_back(std::move(one));
    }
    out["left"] = std::move(left);
    boost::json::array gaps;
    for (const auto& each : what.gaps) {
        boost::json::object one;
        one["station"] = each.station;
        one["epoch"] = each.epoch;
        one["first"] = each.first;
        one["last"] = each.last;
        gaps.push_back(std::move(one));
    }
    out["gaps"] = std::move(gaps);
    out["paused"] = is_paused;
    return out;
}

int refuse(std::string_view title, const std::string& why, bool json)
{
    if (json) {
        boost::json::object out;
        out["title"] = title;
        out["detail"] = why;
        put("{}\n", boost::json::serialize(out));
    } else
        fmt::print(stderr, "titip: {}: {}\n", title, why);
    return refused;
}

} // namespace

int mark_disk(const std::string& config, bool json)
{
    const auto said = node::load_config(config);
    if (!said)
        return refuse("nothing was marked", said.error().sentence, json);
    if (!said->mirror)
        return refuse("nothing was marked", fmt::format("{}: there is no [mirror] path", config),
                      json);
    const auto marked = mirror::mark(node::second_disk_of(*said));
    if (!marked)
        return refuse("nothing was marked",
                      fmt::format("{}: {}", said->mirror->path.string(), marked.error().message()),
                      json);
    boost::json::object shown;
    shown["path"] = said->mirror->path.string();
    shown["station"] = said->name;
    shown["disk"] = *marked;
    if (json)
        put("{}\n", boost::json::serialize(shown));
    else
        for (const auto& each : control::words::marked(shown))
            put("{}\n", each);
    return cli::done;
}

namespace {

constexpr auto not_restored = "nothing was restored";

int restore_as_we_are(const node::config& into, const node::restore_options& opts, bool json)
{
    const auto done = node::restore(into, opts, show_progress);
    if (!done)
        return refuse(not_restored, done.error().sentence, json);
    const auto shown = to_json(*done, into.upstream.has_value());
    if (json)
        put("{}\n", boost::json::serialize(shown));
    else
        for (const auto& each : control::words::restored(shown))
            put("{}\n", each);
    return done->left.empty() ? cli::done : no;
}

/// In a process of its own: what root makes the daemon could not open, and what it reads is to be what
/// the daemon's user may.
int restore_as(const node::daemon_user& who, const node::config& into,
               const node::restore_options& opts, bool json)
{
    if (auto failed = node::prepare_state(into, who))
        return refuse(not_restored, failed->sentence, json);
    flush();
    const auto child = ::fork();
    if (child < 0)
        return refuse(not_restored, last_error().message(), json);
    if (child == 0) {
        const auto became = node::become(who);
        const int code = became ? restore_as_we_are(into, opts, json)
                                : refuse(not_restored, became.error().message(), json);
        std::_Exit(flush() || code == refused ? code : output_lost);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status))
        return refuse(not_restored, "the process that restored was ended", json);
    return WEXITSTATUS(status);
}

} // namespace

int restore(const std::string& config, const node::restore_options& opts, bool json)
{
    const auto said = node::load_config(config);
    if (!said)
        return refuse(not_restored, said.error().sentence, json);
    const auto machine = node::check_machine(*said, config, node::occasion::check);
    if (!machine)
        return refuse(not_restored, machine.error().sentence, json);
    const auto who = node::find_daemon_user(*said);
    const int code =
        who.is_ours() ? restore_as_we_are(*said, opts, json) : restore_as(who, *said, opts, json);
    if (code == refused)
        return code;
    // Without a mark the start of the service writes one.
    const auto marked = node::replace_mark(*said);
    if (!marked && node::read_mark(said->mark_file).what != node::mark_reading::kind::absent)
        fmt::print(stderr,
                   "titip: {}: it is still the mark of the store that was here before. As root: "
                   "remove it, then start titipd\n",
                   marked.error().sentence);
    return code;
}

} // namespace titip::cli
