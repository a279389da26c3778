#include "mirror/trouble.hpp"

#include "mirror/disk.hpp"

namespace titip::mirror {

std::string_view to_string(trouble value) noexcept
{
    switch (value) {
    case trouble::none:
        return "none";
    case trouble::not_mounted:
        return "not-mounted";
    case trouble::not_marked:
        return "not-marked";
    case trouble::other_station:
        return "other-station";
    case trouble::mark_ruined:
        return "mark-ruined";
    case trouble::full:
        return "full";
    case trouble::read_only:
        return "read-only";
    case trouble::forbidden:
        return "forbidden";
    case trouble::tampered:
        return "tampered";
    case trouble::hangs:
        return "hangs";
    case trouble::failed:
        break;
    }
    return "failed";
}

trouble trouble_of(const error_code& why) noexcept
{
    namespace sys = boost::system::errc;
    if (why == errc::not_mounted || why == errc::store_disk ||
        why == bundle::errc::folder_missing || why == sys::no_such_device ||
        why == sys::no_such_device_or_address || why == sys::not_connected)
        return trouble::not_mounted;
    if (why == errc::not_marked)
        return trouble::not_marked;
    if (why == errc::other_station)
        return trouble::other_station;
    if (why == errc::mark_ruined)
        return trouble::mark_ruined;
    if (why == file_errc::no_file)
        return trouble::tampered;
    if (why == sys::no_space_on_device || why == bundle::errc::no_more_files ||
        (why.value() == EDQUOT && why.category() == boost::system::system_category()))
        return trouble::full;
    if (why == sys::read_only_file_system)
        return trouble::read_only;
    if (why == sys::permission_denied || why == sys::operation_not_permitted)
        return trouble::forbidden;
    return trouble::failed;
}

} // namespace titip::mirror
