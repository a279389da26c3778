#pragma once

#include "base/result.hpp"
#include "base/time.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <string>
#include <vector>

namespace titip::http {

/// Whether a name server that does not answer is asked again, as often as the system's resolver is
/// configured to (once, with a new pair of questions, by default). None: for who asks again anyway.
enum class repetitions { none, as_configured };

/// The addresses of a host, numeric or by name, in the system's order of preference. timed_out: no
/// answer `until` then. The thread that asks is left behind when nobody waits any more; there are
/// at most 8 of them (host_not_found_try_again).
boost::asio::awaitable<result<std::vector<boost::asio::ip::tcp::endpoint>>>
look_up(std::string host, std::string port, instant until,
        repetitions how = repetitions::as_configured);

} // namespace titip::http
