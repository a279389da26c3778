#include "uplink/outcome.hpp"

#include "base/line.hpp"
#include "vault/problem.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>

namespace titip::uplink {

namespace {

using kind = outcome::kind;

struct problem_said {
    std::string title;
    std::optional<vault::problem> type;
};

/// RFC 9110, 8.3.1: without case, and there may be parameters.
bool is_problem(const http::response& answer)
{
    constexpr std::string_view problem = "application/problem+json";
    const auto type = answer.fields.find("Content-Type");
    if (!type || !boost::beast::iequals(type->substr(0, problem.size()), problem))
        return false;
    const auto rest = type->substr(problem.size());
    return rest.empty() || rest.front() == ';' || rest.front() == ' ' || rest.front() == '\t';
}

problem_said problem_in(const http::response& answer)
{
    if (!is_problem(answer))
        return {};
    boost::system::error_code failed;
    const auto value = boost::json::parse(as_text(answer.body), failed);
    if (failed || !value.is_object())
        return {};
    const auto text = [&object = value.get_object()](std::string_view key) -> std::string_view {
        const auto* each = object.if_contains(key);
        return each && each->is_string() ? std::string_view{each->get_string()}
                                         : std::string_view{};
    };
    return {.title = to_line(text("title"), most_note_bytes),
            .type = vault::to_problem(text("type"))};
}

kind kind_of(vault::problem type)
{
    switch (type) {
    case vault::problem::not_believed:
        return kind::not_believed;
    case vault::problem::role:
        return kind::role;
    case vault::problem::limit:
        return kind::too_large;
    case vault::problem::full:
        return kind::admission;
    case vault::problem::conflict:
        return kind::conflict;
    case vault::problem::mismatch:
        return kind::mismatch;
    case vault::problem::revoked:
        return kind::revoked;
    }
    return kind::link;
}

/// Seconds only: a date would be read against a clock that may be wrong.
milliseconds retry_after_of(const http::response& answer)
{
    const auto text = answer.fields.find("Retry-After");
    const auto seconds = text ? http::parse_number(*text) : std::nullopt;
    if (!seconds)
        return {};
    return std::chrono::seconds{std::min<std::uint64_t>(*seconds, 3600)};
}

bool is_html(const http::response& answer)
{
    const auto type = answer.fields.find("Content-Type");
    return type && boost::beast::iequals(type->substr(0, 9), "text/html");
}

kind kind_of(const http::response& answer, bool on_upload)
{
    const auto status = answer.status;
    if (answer.fields.has("Titip-Receipt") && status >= 200 && status < 300)
        return kind::receipt;
    if (is_html(answer) || (status >= 300 && status < 400))
        return kind::portal;
    if (status >= 200 && status < 300)
        return kind::unknown;
    switch (status) {
    case 401:
        return kind::auth;
    case 403:
        return on_upload ? kind::not_ours : kind::auth;
    case 404:
    case 410:
        return on_upload ? kind::gone : kind::link;
    case 409:
        return answer.fields.has("Upload-Offset") ? kind::position_unknown : kind::conflict;
    case 413:
        return kind::too_large;
    case 423:
        return kind::position_unknown;
    case 400:
    case 415:
    case 422:
        return on_upload ? kind::defect : kind::link;
    case 460:
        return kind::mismatch;
    case 429:
    case 503:
    case 507:
        return kind::admission;
    default:
        return kind::link;
    }
}

} // namespace

outcome classify(const http::response& answer, bool on_upload)
{
    auto said = problem_in(answer);
    outcome out{
        .what = kind_of(answer, on_upload), .receipt_cms = {}, .note = std::move(said.title)};
    if (said.type && on_upload && answer.status >= 400)
        out.what = kind_of(*said.type);
    out.retry_after = retry_after_of(answer);
    out.is_last = !answer.keep_alive;
    if (const auto offset = answer.fields.find("Upload-Offset"))
        out.offset = http::parse_number(*offset);
    if (out.what == kind::receipt) {
        auto cms = from_base64(*answer.fields.find("Titip-Receipt"));
        if (cms)
            out.receipt_cms = std::move(*cms);
        else
            out.what = kind::unknown;
    }
    return out;
}

} // namespace titip::uplink
