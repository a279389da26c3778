#include "base/fault.hpp"
#include "http/message.hpp"

#include <catch2/catch.hpp>

namespace titip::http {

TEST_CASE("a target is split into decoded segments and parameters", "[http]")
{
    const auto parsed = parse_target("/v1/records/kab%2Dkarimun?after=17&lane=a%26b&plus=1+1&bare");
    REQUIRE(parsed.has_value());
    CHECK(parsed->segments == std::vector<std::string>{"v1", "records", "kab-karimun"});
    CHECK(parsed->find("after") == "17");
    CHECK(parsed->find("lane") == "a&b");
    CHECK(parsed->find("plus") == "1+1");
    CHECK(parsed->find("bare") == "");
    CHECK(!parsed->find("absent"));
    CHECK(parse_target("/")->segments.empty());
}

TEST_CASE("a target that could mean something else is malformed", "[http]")
{
    const auto* text =
        GENERATE("", "v1", "*", "http://centre.test/v1", "/v1/%2", "/v1/%zz", "/a%2Fb", "/a%00b",
                 "/v1/../etc", "/v1/./x", "/v1/%2e%2e/x", "/v1 /x", "/v1#x");
    CAPTURE(text);
    CHECK(!parse_target(text));
}

TEST_CASE("a number is decimal digits and nothing else", "[http]")
{
    CHECK(parse_number("0") == 0);
    CHECK(parse_number("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
    const auto* text = GENERATE("", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616");
    CAPTURE(text);
    CHECK(!parse_number(text));
}

TEST_CASE("fields are found without regard to case, the first of a name first", "[http]")
{
    fields all;
    all.add("Titip-Receipt", "one");
    all.add("titip-receipt", "two");
    CHECK(all.find("TITIP-RECEIPT") == "one");
    CHECK(!all.has("Titip"));
    CHECK(all.all().size() == 2);
}

TEST_CASE("a problem says its status, title and detail in JSON", "[http]")
{
    const auto answer = problem(507, "The store is \"full\".", "Add a disk.");
    CHECK(answer.status == 507);
    CHECK(answer.fields.find("content-type") == "application/problem+json");
    CHECK(as_text(answer.body) ==
          R"({"title":"The store is \"full\".","status":507,"detail":"Add a disk."})");
}

TEST_CASE("a peer that does not speak HTTP is trouble of the link", "[http]")
{
    CHECK(error_code{errc::bad_message} == fault::link);
    CHECK(error_code{errc::bad_message} != fault::record);
}

} // namespace titip::http
