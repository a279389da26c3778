#include "accept/gate.hpp"

#include "envelope/seal.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace titip::accept {

namespace {

using kind = refusal::kind;

kind kind_of(const error_code& failed)
{
    if (failed.category() == error_code{envelope::errc::bad_statement}.category())
        return kind::not_a_manifest;
    // Of this one manifest: damaged on its way here, or made by nobody. What else is wrong is the
    // same for all that its signer signs.
    return failed == trust::errc::bad_signature ? kind::not_signed : kind::not_believed;
}

} // namespace

result<vault::offer, refusal> gate::examine(const bytes& manifest_cms, const trust::peer& from,
                                            std::string_view station) const
{
    if (!may_offer(from, station))
        return refusal{kind::not_theirs,
                       fmt::format("{} may not offer records of station {}", from.name, station)};
    auto verified = authorities_->verify(manifest_cms, wall_now());
    if (!verified)
        return refusal{kind_of(verified.error()),
                       fmt::format("the manifest is not believed: {}", verified.error().message())};
    auto* manifest = std::get_if<envelope::manifest>(&verified->statement);
    if (!manifest)
        return refusal{kind::not_a_manifest, "the statement is not a manifest"};
    if (manifest->station != station)
        return refusal{kind::other_station,
                       fmt::format("the manifest names station {}, the address names {}",
                                   manifest->station, station)};
    if (manifest->size_bytes > envelope::limit_bytes || manifest->size_bytes == 0)
        return refusal{kind::too_large, fmt::format("an envelope has 1 to {} bytes, this one {}",
                                                    envelope::limit_bytes, manifest->size_bytes)};
    const auto is_revoked = [this](const auto& each) {
        return revoked_->find(each.get()).has_value();
    };
    return vault::offer{.cms = manifest_cms,
                        .manifest = std::move(*manifest),
                        .hash = verified->hash,
                        .brought_by = from.role == trust::role::relay ? from.name : std::string{},
                        .is_signer_revoked =
                            revoked_ && std::ranges::any_of(verified->chain, is_revoked)};
}

std::optional<refusal> gate::refuse_new(const vault::offer& what)
{
    if (!what.is_signer_revoked)
        return std::nullopt;
    return refusal{
        kind::revoked,
        fmt::format("the certificate of {} that signed the manifest is revoked here, and the "
                    "record had not come before",
                    what.manifest.station)};
}

} // namespace titip::accept
