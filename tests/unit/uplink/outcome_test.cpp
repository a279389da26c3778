#include "uplink/outcome.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::uplink;
using kind = outcome::kind;

namespace {

http::response answer(unsigned status, std::vector<std::pair<std::string, std::string>> fields = {})
{
    http::response out{.status = status};
    for (auto& [name, value] : fields)
        out.fields.add(std::move(name), std::move(value));
    return out;
}

kind on_upload(unsigned status, std::vector<std::pair<std::string, std::string>> fields = {})
{
    return classify(answer(status, std::move(fields)), true).what;
}

kind elsewhere(unsigned status, std::vector<std::pair<std::string, std::string>> fields = {})
{
    return classify(answer(status, std::move(fields)), false).what;
}

} // namespace

TEST_CASE("only a success with a receipt brings one", "[uplink]")
{
    const std::pair<std::string, std::string> receipt{"Titip-Receipt", to_base64(as_bytes("cms"))};
    for (const unsigned status : {200u, 201u, 204u}) {
        const auto got = classify(answer(status, {receipt}), true);
        CHECK(got.what == kind::receipt);
        CHECK(as_text(got.receipt_cms) == "cms");
    }
    for (const unsigned status : {302u, 400u, 404u, 409u, 500u}) {
        const auto got = classify(answer(status, {receipt}), true);
        CHECK(got.what != kind::receipt);
        CHECK(got.receipt_cms.empty());
    }
}

TEST_CASE("a bare success leaves it open what became of the record", "[uplink]")
{
    for (const unsigned status : {200u, 201u, 202u, 204u})
        CHECK(on_upload(status) == kind::unknown);
    CHECK(on_upload(201, {{"Upload-Offset", "17"}}) == kind::unknown);
    CHECK(on_upload(204, {{"Titip-Receipt", "not base64!"}}) == kind::unknown);
    CHECK(on_upload(204, {{"Titip-Receipt", ""}}) != kind::link);
}

TEST_CASE("an answer with a position lets the upload go on from there", "[uplink]")
{
    const auto conflict = classify(answer(409, {{"Upload-Offset", "4711"}}), true);
    CHECK(conflict.what == kind::position_unknown);
    CHECK(conflict.offset == 4711);
    const auto busy = classify(answer(423), true);
    CHECK(busy.what == kind::position_unknown);
    CHECK_FALSE(busy.offset.has_value());
    CHECK_FALSE(classify(answer(204, {{"Upload-Offset", "-3"}}), true).offset.has_value());
    CHECK(classify(answer(204, {{"upload-offset", "0"}}), true).offset == 0);
}

TEST_CASE("refusals of one record are told apart", "[uplink]")
{
    CHECK(on_upload(404) == kind::gone);
    CHECK(on_upload(410) == kind::gone);
    CHECK(on_upload(413) == kind::too_large);
    CHECK(on_upload(400) == kind::defect);
    CHECK(on_upload(415) == kind::defect);
    CHECK(on_upload(422) == kind::defect);
    CHECK(on_upload(460) == kind::mismatch);
    CHECK(on_upload(409) == kind::conflict);
    CHECK(on_upload(403) == kind::not_ours);
}

TEST_CASE("who we are is refused everywhere, or anywhere but on an upload", "[uplink]")
{
    CHECK(on_upload(401) == kind::auth);
    CHECK(elsewhere(401) == kind::auth);
    CHECK(elsewhere(403) == kind::auth);
}

TEST_CASE("no record is blamed for an answer to something else", "[uplink]")
{
    for (const unsigned status : {400u, 404u, 410u, 415u, 422u})
        CHECK(elsewhere(status) == kind::link);
}

TEST_CASE("a custodian that asks for a pause gets one, for an hour at the most", "[uplink]")
{
    for (const unsigned status : {429u, 503u, 507u})
        for (const bool upload : {false, true}) {
            const auto got = classify(answer(status, {{"Retry-After", "120"}}), upload);
            CHECK(got.what == kind::admission);
            CHECK(got.retry_after == 2min);
        }
    CHECK(classify(answer(503), true).retry_after == 0ms);
    CHECK(classify(answer(503, {{"Retry-After", "3600"}}), true).retry_after == 1h);
    CHECK(classify(answer(503, {{"Retry-After", "86400"}}), true).retry_after == 1h);
    CHECK(classify(answer(503, {{"Retry-After", "18446744073709551615"}}), true).retry_after == 1h);
    for (const auto* odd : {"-5", "soon", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", ""})
        CHECK(classify(answer(503, {{"Retry-After", odd}}), true).retry_after == 0ms);
}

TEST_CASE("other troubles of the server, and what makes no sense, are the link's", "[uplink]")
{
    for (const unsigned status :
         {100u, 402u, 405u, 408u, 418u, 451u, 500u, 501u, 502u, 504u, 511u, 599u})
        for (const bool upload : {false, true}) {
            CAPTURE(status);
            CHECK(classify(answer(status), upload).what == kind::link);
        }
}

TEST_CASE("a web page or a redirection is not the centre", "[uplink]")
{
    for (const unsigned status : {301u, 302u, 303u, 307u, 308u}) {
        CHECK(on_upload(status, {{"Location", "http://login.example/"}}) == kind::portal);
        CHECK(elsewhere(status) == kind::portal);
    }
    for (const unsigned status : {200u, 403u, 404u, 503u}) {
        CHECK(on_upload(status, {{"Content-Type", "text/html; charset=utf-8"}}) == kind::portal);
        CHECK(elsewhere(status, {{"content-type", "text/html"}}) == kind::portal);
    }
}

// RFC 9110 section 8.3.1: types compare without case.
TEST_CASE("a web page is one however its type is spelt", "[uplink]")
{
    CHECK(elsewhere(200, {{"Content-Type", "Text/HTML"}}) == kind::portal);
}

TEST_CASE("what a problem+json says is kept for people, anything else is not", "[uplink]")
{
    auto refused = http::problem(422, "the manifest is not believed", "detail");
    CHECK(classify(refused, true).note == "the manifest is not believed");
    auto plain = answer(422, {{"Content-Type", "text/plain"}});
    plain.body = to_bytes(as_bytes(R"({"title":"x"})"));
    CHECK(classify(plain, true).note.empty());
    for (const auto* body : {"", "{", "[]", "{}", R"({"title":5})", "\xff"}) {
        auto odd = answer(422, {{"Content-Type", "application/problem+json"}});
        odd.body = to_bytes(as_bytes(body));
        CHECK(classify(odd, true).note.empty());
        CHECK(classify(odd, true).what == kind::defect);
    }
}

TEST_CASE("an answer that ends the connection says so", "[uplink]")
{
    auto last = answer(201);
    CHECK_FALSE(classify(last, true).is_last);
    last.keep_alive = false;
    CHECK(classify(last, true).is_last);
}

namespace {

outcome refused_as(unsigned status, std::string_view type, bool is_upload = true)
{
    auto out = answer(status, {{"Content-Type", "application/problem+json"}});
    out.body = to_bytes(as_bytes(R"({"title":"no","type":")" + std::string{type} + "\"}"));
    return classify(out, is_upload);
}

} // namespace

TEST_CASE("the type of a refusal says whose fault it is", "[uplink]")
{
    CHECK(refused_as(422, "titip:not-believed").what == kind::not_believed);
    CHECK(refused_as(403, "titip:role").what == kind::role);
    CHECK(refused_as(413, "titip:limit").what == kind::too_large);
    CHECK(refused_as(507, "titip:full").what == kind::admission);
    CHECK(refused_as(409, "titip:conflict").what == kind::conflict);
    CHECK(refused_as(460, "titip:mismatch").what == kind::mismatch);
    CHECK(refused_as(422, "titip:revoked").what == kind::revoked);
    CHECK(refused_as(401, "").what == kind::auth); // of the connection: it has no type
}

// RFC 9110 section 8.3.1: a media type may have parameters, and compares without case.
TEST_CASE("a problem is one however its media type is spelt", "[uplink]")
{
    for (const auto* media :
         {"application/problem+json; charset=utf-8", "application/problem+json;charset=utf-8",
          "application/problem+json ; x=y", "Application/Problem+JSON"}) {
        CAPTURE(media);
        auto said = answer(403, {{"Content-Type", media}});
        said.body = to_bytes(as_bytes(R"({"title":"no","type":"titip:role"})"));
        CHECK(classify(said, true).what == kind::role);
        CHECK(classify(said, true).note == "no");
    }
    for (const auto* media : {"application/problem+jsonl", "application/problem", "problem+json"}) {
        CAPTURE(media);
        auto said = answer(403, {{"Content-Type", media}});
        said.body = to_bytes(as_bytes(R"({"title":"no","type":"titip:role"})"));
        CHECK(classify(said, true).what == kind::not_ours);
    }
}

TEST_CASE("a type that is not known counts as none, and so does one that is no text", "[uplink]")
{
    for (const auto type : {"about:blank", "", "titip:", "titip:not-believed ", "TITIP:ROLE"}) {
        CHECK(refused_as(422, type).what == kind::defect);
        CHECK(refused_as(403, type).what == kind::not_ours);
    }
    CHECK(refused_as(422, std::string(60'000, 'x')).what == kind::defect);
    auto odd = answer(422, {{"Content-Type", "application/problem+json"}});
    odd.body = to_bytes(as_bytes(R"({"title":"no","type":["titip:not-believed"]})"));
    CHECK(classify(odd, true).what == kind::defect);
    auto plain = answer(422, {{"Content-Type", "application/json"}});
    plain.body = to_bytes(as_bytes(R"({"type":"titip:not-believed"})"));
    CHECK(classify(plain, true).what == kind::defect);
}

TEST_CASE("no type makes a success or another request's answer one about a record", "[uplink]")
{
    CHECK(refused_as(200, "titip:not-believed").what == kind::unknown);
    CHECK(refused_as(403, "titip:role", false).what == kind::auth);
    CHECK(refused_as(422, "titip:not-believed", false).what == kind::link);
}

TEST_CASE("what the upstream says is a line, not long, for the log and for people", "[uplink]")
{
    auto long_one = http::problem(422, "e" + std::string(198, 'x') + "\u00e9\u00e9");
    const auto note = classify(long_one, true).note;
    CHECK(note == "e" + std::string(198, 'x'));
    auto lines = answer(422, {{"Content-Type", "application/problem+json"}});
    lines.body = to_bytes(as_bytes(R"({"title":"no\nquarantine place=1\u001b[2J"})"));
    CHECK(classify(lines, true).note == "no quarantine place=1 [2J");
    // CSI in one character, and what turns the direction of writing.
    lines.body = to_bytes(as_bytes("{\"title\":\"a\xc2\x9b"
                                   "31mb\xe2\x80\xae"
                                   "c\"}"));
    CHECK(classify(lines, true).note == "a 31mb c");
}
