#include "uplink/session.hpp"
#include "vault/support.hpp"

#include <google/protobuf/stubs/logging.h>

#include <catch2/catch.hpp>

using namespace titip;

namespace {

int lines_written = 0;

void count_line(google::protobuf::LogLevel, const char*, int, const std::string&)
{
    ++lines_written;
}

} // namespace

TEST_CASE("an answer to a reconcile that is none writes nothing into our log", "[uplink]")
{
    auto* const before = google::protobuf::SetLogHandler(count_line);
    http::response answer;
    answer.fields.add("Content-Type", "application/x-protobuf");
    answer.body = to_bytes(as_bytes("\x32\x03\x12\x01\xff")); // a finding about no UTF-8
    const auto read = uplink::read_reconciled(answer, tests::everyone().believed, "office-1");
    google::protobuf::SetLogHandler(before);
    REQUIRE(read.has_error());
    CHECK(read.error().what == uplink::outcome::kind::link);
    CHECK(lines_written == 0);
}
