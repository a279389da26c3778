#include "vault/vault.hpp"

namespace titip::vault {

std::string_view to_string(finding::kind k) noexcept
{
    switch (k) {
    case finding::kind::gap:
        return "gap";
    case finding::kind::fork:
        return "fork";
    case finding::kind::broken_chain:
        return "broken-chain";
    case finding::kind::later_head:
        return "later-head";
    case finding::kind::not_held:
        return "not-held";
    case finding::kind::unknown_epoch:
        return "unknown-epoch";
    }
    return "unknown";
}

} // namespace titip::vault
