#pragma once

#include "trust/authorities.hpp"
#include "vault/vault.hpp"

#include <memory>
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
    };
    refusal::kind what{};
    std::string sentence;
};

/// The door for records that a node below hands on: who may offer what.
/// Threads: the socket thread.
class gate {
public:
    explicit gate(std::shared_ptr<const trust::authorities> authorities)
        : authorities_(std::move(authorities))
    {
    }

    /// A station offers only its own records; a relay's right to offer others' comes from its
    /// authority.
    static bool may_offer(const trust::peer& from, std::string_view station) noexcept
    {
        return from.role == trust::role::relay ||
               (from.role == trust::role::station && from.name == station);
    }

    /// `station` is the one in the URL. Dates do not count (trust::authorities).
    result<vault::offer, refusal> examine(const bytes& manifest_cms, const trust::peer& from,
                                          std::string_view station) const;

    /// SIGHUP: for offers from now on.
    void replace(std::shared_ptr<const trust::authorities> authorities)
    {
        authorities_ = std::move(authorities);
    }

private:
    std::shared_ptr<const trust::authorities> authorities_;
};

} // namespace titip::accept
