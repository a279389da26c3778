#pragma once

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "envelope/pem.hpp"
#include "envelope/statement.hpp"
#include "trust/identity.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct x509_store_st;

namespace titip::trust {

struct verified {
    envelope::statement statement;
    peer signer;
    digest hash{};              ///< of the Statement bytes: envelope::hash_of()
    envelope::validity dates{}; ///< of the signer's own certificate
    /// From the signer's certificate up to an authority.
    std::vector<std::shared_ptr<x509_st>> chain{};
};

/// Whose certificates we believe. Shared, immutable. Threads: from any thread.
///
/// A statement is believed if its CMS signature holds, the signer's certificate leads to one of
/// these authorities, with dates that hold at the time to judge by, and the signer may say such a
/// thing:
///
///     manifest, withdrawal   the station that it names (a relay only passes them on)
///     receipt, custody       a relay or the centre
///     verdict                the centre
///
/// The time to judge by is the statement's own: its signing time for receipts, custody and
/// verdicts, which therefore verify for ever; for a withdrawal, whose time is that of an office's
/// clock, `judged_at`. For a manifest no date counts, neither its own nor one of the chain.
///
/// Rationale: a manifest has no signing time; when its record was taken is what the clock of a
/// capture set said. An office goes on recording while its certificate is expired, and what it took
/// then has to be believed whenever it comes: after the renewal, on a stick, from a second copy
/// years later. That the bearer is this office now, TLS proves.
class authorities {
public:
    /// From PEM certificates of authorities, one or more. Each is believed by itself, so an intermediate
    /// may stand without its root. Nothing else may be among them, but text between the blocks:
    /// errc::bad_authorities. With `not_understood` what there is beside them is told there, each in a
    /// sentence with its line, and the rest counts; an error only if nothing is left.
    static result<authorities> load(bytes_view pem,
                                    std::vector<std::string>* not_understood = nullptr);

    /// Takes exactly the form that identity::sign() makes and no other encoding of it, so that a
    /// changed byte anywhere is refused. Errors, the first that holds: errc::bad_signature,
    /// envelope::errc::bad_statement, then those of check(), errc::wrong_role.
    result<verified> verify(bytes_view cms, wall_time judged_at) const;

    /// Whether `certificate` leads to one of these authorities at `judged_at`: for TLS, where
    /// dates alone are told apart from foreignness. Errors, the first that holds: errc::foreign,
    /// errc::expired or errc::not_yet_valid, errc::bad_certificate (ours, but names no node).
    result<peer> check(x509_st* certificate, wall_time judged_at) const;

    x509_store_st* store() const noexcept { return store_.get(); }

private:
    class known_certificates;

    authorities() = default;
    struct judgement {
        peer who;
        std::vector<std::shared_ptr<x509_st>> chain;
    };
    /// Nothing to judge by: dates do not count.
    result<judgement> judge_certificate(x509_st* certificate, const digest& fingerprint,
                                        std::optional<wall_time> judged_at) const;

    std::shared_ptr<x509_store_st> store_;
    std::shared_ptr<known_certificates> known_;
};

} // namespace titip::trust
