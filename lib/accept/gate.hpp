#pragma once

#include "accept/rights.hpp"
#include "trust/authorities.hpp"
#include "trust/revocations.hpp"
#include "vault/vault.hpp"

#include <memory>
#include <optional>
#include <string>

namespace titip::accept {

/// Why an offer from below was refused before a byte of it was taken.
struct refusal {
    enum class kind {
        not_a_manifest, ///< 400
        not_theirs,     ///< 403: this peer may not offer this station's records
        other_station,  ///< 403: the manifest names another station than the address
        too_large,      ///< 413
        not_believed,   ///< 422: its signer, whatever the record
        not_signed,     ///< 422: the signature does not hold
        revoked,        ///< 422: its signer is shut out, and it is not here yet
    };
    refusal::kind what{};
    std::string sentence;
};

/// The door for records that a node below hands on: who may offer what.
/// Threads: the socket thread.
class gate {
public:
    /// `revoked`: null, nobody is shut out.
    explicit gate(std::shared_ptr<const trust::authorities> authorities,
                  std::shared_ptr<const trust::revocations> revoked = nullptr, rights relays = {})
        : authorities_(std::move(authorities)), revoked_(std::move(revoked)),
          rights_(std::move(relays))
    {
    }

    bool may_offer(const trust::peer& from, std::string_view station) const
    {
        return rights_.may_offer(from, station);
    }
    /// Of a relay: whether it has anything to do here.
    bool is_known(const trust::peer& from) const { return rights_.is_known(from); }

    /// `station` is the one in the URL. Dates do not count (trust::authorities). What a revoked certificate
    /// signed is no refusal yet, but vault::offer::is_signer_revoked: it counts if it is here already.
    result<vault::offer, refusal> examine(const bytes& manifest_cms, const trust::peer& from,
                                          std::string_view station) const;

    /// Of an offer that is not here yet.
    static std::optional<refusal> refuse_new(const vault::offer& what);

    /// SIGHUP: for offers from now on.
    void replace(std::shared_ptr<const trust::authorities> authorities)
    {
        authorities_ = std::move(authorities);
    }

private:
    std::shared_ptr<const trust::authorities> authorities_;
    std::shared_ptr<const trust::revocations> revoked_;
    rights rights_;
};

} // namespace titip::accept
