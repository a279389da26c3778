#include "base/name.hpp"
#include "base/record_id.hpp"
#include "base/secret.hpp"
#include "commands.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdlib>

namespace {

/// Before Asio's static objects, with which OpenSSL takes its first memory. Too late is worth a test's
/// failure, and no command's.
__attribute__((constructor(101))) void cleanse_keys()
{
    (void)titip::cleanse_what_openssl_frees();
}

CLI::Validator node_name()
{
    const auto check = [](const std::string& name) {
        return titip::is_node_name(name) ? std::string{}
                                         : "a station's name is 1 to 63 of a-z, 0-9 and '-'";
    };
    return {check, "NAME"};
}

/// A wrong id is a wrong use, whether or not a daemon is there to ask. In capitals it is the same id,
/// and answers are compared as text.
CLI::Validator canonical_id()
{
    const auto transform = [](std::string& text) {
        const auto parsed = titip::record_id::parse(text);
        if (!parsed)
            return fmt::format("\"{}\" is not a record id: 8-4-4-4-12 hexadecimal digits", text);
        text = parsed->to_string();
        return std::string{};
    };
    return {transform, ""};
}

CLI::Validator interval()
{
    const auto check = [](const std::string& text) {
        double s = 0;
        const bool is_good =
            CLI::detail::lexical_cast(text, s) && s >= 0.1 && s <= 86'400; // not a NaN either
        return is_good ? std::string{} : "must be 0.1 to 86400";
    };
    return {check, "SECONDS"};
}

int run(int argc, char** argv)
{
    namespace cli = titip::cli;
    CLI::App app{"titip shows and steers titipd: whether records are safe, where they are, what "
                 "happens next"};
    app.require_subcommand(1);
    app.fallthrough();
    app.set_version_flag("--version", "titip " TITIP_VERSION);
    const char* from_environment = std::getenv("TITIP_SOCKET");
    std::string socket = from_environment ? from_environment : "/run/titip/titip.sock";
    bool json = false;
    std::string station;
    app.add_option("--socket", socket, "the daemon's local socket (or TITIP_SOCKET)")
        ->capture_default_str();
    app.add_flag("--json", json, "answers as JSON");
    app.add_option("--station", station,
                   "whose record is meant, where two stations chose the same id")
        ->check(node_name());

    std::string id;
    std::vector<std::string> files;
    std::string lane;
    auto* submit =
        app.add_subcommand("submit", "hand over records: files that hold an Enrollment (protobuf)");
    submit->add_option("files", files, "the files")->required();
    submit->add_option("--lane", lane, "urgent, ordinary or bulk")
        ->check(CLI::IsMember({"urgent", "ordinary", "bulk"}));

    bool watch = false;
    double every_s = 1;
    auto* status =
        app.add_subcommand("status", "are the records safe, where are they, what happens next");
    status->add_flag("--watch", watch, "again and again");
    status->add_option("--every-s", every_s, "seconds between two looks")
        ->capture_default_str()
        ->check(interval());

    cli::list_options filter;
    auto* list = app.add_subcommand("list", "the records here");
    list->add_option("--state", filter.state, "only in this state");
    list->add_option("--lane", filter.lane, "only in this lane");
    list->add_option("--older", filter.older, "accepted longer ago than this, \"3 days\"");
    list->add_flag("--held", filter.held, "only held ones");
    list->add_flag("--needs-person", filter.needs_person,
                   "only those of which the centre found what needs a person");

    auto* show = app.add_subcommand("show", "one record's whole story");
    show->add_option("id", id, "the record")->required()->transform(canonical_id());

    std::string out;
    auto* receipt = app.add_subcommand("receipt", "the signed receipt of one record (CMS)");
    receipt->add_option("id", id, "the record")->required()->transform(canonical_id());
    receipt->add_option("--out", out, "the file to write; standard output without it");

    std::string file;
    std::string authorities = "/etc/titip/authorities.pem";
    auto* verify = app.add_subcommand(
        "verify", "look at the whole store, and set aside what is rotten; or, with FILE, check a "
                  "signed statement (a receipt, a manifest, a verdict), offline");
    verify->add_option("file", file, "the statement");
    verify->add_option("--authorities", authorities, "whose certificates are believed (PEM)")
        ->capture_default_str();

    auto* trust = app.add_subcommand(
        "trust", "end safe mode, after titip verify has found nothing: the daemon starts again");

    std::string state = "/var/lib/titip";
    auto* salvage = app.add_subcommand(
        "salvage", "offline: out of a store that cannot be trusted, every record that is whole");
    salvage->add_option("folder", out, "where to: another disk; made if it is not there")
        ->required();
    salvage->add_option("--state", state, "the store's directory, [node] state")
        ->capture_default_str();

    auto* compact = app.add_subcommand(
        "compact", "while titipd does not run: give the space of erased records back to the disk");
    compact->add_option("--state", state, "the state directory")->capture_default_str();

    std::vector<std::pair<CLI::App*, std::string>> on_record;
    for (const auto& [name, what] :
         {std::pair{"hold", "do not send this record yet"}, std::pair{"release", "end a hold"}}) {
        auto* command = app.add_subcommand(name, what);
        command->add_option("id", id, "the record")->required()->transform(canonical_id());
        on_record.emplace_back(command, name);
    }
    std::string why;
    auto* discard = app.add_subcommand(
        "discard", "give up an upload that was begun and never ended; needs --station");
    discard->add_option("id", id, "the record")->required()->transform(canonical_id());
    discard->add_option("--reason", why, "why, for the ledger")->required();
    auto* revoked = app.add_subcommand("revoked", "whose certificates are shut out here");
    std::string fingerprint;
    auto* unrevoke = app.add_subcommand(
        "unrevoke",
        "let a certificate in again that was shut out for good, and that no file names");
    unrevoke
        ->add_option("fingerprint", fingerprint,
                     "SHA-256 of the certificate, as titip revoked shows it")
        ->required();
    unrevoke->add_option("--reason", why, "why, for the ledger")->required();
    auto* findings = app.add_subcommand(
        "findings", "gaps, forks and losses noticed about this node, or --station NAME");
    std::uint64_t number = 0;
    auto* acknowledge = app.add_subcommand(
        "acknowledge", "end the alarm of a finding; it stands again if it grows");
    acknowledge->add_option("number", number, "the finding, as titip status names it")->required();
    acknowledge->add_option("--reason", why, "what was done about it, for the ledger")->required();
    cli::retry_options retrying;
    auto* retry = app.add_subcommand("retry", "send quarantined records once more");
    retry->add_option("id", retrying.ids, "the records")->transform(canonical_id());
    retry
        ->add_option("--reason", retrying.reason,
                     "all that are set aside with this reason (of --station NAME, if given)")
        ->check(CLI::IsMember({"rotten", "refused", "too-large", "conflict", "not-ours", "mismatch",
                               "open-failed", "not-believed", "revoked"}));
    retry->add_flag("--all", retrying.all, "all that are set aside (of --station NAME, if given)");

    std::vector<std::pair<CLI::App*, std::string>> on_link;
    for (const auto& [name, what] : {std::pair{"pause", "stop sending; taking records goes on"},
                                     std::pair{"resume", "go on sending"}})
        on_link.emplace_back(app.add_subcommand(name, what), name);

    auto* backup =
        app.add_subcommand("backup", "copy the store into a new file, while the daemon runs");
    backup->add_option("directory", file, "an existing folder that the daemon may write to")
        ->required();

    std::uint64_t after = 0;
    bool follow = false;
    auto* events = app.add_subcommand("events", "the ledger: what happened, in order");
    events->add_option("--after", after, "only entries after this number");
    events->add_flag("--follow", follow, "wait for more");

    std::string until;
    std::string timeout;
    auto* wait = app.add_subcommand(
        "wait", "until the condition holds; exit code 1 if the time is over first");
    wait->add_option("--until", until, "empty, online, or delivered=ID")->required();
    wait->add_option("--timeout", timeout, "how long at most, \"10 min\"");

    std::string key;
    std::string certificate;
    auto* open = app.add_subcommand(
        "open", "at the centre: decrypt a record, compare the ids, say that it was opened");
    open->add_option("id", id, "the record")->required()->transform(canonical_id());
    open->add_option("--key", key, "the recipient's private key (PEM)")->required();
    open->add_option("--certificate", certificate, "the recipient's certificate (PEM)")->required();
    open->add_option("--out", out, "the file for the enrollment; it holds personal data");

    std::string kind;
    auto* verdict = app.add_subcommand("verdict", "at the centre: what was found about a record");
    verdict->add_option("id", id, "the record")->required()->transform(canonical_id());
    verdict
        ->add_option("kind", kind,
                     "opened, print-ready, duplicate, enrollment-failure, open-failed")
        ->required()
        ->check(CLI::IsMember(
            {"opened", "print-ready", "duplicate", "enrollment-failure", "open-failed"}));
    bool replaces = false;
    verdict->add_flag(
        "--replace", replaces,
        "it is meant to take the place of one that it excludes (the ledger keeps both)");

    std::string config = "/etc/titip/titip.toml";
    titip::node::restore_options restoring;
    std::string folder;
    auto* restore = app.add_subcommand(
        "restore", "make a new store from a second copy, on a new machine; the daemon is stopped");
    restore->add_option("--from", folder, "the folder of the second copy")->required();
    restore->add_flag("--without-damaged", restoring.without_damaged,
                      "leave out files that cannot be used; they are named");
    auto* mark = app.add_subcommand(
        "mark-disk", "say that the disk at [mirror] path is this node's second disk");
    for (auto* command : {restore, mark})
        command->add_option("--config", config, "the daemon's configuration")
            ->capture_default_str();

    std::string topic;
    auto* help = app.add_subcommand("help", "what titip can do, or one of its commands");
    help->add_option("command", topic, "the command");

    for (auto* command : app.get_subcommands({}))
        command->footer(command->get_option_no_throw("id")
                            ? "Also: --station NAME where several stations have this id, --socket, "
                              "--json (titip --help)"
                            : "Also: --socket, --json (titip --help)");

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (const auto unknown = app.remaining();
            app.get_subcommands().empty() && !unknown.empty()) {
            fmt::print(stderr, "titip has no command \"{}\"; titip --help shows all\n",
                       unknown.front());
            return cli::usage;
        }
        return app.exit(error) == 0 ? cli::done : cli::usage;
    }
    if (*help) {
        const auto about = app.get_subcommands(
            [&topic](const CLI::App* each) { return each->get_name() == topic; });
        if (about.empty() && !topic.empty()) {
            fmt::print(stderr, "titip has no command \"{}\"; titip help shows all\n", topic);
            return cli::usage;
        }
        // Not app.help(): that is the help of the command which was given, and this one is "help".
        const auto* which = about.empty() ? &app : about.front();
        cli::put("{}\n",
                 app.get_formatter()->make_help(which, about.empty() ? "titip" : "titip " + topic,
                                                CLI::AppFormatMode::Normal));
        return cli::done;
    }
    if (*verify && !file.empty())
        return cli::verify(file, authorities, json);
    if (*compact)
        return cli::compact(state, json);

    if (*salvage)
        return cli::salvage(state, out, json);
    restoring.from = folder;
    if (*restore)
        return cli::restore(config, restoring, json);
    if (*mark)
        return cli::mark_disk(config, json);

    cli::session with{socket};
    with.json = json;
    with.station = station;
    if (*verify)
        return cli::verify_store(with);
    if (*trust)
        return cli::trust(with);
    if (*submit)
        return cli::submit(with, files, lane);
    if (*status)
        return cli::status(with, watch,
                           std::chrono::milliseconds{static_cast<std::int64_t>(every_s * 1000)});
    if (*list)
        return cli::list(with, filter);
    if (*show)
        return cli::show(with, id);
    if (*receipt)
        return cli::receipt(with, id, out);
    if (*discard && station.empty()) {
        fmt::print(stderr,
                   "titip: discard needs --station NAME: the same id may be another station's\n");
        return cli::usage;
    }
    if (*discard)
        return cli::discard(with, id, why);
    if (*revoked)
        return cli::revoked(with);
    if (*unrevoke)
        return cli::unrevoke(with, fingerprint, why);
    if (*findings)
        return cli::findings(with);
    if (*acknowledge)
        return cli::acknowledge(with, number, why);
    if (*backup)
        return cli::backup(with, file);
    if (*events)
        return cli::events(with, after, follow);
    if (*wait)
        return cli::wait(with, until, timeout);
    if (*open)
        return cli::open(with, id, key, certificate, out);
    if (*verdict)
        return cli::verdict(with, id, kind, replaces);
    if (*retry)
        return cli::retry(with, retrying);
    for (const auto& [command, name] : on_record)
        if (*command)
            return cli::act_on_record(with, id, name);
    for (const auto& [command, name] : on_link)
        if (*command)
            return cli::act_on_link(with, name);
    return cli::usage;
}

} // namespace

int main(int argc, char** argv)
{
    return titip::cli::with_output("titip", [argc, argv] { return run(argc, argv); });
}
