#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace titip::replay {

/// What a metered link may be used for: so many bytes a day, and so fast at which hours. Bytes are
/// those of TCP that carry records, each time that they are sent; receipts, checks and the headers of
/// packets come on top, about a tenth. Knows no clock.
class budget {
public:
    /// Of each day, in minutes since midnight of local time; over midnight if it ends before it begins.
    struct hours {
        unsigned from_minute = 0;
        unsigned to_minute = 0;
        std::uint64_t most_bytes_per_s = 0; ///< 0: nothing is sent
    };
    struct options {
        std::optional<std::uint64_t> day_bytes;
        std::optional<std::uint64_t> most_bytes_per_s; ///< outside of all hours
        std::vector<hours> by_hour;                    ///< the first one that fits holds
        bool binds_urgent = true;
    };
    struct allowance {
        bool may_begin = true;              ///< another record
        std::uint64_t most_bytes_per_s = 0; ///< of all that is sent; 0: no limit
        bool is_used_up = false;            ///< today's bytes
    };

    explicit budget(options opts) : opts_(std::move(opts)) {}

    allowance at(unsigned minute_of_day, std::uint64_t sent_today_bytes) const;
    const options& limits() const noexcept { return opts_; }

private:
    options opts_;
};

struct local_time {
    std::int64_t day = 0; ///< since 1970
    unsigned minute_of_day = 0;
};
local_time to_local(wall_time at);

/// What has been sent, and so what the budget allows now. A restart must not begin the day anew, so
/// the day's bytes are to be written down now and then.
class meter {
public:
    struct day {
        std::int64_t number = 0; ///< local_time::day
        std::uint64_t sent_bytes = 0;
    };
    /// `before`: as it was written down.
    meter(budget::options limits, day before) : budget_(std::move(limits)), today_(before) {}

    /// `earliest`: a clock before it was never set. Neither that one nor one that goes back begins a new
    /// day's budget.
    void count(std::uint64_t bytes, wall_time now, wall_time earliest);
    /// Bytes of a day that are not written down yet; nothing: none, or no one asks for them.
    std::optional<day> take_unwritten();

    const budget::allowance& allowed() const noexcept { return allowed_; } ///< at the last count()
    const budget::options& limits() const noexcept { return budget_.limits(); }
    std::uint64_t sent_bytes() const noexcept { return sent_bytes_; } ///< since the start
    std::uint64_t sent_today_bytes() const noexcept { return today_.sent_bytes; }

private:
    budget budget_;
    budget::allowance allowed_;
    day today_;
    std::uint64_t sent_bytes_ = 0;
    std::uint64_t unwritten_bytes_ = 0; ///< of today
};

} // namespace titip::replay
