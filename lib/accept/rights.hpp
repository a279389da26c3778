#pragma once

#include "trust/identity.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titip::accept {

/// Whose records a peer may offer, ask about and give up: a station its own; a relay those of the stations
/// that [relays] names for it, or, where there is no such table, of all. Pure.
class rights {
public:
    /// A relay's name, and patterns of stations' names: as is_pattern() has them.
    using table = std::map<std::string, std::vector<std::string>, std::less<>>;

    rights() = default;
    explicit rights(std::optional<table> relays) : relays_(std::move(relays)) {}

    bool may_offer(const trust::peer& from, std::string_view station) const;
    /// False of a relay that the table does not name: it has nothing to do here at all.
    bool is_known(const trust::peer& from) const;
    bool has_table() const noexcept { return relays_.has_value(); }

    /// What is_node_name() allows, and '*' for any number of characters, also none.
    static bool is_pattern(std::string_view text) noexcept;

private:
    std::optional<table> relays_;
};

} // namespace titip::accept
