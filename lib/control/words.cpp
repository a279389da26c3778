#include "control/words.hpp"

#include "base/explain.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "journal/capacity.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace titip::control::words {

namespace {

using boost::json::object;
using lines = std::vector<std::string>;

std::string_view text(const object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    return value && value->is_string() ? std::string_view{value->get_string()} : std::string_view{};
}

std::uint64_t number(const object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    boost::system::error_code not_one;
    return value ? value->to_number<std::uint64_t>(not_one) : 0;
}

bool truth(const object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    return value && value->is_bool() && value->get_bool();
}

std::vector<std::string_view> names(const object& from, std::string_view key)
{
    std::vector<std::string_view> out;
    if (const auto* value = from.if_contains(key); value && value->is_array())
        for (const auto& each : value->get_array())
            if (each.is_string())
                out.emplace_back(each.get_string());
    return out;
}

const object& sub(const object& from, std::string_view key)
{
    static const object none;
    const auto* value = from.if_contains(key);
    return value && value->is_object() ? value->get_object() : none;
}

const boost::json::array& list_of(const object& from, std::string_view key)
{
    static const boost::json::array none;
    const auto* value = from.if_contains(key);
    return value && value->is_array() ? value->get_array() : none;
}

wall_time time_of(const object& from, std::string_view key)
{
    return from_ms(static_cast<std::int64_t>(number(from, key)));
}

std::string count(std::uint64_t n, std::string_view thing)
{
    return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s");
}

struct amount {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
};

amount amount_of(const object& status, std::string_view state)
{
    const auto& each = sub(sub(status, "records"), state);
    return {number(each, "records"), number(each, "bytes")};
}

std::string ago(wall_time then, wall_time now)
{
    return show_duration(now - then) + " ago";
}

std::string in(wall_time then, wall_time now)
{
    if (then <= now + 1s)
        return "now";
    return "in " + show_duration(then - now);
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> verdicts{
    {{"unknown", "has not been tried yet"},
     {"no-route", "this machine has no route to the upstream"},
     {"dns", "the name of the upstream cannot be resolved"},
     {"tcp", "the upstream does not answer, or refuses the connection"},
     {"tls", "something answers that cannot prove to be the upstream"},
     {"clock", "this machine's clock, or the upstream's, is wrong: check the date"},
     {"expired", "a certificate has expired: it must be renewed"},
     {"portal", "a web page answers in place of the upstream: log in to the network first"},
     {"auth", "this machine and the upstream do not believe each other: call the centre"},
     {"application", "the upstream has an error of its own"},
     {"maintenance", "the upstream is there and asked for a pause"},
     {"nothing-through", "the upstream answers, but nothing of a record gets through to it"},
     {"loop", "the way up leads back to this node: correct [upstream] url here or further up"},
     {"ok", "the upstream is reached"}}};

/// The relay that this node hands its records to, or what stands for one of before.
std::string relay_of(const object& status)
{
    const auto& link = sub(status, "link");
    return text(link, "upstream_role") == "relay" ? std::string{text(link, "upstream_name")}
                                                  : std::string{"a relay"};
}

/// What went to a relay, and what a relay keeps from us.
void add_relayed(lines& out, const object& status, wall_time now)
{
    const auto relayed = amount_of(status, "relayed");
    const auto since = time_of(status, "oldest_relayed_ms");
    if (relayed.records > 0)
        out.push_back(fmt::format(
            "{} ({}) handed on to {}, not yet at the centre as far as is known{}. What was handed "
            "on is kept here too; do not record anyone again.",
            count(relayed.records, "record"), show_size(relayed.bytes), relay_of(status),
            since == wall_time{}
                ? std::string{}
                : fmt::format(" (the oldest {})", ago(std::min(since, now), now))));
    const auto& link = sub(status, "link");
    const auto delivered = amount_of(status, "delivered");
    if (text(link, "upstream_role") == "relay" && delivered.records > 0)
        out.push_back(
            fmt::format("{} at the centre, which has not said yet that it opened {}: {} does "
                        "not pass that on. What is at the centre is kept here too.",
                        count(delivered.records, "record"), delivered.records == 1 ? "it" : "them",
                        relay_of(status)));
}

/// Where the records are and whether they are safe: what a clerk wants to know first.
void add_safety(lines& out, const object& status, wall_time now)
{
    const auto waiting = amount_of(status, "waiting");
    const auto quarantined = amount_of(status, "quarantined");
    const bool is_centre = text(status, "role") == "centre";
    if (is_centre) {
        out.push_back(fmt::format(
            "{} received and safe here; {} opened.",
            count(amount_of(status, "delivered").records + amount_of(status, "opened").records,
                  "record"),
            amount_of(status, "opened").records));
        return;
    }
    if (waiting.records == 0)
        out.push_back(quarantined.records == 0 && amount_of(status, "relayed").records == 0
                          ? "Nothing waits: every record that was taken here has been handed on."
                          : "Nothing waits to be sent.");
    else
        out.push_back(
            fmt::format("{} ({}) safe on this machine, not yet at the centre. Nothing is lost; "
                        "do not record anyone again.",
                        count(waiting.records, "record"), show_size(waiting.bytes)));
    add_relayed(out, status, now);
    if (quarantined.records > 0)
        out.push_back(
            fmt::format("{} set aside and need{} a decision: titip list --state quarantined",
                        count(quarantined.records, "record"), quarantined.records == 1 ? "s" : ""));
}

/// What is not offered for now because the upstream refuses it, from one entry of `deferred`: what is wrong,
/// as the end of "because ...", and what to do about it.
std::pair<std::string, std::string_view> deferral(const object& why)
{
    const auto what = text(why, "why");
    const auto note =
        text(why, "note").empty() ? std::string{} : fmt::format(" (\"{}\")", text(why, "note"));
    constexpr std::string_view call = "Call the centre and read this line to it; when that is "
                                      "mended: titip resume";
    if (truth(why, "is_odd"))
        return {fmt::format("the upstream refuses it, for what may not be its own fault{}", note),
                call};
    if (what == "not-believed")
        return {fmt::format("the upstream does not believe the certificate of {} that signed it{}",
                            text(why, "station"), note),
                call};
    if (what == "role")
        return {fmt::format("the upstream does not let this machine offer records of {}{}",
                            text(why, "station"), note),
                call};
    if (what == "limit")
        return {fmt::format("the upstream refuses its size, which it says it takes{}", note), call};
    return {
        fmt::format("the upstream has it, and gives a receipt that is not believed here{}", note),
        "Call the centre: it may have a new authority, which belongs into [identity] authorities; "
        "then: titip resume"};
}

std::uint64_t deferred_records(const object& link)
{
    std::uint64_t out = 0;
    for (const auto& each : list_of(link, "deferred"))
        out += each.is_object() ? number(each.get_object(), "records") : 0;
    return out;
}

void add_deferrals(lines& out, const object& link, wall_time now)
{
    for (const auto& each : list_of(link, "deferred")) {
        if (!each.is_object() || number(each.get_object(), "records") == 0)
            continue;
        const auto& why = each.get_object();
        const auto [because, advice] = deferral(why);
        out.push_back(
            fmt::format("ALARM: {} not sent for now, each because {}. Nothing is lost or set "
                        "aside; next try {}. {}.",
                        count(number(why, "records"), "record"), because,
                        in(time_of(why, "next_try_ms"), now), advice));
    }
}

std::string out_of_budget(const object& link)
{
    const auto budget = number(link, "day_budget_bytes");
    const auto sent = number(link, "sent_today_bytes");
    if (budget > 0 && sent >= budget)
        return fmt::format(
            "Connected; today's {} of this link are used up. Sending goes on tomorrow.",
            show_size(budget));
    return "Connected; nothing is sent over this link at this hour. Sending goes on by itself.";
}

/// Of the last minute; a large record over a slow link takes longer, then of the last hour.
std::uint64_t rate_of(const object& link)
{
    const auto minute = number(link, "goodput_bytes_per_s");
    return minute > 0 ? minute : number(link, "goodput_hour_bytes_per_s");
}

/// That dates have passed only a clock says, as long as the centre has not.
std::string why_not(const object& status, const object& link, wall_time now)
{
    const std::string why{link_verdict(text(link, "verdict"))};
    const auto& clock = sub(status, "clock");
    const auto says = time_of(status, "time_ms");
    if (text(link, "verdict") != "expired" || clock.empty() || text(clock, "state") == "good" ||
        text(clock, "state") == "behind")
        return why;
    return fmt::format("{}, if the clock of this machine is right ({})", why,
                       to_rfc3339(says == wall_time{} ? now : says));
}

void add_next(lines& out, const object& status, wall_time now)
{
    const auto& link = sub(status, "link");
    if (link.empty())
        return;
    const auto waiting = amount_of(status, "waiting");
    const auto held = std::min(number(status, "held"), waiting.records);
    const auto since = time_of(link, "since_ms");
    if (truth(status, "paused"))
        out.push_back("Sending is paused by an operator; it goes on with: titip resume");
    else if (!truth(link, "up"))
        out.push_back(
            fmt::format("Not connected since {} ({}): {}. Next check {}; sending goes on by "
                        "itself.",
                        to_rfc3339(since), show_duration(now - since), why_not(status, link, now),
                        in(time_of(link, "next_check_ms"), now)));
    else if (const auto blocked = time_of(link, "nothing_through_since_ms");
             waiting.records > held && blocked != wall_time{})
        out.push_back(fmt::format(
            "Connected, but nothing gets through: since {} ({}) nothing of a record has been "
            "acknowledged. Next try {}. Nothing is lost; operating.md says what to look for.",
            to_rfc3339(blocked), show_duration(now - blocked),
            in(time_of(link, "next_check_ms"), now)));
    else if (waiting.records > held && deferred_records(link) >= waiting.records - held)
        out.push_back(fmt::format("Connected since {}; nothing is sent for now, as below.",
                                  to_rfc3339(since)));
    else if (waiting.records > held && !truth(link, "within_budget") &&
             link.contains("within_budget"))
        out.push_back(out_of_budget(link));
    else if (waiting.records > held) {
        const auto rate = rate_of(link);
        // How large the held ones are nobody counts: as the others.
        const auto to_send = waiting.bytes / waiting.records * (waiting.records - held);
        out.push_back(rate == 0
                          ? std::string{"Connected; sending now."}
                          : fmt::format("Connected; sending now at {} a second, about {} to go.",
                                        show_size(rate),
                                        show_duration(std::chrono::seconds{to_send / rate})));
    } else
        out.push_back(fmt::format("Connected since {}.", to_rfc3339(since)));
    if (held == 0)
        return;
    const auto who = held > 1 && held == waiting.records ? fmt::format("All {} that wait are", held)
                                                         : count(held, "record");
    out.push_back(fmt::format("{} held by an operator: titip release ID sends {}", who,
                              held == 1 ? "it" : "them"));
}

/// What a finding means to those who sit at `node`; docs/operating.md has more room. Where the hashes
/// show that numbers were given twice, they do not show from which on.
std::string finding(const object& what, std::string_view node, bool is_centre)
{
    const auto kind = text(what, "kind");
    const auto first = number(what, "first");
    const auto last = number(what, "last");
    const auto epoch = text(what, "epoch").substr(0, 8); // to tell them apart, on the telephone too
    if (text(what, "station") == node && kind == "later-head")
        return fmt::format(
            "the records on this machine were put back from an older copy, or a copy of it is in "
            "use elsewhere: the centre has numbers {} to {} of this office, and perhaps other "
            "people under earlier ones, that are not on this machine. Go on working: nothing is "
            "sent twice. Do not enter those people again before the centre has said who they are. "
            "Keep the old disk; call the centre and read to it: {} to {}, {}.",
            first + 1, last, first + 1, last, epoch);
    if (text(what, "station") == node && kind == "unknown-epoch")
        return fmt::format(
            "the centre has {} of this office (numbers {} to {}) from another machine, or from "
            "this one before it was set up anew. If this machine was not set up anew, a copy of it "
            "is running: find it and switch it off. What the other had not sent is only on its "
            "disk: keep it; call the centre and read to it: {} to {}, {}.",
            count(number(what, "records"), "record"), first, last, first, last, epoch);
    if (text(what, "station") == node && kind == "fork")
        return fmt::format(
            "number {} of this office, and perhaps earlier ones, was given to two people: this "
            "machine was copied, or put back to an older state. Let only one machine run and keep "
            "the other's disk; call the centre and read to it: {}, {}.",
            first, first, epoch);
    if (text(what, "station") == node && kind == "not-held")
        return fmt::format(
            "the centre no longer has numbers {} to {} of this office, for which it had signed. "
            "What is still on this machine is sent again by itself; call the centre and read to "
            "it: {} to {}, {}.",
            first, last, first, last, epoch);
    return fmt::format("the numbering shows a {} at {}..{} (station {}): {}.", kind, first, last,
                       text(what, "station"),
                       is_centre ? "see \"Findings\" in /usr/share/doc/titip/operating.md"
                                 : "call the centre");
}

/// What of quota and disk is the smaller; of a daemon that says the quota alone, that.
struct space {
    std::uint64_t used = 0;
    std::uint64_t total = 0;
    std::uint64_t percent = 0;
    std::string_view limit = "quota";
};

space space_of(const object& disk)
{
    space out{.used = number(disk, "live_bytes"), .total = number(disk, "quota_bytes")};
    out.percent = out.total > 0 ? out.used * 100 / out.total : 0;
    if (disk.contains("total_bytes")) {
        out.total = number(disk, "total_bytes");
        out.percent = number(disk, "used_percent");
        out.limit = text(disk, "limit");
    }
    return out;
}

void add_space(lines& out, const object& disk)
{
    const auto room = space_of(disk);
    const std::string_view whose =
        room.limit == "quota" ? "of the quota" : "of what the disk can give to records";
    if (!truth(disk, "has_room"))
        out.push_back(
            fmt::format("ALARM: no space for another record: {}. What was accepted is safe.",
                        disk.contains("limit") ? how_to_get_room(room.limit)
                                               : "free space on the disk, or raise [node] quota"));
    else if (room.percent >= 80)
        out.push_back(fmt::format("{}: {} % {} is used: {} of {}.",
                                  room.percent >= 90 ? "ALARM" : "Warning", room.percent, whose,
                                  show_size(room.used), show_size(room.total)));
    if (const auto files = number(disk, "files_left");
        disk.contains("files_left") && files < journal::few_files)
        out.push_back(fmt::format(
            "Warning: the disk of the store takes {}: records are taken all the same, but other "
            "programs, and the next start, may need one. Remove files that are not needed from it.",
            files == 0 ? "no more files" : "only " + count(files, "more file")));
}

/// Uploads that were begun and get no byte any more.
void add_stalled(lines& out, const object& stalled, wall_time now)
{
    const auto* oldest = stalled.if_contains("oldest");
    if (!oldest || !oldest->is_array())
        return;
    std::uint64_t told = 0;
    for (const auto& value : oldest->get_array())
        if (value.is_object()) {
            const auto& each = value.get_object();
            ++told;
            out.push_back(fmt::format(
                "ALARM: number {} of station {} began to arrive and has got no byte for {} ({} of "
                "{} are here). It goes on by itself when the station sends. If it never will: "
                "titip discard {} --station {} --reason TEXT",
                number(each, "sequence"), text(each, "station"),
                show_duration(now - time_of(each, "last_byte_at_ms")),
                show_size(number(each, "stored_bytes")), show_size(number(each, "size_bytes")),
                text(each, "id"), text(each, "station")));
        }
    if (const auto all = number(stalled, "count"); all > told)
        out.push_back(
            fmt::format("ALARM: {} more like these: titip list --state arriving", all - told));
}

/// The clock of this machine, where it must be wrong.
void add_clock(lines& out, const object& status, wall_time now)
{
    const auto& clock = sub(status, "clock");
    const auto state = text(clock, "state");
    if (state != "behind" && state != "ahead")
        return;
    const auto signed_at = time_of(clock, "signed_ms");
    const auto floor = time_of(clock, "floor_ms");
    const auto says = time_of(status, "time_ms");
    out.push_back(fmt::format(
        "ALARM: the clock of this machine says {}; it must be wrong: {} {}. Set it; records are "
        "taken meanwhile.",
        to_rfc3339(says == wall_time{} ? now : says),
        signed_at >= floor ? "the centre signed something on" : "this program was made on",
        to_rfc3339(floor)));
}

bool serves(const object& certificate, std::string_view whom)
{
    const auto all = names(certificate, "serves");
    return std::ranges::find(all, whom) != all.end();
}

/// "this node's certificate", "the authority CN=Titip Root, which issued this node's certificate".
std::string described(const object& certificate)
{
    const auto subject = text(certificate, "subject");
    if (!truth(certificate, "is_authority")) {
        if (serves(certificate, "node"))
            return "this node's certificate";
        return serves(certificate, "upstream")
                   ? fmt::format("the upstream's certificate ({})", subject)
                   : fmt::format("a certificate that records are sealed to ({})", subject);
    }
    lines issued;
    if (serves(certificate, "node"))
        issued.emplace_back("this node's certificate");
    if (serves(certificate, "upstream"))
        issued.emplace_back("the upstream's");
    if (serves(certificate, "recipient"))
        issued.emplace_back("one that records are sealed to");
    return fmt::format("the authority {}, on which {} {},", subject, fmt::join(issued, " and "),
                       issued.size() == 1 ? "stands" : "stand");
}

/// Ends are judged by what is known of the time, and not by a clock alone: one that is five years
/// ahead must neither cry wolf nor hide a wolf.
void add_end(lines& out, const std::string& what, wall_time from, wall_time until,
             const object& clock, wall_time now)
{
    constexpr std::chrono::days soon{30};
    const bool is_known = !clock.empty();
    const auto floor = is_known ? time_of(clock, "floor_ms") : now;
    const auto likely = is_known ? time_of(clock, "likely_ms") : now;
    const bool is_unconfirmed = is_known && text(clock, "state") == "unconfirmed";
    if (until < floor || (until < likely && !is_unconfirmed))
        out.push_back(fmt::format("ALARM: {} has expired on {}.", what, to_rfc3339(until)));
    else if (until < likely)
        out.push_back(fmt::format("ALARM: {} ends on {}, and the clock of this machine, which "
                                  "nothing has confirmed since {}, says {}: set the clock if it is "
                                  "wrong; if it is right, a new certificate is needed.",
                                  what, to_rfc3339(until), to_rfc3339(floor), to_rfc3339(likely)));
    else if (std::chrono::ceil<std::chrono::days>(until - likely) < soon)
        out.push_back(fmt::format("Warning: {} expires on {}.", what, to_rfc3339(until)));
    if (from > likely && likely > floor) // else only a floor is known
        out.push_back(fmt::format("ALARM: {} is valid only from {} on: check the clock of this "
                                  "machine.",
                                  what, to_rfc3339(from)));
}

void add_certificates(lines& out, const object& status, wall_time now)
{
    const auto& clock = sub(status, "clock");
    const auto* all = status.if_contains("certificates");
    if (all && all->is_array()) {
        for (const auto& each : all->get_array())
            if (each.is_object())
                add_end(out, described(each.get_object()),
                        time_of(each.get_object(), "valid_from_ms"),
                        time_of(each.get_object(), "expires_ms"), clock, now);
        return;
    }
    for (const auto& [key, what] :
         {std::pair{"certificate_expires_ms", "this node's certificate"},
          std::pair{"recipient_expires_ms", "a certificate that records are sealed to"}})
        if (const auto end = time_of(status, key); end != wall_time{})
            add_end(out, what, wall_time{}, end, clock, now);
}

/// Who was refused here for a certificate in the last day.
void add_refused_peers(lines& out, const object& status)
{
    struct kind {
        std::string_view why;
        std::string_view sentence;
    };
    constexpr std::array kinds{
        kind{"expired", "{} refused in the last day because {} expired{}: renew {}, or the "
                        "authority's (\"Renew a certificate\" in operating.md)."},
        kind{"not-yet-valid", "{} refused in the last day because {} not valid yet{}: check this "
                              "machine's clock first, then the dates of {}."},
        kind{"foreign",
             "{} refused in the last day because {} issued by an authority that is not "
             "in [identity] authorities{}. If they are stations, that file, or {}, is an "
             "old one."}};
    const auto& refused = sub(status, "refused_peers");
    for (const auto& [why, sentence] : kinds) {
        const auto& each = sub(refused, why);
        const auto peers = number(each, "peers");
        if (peers == 0)
            continue;
        const auto known = names(each, "names");
        const auto who = fmt::format("{}{} {}", truth(each, "is_at_least") ? "at least " : "",
                                     count(peers, why == "foreign" ? "machine" : "station"),
                                     peers == 1 ? "was" : "were");
        const auto named = known.empty() ? std::string{}
                                         : fmt::format(" ({}{})", fmt::join(known, ", "),
                                                       known.size() < peers ? ", ..." : "");
        out.push_back(
            "Warning: " +
            fmt::format(fmt::runtime(sentence), who,
                        why == "not-yet-valid"
                            ? (peers == 1 ? "its certificate is" : "their certificates are")
                        : why == "foreign"
                            ? (peers == 1 ? "its certificate was" : "their certificates were")
                            : (peers == 1 ? "its certificate has" : "their certificates have"),
                        named, peers == 1 ? "its certificate" : "their certificates"));
    }
    const auto& shut_out = sub(refused, "revoked");
    if (const auto peers = number(shut_out, "peers"); peers > 0) {
        const auto known = names(shut_out, "names");
        out.push_back(fmt::format(
            "Warning: {}{} refused in the last day because {} revoked{} (\"A machine is stolen\" "
            "in "
            "operating.md): if one of them is in your hands, it needs a new key and certificate.",
            truth(shut_out, "is_at_least") ? "at least " : "",
            count(peers, "machine") + (peers == 1 ? " was" : " were"),
            peers == 1 ? "its certificate is" : "their certificates are",
            known.empty() ? std::string{}
                          : fmt::format(" ({}{})", fmt::join(known, ", "),
                                        known.size() < peers ? ", ..." : "")));
    }
    const auto& closed = sub(refused, "not-accepted");
    if (const auto peers = number(closed, "peers"); peers > 0)
        out.push_back(fmt::format(
            "Warning: {}{} broke off in the last day because {} not accept this node's "
            "certificate. "
            "If they are stations: look at its dates, at the authority's and at the stations' "
            "clocks (titipd --check).",
            truth(closed, "is_at_least") ? "at least " : "", count(peers, "machine"),
            peers == 1 ? "it does" : "they do"));
}

/// Of a daemon that gives findings no numbers: nothing.
std::string how_to_acknowledge(const object& finding)
{
    const auto which = number(finding, "number");
    return which == 0
               ? std::string{}
               : fmt::format(" When it is dealt with: titip acknowledge {} --reason TEXT.", which);
}

void add_more_findings(lines& out, const object& status)
{
    const auto* shown = status.if_contains("findings");
    const auto all = number(status, "findings_standing");
    const auto here = shown && shown->is_array() ? shown->get_array().size() : 0;
    if (all > here)
        out.push_back(fmt::format("ALARM: there {} beside these: titip findings --station NAME "
                                  "shows all of a station.",
                                  all - here == 1 ? "is 1 finding"
                                                  : fmt::format("are {} findings", all - here)));
}

void add_alarms(lines& out, const object& status, wall_time now)
{
    const auto& disk = sub(status, "disk");
    add_space(out, disk);
    constexpr milliseconds slow = 5s;
    const milliseconds waits{static_cast<std::int64_t>(number(disk, "sync_wait_ms"))};
    const milliseconds waited{static_cast<std::int64_t>(number(disk, "slowest_sync_ms"))};
    if (waits >= slow)
        out.push_back(fmt::format("ALARM: the disk has not been done with a sync for {}. What was "
                                  "accepted is safe; whoever submits a record waits. operating.md, "
                                  "\"A slow disk\".",
                                  show_duration(waits)));
    else if (waited >= slow)
        out.push_back(
            fmt::format("ALARM: the disk took {} for a sync within the last hour. What was "
                        "accepted is safe. operating.md, \"A slow disk\".",
                        show_duration(waited)));
    add_stalled(out, sub(status, "stalled_uploads"), now);
    if (const auto* findings = status.if_contains("findings"); findings && findings->is_array())
        for (const auto& each : findings->get_array())
            if (each.is_object())
                out.push_back("ALARM: " +
                              finding(each.get_object(), text(status, "node"),
                                      text(status, "role") == "centre") +
                              how_to_acknowledge(each.get_object()));
    add_more_findings(out, status);
    if (const auto format = number(status, "format_behind"); format > 0)
        out.push_back(fmt::format("ALARM: this version could not bring the store to its format, "
                                  "for want of space; it works on with format {}. Free some space "
                                  "on its disk, then systemctl restart titipd.",
                                  format));
    if (truth(status, "relayed_overdue"))
        out.push_back(fmt::format("ALARM: of what was handed on to {}, the centre has confirmed "
                                  "nothing for {}: call who runs "
                                  "it, and ask whether it reaches the centre.",
                                  relay_of(status),
                                  show_duration(now - time_of(status, "oldest_relayed_ms"))));
    if (const auto many = number(sub(status, "link"), "turned_back"); many > 0)
        out.push_back(
            fmt::format("ALARM: {} not sent, because {}, the upstream here, brought {}: one of "
                        "the two sends the wrong way. Correct [upstream] url, here or there.",
                        count(many, "record"), text(sub(status, "link"), "upstream_name"),
                        many == 1 ? "it" : "them"));
    if (truth(status, "seal_unused"))
        out.push_back(
            "ALARM: [seal] and [listen] do not go together: the centre would refuse what is "
            "submitted here, so nothing is. Submit at a station, and remove [seal] here.");
    if (const auto many = number(sub(status, "scrub"), "differences"); many > 0)
        out.push_back(fmt::format("ALARM: the store's own books do not agree ({}): titip verify "
                                  "names them; call the centre.",
                                  count(many, "difference")));
    if (const auto& found = sub(status, "verified"); number(found, "differences") > 0)
        out.push_back(fmt::format("ALARM: titip verify found {} on {}. Delete nothing; call the "
                                  "centre. titip verify looks again, and ends this if it finds "
                                  "nothing new.",
                                  count(number(found, "differences"), "difference"),
                                  to_rfc3339(time_of(found, "at_ms"))));
    add_clock(out, status, now);
    add_certificates(out, status, now);
    add_refused_peers(out, status);
    for (const auto each : names(status, "misfits"))
        out.push_back(fmt::format("ALARM: {}", each));
}

/// What would go unnoticed at the next start, or be lost with the power.
void add_store(lines& out, const object& status)
{
    const auto& store = sub(status, "store");
    const auto file = text(store, "mark_file");
    const auto detail = text(store, "mark_detail");
    const auto mark = text(store, "mark");
    if (mark == "absent")
        out.push_back(
            fmt::format("ALARM: no mark says that this store was made, and none can be "
                        "written ({}): at a start without its disk nobody would know that "
                        "there is one. As root: systemctl restart titipd; if it was started by "
                        "hand: stop it, titipd --adopt, start it.",
                        detail));
    else if (mark == "unreadable")
        out.push_back(
            fmt::format("ALARM: the mark {} cannot be used ({}). As root: remove it, then "
                        "systemctl restart titipd writes it anew.",
                        file, detail));
    else if (mark == "other-store")
        out.push_back(fmt::format(
            "ALARM: this is not the store that {} names ({}). Was another disk mounted, or an "
            "older "
            "one? What was taken into the other store is only there. If this one is right: as root "
            "remove that file, then systemctl restart titipd.",
            file, detail));
    if (const auto where = text(store, "fleeting"); !where.empty())
        out.push_back(fmt::format(
            "ALARM: the store is not on a disk, but {}: its records do not "
            "survive {}. Call the administrator.",
            where, where.starts_with("in memory") ? "a power cut" : "the end of the container"));
}

std::string_view second_copy_trouble(std::string_view why)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> known{
        {{"not-mounted",
          "the disk is not there: plug it in. If it is plugged in, call the administrator"},
         {"not-marked",
          "the disk that is there is not this node's second disk: plug that one in, or "
          "call the administrator (titip mark-disk)"},
         {"other-station", "the disk that is there is another station's: plug this one's in"},
         {"mark-ruined", "the disk that is there no longer has the mark that was written to it: "
                         "use another one, or "
                         "call the administrator (titip mark-disk)"},
         {"tampered", "a file of ours on the disk is now a link, a device or the like: "
                      "use another disk, and give this one to the administrator"},
         {"full", "the disk is full: use a larger one, or remove what else is on it"},
         {"read-only", "the disk can only be read: look for a lock switch on it; if there is none, "
                       "call the administrator"},
         {"forbidden", "the service may not write there: call the administrator"}}};
    const auto found =
        std::ranges::find(known, why, &std::pair<std::string_view, std::string_view>::first);
    return found != known.end() ? found->second
                                : "the disk does not answer as it should: unplug it and plug it in "
                                  "again; if that does not help, try another one";
}

std::string full_in(const object& of)
{
    const auto days = number(of, "days_to_full");
    if (!of.contains("days_to_full") || days >= 1000)
        return {};
    return fmt::format("; full in {} at the rate of the last days",
                       days == 0 ? "less than a day" : count(days, "day"));
}

/// What is not on the second copy, and what to do about it.
void add_second_copy(lines& out, const object& status, wall_time now)
{
    const auto& copy = sub(status, "second_copy");
    if (copy.empty())
        return;
    const auto path = text(copy, "path");
    // What the disk does not keep is not on it "yet": the alarm has it.
    const auto beyond_help = std::min(number(copy, "beyond_help"), number(copy, "missing"));
    const auto missing = number(copy, "missing") - beyond_help;
    const auto only_here = number(copy, "only_here");
    const auto how_many =
        missing == 0
            ? std::string{}
            : fmt::format("{} {} not on it yet ({}); the oldest is of {}, the newest is {}.",
                          count(missing, "record"), missing == 1 ? "is" : "are",
                          only_here == 0 ? "held further up as well"
                                         : fmt::format("{} nowhere else", only_here),
                          to_rfc3339(time_of(copy, "missing_since_ms")),
                          text(copy, "newest_missing"));
    const auto& disk = sub(copy, "disk");
    if (const auto percent = number(disk, "used_percent");
        disk.contains("used_percent") && percent >= 80 && text(copy, "trouble") == "none")
        out.push_back(
            fmt::format("Warning: the second disk at {} {}: {} % of it is used{}.", path,
                        text(disk, "limit") == "files" ? "takes few more files" : "is filling",
                        percent, full_in(copy)));
    if (const auto lost = number(copy, "lost"); lost > 0)
        out.push_back(fmt::format(
            "ALARM: the disk at {} loses what is written to it: use another one. Since {} {} read "
            "back from it that {} not what had been written{}. The records on this machine are not "
            "concerned.",
            path, to_rfc3339(time_of(copy, "lost_since_ms")),
            lost == 1 ? "1 copy was" : fmt::format("{} copies were", lost),
            lost == 1 ? "is" : "are",
            beyond_help == 0 ? "; this machine writes them again"
                             : fmt::format("; {} of them {} not written to it any more",
                                           beyond_help, beyond_help == 1 ? "is" : "are")));
    if (const auto why = text(copy, "trouble"); why != "none") {
        const auto since = time_of(copy, "trouble_since_ms");
        out.push_back(fmt::format(
            "Warning: the second copy on {} is not being kept{}: {}.", path,
            since == wall_time{} ? "" : fmt::format(", for {}", show_duration(now - since)),
            truth(copy, "takes_no_more_files")
                ? "the disk has room, and takes no more files: remove what else is on it, or use "
                  "another one; a larger one of the same kind may do no better"
                : second_copy_trouble(why)));
        if (!how_many.empty())
            out.push_back(how_many);
        else if (truth(copy, "is_counted"))
            out.emplace_back("It had every record when it was last there.");
        else
            out.emplace_back("What it holds is not known yet.");
    } else if (!truth(copy, "is_counted"))
        out.push_back(fmt::format("The second copy on {} is being compared with the store.", path));
    else if (missing > 0)
        out.push_back(fmt::format("The second copy on {} is catching up. {}", path, how_many));
    if (const auto skipped = number(copy, "skipped"); skipped > 0)
        out.push_back(
            fmt::format("Warning: {} cannot be put on the second copy: call the administrator.",
                        count(skipped, "record")));
}

/// How far the disk's word was checked: names and sizes are not bytes.
std::string read_back(const object& copy, wall_time now)
{
    const auto oldest = time_of(copy, "oldest_read_ms");
    if (const auto unread = number(copy, "unread"); unread > 0)
        return fmt::format("; {} still to be read back since it was plugged in", unread);
    if (oldest == wall_time{} || oldest > now)
        return {};
    return fmt::format("; all read back within {}", show_duration(now - oldest));
}

/// How fast it goes, and what was paid for it.
void add_transfer(lines& out, const object& link)
{
    const auto sent = number(link, "sent_bytes");
    if (sent == 0)
        return;
    const auto minute = number(link, "goodput_bytes_per_s");
    const auto rate = number(link, "rate_bytes_per_s");
    std::string line =
        fmt::format("  sending      {} a second now, {} in the last hour", show_size(minute),
                    show_size(number(link, "goodput_hour_bytes_per_s")));
    if (rate > 0 && minute > 0)
        line +=
            fmt::format("; {} % of the link", std::min<std::uint64_t>(minute * 100 / rate, 100));
    out.push_back(std::move(line));
    const auto twice = number(link, "retransmitted_bytes") + number(link, "sent_again_bytes");
    out.push_back(fmt::format("               {} sent since the start, {} of it twice ({} %)",
                              show_size(sent), show_size(twice), twice * 100 / sent));
    if (const auto budget = number(link, "day_budget_bytes"); budget > 0)
        out.push_back(fmt::format("               {} of today's {}",
                                  show_size(number(link, "sent_today_bytes")), show_size(budget)));
    if (link.contains("bbr_allowed") && !truth(link, "bbr_allowed"))
        out.push_back(
            "               BBR is not allowed on this machine: a link that loses packets is "
            "used less well (operating.md, \"A bad link\")");
}

/// One sign a slot, as high as the slot is of the largest.
std::string bars(const boost::json::array& values)
{
    constexpr std::array<std::string_view, 9> signs{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    constexpr std::size_t columns = 72;
    const std::size_t width = (values.size() + columns - 1) / columns;
    std::vector<std::uint64_t> shown;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (i % std::max<std::size_t>(width, 1) == 0)
            shown.push_back(0);
        boost::system::error_code not_one;
        shown.back() = std::max(shown.back(), values[i].to_number<std::uint64_t>(not_one));
    }
    const auto most = shown.empty() ? 0 : std::ranges::max(shown);
    std::string out;
    for (const auto each : shown)
        out += signs[most == 0 ? 0 : (each * (signs.size() - 1) + most - 1) / most];
    return out;
}

std::uint64_t largest(const boost::json::array& values)
{
    std::uint64_t out = 0;
    for (const auto& each : values) {
        boost::system::error_code not_one;
        out = std::max(out, each.to_number<std::uint64_t>(not_one));
    }
    return out;
}

void add_picture(lines& out, const object& link)
{
    const auto& past = sub(link, "history");
    const auto slot_s = number(past, "slot_s");
    const auto& waiting = list_of(past, "waiting_bytes");
    const auto& sent = list_of(past, "sent_bytes");
    if (slot_s == 0 || waiting.empty() || sent.empty())
        return;
    out.push_back(fmt::format("Waiting, at most {}; the last {}:", show_size(largest(waiting)),
                              show_duration(std::chrono::seconds{slot_s * waiting.size()})));
    out.push_back("  " + bars(waiting));
    out.push_back(fmt::format("Sent, at most {} a second:", show_size(largest(sent) / slot_s)));
    out.push_back("  " + bars(sent));
    out.emplace_back();
}

void add_figures(lines& out, const object& status, wall_time now)
{
    out.emplace_back();
    for (const std::string_view state : {"arriving", "waiting", "relayed", "delivered", "opened",
                                         "erased", "quarantined", "withdrawn"}) {
        const auto each = amount_of(status, state);
        if (each.records == 0 && state != "waiting" && state != "delivered" && state != "opened")
            continue;
        out.push_back(fmt::format("  {:<12} {:>7}  {:>9}", state, each.records,
                                  each.bytes > 0 ? show_size(each.bytes) : std::string{}));
    }
    if (const auto oldest = time_of(status, "oldest_waiting_ms"); oldest != wall_time{})
        out.push_back(fmt::format("  oldest waiting since {} ({})", to_rfc3339(oldest),
                                  show_duration(now - oldest)));
    if (const auto oldest = time_of(status, "oldest_relayed_ms"); oldest != wall_time{})
        out.push_back(fmt::format("  oldest relayed since {} ({})", to_rfc3339(oldest),
                                  show_duration(now - std::min(oldest, now))));
    const auto& link = sub(status, "link");
    if (!link.empty()) {
        out.push_back(fmt::format("  link         {} to {}{}{}", text(link, "verdict"),
                                  text(link, "upstream"), text(link, "detail").empty() ? "" : ": ",
                                  text(link, "detail")));
        if (const auto checked = time_of(link, "last_checked_ms"); checked != wall_time{})
            out.push_back(fmt::format("               checked {}", ago(checked, now)));
        if (const auto last = time_of(link, "last_delivery_ms"); last != wall_time{})
            out.push_back(fmt::format("               last delivery {}", ago(last, now)));
        add_transfer(out, link);
    }
    const auto& disk = sub(status, "disk");
    const auto room = space_of(disk);
    out.push_back(fmt::format(
        "  disk         {} of {} in use{}{}", show_size(room.used), show_size(room.total),
        room.limit == "quota" ? "" : ", all that the disk can give", full_in(disk)));
    const auto& scrub = sub(status, "scrub");
    if (const auto oldest = time_of(scrub, "oldest_check_ms"); oldest != wall_time{})
        out.push_back(fmt::format("  re-read      all within {}", show_duration(now - oldest)));
    if (const auto& copy = sub(status, "second_copy"); !copy.empty())
        out.push_back(fmt::format(
            "  second copy  {}, {} missing{}{}", text(copy, "path"), number(copy, "missing"),
            truth(copy, "is_counted") ? "" : " as far as is known", read_back(copy, now)));
}

std::string where(const object& shown)
{
    const auto state = text(shown, "state");
    if (state == "arriving")
        return fmt::format(
            "Arriving: its bytes are not complete here yet ({} of {}{}).",
            show_size(number(shown, "stored_bytes")), show_size(number(shown, "size_bytes")),
            shown.contains("last_byte_at_ms")
                ? "; the last byte came at " + to_rfc3339(time_of(shown, "last_byte_at_ms"))
                : std::string{});
    if (state == "waiting")
        return "Safe on this machine, not yet handed on.";
    if (state == "relayed")
        return fmt::format(
            "Handed on to {}, which answers for it; the centre has not confirmed it yet.",
            text(shown, "receipt_by"));
    if (state == "delivered")
        return text(shown, "receipt_by").empty()
                   ? "Received here, not yet opened."
                   : "At the centre, which signed a receipt. The copy here is kept until "
                     "the centre has opened it.";
    if (state == "opened")
        return "At the centre, opened there: decrypted, and the ids inside match.";
    if (state == "erased")
        return "At the centre, opened there; the copy here has been erased. Receipts are kept.";
    if (state == "quarantined")
        return fmt::format("Set aside ({}{}{}): the bytes are kept here until an operator decides.",
                           text(shown, "reason"), text(shown, "note").empty() ? "" : ": ",
                           text(shown, "note"));
    return "Withdrawn: it will not be sent; its bytes are kept here.";
}

/// One for each reason of a quarantine (docs/operating.md has more room).
std::string_view what_then(std::string_view reason)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> known{
        {{"rotten",
          "Next: if there is a second disk, plug it in: the record is repaired from it. Else titip "
          "retry ID, once. If it comes back here, the disk or the memory of this machine does not "
          "keep what is written: call the administrator and the centre."},
         {"refused", "Next: call the centre with this reason, then titip retry ID."},
         {"too-large", "Next: call the centre; titip retry ID when it takes records of this size."},
         {"conflict", "Next: call the centre, which has other bytes under this id; do not retry."},
         {"not-ours", "Next: get a certificate with this station's name, then titip retry ID."},
         {"mismatch", "Next: titip retry ID later, or over another network: twice other bytes came "
                      "there than were sent from here."},
         {"not-believed", "Next: call the centre, whose receipt for it does not verify; then titip "
                          "retry ID."},
         {"revoked",
          "Next: call the centre, which has shut out the certificate that signed it; titip retry "
          "ID if it lets that one in again."},
         {"open-failed",
          "Next: nothing here. The centre has it, and the centre decides; it cannot be "
          "sent again."}}};
    const auto found =
        std::ranges::find(known, reason, &std::pair<std::string_view, std::string_view>::first);
    return found == known.end() ? "Next: call the centre with this reason." : found->second;
}

/// Of a verdict that needs a person: what the centre found, and what to do.
std::string_view person_needed(std::string_view verdict) noexcept
{
    if (verdict == "duplicate")
        return "the centre says that this person is enrolled already (duplicate). Call the centre; "
               "do "
               "not record this person again";
    if (verdict == "enrollment-failure")
        return "the centre could not enrol this person with this record (enrollment-failure). Call "
               "the "
               "centre: it says whether the person has to come again";
    if (verdict == "open-failed")
        return "the centre could not open this record (open-failed). Call the centre: it says "
               "whether "
               "the person has to come again";
    return "the centre's verdict needs somebody to act. Call the centre";
}

std::string what_next(const object& shown, wall_time now)
{
    const auto state = text(shown, "state");
    if (state == "quarantined")
        return std::string{what_then(text(shown, "reason"))};
    if (state != "waiting")
        return {};
    if (truth(shown, "held"))
        return "Not sent because an operator holds it. Next: titip release ID";
    if (truth(shown, "turned_back"))
        return fmt::format("Not sent because {}, the upstream here, brought it. Next: correct "
                           "[upstream] url, here or there.",
                           text(shown, "brought_by"));
    if (truth(shown, "paused"))
        return "Not sent because sending is paused. Next: titip resume";
    if (!truth(shown, "link_up"))
        return fmt::format("Not sent yet because {}. Next check {}.",
                           link_verdict(text(shown, "link_verdict")),
                           in(time_of(shown, "next_check_ms"), now));
    if (text(shown, "link_verdict") == "nothing-through")
        return fmt::format("Not sent yet because {}. Next try {}.", link_verdict("nothing-through"),
                           in(time_of(shown, "next_check_ms"), now));
    if (const auto& why = sub(shown, "deferred"); !why.empty()) {
        const auto [because, advice] = deferral(why);
        return fmt::format("Not sent because {}. Next try {}. {}.", because,
                           in(time_of(why, "next_try_ms"), now), advice);
    }
    return "Next: it is sent in its turn; the link is up.";
}

} // namespace

std::string_view how_to_get_room(std::string_view limit) noexcept
{
    if (limit == "disk")
        return "the disk is full: remove other things from the disk of [node] state";
    if (limit == "files")
        return "the disk has room, and takes no more files: remove files from it that are not "
               "needed";
    if (limit == "user-limit")
        return "the file system gives the daemon's user no more: raise that user's limit there "
               "(setquota)";
    return "the quota is used up: raise [node] quota";
}

std::string_view link_verdict(std::string_view verdict)
{
    const auto found =
        std::ranges::find(verdicts, verdict, &std::pair<std::string_view, std::string_view>::first);
    return found == verdicts.end() ? verdict : found->second;
}

lines watched(const object& status)
{
    lines out;
    add_picture(out, sub(status, "link"));
    std::ranges::move(words::status(status), std::back_inserter(out));
    return out;
}

lines status(const object& status)
{
    lines out;
    const auto now = time_of(status, "time_ms");
    if (const auto why = text(status, "safe_mode"); truth(status, "store_absent")) {
        out.emplace_back("NO STORE HERE: is its disk mounted? No records are taken or sent. Those "
                         "that were taken are where the store is.");
        if (const auto since = time_of(status, "safe_mode_since_ms"); since != wall_time{})
            out.push_back(
                fmt::format("Since {} ({}).", to_rfc3339(since), show_duration(now - since)));
        out.push_back(fmt::format("Reason: {}", why));
        out.emplace_back("When a store is there the daemon goes on by itself; or at once with: "
                         "systemctl restart titipd");
        return out;
    } else if (!why.empty()) {
        out.push_back("SAFE MODE: the store cannot be trusted. No records are taken or sent. Do "
                      "not delete anything.");
        if (const auto since = time_of(status, "safe_mode_since_ms"); since != wall_time{})
            out.push_back(
                fmt::format("Since {} ({}).", to_rfc3339(since), show_duration(now - since)));
        out.push_back(fmt::format("Reason: {}", why));
        out.push_back("Next: titip verify. If it finds nothing, titip trust ends this; if it does, "
                      "titip salvage DIR takes out every record that is whole. Call the centre.");
        return out;
    }
    out.push_back(fmt::format("{} ({})", text(status, "node"), text(status, "role")));
    add_safety(out, status, now);
    if (const auto many = number(status, "needs_person"); many > 0)
        out.push_back(fmt::format("{} need{} a person, by what the centre found: titip list "
                                  "--needs-person",
                                  count(many, "record"), many == 1 ? "s" : ""));
    add_next(out, status, now);
    add_store(out, status);
    add_deferrals(out, sub(status, "link"), now);
    add_alarms(out, status, now);
    add_second_copy(out, status, now);
    add_figures(out, status, now);
    return out;
}

lines record(const object& shown)
{
    lines out;
    const auto now = wall_now();
    if (const auto verdict = text(shown, "needs_person"); !verdict.empty())
        out.push_back(fmt::format("NEEDS A PERSON: {}.", person_needed(verdict)));
    out.push_back(fmt::format("{} (station {}, number {})", text(shown, "id"),
                              text(shown, "station"), number(shown, "sequence")));
    out.push_back(where(shown));
    if (auto next = what_next(shown, now); !next.empty())
        out.push_back(std::move(next));
    out.push_back(fmt::format("lane {}, {}, digest {}", text(shown, "lane"),
                              show_size(number(shown, "size_bytes")), text(shown, "digest")));
    if (const auto* story = shown.if_contains("story"); story && story->is_array())
        for (const auto& each : story->get_array())
            if (each.is_object())
                out.push_back("  " + event(each.get_object()));
    return out;
}

std::string list_header()
{
    return fmt::format("{:<36}  {:<11} {:<9} {:>9}  {:<20}  {}", "record", "state", "lane", "size",
                       "accepted", "station");
}

std::string list_line(const object& record)
{
    const auto state = text(record, "state");
    const char mark = truth(record, "held") ? '!' : state == "quarantined" ? 'Q' : ' ';
    const auto verdict = text(record, "needs_person");
    return fmt::format("{}{} {:<11} {:<9} {:>9}  {:<20}  {}{}{}", text(record, "id"), mark, state,
                       text(record, "lane"), show_size(number(record, "size_bytes")),
                       to_rfc3339(time_of(record, "accepted_at_ms")), text(record, "station"),
                       verdict.empty() ? "" : "  ", verdict);
}

std::string event(const object& entry)
{
    auto out = fmt::format("{}  {:<12}", to_rfc3339(time_of(entry, "at_ms")), text(entry, "event"));
    for (const std::string_view key : {"id", "station", "detail"})
        if (!text(entry, key).empty())
            out += fmt::format(" {}", text(entry, key));
    if (const auto lasted = number(entry, "duration_ms"); lasted > 0)
        out += fmt::format(" after {}",
                           show_duration(milliseconds{static_cast<std::int64_t>(lasted)}));
    return out;
}

namespace {

/// Of a record that was submitted again. None of these is a reason to record anybody again.
std::string taken_before(const object& acceptance)
{
    const auto id = text(acceptance, "id");
    const auto number_here = number(acceptance, "sequence");
    const auto state = text(acceptance, "state");
    if (state == "quarantined" && text(acceptance, "reason") == "rotten")
        return fmt::format(
            "{} was taken here before, as number {}, and its bytes here are damaged. "
            "Keep this file, do not record again, and call the administrator: titip "
            "show {}",
            id, number_here, id);
    if (state == "quarantined")
        return fmt::format(
            "{} was taken here before, as number {}, and is set aside: titip show {} "
            "says what to do. Do not record again.",
            id, number_here, id);
    if (acceptance.contains("is_compared") && !truth(acceptance, "is_compared"))
        return fmt::format("{} is {} (put back from the second copy, as number {}); whether the "
                           "bytes are the same "
                           "cannot be told. Do not record again.",
                           id, state == "erased" ? "at the centre, and was safe here" : "safe here",
                           number_here);
    return fmt::format("{} was taken here before, as number {}: nothing to do.", id, number_here);
}

} // namespace

std::string accepted(const object& acceptance, bool is_new, std::string_view lane)
{
    auto out = is_new ? fmt::format("{} is safe on this machine as number {}.",
                                    text(acceptance, "id"), number(acceptance, "sequence"))
                      : taken_before(acceptance);
    if (const auto has = text(acceptance, "lane"); !lane.empty() && !has.empty() && has != lane)
        out += fmt::format(" It stays in the lane {}.", has);
    const auto& remarks = list_of(acceptance, "remarks");
    const auto sentence_of = [&remarks](std::string_view code) {
        std::string all;
        for (const auto& each : remarks)
            if (each.is_object() && text(each.get_object(), "code") == code)
                all += fmt::format(" {}", text(each.get_object(), "sentence"));
        return all;
    };
    for (const auto each : names(acceptance, "warnings")) {
        const auto sentence = sentence_of(each);
        out += sentence.empty() ? fmt::format(" Warning: {}.", each)
                                : fmt::format(" Warning:{} [{}]", sentence, each);
    }
    const auto& other = sub(acceptance, "same_nik");
    if (!other.empty())
        out += text(other, "state").empty()
                   ? " The other record is being taken at this moment."
                   : fmt::format(" The other record is {}.", text(other, "state"));
    return out;
}

lines retried(const object& done)
{
    lines out{fmt::format("{} again.", count(number(done, "retried"), "record") +
                                           (number(done, "retried") == 1 ? " waits" : " wait"))};
    if (const auto left = number(done, "open_failed"); left > 0)
        out.push_back(
            fmt::format("{} set aside: the centre has {} already and could not open {}; it "
                        "decides. Sending again changes nothing.",
                        count(left, "record") + (left == 1 ? " stays" : " stay"),
                        left == 1 ? "it" : "them", left == 1 ? "it" : "them"));
    return out;
}

lines problem(const object& problem)
{
    lines out;
    auto first = std::string{text(problem, "title")};
    if (const auto stations = names(problem, "stations"); !stations.empty())
        first += fmt::format(" ({}): say which with --station NAME", fmt::join(stations, ", "));
    else if (const auto detail = text(problem, "detail"); !detail.empty())
        first += fmt::format(" ({})", detail);
    out.push_back(std::move(first));
    if (const auto* defects = problem.if_contains("defects"); defects && defects->is_array())
        for (const auto& each : defects->get_array())
            if (each.is_object())
                out.push_back(fmt::format("  {}: {} [{}]", text(each.get_object(), "field"),
                                          text(each.get_object(), "sentence"),
                                          text(each.get_object(), "code")));
    return out;
}

std::string verification(const object& line)
{
    const auto what = text(line, "what");
    if (what == "difference")
        return fmt::format("Difference: {}", text(line, "sentence"));
    if (what == "known")
        return fmt::format("Known, and set aside: {}", text(line, "sentence"));
    if (what == "progress")
        return number(line, "total") == 0
                   ? fmt::format("Looking at {} ...", text(line, "phase"))
                   : fmt::format("Looking at {}: {} of {}", text(line, "phase"),
                                 number(line, "done"), number(line, "total"));
    const auto outcome = text(line, "outcome");
    const auto records = count(number(line, "records"), "record");
    const auto differences = count(number(line, "differences"), "difference");
    if (outcome == "clean")
        return fmt::format("Clean: {}, every byte as it was written; numbers, sums, chain and "
                           "indexes fit.",
                           records);
    if (outcome == "differs")
        return fmt::format("NOT CLEAN: {} in {}. Delete nothing; call the centre.", differences,
                           records);
    if (outcome == "unopened")
        return fmt::format("THE STORE CANNOT BE OPENED: {}. Delete nothing; titip salvage DIR "
                           "takes out what is whole.",
                           differences);
    return fmt::format("THE STORE CANNOT BE LOOKED AT: {} ({}; {} before). Delete nothing; titip "
                       "salvage DIR takes out what is whole.",
                       outcome == "hung" ? "reading it does not come to an end"
                                         : "it ends the process that reads it",
                       text(line, "why"), differences);
}

std::string verification_lost()
{
    return "the daemon went away while it looked at its store; titip status in a few seconds says "
           "whether it trusts it still";
}

std::string trusted_again()
{
    return "The store is trusted again. The daemon ends now, and systemd starts it.";
}

std::string not_salvaged(const object& loss)
{
    auto which = fmt::format("place {}", number(loss, "place"));
    if (!text(loss, "id").empty())
        which = fmt::format("{}{}{}", text(loss, "id"), text(loss, "station").empty() ? "" : " of ",
                            text(loss, "station"));
    return fmt::format("NOT SAVED: {}: {}", which, text(loss, "why"));
}

lines salvaged(const object& counted)
{
    lines out;
    out.push_back(fmt::format("{} saved in {}, every byte as it was written.",
                              count(number(counted, "saved"), "record"), text(counted, "folder")));
    if (const auto bare = number(counted, "bare"); bare > 0)
        out.push_back(fmt::format("{} without a manifest saved in {}/without-manifest: the centre "
                                  "can open {}, but nothing can be sent.",
                                  count(bare, "envelope"), text(counted, "folder"),
                                  bare == 1 ? "it" : "them"));
    if (const auto lost = number(counted, "lost"); lost > 0)
        out.push_back(fmt::format("{} not saved, named above. Keep the store as it is; call the "
                                  "centre, which may have {}.",
                                  count(lost, "record"), lost == 1 ? "it" : "some of them"));
    if (const auto arriving = number(counted, "arriving"); arriving > 0)
        out.push_back(fmt::format("{} had not arrived whole: {} sender still has {}.",
                                  count(arriving, "record"), arriving == 1 ? "its" : "each",
                                  arriving == 1 ? "it" : "its own"));
    if (const auto erased = number(counted, "erased"); erased > 0)
        out.push_back(fmt::format("{} erased here after the centre had opened {}.",
                                  count(erased, "record"), erased == 1 ? "it" : "them"));
    if (const auto gone = number(counted, "vanished"); gone > 0)
        out.push_back(fmt::format("{} of which nothing is left, not even the id: the centre knows "
                                  "the numbers that are missing.",
                                  count(gone, "record")));
    if (!counted.contains("vanished"))
        out.emplace_back("How many records there were cannot be told any more.");
    if (const auto pages = number(counted, "missing_pages"); pages > 0)
        out.push_back(fmt::format("The file ends {} before it should.", count(pages, "page")));
    if (const auto pages = number(counted, "unreadable_pages"); pages > 0)
        out.push_back(fmt::format("The disk does not give {}: journalctl -k says what it answers.",
                                  count(pages, "page")));
    return out;
}

std::string compacted(const object& sizes)
{
    return fmt::format("The store took {} and takes {} now. Start titipd again.",
                       show_size(number(sizes, "bytes_before")),
                       show_size(number(sizes, "bytes_after")));
}

lines backed_up(const object& done)
{
    auto beside = std::string{text(done, "file")};
    if (beside.ends_with(".mdb"))
        beside.replace(beside.size() - 4, 4, ".json");
    return {fmt::format("{} ({}) copied to {}, and read back",
                        count(number(done, "records"), "record"),
                        show_size(number(done, "size_bytes")), text(done, "file")),
            fmt::format("What it is, and its SHA-256: {}", beside)};
}

std::string backup_progress(const object& status)
{
    const auto& under_way = sub(status, "backup");
    if (number(under_way, "total_bytes") == 0)
        return {};
    return fmt::format("{} of {} copied and read back",
                       show_size(number(under_way, "copied_bytes")),
                       show_size(number(under_way, "total_bytes")));
}

object no_upstream()
{
    object out;
    out["title"] = "this node has no upstream";
    out["status"] = 409;
    out["detail"] = "it is the end of the road, and never online";
    return out;
}

lines restored(const object& done)
{
    lines out;
    const auto records = number(done, "records");
    out.push_back(fmt::format("{} ({}) restored.", count(records, "record"),
                              show_size(number(done, "bytes"))));
    const auto* left = done.if_contains("left");
    if (left && left->is_array() && !left->get_array().empty()) {
        const auto files = left->get_array().size();
        out.push_back(fmt::format("{} could not be used; nothing was done to {}:",
                                  count(files, "file"), files == 1 ? "it" : "them"));
        for (const auto& each : left->get_array())
            if (each.is_object())
                out.push_back(fmt::format("  {}: {}", text(each.get_object(), "file"),
                                          text(each.get_object(), "why")));
    }
    if (const auto* gaps = done.if_contains("gaps");
        gaps && gaps->is_array() && !gaps->get_array().empty()) {
        constexpr std::size_t most = 20;
        const auto& all = gaps->get_array();
        out.push_back(
            "Numbers that no file has: records that were erased after the centre had opened "
            "them, or that are lost:");
        for (std::size_t i = 0; i < std::min(most, all.size()); ++i)
            if (all[i].is_object()) {
                const auto& each = all[i].get_object();
                const auto first = number(each, "first");
                const auto last = number(each, "last");
                out.push_back(fmt::format(
                    "  {} {}: {}", text(each, "station"), text(each, "epoch").substr(0, 8),
                    first == last ? fmt::format("{}", first) : fmt::format("{}..{}", first, last)));
            }
        if (all.size() > most)
            out.push_back(fmt::format("  and {} more (--json has all)", all.size() - most));
    }
    out.push_back("Next: start titipd. It asks the centre which of them it has.");
    if (truth(done, "paused"))
        out.push_back(
            "It begins paused, because what was held back is not known any more: titip hold "
            "ID for each that is not to be sent, then titip resume.");
    return out;
}

lines marked(const object& done)
{
    return {fmt::format("The disk at {} is now the second disk of {}. titipd takes it by itself.",
                        text(done, "path"), text(done, "station"))};
}

std::string finding_line(const object& what)
{
    const auto settled = time_of(what, "settled_at_ms");
    const auto acknowledged = time_of(what, "acknowledged_at_ms");
    std::string out =
        fmt::format("{:>6}  {:<13}  {}..{}  {}  noticed {}", number(what, "number"),
                    text(what, "kind"), number(what, "first"), number(what, "last"),
                    text(what, "epoch").substr(0, 8), to_rfc3339(time_of(what, "noticed_at_ms")));
    if (const auto by = text(what, "told_by"); !by.empty())
        out += fmt::format(", by {}", by);
    if (settled != wall_time{})
        out += fmt::format("; settled {}", to_rfc3339(settled));
    else if (acknowledged != wall_time{})
        out += fmt::format("; acknowledged {} by {}: {}", to_rfc3339(acknowledged),
                           text(what, "acknowledged_by"), text(what, "reason"));
    else
        out += "; stands";
    return out;
}

lines acknowledged(const object& what)
{
    return {fmt::format(
        "Finding {} ({} of {}, {} to {}) is acknowledged by {}: {}. It stands again "
        "if it grows.",
        number(what, "number"), text(what, "kind"), text(what, "station"), number(what, "first"),
        number(what, "last"), text(what, "acknowledged_by"), text(what, "reason"))};
}

lines discarded(const object& record)
{
    return {fmt::format("Discarded: {} of {} that had arrived of {} (station {}, number {}). The "
                        "space is free. If its station sends it after all, it begins anew.",
                        show_size(number(record, "stored_bytes")),
                        show_size(number(record, "size_bytes")), text(record, "id"),
                        text(record, "station"), number(record, "sequence"))};
}

lines revoked(const object& all)
{
    const auto& listed = sub(all, "listed");
    lines out{
        fmt::format("In the files of [identity] revoked: {}, {}, {}.",
                    count(number(listed, "crl"), "certificate") + " in lists of authorities (CRL)",
                    count(number(listed, "fingerprints"), "fingerprint"),
                    count(number(listed, "names"), "name"))};
    const auto* kept = all.if_contains("kept");
    if (!kept || !kept->is_array() || kept->get_array().empty()) {
        out.push_back("Shut out for good: none.");
        return out;
    }
    out.push_back("Shut out for good, since they were seen revoked once:");
    for (const auto& each : kept->get_array()) {
        if (!each.is_object())
            continue;
        const auto& one = each.get_object();
        const auto name = text(one, "name");
        out.push_back(fmt::format("{}  {}{}", text(one, "certificate"), name.empty() ? "-" : name,
                                  truth(one, "is_listed") ? "" : "  (no file names it any more)"));
    }
    return out;
}

lines unrevoked(const object& done)
{
    return {fmt::format(
        "Let in again: {}. Records that were set aside as revoked meanwhile wait where they "
        "are: there, titip retry --reason revoked.",
        text(done, "certificate"))};
}

std::string no_answer(std::string_view why, bool is_submission)
{
    return is_submission
               ? fmt::format(
                     "titipd did not answer ({}): whether the record was taken is not known. "
                     "Submit the same file again: nothing is taken twice",
                     why)
               : fmt::format("titipd did not answer ({}): ask again in a moment", why);
}

std::string not_reachable(std::string_view socket, const error_code& why)
{
    namespace sys = boost::system::errc;
    const auto what = [&]() -> std::string {
        if (why == sys::no_such_file_or_directory)
            return "there is no such socket. titipd makes it when it starts: systemctl status "
                   "titipd; if "
                   "it runs, [control] socket in its configuration is another one (--socket)";
        if (why == sys::connection_refused)
            return "nobody listens at this socket, so the titipd that made it has ended: systemctl "
                   "status titipd";
        if (why == sys::permission_denied)
            return fmt::format(
                "the user {} may not use this socket, or may not pass a directory above "
                "it; whether titipd runs cannot be told from here",
                own_user());
        if (why == sys::timed_out)
            return "titipd has the connection and does not answer: journalctl -u titipd";
        if (why == sys::connection_reset || why == sys::broken_pipe)
            return "titipd ended the connection without an answer: systemctl status titipd; ask "
                   "again";
        return "systemctl status titipd says whether it runs";
    }();
    return fmt::format("titipd is not reachable at {} ({}): {}", socket, why.message(), what);
}

std::string_view group_of(const object& problem)
{
    return text(problem, "group");
}

std::string about_group(std::string_view group, membership mine, std::string_view user)
{
    switch (mine) {
    case membership::none:
        return fmt::format(
            "The user {0} is not a member of \"{1}\". The administrator can change that: "
            "usermod -aG {1} {0}; then log in again.",
            user, group);
    case membership::not_in_login:
        return fmt::format(
            "The user {} is a member of \"{}\", but this login began before that: log "
            "in again.",
            user, group);
    case membership::full:
        break;
    }
    return fmt::format(
        "This login has the group \"{}\", and titipd does not know it by that number: it "
        "looks the groups up when it starts. systemctl restart titipd",
        group);
}

} // namespace titip::control::words
