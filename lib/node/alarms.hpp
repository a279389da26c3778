#pragma once

#include "journal/stalled.hpp"
#include "journal/store.hpp"
#include "trust/chain.hpp"
#include "trust/clock.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace titip::node {

/// Says in the log, once each, what `titip status` shows as an alarm for as long as it lasts: who
/// reads only the log must hear of it too. Threads: the socket thread.
class alarms {
public:
    /// That there is no room any more, or again, or little; that the disk takes its time, or again does
    /// not; each finding, and each upload that stalls, that has not been said by this process. `stalled`:
    /// may be null.
    void look(const journal::totals& now, const journal::store::disk_waits& disk,
              const journal::stalled_uploads* stalled);

    /// That a certificate ends soon, or has ended; that the clock must be wrong, or is right again.
    void look(const std::vector<trust::watched>& certificates, const trust::reckoning& now);

    /// Since when the oldest of what was handed on is only at a relay; zero: none is, or not known.
    void on_relayed(wall_time oldest, wall_time now);

    /// That a verdict needs a person. `store` outlives what this starts on `on`.
    void on_change(const journal::change& what, journal::store& store, asio::any_io_executor on);

private:
    void look_at_room(const journal::totals& now);
    void look_at_disk(const journal::store::disk_waits& disk);
    void look_at_uploads(const journal::stalled_uploads& stalled);

    bool had_room_ = true;
    unsigned said_percent_ = 0; ///< the step that was said: 80, 90
    bool is_disk_slow_ = false;
    std::set<journal::place> stalled_; ///< said, and still so
    bool was_overdue_ = false;
    std::vector<journal::kept_finding> said_; ///< as many as the journal tells
    /// Of the certificates as they are now: what was said of them.
    enum class end { far, soon, doubtful, over };
    std::map<digest, end> ends_;
    bool was_clock_wrong_ = false;
};

} // namespace titip::node
