#include "control/bodies.hpp"
#include "control/words.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

#include <set>

using namespace titip;
using namespace titip::control;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

boost::json::object json(std::string_view text)
{
    auto plain = std::string{text};
    for (auto& each : plain) // as JSON's quotes are tedious here
        if (each == '\'')
            each = '"';
    return boost::json::parse(plain).as_object();
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string out;
    for (const auto& each : lines)
        out += each + '\n';
    return out;
}

std::string told(boost::json::object record, std::string_view more)
{
    for (const auto& [key, value] : json(more))
        record[key] = value;
    return joined(words::record(record));
}

const auto a_record = json(R"({'id': '0198f2c1-7f3a-7abc-9def-0123456789ab', 'station': 'office-1',
    'sequence': 4711, 'lane': 'ordinary', 'size_bytes': 812345, 'digest': 'abc'})");

const auto a_station = json(R"({'node': 'office-1', 'role': 'station', 'time_ms': 1795500000000,
    'records': {'waiting': {'records': 12, 'bytes': 9600000}}, 'held': 0, 'paused': false,
    'oldest_waiting_ms': 1795240800000,
    'link': {'up': false, 'verdict': 'dns', 'upstream': 'titip.example:8443', 'since_ms': 1795240800000,
             'last_checked_ms': 1795499940000, 'next_check_ms': 1795500120000, 'in_flight': 0,
             'goodput_bytes_per_s': 0},
    'disk': {'quota_bytes': 64000000000, 'live_bytes': 9830400, 'file_bytes': 20000000, 'has_room': true},
    'findings': []})");

boost::json::object station(std::string_view more)
{
    auto out = a_station;
    for (const auto& [key, value] : json(more))
        out[key] = value;
    return out;
}

} // namespace

TEST_CASE("a backup says what was copied, where to, and how far it has come", "[control]")
{
    const auto done = joined(words::backed_up(json(
        "{'file': '/b/office-1.mdb', 'records': 12, 'size_bytes': 9600000, 'sha256': 'abc'}")));
    CHECK_THAT(done, Contains("12 records (9.60 MB) copied to /b/office-1.mdb") &&
                         Contains("/b/office-1.json"));
    CHECK(words::backup_progress(a_station).empty());
    CHECK(words::backup_progress(
              station("{'backup': {'copied_bytes': 1000000, 'total_bytes': 4000000}}")) ==
          "1.00 MB of 4.00 MB copied and read back");
}

TEST_CASE("for each state a record says where it is", "[control]")
{
    CHECK_THAT(told(a_record, "{'state': 'arriving'}"), Contains("not complete here yet"));
    CHECK_THAT(told(a_record, "{'state': 'waiting'}"),
               Contains("Safe on this machine, not yet handed on"));
    CHECK_THAT(told(a_record, "{'state': 'relayed', 'receipt_by': 'hub-1'}"),
               Contains("Handed on to hub-1") && Contains("has not confirmed"));
    CHECK_THAT(told(a_record, "{'state': 'delivered', 'receipt_by': 'centre'}"),
               Contains("At the centre, which signed a receipt"));
    CHECK_THAT(told(a_record, "{'state': 'delivered'}"), Contains("Received here, not yet opened"));
    CHECK_THAT(told(a_record, "{'state': 'opened'}"), Contains("opened there"));
    CHECK_THAT(told(a_record, "{'state': 'erased'}"), Contains("the copy here has been erased"));
    CHECK_THAT(
        told(a_record, "{'state': 'quarantined', 'reason': 'refused', 'note': 'bad manifest'}"),
        Contains("Set aside (refused: bad manifest)") && Contains("titip retry"));
    CHECK_THAT(told(a_record, "{'state': 'quarantined', 'reason': 'rotten'}"),
               Contains("Set aside (rotten)"));
    CHECK_THAT(told(a_record, "{'state': 'withdrawn'}"), Contains("will not be sent"));
}

TEST_CASE("every state says something of its own", "[control]")
{
    std::set<std::string> said;
    for (const auto* state : {"arriving", "waiting", "relayed", "delivered", "opened", "erased",
                              "quarantined", "withdrawn"})
        said.insert(words::record([state] {
            auto out = a_record;
            out["state"] = state;
            return out;
        }())[1]);
    CHECK(said.size() == 8);
}

TEST_CASE("a record set aside says what to do, by its reason", "[control]")
{
    const auto next = [](std::string_view reason) {
        auto out = a_record;
        out["state"] = "quarantined";
        out["reason"] = reason;
        return words::record(out).at(2);
    };
    std::set<std::string> said;
    for (const auto* reason :
         {"rotten", "refused", "too-large", "conflict", "not-ours", "mismatch"})
        said.insert(next(reason));
    CHECK(said.size() == 6);
    for (const auto* reason : {"rotten", "refused", "too-large", "not-ours", "mismatch"}) {
        CAPTURE(reason);
        CHECK_THAT(next(reason), StartsWith("Next: ") && Contains("titip retry ID"));
    }
    CHECK_THAT(next("rotten"), Contains("once") && Contains("disk"));
    CHECK_THAT(next("conflict"), Contains("call the centre") && Contains("do not retry"));
    CHECK_THAT(next("open-failed"), Contains("the centre decides") && !Contains("titip retry"));
    CHECK_THAT(next("from a later version"),
               Contains("call the centre") && !Contains("titip retry"));
}

TEST_CASE("a record that waits says why it has not gone and what comes next", "[control]")
{
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'held': true, 'link_up': true}"),
               Contains("an operator holds it") && Contains("titip release"));
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'paused': true}"),
               Contains("paused") && Contains("titip resume"));
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'link_up': false, 'link_verdict': 'no-route'}"),
               Contains("this machine has no route to the upstream") && Contains("Next check"));
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'link_up': true}"),
               Contains("sent in its turn"));
    CHECK_THAT(told(a_record, "{'state': 'opened'}"), !Contains("Next"));
}

TEST_CASE("a record's figures and its story are told", "[control]")
{
    const auto all = told(a_record, R"({'state': 'waiting', 'link_up': true, 'story': [
        {'number': 1, 'at_ms': 1795500000000, 'event': 'accepted'},
        {'number': 9, 'at_ms': 1795500060000, 'event': 'outage-ended', 'detail': 'dns', 'duration_ms': 90000}]})");
    CHECK_THAT(all, Contains("0198f2c1-7f3a-7abc-9def-0123456789ab") &&
                        Contains("station office-1") && Contains("number 4711") &&
                        Contains("812 kB"));
    CHECK_THAT(all, Contains("2026-11-24T06:00:00Z  accepted"));
    CHECK_THAT(all, Contains("outage-ended") && Contains("dns after 1 min"));
}

TEST_CASE("in an outage the status says first that nothing is lost, then why and what comes",
          "[control]")
{
    const auto lines = words::status(a_station);
    REQUIRE(lines.size() > 3);
    CHECK(lines[0] == "office-1 (station)");
    CHECK_THAT(lines[1], Contains("12 records (9.60 MB) safe on this machine") &&
                             Contains("Nothing is lost") && Contains("do not record anyone again"));
    CHECK_THAT(lines[2], Contains("Not connected since") && Contains("(3 days 0 h)") &&
                             Contains("name of the upstream cannot be resolved") &&
                             Contains("in 2 min") && Contains("goes on by itself"));
    CHECK_THAT(joined(lines), !Contains("ALARM") && !Contains("Warning"));
}

TEST_CASE("what only a relay has signed for is not told as being at the centre", "[control]")
{
    const auto behind_hub = [](std::string_view more) {
        auto out = station("{'records': {'relayed': {'records': 5, 'bytes': 400000}}}");
        out["link"] = json("{'up': true, 'verdict': 'ok', 'upstream_name': 'hub', "
                           "'upstream_role': 'relay', 'since_ms': 1795499000000}");
        for (const auto& [key, value] : json(more))
            out[key] = value;
        return joined(words::status(out));
    };
    const auto some = behind_hub("{'oldest_relayed_ms': 1795240800000}");
    CHECK_THAT(some,
               Contains("5 records (400 kB) handed on to hub, not yet at the centre as far as is "
                        "known (the oldest 3 days 0 h ago)") &&
                   !Contains("every record") && !Contains("ALARM"));
    CHECK_THAT(some, Contains("oldest relayed since"));
    CHECK_THAT(behind_hub("{}"),
               Contains("handed on to hub, not yet at the centre as far as is known.") &&
                   !Contains("the oldest"));
    // A relay's clock that is ahead.
    CHECK_THAT(behind_hub("{'oldest_relayed_ms': 1795600000000}"),
               Contains("(the oldest 0 s ago)"));
    CHECK_THAT(
        behind_hub("{'oldest_relayed_ms': 1794800000000, 'relayed_overdue': true}"),
        Contains(
            "ALARM: of what was handed on to hub, the centre has confirmed nothing for 8 days"));
    // While others wait, and after the upstream has become the centre.
    CHECK_THAT(behind_hub("{'records': {'waiting': {'records': 1, 'bytes': 1}, "
                          "'relayed': {'records': 5, 'bytes': 1}}, 'link': {}}"),
               Contains("1 record (1 B) safe on this machine") && Contains("handed on to a relay"));
    CHECK_THAT(
        behind_hub("{'records': {'delivered': {'records': 1, 'bytes': 1}}}"),
        Contains("1 record at the centre, which has not said yet that it opened it: hub does not "
                 "pass that on"));
    CHECK(control::is_overdue(from_ms(1), from_ms(1) + 8 * 24h));
    CHECK_FALSE(control::is_overdue(from_ms(1), from_ms(1) + 6 * 24h));
    CHECK_FALSE(control::is_overdue(wall_time{}, wall_now()));
}

TEST_CASE("records that would go in a circle, and a node that takes none, are alarms", "[control]")
{
    auto circle = a_station;
    circle["link"] =
        json("{'up': true, 'verdict': 'ok', 'upstream_name': 'hub-2', 'upstream_role': 'relay', "
             "'since_ms': 1795499000000, 'turned_back': 2}");
    CHECK_THAT(
        joined(words::status(circle)),
        Contains("ALARM: 2 records not sent, because hub-2, the upstream here, brought them") &&
            Contains("Correct [upstream] url"));
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'turned_back': true, 'brought_by': 'hub-2'}"),
               Contains("Not sent because hub-2, the upstream here, brought it"));
    CHECK_THAT(joined(words::status(station("{'seal_unused': true}"))),
               Contains("ALARM: [seal] and [listen] do not go together") &&
                   Contains("at a station"));
    CHECK_THAT(joined(words::status(a_station)), !Contains("ALARM"));
}

TEST_CASE("the status speaks of one record in the singular", "[control]")
{
    const auto lines =
        words::status(station("{'records': {'waiting': {'records': 1, 'bytes': 800000}, "
                              "'quarantined': {'records': 1, 'bytes': 1}}, 'held': 1}"));
    const auto all = joined(lines);
    CHECK_THAT(all, Contains("1 record (800 kB)") &&
                        Contains("1 record set aside and needs a decision") &&
                        Contains("1 record held"));
}

TEST_CASE("connected, paused and idle are told apart", "[control]")
{
    const auto up = [](std::string_view rate) {
        return std::string{"{'link': {'up': true, 'verdict': 'ok', 'since_ms': 1795499000000, "
                           "'goodput_bytes_per_s': "} +
               std::string{rate} + "}}";
    };
    CHECK_THAT(joined(words::status(station(up("0")))), Contains("Connected; sending now."));
    CHECK_THAT(joined(words::status(station(up("80000")))),
               Contains("80.0 kB a second, about 2 min to go"));
    auto idle = station(up("0"));
    idle["records"] = json("{}");
    CHECK_THAT(joined(words::status(idle)),
               Contains("Nothing waits") && Contains("Connected since"));
    CHECK_THAT(joined(words::status(station("{'paused': true}"))),
               Contains("paused by an operator") && Contains("titip resume"));
}

namespace {

/// Connected and sending, with more of the link's figures.
boost::json::object sending(std::string_view more)
{
    auto out = station("{}");
    auto& link = out["link"].as_object();
    link = json(R"({'up': true, 'verdict': 'ok', 'upstream': 'titip.example:8443',
        'since_ms': 1795499000000, 'within_budget': true, 'bbr_allowed': true,
        'goodput_bytes_per_s': 80000, 'goodput_hour_bytes_per_s': 60000})");
    for (const auto& [key, value] : json(more))
        link[key] = value;
    return out;
}

} // namespace

TEST_CASE("where the last minute saw no record arrive, the last hour says how long it will take",
          "[control]")
{
    CHECK_THAT(joined(words::status(sending("{'goodput_bytes_per_s': 0}"))),
               Contains("sending now at 60.0 kB a second, about 2 min to go"));
    CHECK_THAT(
        joined(words::status(sending("{'goodput_bytes_per_s': 0, 'goodput_hour_bytes_per_s': 0}"))),
        Contains("Connected; sending now.") && !Contains("to go"));
}

TEST_CASE("how fast it goes is told beside what the link carries, and what was paid for it",
          "[control]")
{
    const auto all = joined(
        words::status(sending("{'rate_bytes_per_s': 100000, 'sent_bytes': 50000000, "
                              "'retransmitted_bytes': 1500000, 'sent_again_bytes': 500000}")));
    CHECK_THAT(all, Contains("  sending      80.0 kB a second now, 60.0 kB in the last hour; 80 % "
                             "of the link\n"));
    CHECK_THAT(all, Contains("50.0 MB sent since the start, 2.00 MB of it twice (4 %)\n"));
    CHECK_THAT(all, !Contains("BBR") && !Contains("today"));
}

TEST_CASE("a share of the link is told only where there is one, and is never more than all of it",
          "[control]")
{
    const auto share = [](std::string_view more) { return joined(words::status(sending(more))); };
    CHECK_THAT(share("{'sent_bytes': 1}"), Contains("sending") && !Contains("of the link"));
    CHECK_THAT(share("{'sent_bytes': 1, 'rate_bytes_per_s': 9, 'goodput_bytes_per_s': 0}"),
               Contains("0 B a second now") && !Contains("of the link"));
    CHECK_THAT(share("{'sent_bytes': 1, 'rate_bytes_per_s': 70000}"),
               Contains("; 100 % of the link"));
    CHECK_THAT(share("{'sent_bytes': 0, 'rate_bytes_per_s': 70000}"),
               !Contains("a second now,") && !Contains("since the start"));
}

TEST_CASE("that BBR is not allowed is told with where to read on", "[control]")
{
    CHECK_THAT(joined(words::status(sending("{'sent_bytes': 1, 'bbr_allowed': false}"))),
               Contains("BBR is not allowed on this machine") && Contains("operating.md"));
}

TEST_CASE("a budget is told, and why nothing goes when it is used up", "[control]")
{
    CHECK_THAT(joined(words::status(sending("{'sent_bytes': 1, 'day_budget_bytes': 500000000, "
                                            "'sent_today_bytes': 125000000}"))),
               Contains("125 MB of today's 500 MB") && Contains("sending now"));
    const auto used_up =
        sending("{'sent_bytes': 1, 'day_budget_bytes': 500000000, 'sent_today_bytes': 500000001, "
                "'within_budget': false}");
    CHECK_THAT(joined(words::status(used_up)),
               Contains("Connected; today's 500 MB of this link are used up. Sending goes on "
                        "tomorrow.") &&
                   !Contains("sending now") && !Contains("at this hour"));
}

TEST_CASE("hours without sending are told, and that it goes on by itself", "[control]")
{
    for (const auto* link :
         {"{'within_budget': false}", "{'within_budget': false, 'day_budget_bytes': 500000000, "
                                      "'sent_today_bytes': 499999999}"})
        CHECK_THAT(joined(words::status(sending(link))),
                   Contains("nothing is sent over this link at this hour. Sending goes on by "
                            "itself.") &&
                       !Contains("sending now") && !Contains("tomorrow"));
    auto idle = sending("{'within_budget': false}");
    idle["records"] = json("{}");
    CHECK_THAT(joined(words::status(idle)),
               Contains("Connected since") && !Contains("at this hour"));
}

TEST_CASE("held records are told where the budget is used up, too", "[control]")
{
    auto some = sending("{'within_budget': false}");
    some["held"] = 6;
    CHECK_THAT(joined(words::status(some)), Contains("at this hour") && Contains("6 records held"));
}

namespace {

using lines = std::vector<std::string>;

/// The picture alone: what stands before the status.
lines picture(std::string_view history)
{
    const auto of = sending(history.empty() ? "{}" : "{'history': " + std::string{history} + "}");
    auto all = words::watched(of);
    const auto status = words::status(of);
    REQUIRE(all.size() >= status.size());
    const auto begin = all.end() - static_cast<std::ptrdiff_t>(status.size());
    CHECK(lines(begin, all.end()) == status);
    all.erase(begin, all.end());
    return all;
}

} // namespace

TEST_CASE("who watches sees what waited and what was delivered, a bar a slot", "[control]")
{
    const auto seen = picture("{'slot_s': 300, 'waiting_bytes': [8000000, 6000000, 4000000, 1], "
                              "'sent_bytes': [0, 3000000, 1500000, 600000]}");
    REQUIRE(seen.size() == 5);
    CHECK(seen[0] == "Waiting, at most 8.00 MB; the last 20 min:");
    CHECK(seen[1] == "  █▆▄▁"); // something is never drawn as nothing
    CHECK(seen[2] == "Sent, at most 10.0 kB a second:");
    CHECK(seen[3] == "   █▄▂");
    CHECK(seen[4].empty());
}

TEST_CASE("without a history there is no picture", "[control]")
{
    CHECK(picture("").empty());
    CHECK(picture("{'slot_s': 300, 'waiting_bytes': [], 'sent_bytes': []}").empty());
    CHECK(picture("{'slot_s': 0, 'waiting_bytes': [1], 'sent_bytes': [1]}").empty());
    CHECK(picture("{'slot_s': 300, 'waiting_bytes': 5, 'sent_bytes': [1]}").empty());
    CHECK(words::watched(json("{'node': 'centre', 'role': 'centre'}")) ==
          words::status(json("{'node': 'centre', 'role': 'centre'}")));
}

TEST_CASE("a single slot is one bar, and slots of nothing are empty", "[control]")
{
    const auto one = picture("{'slot_s': 300, 'waiting_bytes': [5], 'sent_bytes': [0]}");
    REQUIRE(one.size() == 5);
    CHECK(one[0] == "Waiting, at most 5 B; the last 5 min:");
    CHECK(one[1] == "  █");
    CHECK(one[2] == "Sent, at most 0 B a second:");
    CHECK(one[3] == "   ");
    const auto none = picture("{'slot_s': 300, 'waiting_bytes': [0, 0], 'sent_bytes': [0, 0]}");
    REQUIRE(none.size() == 5);
    CHECK(none[1] == "    ");
    CHECK(none[3] == "    ");
}

TEST_CASE("twelve hours fit beside each other, and a single busy slot of them is seen", "[control]")
{
    std::string waiting, delivered;
    for (int slot = 0; slot < 144; ++slot) {
        waiting += (slot == 0 ? "" : ", ") + std::string{"5000"};
        delivered += (slot == 0 ? "" : ", ") + std::string{slot == 76 ? "300" : "0"};
    }
    const auto seen = picture("{'slot_s': 300, 'waiting_bytes': [" + waiting +
                              "], 'sent_bytes': [" + delivered + "]}");
    REQUIRE(seen.size() == 5);
    CHECK_THAT(seen[0], Contains("the last 12 h"));
    std::string full = "  ";
    for (int column = 0; column < 72; ++column)
        full += "█";
    CHECK(seen[1] == full);
    CHECK(seen[3] == "  " + std::string(38, ' ') + "█" + std::string(33, ' '));
}

TEST_CASE("what is set aside has not been handed on", "[control]")
{
    const auto all =
        joined(words::status(station("{'records': {'quarantined': {'records': 2, 'bytes': 5}}}")));
    CHECK_THAT(all, Contains("Nothing waits to be sent") && !Contains("every record") &&
                        Contains("2 records set aside and need a decision"));
}

TEST_CASE("held records are not being sent", "[control]")
{
    auto some = station("{'link': {'up': true, 'verdict': 'ok', 'since_ms': 1795499000000, "
                        "'goodput_bytes_per_s': 80000}, 'held': 6}");
    CHECK_THAT(joined(words::status(some)),
               Contains("80.0 kB a second, about 1 min") && Contains("6 records held"));
    some["held"] = 12;
    const auto all = joined(words::status(some));
    CHECK_THAT(all, Contains("12 records (9.60 MB) safe on this machine") &&
                        Contains("Connected since") && !Contains("sending now") &&
                        !Contains("to go") &&
                        Contains("All 12 that wait are held by an operator: titip release ID"));
    some["held"] = 1;
    some["records"] = json("{'waiting': {'records': 1, 'bytes': 80000}}");
    CHECK_THAT(joined(words::status(some)),
               Contains("1 record held by an operator: titip release ID sends it"));
}

TEST_CASE("of quota and disk the smaller is told, and what gives room", "[control]")
{
    const auto with = [](std::string_view disk) {
        return joined(words::status(station("{'disk': {'quota_bytes': 68719476736, 'live_bytes': "
                                            "366000000, 'total_bytes': 400000000, " +
                                            std::string{disk} + "}}")));
    };
    const auto little = with("'used_percent': 91, 'limit': 'disk', 'has_room': true");
    CHECK_THAT(little,
               Contains("ALARM: 91 % of what the disk can give to records is used: 366 MB "
                        "of 400 MB.") &&
                   Contains("disk         366 MB of 400 MB in use, all that the disk can give") &&
                   !Contains("quota"));
    CHECK_THAT(
        with("'used_percent': 85, 'limit': 'quota', 'has_room': true, 'days_to_full': 3"),
        Contains("Warning: 85 % of the quota is used: 366 MB of 400 MB.") &&
            Contains("366 MB of 400 MB in use; full in 3 days at the rate of the last days"));
    CHECK_THAT(
        with("'used_percent': 100, 'limit': 'disk', 'has_room': false"),
        Contains("ALARM: no space for another record: the disk is full: remove other things") &&
            !Contains("quota"));
    CHECK_THAT(with("'used_percent': 100, 'limit': 'quota', 'has_room': false"),
               Contains("the quota is used up: raise [node] quota") && !Contains("disk is full"));
    CHECK_THAT(with("'used_percent': 50, 'limit': 'user-limit', 'has_room': false"),
               Contains("gives the daemon's user no more") && !Contains("[node] quota"));
    CHECK_THAT(with("'used_percent': 1, 'limit': 'quota', 'has_room': true, 'files_left': 0"),
               Contains("Warning: the disk of the store takes no more files"));
    CHECK_THAT(with("'used_percent': 1, 'limit': 'quota', 'has_room': true, 'files_left': 1"),
               Contains("only 1 more file:"));
    CHECK_THAT(with("'used_percent': 1, 'limit': 'quota', 'has_room': true, 'files_left': 999"),
               !Contains("Warning"));
}

TEST_CASE("what needs somebody's hand is an alarm with what to do", "[control]")
{
    const auto with = [](std::string_view more) { return joined(words::status(station(more))); };
    CHECK_THAT(with("{'disk': {'quota_bytes': 100, 'live_bytes': 80, 'has_room': true}}"),
               Contains("Warning: 80 %"));
    CHECK_THAT(with("{'disk': {'quota_bytes': 100, 'live_bytes': 90, 'has_room': true}}"),
               Contains("ALARM: 90 %"));
    CHECK_THAT(with("{'disk': {'quota_bytes': 100, 'live_bytes': 100, 'has_room': false}}"),
               Contains("ALARM: no space") && Contains("raise [node] quota"));
    CHECK_THAT(
        with("{'findings': [{'kind': 'gap', 'station': 'office-2', 'first': 3, 'last': 5}]}"),
        Contains("ALARM") && Contains("gap at 3..5") && Contains("office-2"));
    // What the numbering shows of this node itself is said so that it can be acted upon.
    CHECK_THAT(with("{'findings': [{'kind': 'later-head', 'station': 'office-1', 'epoch': "
                    "'0123456789abcdef', 'first': 3, 'last': 5}]}"),
               Contains("ALARM") && Contains("put back from an older copy") &&
                   Contains("Do not enter those people again") &&
                   Contains("read to it: 4 to 5, 01234567"));
    CHECK_THAT(with("{'findings': [{'kind': 'unknown-epoch', 'station': 'office-1', 'epoch': "
                    "'0123456789abcdef', 'first': 1, 'last': 5, 'records': 4}]}"),
               Contains("ALARM") && Contains("4 records") && Contains("numbers 1 to 5") &&
                   Contains("find it and switch it off") && Contains("keep it"));
    CHECK_THAT(with("{'findings': [{'kind': 'fork', 'station': 'office-1', 'epoch': '01234567', "
                    "'first': 5, 'last': 5}]}"),
               Contains("ALARM") && Contains("this machine was copied"));
    // Who has dealt with it learns how to end the alarm, where the daemon gives numbers.
    CHECK_THAT(
        with("{'findings': [{'number': 12, 'kind': 'gap', 'station': 'office-2', 'first': 3, "
             "'last': 5}], 'findings_standing': 40}"),
        Contains("titip acknowledge 12 --reason TEXT") &&
            Contains("ALARM: there are 39 findings beside these"));
    CHECK_THAT(
        with("{'findings': [{'kind': 'gap', 'station': 'office-2', 'first': 3, 'last': 5}]}"),
        !Contains("acknowledge") && !Contains("beside these"));
    CHECK_THAT(with("{'format_behind': 1}"),
               Contains("ALARM: this version could not bring the store to its format") &&
                   Contains("works on with format 1"));
    CHECK_THAT(with("{'findings': [{'kind': 'not-held', 'station': 'office-1', 'epoch': "
                    "'01234567', 'first': 5, 'last': 7}]}"),
               Contains("ALARM") && Contains("sent again by itself") && Contains("5 to 7"));
    CHECK_THAT(with("{'role': 'centre', 'node': 'centre', 'findings': [{'kind': 'fork', 'station': "
                    "'office-1', 'epoch': '01234567', 'first': 5, 'last': 5}]}"),
               Contains("fork at 5..5") && !Contains("call the centre"));
    CHECK_THAT(
        with("{'findings': [{'kind': 'fork', 'station': 'office-2', 'first': 5, 'last': 5}]}"),
        Contains("fork at 5..5 (station office-2)"));
    CHECK_THAT(with("{'certificate_expires_ms': 1795413600000}"),
               Contains("ALARM: this node's certificate has expired"));
    CHECK_THAT(with("{'recipient_expires_ms': 1796000000000}"),
               Contains("Warning: a certificate that records are sealed to"));
    CHECK_THAT(with("{'recipient_expires_ms': 1898000000000}"), !Contains("Warning"));
}

TEST_CASE("each certificate that ends soon is named, with what stands on it", "[control]")
{
    const auto with = [](std::string_view certificates, std::string_view clock) {
        return joined(words::status(station("{'certificates': [" + std::string{certificates} +
                                            "], 'clock': " + std::string{clock} + "}")));
    };
    const auto* const today =
        "{'state': 'good', 'floor_ms': 1795400000000, 'likely_ms': 1795500000000}";
    const auto* const root =
        "{'subject': 'CN=root', 'is_authority': true, 'serves': ['node', "
        "'upstream', 'recipient'], 'valid_from_ms': 1, 'expires_ms': 1795900000000}";
    CHECK_THAT(with(root, today),
               Contains("Warning: the authority CN=root, on which this node's certificate and the "
                        "upstream's and one that records are sealed to stand, expires on 2026-"));
    const auto* const own = "{'subject': 'CN=x', 'is_authority': false, 'serves': ['node'], "
                            "'valid_from_ms': 1, 'expires_ms': 1795300000000}";
    CHECK_THAT(with(own, today), Contains("ALARM: this node's certificate has expired on"));
    const auto* const above = "{'subject': 'CN=centre', 'is_authority': false, 'serves': "
                              "['upstream'], 'valid_from_ms': 1, 'expires_ms': 1797000000000}";
    CHECK_THAT(with(above, today), Contains("Warning: the upstream's certificate (CN=centre)"));
    const auto* const far = "{'subject': 'CN=centre', 'is_authority': false, 'serves': "
                            "['recipient'], 'valid_from_ms': 1, 'expires_ms': 1899000000000}";
    CHECK_THAT(with(far, today), !Contains("CN=centre"));
    // All of them, not only the first.
    const auto all = with(std::string{root} + "," + own + "," + above, today);
    CHECK_THAT(all, Contains("CN=root") && Contains("this node's certificate has expired") &&
                        Contains("CN=centre"));
}

TEST_CASE("a clock five years ahead neither invents an alarm nor hides one", "[control]")
{
    const auto with = [](std::string_view expires_ms, std::string_view clock) {
        return joined(words::status(
            station("{'time_ms': 1953300000000, 'certificates': [{'subject': 'CN=x', "
                    "'is_authority': false, "
                    "'serves': ['node'], 'valid_from_ms': 1, 'expires_ms': " +
                    std::string{expires_ms} + "}], 'clock': " + std::string{clock} + "}")));
    };
    const auto* const known = "{'state': 'ahead', 'floor_ms': 1795400000000, 'likely_ms': "
                              "1795500000000, 'signed_ms': 1795400000000}";
    CHECK_THAT(with("1830000000000", known),
               !Contains("certificate") &&
                   Contains("ALARM: the clock of this machine says 2031-") &&
                   Contains("it must be wrong: the centre signed something on 2026-"));
    CHECK_THAT(with("1796000000000", known), Contains("Warning: this node's certificate expires"));
    CHECK_THAT(with("1795000000000", known),
               Contains("ALARM: this node's certificate has expired"));
    // Nothing proves it wrong: both are said, and nothing is claimed.
    const auto* const unknown =
        "{'state': 'unconfirmed', 'floor_ms': 1795400000000, 'likely_ms': 1953300000000}";
    CHECK_THAT(with("1830000000000", unknown),
               !Contains("has expired") &&
                   Contains("ALARM: this node's certificate ends on 2027-") &&
                   Contains("set the clock if it is wrong") && Contains("says 2031-"));
    CHECK_THAT(with("1795000000000", unknown), Contains("has expired on"));
    CHECK_THAT(with("1990000000000", unknown), !Contains("certificate"));
    // A dead battery, and a certificate that is younger than what is known for certain.
    const auto* const dead =
        "{'state': 'behind', 'floor_ms': 1795400000000, 'likely_ms': 1795400000000}";
    const auto said = joined(words::status(station(
        "{'time_ms': 3600000, 'certificates': [{'subject': 'CN=x', 'is_authority': false, "
        "'serves': "
        "['node'], 'valid_from_ms': 1795450000000, 'expires_ms': 1830000000000}], 'clock': " +
        std::string{dead} + "}")));
    CHECK_THAT(said,
               Contains("says 1970-01-01T01:00:00Z; it must be wrong: this program was made") &&
                   !Contains("certificate"));
}

TEST_CASE("that a certificate has expired is no certain reason while only the clock says so",
          "[control]")
{
    const auto with = [](std::string_view state) {
        return joined(words::status(station(
            "{'link': {'up': false, 'verdict': 'expired', 'since_ms': 1795240800000}, 'clock': "
            "{'state': '" +
            std::string{state} + "'}}")));
    };
    CHECK_THAT(with("unconfirmed"),
               Contains("a certificate has expired: it must be renewed, if the "
                        "clock of this machine is right (2026-"));
    CHECK_THAT(with("good"), Contains("it must be renewed. Next"));
}

TEST_CASE("a centre says how many it refuses for their certificates, and whom", "[control]")
{
    const auto with = [](std::string_view refused) {
        return joined(words::status(
            station("{'role': 'centre', 'refused_peers': {" + std::string{refused} + "}}")));
    };
    CHECK_THAT(
        with("'expired': {'peers': 7, 'is_at_least': false, 'names': ['a', 'b']}"),
        Contains("Warning: 7 stations were refused in the last day because their certificates "
                 "have expired (a, b, ...): renew their certificates"));
    CHECK_THAT(
        with("'not-yet-valid': {'peers': 1, 'is_at_least': false, 'names': ['a']}"),
        Contains("1 station was refused in the last day because its certificate is not valid "
                 "yet (a): check this machine's clock first"));
    CHECK_THAT(with("'foreign': {'peers': 1024, 'is_at_least': true, 'names': []}"),
               Contains("at least 1024 machines were refused") &&
                   Contains("[identity] authorities"));
    CHECK_THAT(
        with("'not-accepted': {'peers': 1, 'is_at_least': false, 'names': []}"),
        Contains("1 machine broke off in the last day because it does not accept this node's"));
    CHECK_THAT(with("'expired': {'peers': 0, 'is_at_least': false, 'names': []}"),
               !Contains("refused"));
    CHECK_THAT(joined(words::status(station("{'misfits': ['[upstream] url: wrong']}"))),
               Contains("ALARM: [upstream] url: wrong"));
}

TEST_CASE("whoever submits a record reads the sentence of each warning", "[control]")
{
    CHECK(
        words::accepted(
            json("{'id': 'X', 'sequence': 7, 'warnings': ['same-image', 'old'], 'remarks': "
                 "[{'code': 'same-image', 'sentence': 'One.'}, {'code': 'same-image', 'sentence': "
                 "'Two.'}], 'same_nik': {'id': 'Y', 'state': 'delivered'}}"),
            true) == "X is safe on this machine as number 7. Warning: One. Two. [same-image] "
                     "Warning: old. The other record is delivered.");
}

TEST_CASE("safe mode says since when, and what comes next", "[control]")
{
    const auto all = joined(words::status(
        json("{'node': 'office-1', 'safe_mode': 'a sync failed', 'time_ms': 1764007200000, "
             "'safe_mode_since_ms': 1764000000000}")));
    CHECK_THAT(all, Contains("Since 2025-11-24T16:00:00Z (2 h 0 min)") &&
                        Contains("titip verify") && Contains("titip trust") &&
                        Contains("titip salvage"));
}

TEST_CASE("a verification ends with what was found, and what to do about it", "[control]")
{
    const auto end = [](std::string_view outcome) {
        return words::verification(json("{'what': 'end', 'outcome': '" + std::string{outcome} +
                                        "', 'records': 3, 'differences': 1, 'why': 'Bus error'}"));
    };
    CHECK_THAT(end("clean"), Contains("Clean: 3 records"));
    CHECK_THAT(end("differs"), Contains("NOT CLEAN: 1 difference in 3 records"));
    CHECK_THAT(end("unopened"), Contains("CANNOT BE OPENED") && Contains("titip salvage"));
    CHECK_THAT(end("died"), Contains("ends the process") && Contains("Bus error"));
    CHECK_THAT(end("hung"), Contains("does not come to an end"));
    CHECK(words::verification(json("{'what': 'progress', 'phase': 'records', 'done': 2, "
                                   "'total': 9}")) == "Looking at records: 2 of 9");
}

TEST_CASE("a salvage that cannot tell how much there was says so", "[control]")
{
    CHECK_THAT(joined(words::salvaged(json("{'saved': 2, 'folder': 'x'}"))),
               Contains("2 records saved in x") && Contains("cannot be told"));
    CHECK_THAT(joined(words::salvaged(json("{'saved': 2, 'folder': 'x', 'vanished': 1}"))),
               Contains("1 record of which nothing is left") && !Contains("cannot be told"));
}

TEST_CASE("safe mode says why, and that nothing may be deleted", "[control]")
{
    const auto all =
        joined(words::status(json("{'node': 'office-1', 'safe_mode': 'two commits were lost'}")));
    CHECK_THAT(all, Contains("SAFE MODE") && Contains("two commits were lost") &&
                        Contains("Do not delete"));
}

TEST_CASE("a centre says what it has received and opened", "[control]")
{
    const auto all = joined(words::status(station(
        "{'role': 'centre', 'records': {'delivered': {'records': 2}, 'opened': {'records': 3}}}")));
    CHECK_THAT(all, Contains("5 records received and safe here; 3 opened"));
}

TEST_CASE("every verdict of the link has words for people", "[control]")
{
    std::set<std::string_view> said;
    for (const auto* each : {"unknown", "no-route", "dns", "tcp", "tls", "clock", "expired",
                             "portal", "auth", "application", "maintenance", "ok"}) {
        CHECK(words::link_verdict(each) != each);
        said.insert(words::link_verdict(each));
    }
    CHECK(said.size() == 12);
    CHECK(words::link_verdict("from a later version") == "from a later version");
}

TEST_CASE("acceptance, refusal and silence are told in a sentence", "[control]")
{
    CHECK(words::accepted(json("{'id': 'X', 'sequence': 7, 'warnings': ['nik-sex-differs']}"),
                          true) ==
          "X is safe on this machine as number 7. Warning: nik-sex-differs.");
    CHECK(words::accepted(json("{'id': 'X', 'sequence': 7}"), false) ==
          "X was taken here before, as number 7: nothing to do.");
    CHECK(
        words::accepted(json("{'id': 'X', 'sequence': 7, 'lane': 'ordinary'}"), false, "urgent") ==
        "X was taken here before, as number 7: nothing to do. It stays in the lane ordinary.");
    CHECK_THAT(words::accepted(json("{'id': 'X', 'lane': 'urgent'}"), false, "urgent"),
               !Contains("lane"));
    CHECK(words::accepted(json("{'id': 'X', 'sequence': 7, 'is_compared': false, 'state': "
                               "'delivered'}"),
                          false) ==
          "X is safe here (put back from the second copy, as number 7); whether the bytes are the "
          "same cannot be told. Do not record again.");
    CHECK_THAT(words::accepted(json("{'id': 'X', 'is_compared': false, 'state': 'erased'}"), false),
               Contains("X is at the centre") && !Contains("is safe here"));
    CHECK_THAT(words::accepted(json("{'id': 'X', 'is_compared': true, 'state': 'quarantined', "
                                    "'reason': 'refused'}"),
                               false),
               Contains("set aside: titip show X") && Contains("Do not record again"));
    CHECK_THAT(words::accepted(json("{'id': 'X', 'is_compared': false, 'state': 'quarantined', "
                                    "'reason': 'rotten'}"),
                               false),
               Contains("damaged") && Contains("Keep this file") && !Contains("safe"));
    CHECK(words::problem(words::no_upstream()).at(0).find("no upstream") != std::string::npos);
    const auto refused = words::problem(json(R"({'title': 'the record has defects', 'detail': 'd',
        'defects': [{'code': 'missing', 'field': 'biodata.nik', 'sentence': 'It is empty.'}]})"));
    REQUIRE(refused.size() == 2);
    CHECK(refused[0] == "the record has defects (d)");
    CHECK(refused[1] == "  biodata.nik: It is empty. [missing]");
}

TEST_CASE("that the daemon is not reached is told by what the system said, and by nothing else",
          "[control]")
{
    const auto told = [](boost::system::errc::errc_t why) {
        return words::not_reachable("/run/x.sock", make_error_code(why));
    };
    namespace sys = boost::system::errc;
    CHECK_THAT(told(sys::no_such_file_or_directory), Contains("/run/x.sock") &&
                                                         Contains("there is no such socket") &&
                                                         Contains("systemctl status titipd"));
    CHECK_THAT(told(sys::connection_refused), Contains("nobody listens"));
    CHECK_THAT(told(sys::permission_denied), Contains("may not use this socket") &&
                                                 Contains("cannot be told") && !Contains("ended") &&
                                                 !Contains("systemctl"));
    CHECK_THAT(told(sys::timed_out), Contains("does not answer") && !Contains("ended"));
    std::set<std::string> all;
    for (const auto each : {sys::no_such_file_or_directory, sys::connection_refused, sys::timed_out,
                            sys::permission_denied, sys::connection_reset, sys::io_error})
        all.insert(told(each));
    CHECK(all.size() == 6);
}

TEST_CASE("a group that one has but has not logged in with is told from one that one has not",
          "[control]")
{
    const std::vector<gid_t> mine{100, 997};
    const std::vector<gid_t> at_login{100};
    CHECK(membership_of(997, mine, at_login) == membership::not_in_login);
    CHECK(membership_of(997, mine, mine) == membership::full);
    CHECK(membership_of(998, mine, at_login) == membership::none);
    CHECK(membership_of(std::nullopt, mine, mine) == membership::none);
    CHECK(
        words::about_group("titip-operate", membership::not_in_login, "siti") ==
        "The user siti is a member of \"titip-operate\", but this login began before that: log in "
        "again.");
    CHECK_THAT(words::about_group("titip-operate", membership::none, "siti"),
               Contains("usermod -aG titip-operate siti"));
    CHECK_THAT(words::about_group("titip-operate", membership::full, "siti"),
               Contains("systemctl restart titipd"));
    CHECK(words::group_of(json("{'title': 'you may not do this', 'group': 'titip'}")) == "titip");
    CHECK(words::group_of(json("{'title': 'this socket is not for web pages'}")).empty());
}

TEST_CASE("a verdict that needs a person is counted in the status and leads what is shown",
          "[control]")
{
    CHECK_THAT(joined(words::status(station("{'needs_person': 1}"))),
               Contains("1 record needs a person, by what the centre found: titip list "
                        "--needs-person"));
    CHECK_THAT(joined(words::status(station("{'needs_person': 12}"))),
               Contains("12 records need a"));
    CHECK_THAT(joined(words::status(station("{'needs_person': 0}"))), !Contains("person"));
    for (const auto& [kind, what] : {std::pair{"duplicate", "do not record this person again"},
                                     std::pair{"enrollment-failure", "could not enrol"},
                                     std::pair{"open-failed", "could not open"},
                                     std::pair{"of-a-later-version", "Call the centre"}})
        CHECK_THAT(
            told(a_record, "{'state': 'opened', 'needs_person': '" + std::string{kind} + "'}"),
            StartsWith("NEEDS A PERSON: ") && Contains(what) && Contains("Call the centre"));
    CHECK_THAT(told(a_record, "{'state': 'opened'}"), StartsWith("0198f2c1"));
    auto listed = a_record;
    listed["needs_person"] = "duplicate";
    CHECK_THAT(words::list_line(listed), Contains("office-1  duplicate"));
}

TEST_CASE("an id that several stations chose is told with their names, and how to say which",
          "[control]")
{
    const auto said = words::problem(
        json("{'title': 'several stations have a record of this id', 'status': 409, "
             "'detail': 'name one: ?station=NAME', 'stations': ['office-1', 'office-2']}"));
    REQUIRE(said.size() == 1);
    CHECK(said[0] == "several stations have a record of this id (office-1, office-2): say which "
                     "with --station NAME");
}

TEST_CASE("a list's lines stand under its header", "[control]")
{
    auto record = a_record;
    record["state"] = "waiting";
    record["accepted_at_ms"] = 1'795'500'000'000;
    const auto header = words::list_header();
    const auto line = words::list_line(record);
    CHECK(line.find("waiting") == header.find("state"));
    CHECK(line.find("ordinary") == header.find("lane"));
    CHECK(line.find("2026-11-24") == header.find("accepted"));
    CHECK(line.find("office-1") == header.find("station"));
    record["held"] = true;
    CHECK_THAT(words::list_line(record), Contains("ab! waiting"));
}

TEST_CASE("answers of a newer or broken daemon are told as far as they go", "[control]")
{
    for (const auto* odd :
         {"{}", "{'records': 5, 'link': 'up', 'disk': [], 'findings': {}, 'story': 1}",
          "{'time_ms': -1, 'link': {'up': 'yes', 'since_ms': 1e300}}",
          "{'records': {'waiting': 3}}"}) {
        CAPTURE(odd);
        CHECK_FALSE(words::status(json(odd)).empty());
        CHECK_FALSE(words::record(json(odd)).empty());
        CHECK_FALSE(words::problem(json(odd)).empty());
        words::list_line(json(odd));
        words::event(json(odd));
        words::accepted(json(odd), true);
    }
}

TEST_CASE("the status says what the second copy has not, and what to do with the second disk",
          "[control]")
{
    const auto with = [](std::string_view copy) {
        return joined(words::status(station("{'second_copy': " + std::string{copy} + "}")));
    };
    const auto good = with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': true, "
                           "'missing': 0, 'skipped': 0}");
    CHECK_THAT(good, Contains("second copy  /media/backup, 0 missing") && !Contains("Warning"));
    CHECK_THAT(
        with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': false, 'missing': 0}"),
        Contains("is being compared with the store"));
    CHECK_THAT(
        with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': true, 'missing': 20000, "
             "'only_here': 10, 'missing_since_ms': 1795496400000, 'newest_missing': 'abc'}"),
        Contains("catching up. 20000 records are not on it yet (10 nowhere else); the oldest "
                 "is of 2026-11-24T") &&
            Contains("the newest is abc."));
    const auto gone =
        with("{'path': '/media/backup', 'trouble': 'not-mounted', 'is_counted': true, "
             "'detail': 'no disk is mounted there', 'trouble_since_ms': 1795496400000, "
             "'missing': 1, 'only_here': 0, 'missing_since_ms': 1795496400000, "
             "'newest_missing': 'abc'}");
    CHECK_THAT(gone,
               Contains("Warning: the second copy on /media/backup is not being kept, for 1 h "
                        "0 min: the disk is not there: plug it in") &&
                   Contains("1 record is not on it yet (held further up as well)"));
    for (const auto& [why, what] :
         {std::pair{"full", "use a larger one"}, std::pair{"read-only", "lock switch"},
          std::pair{"failed", "unplug it and plug it in again"},
          std::pair{"hangs", "unplug it and plug it in again"},
          std::pair{"not-marked", "titip mark-disk"},
          std::pair{"other-station", "another station's"},
          std::pair{"tampered", "give this one to the administrator"},
          std::pair{"mark-ruined",
                    "no longer has the mark that was written to it: use another one"},
          std::pair{"forbidden", "may not write there: call the administrator"}})
        CHECK_THAT(with("{'path': '/media/backup', 'is_counted': true, 'missing': 0, 'trouble': '" +
                        std::string{why} + "'}"),
                   Contains("is not being kept: ") && Contains(what) &&
                       Contains("It had every record when it was last there."));
    const auto no_files = with("{'path': '/media/backup', 'trouble': 'full', 'is_counted': true, "
                               "'missing': 0, 'takes_no_more_files': true}");
    CHECK_THAT(no_files,
               Contains("has room, and takes no more files") && !Contains("use a larger one"));
    CHECK_THAT(
        with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': true, 'missing': 0, "
             "'disk': {'used_percent': 85, 'limit': 'disk'}, 'days_to_full': 4}"),
        Contains("Warning: the second disk at /media/backup is filling: 85 % of it is used; "
                 "full in 4 days"));
    CHECK_THAT(
        with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': true, 'missing': 0, "
             "'disk': {'used_percent': 85, 'limit': 'files'}}"),
        Contains("takes few more files"));
    CHECK_THAT(with("{'path': '/media/backup', 'trouble': 'not-mounted', 'is_counted': false, "
                    "'missing': 0}"),
               Contains("What it holds is not known yet."));
    CHECK_THAT(
        with("{'path': '/media/backup', 'trouble': 'none', 'is_counted': true, 'missing': 0, "
             "'skipped': 1}"),
        Contains("Warning: 1 record cannot be put on the second copy: call the administrator."));
}

TEST_CASE("a second disk that does not keep what is written to it is an alarm, and 0 missing is no "
          "promise before it was read back",
          "[control]")
{
    const auto with = [](std::string_view more) {
        return joined(words::status(
            station("{'second_copy': {'path': '/media/backup', 'trouble': 'none', 'is_counted': "
                    "true, 'only_here': 0, 'missing_since_ms': 1795496400000, 'newest_missing': "
                    "'abc', " +
                    std::string{more} + "}}")));
    };
    CHECK_THAT(
        with("'missing': 0, 'lost': 0, 'unread': 7"),
        Contains("second copy  /media/backup, 0 missing; 7 still to be read back since it was "
                 "plugged in") &&
            !Contains("ALARM"));
    CHECK_THAT(with("'missing': 0, 'lost': 0, 'unread': 0, 'oldest_read_ms': 1795496400000"),
               Contains("0 missing; all read back within 1 h 0 min"));
    CHECK_THAT(with("'missing': 2, 'lost': 2, 'lost_since_ms': 1795496400000, 'unread': 0"),
               Contains("ALARM: the disk at /media/backup loses what is written to it: use another "
                        "one. Since 2026-11-24T") &&
                   Contains("2 copies were read back from it that are not what had been written; "
                            "this machine writes them again.") &&
                   Contains("catching up. 2 records are not on it yet"));
    CHECK_THAT(with("'missing': 1, 'lost': 2, 'beyond_help': 1, 'lost_since_ms': 1795496400000"),
               Contains("1 of them is not written to it any more.") && !Contains("catching up") &&
                   Contains("second copy  /media/backup, 1 missing"));
    CHECK_THAT(with("'missing': 0, 'lost': 1, 'lost_since_ms': 1795496400000"),
               Contains("1 copy was read back from it that is not what had been written"));
}

TEST_CASE("what titip verify found stands as an alarm", "[control]")
{
    CHECK_THAT(
        joined(words::status(station("{'verified': {'at_ms': 1795496400000, 'differences': 1}}"))),
        Contains("ALARM: titip verify found 1 difference on 2026-11-24T") &&
            Contains("call the centre"));
    CHECK_THAT(joined(words::status(a_station)), !Contains("titip verify found"));
}

TEST_CASE("what was restored is said with every file that could not be used, and every gap",
          "[control]")
{
    const auto all = joined(
        words::restored(json("{'records': 2, 'bytes': 1500000, 'delivered': 1, 'left': [], 'gaps': "
                             "[], 'paused': true}")));
    CHECK_THAT(all, StartsWith("2 records (1.50 MB) restored.") && Contains("Next: start titipd") &&
                        Contains("begins paused") && Contains("titip resume") &&
                        !Contains("could not") && !Contains("Numbers"));
    const auto some = joined(words::restored(
        json("{'records': 1, 'bytes': 1, 'left': [{'file': '/media/a.titip', 'why': 'not whole'}], "
             "'gaps': [{'station': 'office-1', 'epoch': '0198f2c1aaaa', 'first': 12, 'last': 12}, "
             "{'station': 'office-1', 'epoch': '0198f2c1aaaa', 'first': 20, 'last': 4711}]}")));
    CHECK_THAT(some, Contains("1 file could not be used") &&
                         Contains("/media/a.titip: not whole") &&
                         Contains("  office-1 0198f2c1: 12\n") &&
                         Contains("  office-1 0198f2c1: 20..4711") && !Contains("paused"));
}

TEST_CASE("where the upstream answers and nothing gets through, nobody is told that it is sent",
          "[control]")
{
    auto blocked = station("{'time_ms': 1795500000000}");
    auto& link = blocked["link"].as_object();
    link["up"] = true;
    link["verdict"] = "nothing-through";
    link["nothing_through_since_ms"] = 1'795'499'700'000;
    link["next_check_ms"] = 1'795'500'060'000;
    const auto said = joined(words::status(blocked));
    CHECK_THAT(said, Contains("Connected, but nothing gets through: since ") &&
                         Contains("Next try in 1 min") && Contains("Nothing is lost") &&
                         !Contains("sending now"));
    CHECK_THAT(told(a_record, "{'state': 'waiting', 'link_up': true, 'link_verdict': "
                              "'nothing-through'}"),
               Contains("Not sent yet because the upstream answers, but nothing of a record gets "
                        "through"));
}

TEST_CASE("a disk that takes its time is said for as long as it does, and for an hour", "[control]")
{
    const auto disk = [](std::int64_t wait_ms, std::int64_t slowest_ms) {
        auto out = a_station;
        auto& disk_of = out["disk"].as_object();
        disk_of["sync_wait_ms"] = wait_ms;
        disk_of["slowest_sync_ms"] = slowest_ms;
        return joined(words::status(out));
    };
    CHECK_THAT(disk(4'999, 4'999), !Contains("sync"));
    CHECK_THAT(disk(42'000, 42'000), Contains("ALARM: the disk has not been done with a sync for "
                                              "42 s") &&
                                         Contains("whoever submits a record waits"));
    CHECK_THAT(disk(0, 42'000), Contains("ALARM: the disk took 42 s for a sync within the last "
                                         "hour"));
}

TEST_CASE("an upload that never ends is named with its station and number, and how to give it up",
          "[control]")
{
    auto centre = station("{'role': 'centre', 'time_ms': 1795500000000}");
    centre["stalled_uploads"] = json(R"({'count': 3, 'oldest': [{'id': 'ID', 'station': 'office-2',
        'sequence': 7, 'stored_bytes': 400000, 'size_bytes': 812345,
        'last_byte_at_ms': 1794808800000}]})");
    CHECK_THAT(joined(words::status(centre)),
               Contains("ALARM: number 7 of station office-2 began to arrive and has got no byte "
                        "for 8 days 0 h (400 kB of 812 kB are here)") &&
                   Contains("titip discard ID --station office-2 --reason TEXT") &&
                   Contains("ALARM: 2 more like these: titip list --state arriving"));
    CHECK_THAT(joined(words::discarded(json(R"({'id': 'ID', 'station': 'office-2', 'sequence': 7,
        'stored_bytes': 400000, 'size_bytes': 812345})"))),
               Contains("Discarded: 400 kB of 812 kB") && Contains("begins anew"));
}

TEST_CASE("what has no file of its own takes no room among the files of the second copy",
          "[control]")
{
    journal::totals totals;
    auto& by = totals.by_state;
    const auto put = [&by](journal::state which, std::uint64_t records, std::uint64_t bytes) {
        by[static_cast<std::size_t>(which)] = {records, bytes, 0};
    };
    const journal::disk_room disk{.available_bytes = 30'000'000'000, .files = 10'000};
    put(journal::state::waiting, 100, 100'000'000);
    put(journal::state::delivered, 900, 900'000'000);
    const auto alone = room_for_copies(disk, totals);
    CHECK(alone.by == journal::capacity::limit::files);
    CHECK(alone.left_bytes == 10'000'000'000);
    put(journal::state::erased, 500'000, 0);   // some years
    put(journal::state::arriving, 7'000, 700); // each station has begun one
    CHECK(room_for_copies(disk, totals) == alone);
    CHECK(room_for_copies({.available_bytes = 5'000, .files = {}}, totals).left_bytes == 5'000);
    CHECK(room_for_copies(disk, {}).left_bytes ==
          disk.available_bytes); // nothing is known of sizes
}

TEST_CASE("who gets no answer is not asked whether the service runs", "[control]")
{
    CHECK_THAT(words::no_answer("End of file", true),
               Contains("whether the record was taken is not known") &&
                   Contains("Submit the same file again") && !Contains("running"));
    CHECK_THAT(words::no_answer("End of file", false), !Contains("record"));
}

TEST_CASE("a finding's line says who told it and what became of it", "[control]")
{
    const auto line = [](const std::string& text) { return words::finding_line(json(text)); };
    const std::string found = "'number': 4, 'kind': 'gap', 'first': 3, 'last': 5, 'epoch': "
                              "'0123456789abcdef', 'noticed_at_ms': 1795547247744";
    CHECK_THAT(line("{" + found + "}"),
               Contains("gap") && Contains("3..5") && Contains("stands") && !Contains(", by"));
    CHECK_THAT(line("{" + found + ", 'told_by': 'centre', 'settled_at_ms': 1795547247744}"),
               Contains(", by centre") && Contains("; settled 2026"));
    CHECK_THAT(line("{" + found +
                    ", 'acknowledged_at_ms': 1795547247744, 'acknowledged_by': 'uid "
                    "7', 'reason': 'the old disk is here'}"),
               Contains("by uid 7: the old disk is here") && !Contains("stands"));
}
