#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <deque>
#include <vector>

namespace titip::replay {

/// How sending went in the last hours: what was sent, delivered and what waited, in slots of five
/// minutes, for twelve hours; and the goodput of the last minute. In memory only: a start begins a new
/// one. Knows no clock. Threads: one.
///
/// Goodput is what was sent, when it was sent, less what turned out to be sent for nothing. Rationale:
/// the receipt for a body says nothing of when it went: over a slow link some minutes' work was one
/// moment's, and what an earlier process had sent was ours.
class history {
public:
    static constexpr auto slot = 5min;
    static constexpr std::size_t slots = 144;

    struct view {
        std::uint64_t minute_bytes_per_s = 0;
        std::uint64_t hour_bytes_per_s = 0;         ///< of the time in which something waited
        std::vector<std::uint64_t> sent_bytes;      ///< as the next two
        std::vector<std::uint64_t> delivered_bytes; ///< a slot each, the last one not over yet
        std::vector<std::uint64_t> waiting_bytes;   ///< at its end
    };

    /// Of a body, as they go.
    void on_sent(instant now, std::uint64_t bytes);
    /// Of these, for nothing: they go again. Those that went last are meant.
    void on_wasted(instant now, std::uint64_t bytes);
    void on_delivery(instant now, std::uint64_t bytes);
    /// Every few seconds.
    void on_backlog(instant now, std::uint64_t waiting_bytes);
    view at(instant now) const;

private:
    struct entry {
        std::uint64_t sent_bytes = 0;
        std::uint64_t delivered_bytes = 0;
        std::uint64_t waiting_bytes = 0;
        instant::duration busy{}; ///< something waited
    };
    void advance(instant now);

    std::deque<std::pair<instant, std::uint64_t>> recent_; ///< sent in the last minute, by second
    std::deque<entry> past_;
    instant slot_began_{};
    instant looked_at_{};
};

} // namespace titip::replay
