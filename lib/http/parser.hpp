#pragma once

#include "http/message.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

namespace titip::http {

/// Beast's parser of HTTP/1.1 with our types at its end. The body goes to the span of give(); bytes
/// that were read into that very place are only counted.
template <bool IsRequest>
class message_parser final : public boost::beast::http::basic_parser<IsRequest> {
public:
    std::string method;
    std::string target;
    int version = 0; ///< 10 or 11
    unsigned status = 0;
    http::fields fields;

    explicit message_parser(std::size_t header_limit_bytes)
    {
        this->header_limit(static_cast<std::uint32_t>(header_limit_bytes));
        this->body_limit(boost::none); // callers bound bodies
    }

    void give(std::span<std::byte> into) noexcept
    {
        into_ = into;
        taken_ = 0;
    }
    std::size_t taken() const noexcept { return taken_; }

private:
    using text = boost::beast::string_view;
    using verb = boost::beast::http::verb;
    using field = boost::beast::http::field;

    std::size_t take(text body, error_code& ec)
    {
        const auto room = into_.subspan(taken_);
        const std::size_t n = std::min(body.size(), room.size());
        if (n != 0 && static_cast<const void*>(body.data()) != room.data())
            std::memcpy(room.data(), body.data(), n);
        taken_ += n;
        if (n < body.size())
            ec = boost::beast::http::error::need_buffer;
        return n;
    }

    void on_request_impl(verb, text method_as_sent, text target_as_sent, int version_as_sent,
                         error_code&) override
    {
        version = version_as_sent;
        method = std::string{method_as_sent};
        target = std::string{target_as_sent};
    }
    void on_response_impl(int code, text, int, error_code& ec) override
    {
        status = static_cast<unsigned>(code);
        // Three digits to Beast, but no class of answers to HTTP (RFC 9110, 15).
        if (code < 100)
            ec = boost::beast::http::error::bad_status;
    }
    void on_field_impl(field, text name, text value, error_code&) override
    {
        fields.add(std::string{name}, std::string{value});
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(text body, error_code& ec) override { return take(body, ec); }
    void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error_code& ec) override
    {
        return take(body, ec);
    }
    void on_finish_impl(error_code&) override {}

    std::span<std::byte> into_;
    std::size_t taken_ = 0;
};

} // namespace titip::http
