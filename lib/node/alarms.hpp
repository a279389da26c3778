#pragma once

#include "journal/store.hpp"

#include <string>
#include <vector>

namespace titip::node {

/// Says in the log, once each, what `titip status` shows as an alarm for as long as it lasts: who
/// reads only the log must hear of it too. Threads: the socket thread.
class alarms {
public:
    /// That there is no room any more, or again, or little; each finding that has not been said by this
    /// process.
    void look(const journal::totals& now);

    /// That a verdict needs a person. `store` outlives what this starts on `on`.
    void on_change(const journal::change& what, journal::store& store, asio::any_io_executor on);

private:
    void look_at_room(const journal::totals& now);

    bool had_room_ = true;
    unsigned said_percent_ = 0;        ///< the step that was said: 80, 90
    std::vector<vault::finding> said_; ///< as many as the journal keeps
};

} // namespace titip::node
