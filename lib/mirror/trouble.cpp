#include "mirror/trouble.hpp"

#include "bundle/error.hpp"

namespace titip::mirror {

std::string_view to_string(trouble value) noexcept
{
    switch (value) {
    case trouble::none:
        return "none";
    case trouble::not_mounted:
        return "not-mounted";
    case trouble::full:
        return "full";
    case trouble::read_only:
        return "read-only";
    case trouble::failed:
        break;
    }
    return "failed";
}

trouble trouble_of(const error_code& why) noexcept
{
    namespace sys = boost::system::errc;
    if (why == bundle::errc::folder_missing || why == sys::no_such_file_or_directory ||
        why == sys::not_a_directory || why == sys::no_such_device ||
        why == sys::no_such_device_or_address || why == sys::not_connected)
        return trouble::not_mounted;
    if (why == sys::no_space_on_device || why.value() == EDQUOT)
        return trouble::full;
    if (why == sys::read_only_file_system)
        return trouble::read_only;
    return trouble::failed;
}

} // namespace titip::mirror
