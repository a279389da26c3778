#include "link/verdict.hpp"

namespace titip::link {

std::string_view to_string(verdict value) noexcept
{
    switch (value) {
    case verdict::unknown:
        return "unknown";
    case verdict::no_route:
        return "no-route";
    case verdict::dns:
        return "dns";
    case verdict::tcp:
        return "tcp";
    case verdict::tls:
        return "tls";
    case verdict::clock:
        return "clock";
    case verdict::expired:
        return "expired";
    case verdict::portal:
        return "portal";
    case verdict::auth:
        return "auth";
    case verdict::application:
        return "application";
    case verdict::maintenance:
        return "maintenance";
    case verdict::nothing_through:
        return "nothing-through";
    case verdict::loop:
        return "loop";
    case verdict::ok:
        return "ok";
    }
    return "unknown";
}

std::optional<verdict> parse_verdict(std::string_view text) noexcept
{
    for (auto number = static_cast<int>(verdict::unknown); number <= static_cast<int>(verdict::ok);
         ++number)
        if (to_string(static_cast<verdict>(number)) == text)
            return static_cast<verdict>(number);
    return std::nullopt;
}

bool is_below_tls(verdict value) noexcept
{
    switch (value) {
    case verdict::no_route:
    case verdict::dns:
    case verdict::tcp:
        return true;
    case verdict::unknown:
    case verdict::tls:
    case verdict::clock:
    case verdict::expired:
    case verdict::portal:
    case verdict::auth:
    case verdict::application:
    case verdict::maintenance:
    case verdict::nothing_through:
    case verdict::loop:
    case verdict::ok:
        return false;
    }
    return false;
}

} // namespace titip::link
