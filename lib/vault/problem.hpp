#pragma once

#include <optional>
#include <string_view>

/// What both ends of the wire between nodes agree on (docs/protocol.md, "Versions").
namespace titip::vault {

/// GET /v1/node answers it as `protocol`, and a client says it as `Titip-Protocol`. Whoever says
/// nothing speaks version 1. What a version adds goes only to a peer that can do without it, or that
/// said as much.
///
///     2   `type` in a refusal; a manifest's dates do not count
inline constexpr unsigned protocol_version = 2;

/// Whose fault a refusal is: the `type` of a problem+json (RFC 9457), where it has one. The words are
/// the wire's: never change or reuse one.
enum class problem {
    not_believed, ///< 422, the node's: whoever signed the manifest is not believed
    role,         ///< 403, the node's: this peer may not offer this station's records
    limit,        ///< 413: larger than is taken there
    full,         ///< 507, nobody's: there is no room now
    conflict,     ///< 409, the record's: this id is there with other bytes
    mismatch,     ///< 460, the record's: what arrived does not have the manifest's digest
    revoked,      ///< 422, the record's: its manifest came after its signer was shut out there
};
/// "titip:not-believed" and so on.
std::string_view to_string(problem) noexcept;
/// Nothing for a word that is not known here: such an answer is judged as one without a type.
std::optional<problem> to_problem(std::string_view word) noexcept;

} // namespace titip::vault
