#pragma once

#include <string_view>

namespace titip {

/// Whether `text` may name a node: 1 to 63 of a-z, 0-9 and '-', as a DNS label (RFC 1123). It
/// stands in certificates, URLs and database keys.
bool is_node_name(std::string_view text) noexcept;

} // namespace titip
