#include "intake/answers.hpp"

#include "vault/limit.hpp"

#include <catch2/catch.hpp>

using namespace titip;

namespace {

bool has_type(const http::response& answer, std::string_view type)
{
    return as_text(answer.body).find("\"type\":\"" + std::string{type} + "\"") !=
           std::string_view::npos;
}

} // namespace

TEST_CASE("a bound of one station is told as a pause, and only want of space as that", "[intake]")
{
    const auto share = intake::refused(vault::limit::share);
    CHECK(share.status == 507);
    CHECK(has_type(share, "titip:full"));
    for (const auto each : {vault::limit::numbers, vault::limit::arriving}) {
        const auto answer = intake::refused(make_error_code(each));
        CHECK(answer.status == 503);
        CHECK_FALSE(has_type(answer, "titip:full"));
        CHECK(answer.fields.has("Retry-After"));
    }
    CHECK(share.fields.has("Retry-After"));
}
