#pragma once

#include "base/time.hpp"
#include "http/message.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace titip::uplink {

/// What an answer of the next custodian means for the sender (the table in docs/protocol.md).
struct outcome {
    enum class kind {
        receipt,          ///< with a receipt, still to be verified; only that ends our custody
        unknown,          ///< 2xx without a receipt: keep custody, reconcile
        position_unknown, ///< 409 with an offset, 423: go on from the custodian's offset
        gone,             ///< 404, 410 on the upload: create it again
        too_large,        ///< 413
        defect,           ///< 400, 415, 422
        mismatch,         ///< 460
        conflict,         ///< 409 without an offset: other bytes under this id
        not_ours,         ///< 403 on the upload
        not_believed,     ///< typed so: our fault or its own, and no record's
        role,             ///< the same
        revoked,          ///< typed so: its signer was shut out there before it came
        auth,             ///< 401, or 403 elsewhere: stop all sending
        admission,        ///< 429, 503, 507: pause the whole link
        portal,           ///< not the centre: HTML, or a redirection to elsewhere
        link,             ///< other 5xx, and what makes no sense
    };
    outcome::kind what{};
    bytes receipt_cms;
    std::optional<std::uint64_t> offset;
    milliseconds retry_after{}; ///< as asked, capped at 1 h
    std::string note;           ///< what a problem+json says: title, for people, in most_note_bytes
    bool is_last = false;       ///< the connection ends with this answer
};

inline constexpr std::size_t most_note_bytes = 200;

/// Pure. `on_upload`: it answers a request for one record's upload. There the `type` of a problem+json
/// (vault::problem) says more than the status; one that is not known counts as none.
outcome classify(const http::response& answer, bool on_upload);

} // namespace titip::uplink
