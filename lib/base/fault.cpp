#include "base/fault.hpp"

#include <boost/asio/error.hpp>

namespace titip {

namespace {

class fault_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "titip.fault"; }

    std::string message(int value) const override
    {
        switch (static_cast<fault>(value)) {
        case fault::link:
            return "the link to the peer failed";
        case fault::record:
            return "the record was refused";
        case fault::auth:
            return "the peer does not accept who we are";
        case fault::admission:
            return "the peer asked for a pause";
        case fault::store:
            return "the store failed";
        }
        return "unknown fault";
    }

    /// Codes of the system and of Asio that speak of a connection; our rooms' categories answer
    /// for their own codes.
    bool equivalent(const error_code& code, int condition) const noexcept override
    {
        if (static_cast<fault>(condition) != fault::link)
            return false;
        if (code.category() == boost::asio::error::get_netdb_category() ||
            code.category() == boost::asio::error::get_addrinfo_category())
            return true;
        namespace errc = boost::system::errc;
        for (const auto known :
             {errc::connection_refused, errc::connection_reset, errc::connection_aborted,
              errc::broken_pipe, errc::timed_out, errc::network_unreachable, errc::host_unreachable,
              errc::network_down, errc::not_connected, errc::address_not_available})
            if (code == known)
                return true;
        return code == boost::asio::error::eof;
    }
};

} // namespace

boost::system::error_condition make_error_condition(fault value) noexcept
{
    static const fault_category category;
    return {static_cast<int>(value), category};
}

} // namespace titip
