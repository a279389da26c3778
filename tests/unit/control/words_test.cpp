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
               Contains("this machine has no network") && Contains("Next check"));
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
                              "'delivered_bytes': [0, 3000000, 1500000, 600000]}");
    REQUIRE(seen.size() == 5);
    CHECK(seen[0] == "Waiting, at most 8.00 MB; the last 20 min:");
    CHECK(seen[1] == "  █▆▄▁"); // something is never drawn as nothing
    CHECK(seen[2] == "Delivered, at most 10.0 kB a second:");
    CHECK(seen[3] == "   █▄▂");
    CHECK(seen[4].empty());
}

TEST_CASE("without a history there is no picture", "[control]")
{
    CHECK(picture("").empty());
    CHECK(picture("{'slot_s': 300, 'waiting_bytes': [], 'delivered_bytes': []}").empty());
    CHECK(picture("{'slot_s': 0, 'waiting_bytes': [1], 'delivered_bytes': [1]}").empty());
    CHECK(picture("{'slot_s': 300, 'waiting_bytes': 5, 'delivered_bytes': [1]}").empty());
    CHECK(words::watched(json("{'node': 'centre', 'role': 'centre'}")) ==
          words::status(json("{'node': 'centre', 'role': 'centre'}")));
}

TEST_CASE("a single slot is one bar, and slots of nothing are empty", "[control]")
{
    const auto one = picture("{'slot_s': 300, 'waiting_bytes': [5], 'delivered_bytes': [0]}");
    REQUIRE(one.size() == 5);
    CHECK(one[0] == "Waiting, at most 5 B; the last 5 min:");
    CHECK(one[1] == "  █");
    CHECK(one[2] == "Delivered, at most 0 B a second:");
    CHECK(one[3] == "   ");
    const auto none =
        picture("{'slot_s': 300, 'waiting_bytes': [0, 0], 'delivered_bytes': [0, 0]}");
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
                              "], 'delivered_bytes': [" + delivered + "]}");
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
    CHECK(words::problem(words::no_upstream()).at(0).find("no upstream") != std::string::npos);
    const auto refused = words::problem(json(R"({'title': 'the record has defects', 'detail': 'd',
        'defects': [{'code': 'missing', 'field': 'biodata.nik', 'sentence': 'It is empty.'}]})"));
    REQUIRE(refused.size() == 2);
    CHECK(refused[0] == "the record has defects (d)");
    CHECK(refused[1] == "  biodata.nik: It is empty. [missing]");
    CHECK_THAT(words::not_reachable("/run/x.sock", "refused"),
               Contains("/run/x.sock") && Contains("systemctl status titipd"));
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

TEST_CASE("the forecast counts what came less what went, over a day at least", "[control]")
{
    using control::days_to_full;
    const auto now = wall_time{} + 20'000 * 24h + 12h;
    const auto began = [&](int days_ago) { return wall_time{} + (20'000 - days_ago) * 24h; };
    std::vector<journal::day> days;
    for (int ago = 6; ago >= 0; --ago)
        days.push_back({.begins = began(ago), .accepted_bytes = 13'000});
    CHECK(days_to_full(100'000, 20'000, days, now) == 5u); // 91,000 in 6.5 days
    CHECK(days_to_full(100'000, 200'000, days, now) == 0u);
    auto emptied = days;
    emptied[2].erased_bytes = 7 * 13'000;
    CHECK_FALSE(days_to_full(100'000, 20'000, emptied, now).has_value());
    CHECK_FALSE(days_to_full(100'000, 20'000, {}, now).has_value());
    CHECK(days_to_full(100'000, 20'000, {{.begins = began(0), .accepted_bytes = 10'000}}, now) ==
          8u);
    // Days of long ago, and those that a clock which was ahead has left, are none of the last ones.
    for (const int ago : {8, 400, -1})
        CHECK_FALSE(
            days_to_full(100'000, 20'000, {{.begins = began(ago), .accepted_bytes = 10'000}}, now)
                .has_value());
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
          std::pair{"mark-ruined",
                    "no longer has the mark that was written to it: use another one"},
          std::pair{"forbidden", "may not write there: call the administrator"}})
        CHECK_THAT(with("{'path': '/media/backup', 'is_counted': true, 'missing': 0, 'trouble': '" +
                        std::string{why} + "'}"),
                   Contains("is not being kept: ") && Contains(what) &&
                       Contains("It had every record when it was last there."));
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
