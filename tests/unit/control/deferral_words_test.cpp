#include "base/time.hpp"
#include "control/words.hpp"

#include <boost/json/parse.hpp>
#include <catch2/catch.hpp>

#include <fmt/format.h>

using namespace titip;
using namespace titip::control;
using Catch::Matchers::Contains;

namespace {

boost::json::object json(std::string_view text)
{
    return boost::json::parse(text).as_object();
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string out;
    for (const auto& each : lines)
        out += each + '\n';
    return out;
}

std::string entry(std::string_view why, bool is_odd = false,
                  std::int64_t next_try_ms = 1'795'500'720'000)
{
    return fmt::format(R"({{"why":"{}","is_odd":{},"note":"not issued by one of ours",
        "station":"office-1","records":11,"since_ms":1795499000000,"next_try_ms":{}}})",
                       why, is_odd, next_try_ms);
}

std::string status_with(std::string_view deferred, unsigned waiting)
{
    return joined(words::status(json(fmt::format(
        R"({{"node":"office-1","role":"station","time_ms":1795500000000,"held":0,"paused":false,
        "records":{{"waiting":{{"records":{},"bytes":9600000}}}},
        "link":{{"up":true,"verdict":"ok","since_ms":1795240800000,"deferred":[{}]}},
        "disk":{{"has_room":true}}}})",
        waiting, deferred))));
}

std::string record_with(std::string_view deferred)
{
    return joined(words::record(json(fmt::format(
        R"({{"id":"0198f2c1-7f3a-7abc-9def-0123456789ab","station":"office-1","state":"waiting",
        "sequence":7,"link_up":true,"paused":false,"deferred":{}}})",
        deferred))));
}

} // namespace

TEST_CASE("what the upstream refuses for no fault of a record says why, when it is tried again, "
          "and what to do",
          "[control]")
{
    for (const auto& [why, sentence] :
         {std::pair{"not-believed", "does not believe the certificate of office-1 that signed it"},
          std::pair{"role", "does not let this machine offer records of office-1"},
          std::pair{"limit", "refuses its size, which it says it takes"},
          std::pair{"receipt", "has it, and gives a receipt that is not believed here"}}) {
        const auto status = status_with(entry(why), 11);
        CHECK_THAT(status,
                   Contains("ALARM: 11 records not sent for now, each because the upstream"));
        CHECK_THAT(status, Contains(sentence));
        CHECK_THAT(status, Contains("(\"not issued by one of ours\")"));
        CHECK_THAT(status, Contains("Nothing is lost or set aside; next try in 12 min"));
        CHECK_THAT(status, Contains("Call the centre"));
        CHECK_THAT(status, Contains("titip resume"));
        // A record is told by the clock of whoever asks.
        const auto soon = to_ms(wall_now() + 12min + 30s);
        const auto record = record_with(entry(why, false, soon));
        CHECK_THAT(record, Contains("Not sent because the upstream"));
        CHECK_THAT(record, Contains(sentence));
        CHECK_THAT(record, Contains("Next try in 12 min"));
        CHECK_THAT(record, !Contains("it is sent in its turn"));
    }
    CHECK_THAT(
        status_with(entry("not-believed", true), 11),
        Contains("refuses it, for what may not be its own fault (\"not issued by one of ours\")"));
}

TEST_CASE("that records are sent now is said only where some are", "[control]")
{
    CHECK_THAT(status_with(entry("not-believed"), 12), Contains("sending now"));
    const auto none = status_with(entry("not-believed"), 11);
    CHECK_THAT(none, !Contains("sending now"));
    CHECK_THAT(none, Contains("nothing is sent for now, as below"));
    CHECK_THAT(none, Contains("11 records (9.60 MB) safe on this machine"));
}

TEST_CASE("how many wait again is told, and why some do not", "[control]")
{
    CHECK(joined(words::retried(json(R"({"retried":1,"open_failed":0})"))) ==
          "1 record waits again.\n");
    const auto some = joined(words::retried(json(R"({"retried":100000,"open_failed":2})")));
    CHECK_THAT(some, Contains("100000 records wait again."));
    CHECK_THAT(some, Contains("2 records stay set aside: the centre has them already"));
}
