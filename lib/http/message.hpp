#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace titip::http {

/// All compare with fault::link: who does not speak HTTP is not the peer we look for.
enum class errc {
    header_too_large = 1,
    bad_message = 2,    ///< not HTTP/1.1 as RFC 9112 has it
    body_abandoned = 3, ///< the rest of a long body was not wanted: the connection must close
    body_too_large = 4,
    peer_not_believed = 5, ///< its certificate was good when it connected, and is not any more
};
boost::system::error_code make_error_code(errc) noexcept;

/// Header fields in order of arrival; names compare without case.
class fields {
public:
    void add(std::string name, std::string value)
    {
        all_.emplace_back(std::move(name), std::move(value));
    }
    /// The first value, or nothing.
    std::optional<std::string_view> find(std::string_view name) const noexcept;
    bool has(std::string_view name) const noexcept { return find(name).has_value(); }
    const std::vector<std::pair<std::string, std::string>>& all() const noexcept { return all_; }

private:
    std::vector<std::pair<std::string, std::string>> all_;
};

struct request {
    std::string method;
    std::string target; ///< origin form: path and query
    http::fields fields;
    std::optional<std::uint64_t> content_length; ///< nothing: chunked; 0: no body
    bool keep_alive = true;
};

struct response {
    unsigned status = 200;
    http::fields fields;
    bytes body;
    bool keep_alive = true;
    bool is_head = false; ///< answers a HEAD: no body follows, whatever Content-Length says
};

/// application/problem+json (RFC 9457): `title` is a sentence, `detail` says what to do.
response problem(unsigned status, std::string_view title, std::string_view detail = {});

/// A non-negative decimal number and nothing else.
std::optional<std::uint64_t> parse_number(std::string_view text) noexcept;

/// A request's target in origin form, %-decoded. '+' in a query stands for itself.
struct target {
    std::vector<std::string> segments; ///< "/v1/records/x" -> {"v1", "records", "x"}
    std::vector<std::pair<std::string, std::string>> query;
    std::optional<std::string_view> find(std::string_view name) const noexcept;
};
/// Nothing for what is malformed, for "." and "..", and for a segment that would hold '/' or NUL.
std::optional<target> parse_target(std::string_view text);

} // namespace titip::http

template <>
struct boost::system::is_error_code_enum<titip::http::errc> : std::true_type {
};
