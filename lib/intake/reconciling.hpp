#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "vault/vault.hpp"

#include <string_view>

/// POST /v1/reconcile as bytes (proto/titip/v1/reconcile.proto). Pure. Private to this room.
namespace titip::intake {

/// 1,000 kept ranges of 36 bytes, 64 heads of 60 and 64 ids of 18 take 42 kB.
constexpr std::size_t most_reconcile_bytes = 128u << 10;

struct not_a_question {
    std::string_view sentence; ///< for a 400; static storage
};
/// Of ids that are asked for the first most_unsettled count, and those that are none do not; more heads or
/// kept ranges than a node of ours tells are refused.
result<vault::question, not_a_question> read_question(bytes_view body);

bytes encode(const vault::answer& answer);

} // namespace titip::intake
