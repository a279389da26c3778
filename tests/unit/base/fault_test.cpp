#include "base/fault.hpp"

#include <boost/asio/error.hpp>
#include <catch2/catch.hpp>

using namespace titip;
namespace error = boost::asio::error;

TEST_CASE("what the system says of a connection is the link's trouble and nobody else's", "[base]")
{
    const error_code codes[]{error::connection_refused, error::connection_reset,
                             error::connection_aborted, error::broken_pipe,
                             error::timed_out,          error::network_unreachable,
                             error::host_unreachable,   error::network_down,
                             error::not_connected,      error::eof,
                             error::host_not_found,     error::host_not_found_try_again,
                             error::service_not_found};
    for (const auto& each : codes) {
        CAPTURE(each.message());
        CHECK(each == fault::link);
        for (const auto other : {fault::record, fault::auth, fault::admission, fault::store})
            CHECK(each != other);
    }
}

TEST_CASE("other codes of the system are no fault of the link", "[base]")
{
    const error_code codes[]{{},
                             error::operation_aborted,
                             make_error_code(boost::system::errc::no_space_on_device),
                             make_error_code(boost::system::errc::io_error),
                             make_error_code(boost::system::errc::permission_denied)};
    for (const auto& each : codes)
        for (const auto kind :
             {fault::link, fault::record, fault::auth, fault::admission, fault::store}) {
            CAPTURE(each.message());
            CHECK(each != kind);
        }
}
