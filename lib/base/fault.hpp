#pragma once

#include "base/result.hpp"

namespace titip {

/// What kind of trouble an error is: who has to back off. Every room's codes, and the system's,
/// compare with these: `ec == fault::link`.
enum class fault {
    link = 1,  ///< the way to the peer: back off the link, never the record
    record,    ///< this one record: counts against it, the others go on
    auth,      ///< who we are is not accepted: stop sending, go on accepting, alarm
    admission, ///< the peer asked for a pause
    store,     ///< a write or sync failed here: final for this process
};

boost::system::error_condition make_error_condition(fault) noexcept;

} // namespace titip

template <>
struct boost::system::is_error_condition_enum<titip::fault> : std::true_type {
};
