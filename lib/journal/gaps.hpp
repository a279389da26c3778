#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace titip::journal {

/// Sequences from `first` to `last`, both among them. Whatever numbers a peer says: none overflows.
struct stretch {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    friend bool operator==(const stretch&, const stretch&) = default;
};

/// Ascending, without overlaps, neighbours joined; one that ends before it begins is left out.
std::vector<stretch> merged(std::vector<stretch> all);

/// Gives `visit` what of `hole` is in none of `kept` (merged), ascending, while it says true. Costs a
/// look for the first one, and then as many steps as there are `kept` in the hole.
void visit_rest(stretch hole, const std::vector<stretch>& kept,
                const std::function<bool(stretch)>& visit);

} // namespace titip::journal
