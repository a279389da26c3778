#include "commands.hpp"

#include "control/words.hpp"
#include "node/restore.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <unistd.h>

namespace titip::cli {

namespace {

/// Only for who watches: a log has no use for it.
void show_progress(std::size_t done, std::size_t all)
{
    if (::isatty(STDERR_FILENO) == 1)
        fmt::print(stderr, "\r{} of {}{}", done, all, done == all ? "\n" : "");
}

boost::json::object to_json(const node::restored& what)
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
    return out;
}

int refuse(const std::string& why, bool json)
{
    if (json) {
        boost::json::object out;
        out["title"] = "nothing was restored";
        out["detail"] = why;
        fmt::print("{}\n", boost::json::serialize(out));
    } else
        fmt::print(stderr, "titip: nothing was restored: {}\n", why);
    return refused;
}

} // namespace

int restore(const std::string& config, const std::string& from, bool json)
{
    const auto said = node::load_config(config);
    if (!said)
        return refuse(said.error().sentence, json);
    const auto done = node::restore(*said, from, show_progress);
    if (!done)
        return refuse(done.error().sentence, json);
    const auto shown = to_json(*done);
    if (json)
        fmt::print("{}\n", boost::json::serialize(shown));
    else
        for (const auto& each : control::words::restored(shown))
            fmt::print("{}\n", each);
    return done->left.empty() ? cli::done : no;
}

} // namespace titip::cli
