#include "intake/answers.hpp"

#include "vault/limit.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace titip::intake {

namespace {

/// Long enough for an operator to free space, short enough to be noticed soon.
constexpr std::string_view retry_when_full_s = "60";

http::response tus(unsigned status)
{
    http::response out{.status = status};
    out.fields.add("Tus-Resumable", "1.0.0");
    return out;
}

} // namespace

std::string location_of(const vault::key& which)
{
    return "/v1/uploads/" + which.station + "/" + which.record.to_string();
}

http::response with_receipt(unsigned status, const vault::key& which, std::uint64_t size_bytes,
                            bytes_view receipt)
{
    auto out = with_offset(status, which, size_bytes);
    out.fields.add("Titip-Receipt", to_base64(receipt));
    return out;
}

http::response with_offset(unsigned status, const vault::key& which, std::uint64_t offset)
{
    auto out = tus(status);
    out.fields.add("Upload-Offset", std::to_string(offset));
    if (status == 201)
        out.fields.add("Location", location_of(which));
    if (status == 200)
        out.fields.add("Cache-Control", "no-store");
    return out;
}

http::response problem(vault::problem type, unsigned status, std::string_view title,
                       std::string_view detail)
{
    boost::json::object body{{"type", to_string(type)}, {"title", title}, {"status", status}};
    if (!detail.empty())
        body["detail"] = detail;
    http::response out{.status = status};
    out.fields.add("Content-Type", "application/problem+json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body)));
    return out;
}

http::response refused(const admission::refusal& why)
{
    auto out = why.is_over_share
                   ? http::problem(429, "others wait for their turn here",
                                   "this node has had its own, and gets another")
                   : http::problem(503, "too many send at this moment", "this node gets its turn");
    out.fields.add("Retry-After", std::to_string(why.retry_after.count()));
    return out;
}

http::response refused(const error_code& why)
{
    if (why == vault::errc::full) {
        auto out = problem(vault::problem::full, 507, "no space for another record here",
                           "try again later");
        out.fields.add("Retry-After", std::string{retry_when_full_s});
        return out;
    }
    if (why == vault::limit::share) {
        auto out =
            problem(vault::problem::full, 507, why.message(),
                    "this node is nearly full, and holds more of this station than of others");
        out.fields.add("Retry-After", std::string{retry_when_full_s});
        return out;
    }
    if (vault::is_limit(why)) {
        auto out = http::problem(503, why.message(),
                                 why == vault::limit::numbers
                                     ? "records that come in the order of their numbers are taken"
                                     : "those that were begun are taken to their end");
        out.fields.add("Retry-After", std::string{retry_when_full_s});
        return out;
    }
    if (why == vault::errc::cannot_sign) { // its own certificate does not hold now
        auto out = http::problem(503, "this node cannot sign a receipt now", why.message());
        out.fields.add("Retry-After", std::string{retry_when_full_s});
        return out;
    }
    if (why == vault::errc::conflict)
        return problem(vault::problem::conflict, 409, "this id is here with other bytes",
                       "the two sealings have different digests");
    if (why == vault::errc::unknown)
        return http::problem(404, "no such upload here");
    if (why == vault::errc::rotten) // of this one record, so nothing that a wait would mend
        return http::problem(422, "the copy of this record here is damaged", why.message());
    if (why == vault::errc::already_complete)
        return http::problem(403, "a complete record cannot be given up");
    return http::problem(500, "the store failed", why.message());
}

http::response closing(http::response answer)
{
    answer.keep_alive = false;
    return answer;
}

} // namespace titip::intake
