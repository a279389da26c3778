#pragma once

#include "base/digest.hpp"
#include "base/time.hpp"

#include <string>
#include <vector>

struct x509_st;
struct x509_store_st;

/// What hangs on which certificate, and until when: for warnings. Whether a certificate is believed is
/// trust::authorities' to say.
namespace titip::trust {

/// One certificate of a chain.
struct chain_link {
    std::string subject; ///< "CN=Titip Root", RFC 4514; printable, and cut to what a line can hold
    wall_time from;
    wall_time until;
    digest fingerprint{}; ///< SHA-256
    friend bool operator==(const chain_link&, const chain_link&) = default;
};
chain_link link_of(x509_st* certificate);

/// From `certificate`, which is the first, up to one of `authorities`; dates aside. Of several ways
/// the one that holds for longest from `at` on: an authority that was renewed with its old key is
/// there twice. Nothing: it leads to none of them.
std::vector<chain_link> chain_of(x509_st* certificate, x509_store_st* authorities, wall_time at);

/// Which of them ends first. `chain` is not empty.
const chain_link& first_to_end(const std::vector<chain_link>& chain);

/// A certificate that this node stands on, and for what.
struct watched {
    chain_link certificate;
    bool is_authority = false;
    bool serves_node = false;      ///< this node's own, or above it
    bool serves_upstream = false;  ///< the upstream's, as it was seen in the newest handshake
    bool serves_recipient = false; ///< one that records are sealed to
};

/// Each certificate once, in the order of these.
struct chains {
    std::vector<chain_link> node;
    std::vector<chain_link> upstream;
    std::vector<std::vector<chain_link>> recipients;
};
std::vector<watched> all_of(const chains& which);

/// Whether so little is left that something has to be done: less than 30 days, counted up.
bool ends_soon(const chain_link& which, wall_time now) noexcept;
/// The last second counts as a whole, as in OpenSSL.
bool has_ended(const chain_link& which, wall_time now) noexcept;

} // namespace titip::trust
