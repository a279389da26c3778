#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

namespace titip {

using error_code = boost::system::error_code;

/// What a call gives that can fail for reasons outside the program: bad input, peers, disks. GCC 12
/// has no std::expected in C++20; this one carries Asio's codes and ours alike.
template <class T, class E = error_code>
using result = boost::system::result<T, E>;

} // namespace titip
