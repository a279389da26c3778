#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "envelope/statement.hpp"
#include "trust/identity.hpp"

#include <memory>
#include <optional>
#include <string_view>

struct x509_store_st;

namespace titip::trust {

struct verified {
    envelope::statement statement;
    peer signer;
    digest hash{}; ///< of the Statement bytes: envelope::hash_of()
};

/// Whose certificates we believe. Shared, immutable. Threads: from any thread.
///
/// A statement is believed if its CMS signature holds, the signer's certificate leads to one of
/// these authorities at the time to judge by, and the signer may say such a thing:
///
///     manifest, withdrawal   the station that it names (a relay only passes them on)
///     receipt, custody       a relay or the centre
///     verdict                the centre
///
/// The time to judge by is the statement's own: its signing time for receipts, custody and
/// verdicts, which therefore verify for ever; for a manifest, which carries no signing time, and a
/// withdrawal, whose time is that of an office's clock, `judged_at`.
class authorities {
public:
    /// From PEM certificates of authorities, one or more; nothing else may be among them. Each is
    /// believed by itself, so an intermediate may stand without its root.
    static result<authorities> load(bytes_view pem);

    /// Takes exactly the form that identity::sign() makes and no other encoding of it, so that a
    /// changed byte anywhere is refused. Errors, the first that holds: errc::bad_signature,
    /// envelope::errc::bad_statement, then those of check(), errc::wrong_role.
    result<verified> verify(bytes_view cms, wall_time judged_at) const;

    /// The same, but a manifest is judged as of the time when its record was taken. For one that is
    /// only expired, from a bearer who has just proved otherwise to be this station, or a relay:
    /// after an outage of weeks, records come that were numbered under a certificate renewed since.
    result<verified> verify_as_taken(bytes_view cms) const;

    /// Whether `certificate` leads to one of these authorities at `judged_at`: for TLS, where
    /// dates alone are told apart from foreignness. Errors, the first that holds: errc::foreign,
    /// errc::expired or errc::not_yet_valid, errc::bad_certificate (ours, but names no node).
    result<peer> check(x509_st* certificate, wall_time judged_at) const;

    x509_store_st* store() const noexcept { return store_.get(); }

private:
    class known_certificates;

    authorities() = default;
    result<peer> judge_certificate(x509_st* certificate, const digest& fingerprint,
                                   wall_time judged_at) const;
    result<verified> verify_at(bytes_view cms, std::optional<wall_time> judged_at) const;

    std::shared_ptr<x509_store_st> store_;
    std::shared_ptr<known_certificates> known_;
};

} // namespace titip::trust
