#pragma once

#include "journal/types.hpp"

#include <cstdint>

namespace titip::replay {

/// What a custodian's refusal of one record may mean (the table in docs/protocol.md).
enum class refusal {
    defect,    ///< 400, 415, 422: it finds the record itself wrong
    mismatch,  ///< 460: what arrived there has another digest than the manifest says
    too_large, ///< 413
    conflict,  ///< 409 without an offset: other bytes under this id
    not_ours,  ///< 403 on the upload
    revoked,   ///< 422, typed: it came to know the record after its signer was shut out
    stalled,   ///< it takes no further byte of it, answering so or breaking off each time
};

struct ruling {
    bool again = false;
    journal::reason reason = journal::reason::none; ///< of the quarantine, unless again
};

/// A defect or mismatch may have come about on the way: with a good copy here it is tried once
/// more. So is a stall, which may pass by itself. `failures` counts this one. `is_intact`: the copy
/// here still has its digest.
ruling rule_on(refusal what, std::uint32_t failures, bool is_intact) noexcept;

/// Whether the ruling depends on the copy here, which costs a read of it.
constexpr bool needs_copy_check(refusal what) noexcept
{
    return what == refusal::defect || what == refusal::mismatch;
}

} // namespace titip::replay
