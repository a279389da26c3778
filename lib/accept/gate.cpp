#include "accept/gate.hpp"

#include "envelope/seal.hpp"

#include <fmt/format.h>

namespace titip::accept {

result<vault::offer, refusal> gate::examine(const bytes& manifest_cms, const trust::peer& from,
                                            std::string_view station) const
{
    using kind = refusal::kind;
    if (!may_offer(from, station))
        return refusal{kind::not_theirs,
                       fmt::format("{} may not offer records of station {}", from.name, station)};
    auto verified = authorities_->verify(manifest_cms, judge_->judged(wall_now()));
    if (!verified && verified.error() == trust::errc::expired)
        verified = authorities_->verify_as_taken(manifest_cms);
    if (!verified) {
        const bool malformed =
            verified.error().category() == error_code{envelope::errc::bad_statement}.category();
        return refusal{malformed ? kind::not_a_manifest : kind::not_believed,
                       fmt::format("the manifest is not believed: {}", verified.error().message())};
    }
    auto* manifest = std::get_if<envelope::manifest>(&verified->statement);
    if (!manifest)
        return refusal{kind::not_a_manifest, "the statement is not a manifest"};
    if (manifest->station != station)
        return refusal{kind::not_theirs,
                       fmt::format("the manifest names station {}, the address names {}",
                                   manifest->station, station)};
    if (manifest->size_bytes > envelope::limit_bytes || manifest->size_bytes == 0)
        return refusal{kind::too_large, fmt::format("an envelope has 1 to {} bytes, this one {}",
                                                    envelope::limit_bytes, manifest->size_bytes)};
    return vault::offer{
        .cms = manifest_cms, .manifest = std::move(*manifest), .hash = verified->hash};
}

} // namespace titip::accept
