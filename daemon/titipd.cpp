#include "base/last_words.hpp"
#include "base/log.hpp"
#include "node/check.hpp"
#include "node/child.hpp"
#include "node/node.hpp"
#include "node/service.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <optional>

namespace {

/// All that comes before the service; nothing in `service`: the program has done what was asked for.
int prepare(int argc, char** argv, std::optional<titip::node::config>& service)
{
    CLI::App app{
        "titipd keeps identity-card enrollment records safe and hands them on when the link is up"};
    std::string file = "/etc/titip/titip.toml";
    bool check_only = false;
    bool verbose = false;
    app.add_option("--config", file, "the configuration file")->capture_default_str();
    app.add_flag("--check", check_only,
                 "check the configuration and its files, and exit; the store is not touched");
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
    if (!config) {
        titip::last_words("titipd", config.error().sentence);
        return 1;
    }
    using titip::node::occasion;
    const auto warnings =
        titip::node::check_machine(*config, file, check_only ? occasion::check : occasion::start);
    if (!warnings) {
        titip::last_words("titipd", warnings.error().sentence);
        return 1;
    }
    if (check_only) {
        const auto materials = titip::node::load_materials(*config);
        if (!materials) {
            titip::last_words("titipd", materials.error().sentence);
            return 1;
        }
        for (const auto& each : *warnings)
            fmt::print(stderr, "titipd: warning: {}\n", each);
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
