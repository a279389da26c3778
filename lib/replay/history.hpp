#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace titip::replay {

/// How sending went in the last hours: what was delivered and what waited, in slots of five minutes,
/// for twelve hours; and the goodput of the last minute. In memory only: a start begins a new one.
/// Knows no clock. Threads: one.
class history {
public:
    static constexpr auto slot = 5min;
    static constexpr std::size_t slots = 144;

    struct view {
        std::uint64_t minute_bytes_per_s = 0;
        std::uint64_t hour_bytes_per_s = 0;         ///< of the time in which something waited
        std::vector<std::uint64_t> delivered_bytes; ///< a slot each, the last one not over yet
        std::vector<std::uint64_t> waiting_bytes;   ///< at its end
    };

    void on_delivery(instant now, std::uint64_t bytes);
    /// Every few seconds.
    void on_backlog(instant now, std::uint64_t waiting_bytes);
    view at(instant now) const;

private:
    struct entry {
        std::uint64_t delivered_bytes = 0;
        std::uint64_t waiting_bytes = 0;
        instant::duration busy{}; ///< something waited
    };
    void advance(instant now);

    std::deque<std::pair<instant, std::uint64_t>> recent_; ///< deliveries of the last minute
    std::deque<entry> past_;
    instant slot_began_{};
    instant looked_at_{};
};

} // namespace titip::replay
