#include "base/fault.hpp"
#include "http/message.hpp"

namespace titip::http {

namespace {

class http_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.http"; }

    std::string message(int value) const override
    {
        switch (static_cast<errc>(value)) {
        case errc::header_too_large:
            return "the header of the message is too large";
        case errc::bad_message:
            return "the peer does not speak HTTP/1.1";
        case errc::body_abandoned:
            return "the rest of the body was not wanted";
        case errc::body_too_large:
            return "the body of the message is too large";
        case errc::peer_not_believed:
            return "the peer's certificate is not accepted any more";
        }
        return "unknown error of HTTP";
    }

    boost::system::error_condition default_error_condition(int) const noexcept override
    {
        return fault::link;
    }
};

} // namespace

boost::system::error_code make_error_code(errc value) noexcept
{
    static const http_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip::http
