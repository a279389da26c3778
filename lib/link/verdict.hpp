#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace titip::link {

/// What is known about the way to the upstream: ok, or the layer at which the last attempt failed,
/// from the bottom up. The names are part of the control API.
enum class verdict : std::uint8_t {
    unknown = 0, ///< not tried yet
    no_route,    ///< this machine has no network
    dns,         ///< the upstream's name does not resolve
    tcp,         ///< refused, reset or without an answer
    tls,         ///< a handshake failed for another reason than those below
    clock,       ///< by our clock the upstream's certificate is not valid; at the judged time it is
    expired,     ///< a certificate has run out at the judged time too
    portal,      ///< something answered that is not the upstream: a captive portal, a proxy
    auth,        ///< the upstream does not accept who we are
    application, ///< an error of its own: 5xx, or an answer that makes no sense
    maintenance, ///< it is there, and asked for a pause: 429, 503, 507, or "not accepting"
    nothing_through, ///< questions are answered, but no byte of a body is acknowledged
    loop,            ///< the way up leads back to this node
    ok,
};

/// "no-route", "dns", ...: the enumerator with dashes.
std::string_view to_string(verdict) noexcept;
std::optional<verdict> parse_verdict(std::string_view text) noexcept;

/// Whether a further attempt costs no more than a few packets, because it ends before TLS.
bool is_below_tls(verdict) noexcept;

} // namespace titip::link
