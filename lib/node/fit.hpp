#pragma once

#include "node/config.hpp"
#include "node/node.hpp"
#include "trust/chain.hpp"
#include "trust/clock.hpp"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace titip::node {

/// Whether the files that a configuration names fit together: what a start does not need, and the
/// work does. A start goes on all the same; an alarm stands, and --check fails.
struct misfit {
    bool is_wrong = false;    ///< it does not work, or others will not believe it; else: a warning
    bool is_of_dates = false; ///< the status says it by itself, with the time as it goes on
    std::string sentence;     ///< key, file, what is wrong and what to do
};

/// `m` has been loaded from `from`. Reads the certificate's file again, and nothing else.
std::vector<misfit> find_misfits(const config& from, const materials& m,
                                 const trust::reckoning& now);

/// Without [relays]: what these may do. `relays`: empty, as none has come yet.
std::string no_rights(const std::set<std::string>& relays);
bool is_of_rights(std::string_view sentence) noexcept;

/// What the node stands on by its files alone.
trust::chains chains_of(const materials& m, wall_time at);

/// Whether HOST can be an address or a name at all.
bool is_plausible_host(std::string_view host);

} // namespace titip::node
