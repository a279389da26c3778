#pragma once

#include "journal/store.hpp"

#include <string>
#include <vector>

namespace titip::node {

/// Says in the log, once each, what `titip status` shows as an alarm for as long as it lasts: who
/// reads only the log must hear of it too. Threads: the socket thread.
class alarms {
public:
    /// That there is no room any more, or again; each finding that has not been said by this process.
    void look(const journal::totals& now);

    /// That the centre could not open a record. `store` outlives what this starts on `on`.
    void on_change(const journal::change& what, journal::store& store, asio::any_io_executor on);

private:
    bool had_room_ = true;
    std::vector<vault::finding> said_; ///< as many as the journal keeps
};

} // namespace titip::node
