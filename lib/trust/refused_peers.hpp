#pragma once

#include "base/time.hpp"

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace titip::trust {

/// Why a handshake from below came to nothing.
enum class refused_for {
    expired,       ///< of ours, but its certificate, or an authority above it, has run out
    not_yet_valid, ///< the same, before its time: a clock is wrong
    foreign,       ///< of none of our authorities
    not_accepted,  ///< it is the peer that does not accept *our* certificate
    revoked,       ///< shut out: [identity] revoked says so, or said so once
};
inline constexpr std::size_t refused_for_count = 5;
std::string_view to_string(refused_for) noexcept;

/// How many were refused for a certificate in the last day. A station that stays away says nothing
/// itself, and one line for each handshake would say it every minute. Pure; bounded, since anybody
/// may knock. Threads: one.
class refused_peers {
public:
    static constexpr milliseconds kept = 24h;
    /// Of each kind: more are not told apart. One kind cannot push out another.
    static constexpr std::size_t most = 1'024;
    static constexpr std::size_t most_names = 5;

    /// `who` tells them apart: a node's name, a fingerprint, an address. `name`: what the certificate
    /// says, a node's name or nothing. True if it is the first time in a day: worth a line in the log.
    bool note(refused_for why, std::string who, std::string name, instant now);
    /// That node has come in.
    void forget(std::string_view name);

    struct count {
        std::size_t peers = 0;
        bool is_at_least = false;       ///< there were more than can be told apart
        std::vector<std::string> names; ///< some of them
    };
    count of(refused_for why, instant now) const;

private:
    struct entry {
        std::string name;
        instant last;
    };
    struct kind {
        std::map<std::string, entry, std::less<>> peers;
        instant overflowed = instant::min();
    };
    std::array<kind, refused_for_count> kinds_;
};

} // namespace titip::trust
