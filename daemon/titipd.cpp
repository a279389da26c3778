#include "base/last_words.hpp"
#include "base/log.hpp"
#include "envelope/library.hpp"
#include "node/birth.hpp"
#include "node/check.hpp"
#include "node/child.hpp"
#include "node/fit.hpp"
#include "node/node.hpp"
#include "node/service.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <optional>

namespace {

int refuse(std::string_view why)
{
    titip::last_words("titipd", why);
    return 1;
}

int make_store(const titip::node::config& from)
{
    const auto made = titip::node::create(from);
    if (!made)
        return refuse(made.error().sentence);
    titip::cli::put("{}: {}\n", from.state.string(),
                    made->was_there ? "a store is there already; nothing was changed"
                                    : "an empty store was made");
    if (made->mark_why.empty())
        return 0;
    fmt::print(stderr, "titipd: ALARM: the mark beside the configuration: {}\n", made->mark_why);
    return made->was_there ? 1 : 0;
}

/// Before each start of the service: says nothing where nothing was to be done.
int adopt_store(const titip::node::config& from)
{
    const auto done = titip::node::adopt(from);
    if (!done)
        return refuse(done.error().sentence);
    if (*done)
        titip::cli::put("{}: written for the store in {}\n", from.mark_file.string(),
                        from.state.string());
    return 0;
}

/// All that comes before the service; nothing in `service`: the program has done what was asked for.
int prepare(int argc, char** argv, std::optional<titip::node::config>& service)
{
    CLI::App app{
        "titipd keeps identity-card enrollment records safe and hands them on when the link is up"};
    std::string file = "/etc/titip/titip.toml";
    bool check_only = false;
    bool create_only = false;
    bool adopt_only = false;
    bool verbose = false;
    app.add_option("--config", file, "the configuration file")->capture_default_str();
    app.add_flag("--check", check_only,
                 "check the configuration and its files, and exit; the store is not changed");
    app.add_flag("--create", create_only,
                 "make an empty store in [node] state, and its mark beside the configuration file, "
                 "and exit; a store that is there is left as it is");
    app.add_flag("--adopt", adopt_only,
                 "write that mark for a store that is there and has none, and exit; as root");
    app.add_flag("--verbose", verbose, "log what is for developers too");
    std::string examined;
    std::string node;
    app.add_option("--verify-store", examined,
                   "look at a store that no daemon has open, changing nothing; the daemon starts "
                   "itself so")
        ->group("");
    app.add_option("--node", node)->group("");
    app.set_version_flag("--version", "titipd " TITIP_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0)
            return app.exit(error);
        titip::last_words("titipd", fmt::format("{}; titipd --help shows all", error.what()));
        return 2;
    }
    if (!examined.empty())
        return titip::node::examine_as_child(examined, node);
    if (verbose)
        titip::log::set_threshold(titip::log::level::debug);

    auto config = titip::node::load_config(file);
    if (!config)
        return refuse(config.error().sentence);
    if (adopt_only)
        return adopt_store(*config);
    using titip::node::occasion;
    auto warnings = titip::node::check_machine(
        *config, file, check_only || create_only ? occasion::check : occasion::start);
    if (!warnings)
        return refuse(warnings.error().sentence);
    if (auto flaw = titip::envelope::flaw_of_library(); !flaw.empty())
        warnings->push_back(std::move(flaw));
    if (check_only || create_only) {
        const auto materials = titip::node::load_materials(*config);
        if (!materials)
            return refuse(materials.error().sentence);
        if (create_only)
            return make_store(*config);
        auto store = titip::node::check_store(*config);
        for (const auto& all : {*warnings, store.warnings})
            for (const auto& each : all)
                fmt::print(stderr, "titipd: warning: {}\n", each);
        for (const auto& each : store.alarms)
            fmt::print(stderr, "titipd: ALARM: {}\n", each);
        bool is_good = store.alarms.empty();
        const titip::trust::clock_watch clock{titip::trust::judge::build_time()};
        const auto now = clock.reckon(titip::wall_now(), titip::monotonic::now());
        for (const auto& each : titip::node::find_misfits(*config, *materials, now)) {
            fmt::print(stderr, "titipd: {}: {}: {}\n", each.is_wrong ? "ALARM" : "warning", file,
                       each.sentence);
            is_good = is_good && !each.is_wrong;
        }
        if (!is_good)
            return 1;
        titip::cli::put("{}: good\n", file);
        return 0;
    }
    for (const auto& each : *warnings)
        titip::log::warn("configuration {}", each);
    service = *std::move(config);
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    std::optional<titip::node::config> service;
    const int code =
        titip::cli::with_output("titipd", [&] { return prepare(argc, argv, service); });
    if (!service || code != 0)
        return code;
    return titip::node::run_service(std::move(*service));
}
