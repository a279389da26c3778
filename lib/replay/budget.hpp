#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>
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
    bool binds_urgent() const noexcept { return opts_.binds_urgent; }
    const options& limits() const noexcept { return opts_; }

private:
    options opts_;
};

struct local_time {
    std::int64_t day = 0; ///< since 1970
    unsigned minute_of_day = 0;
};
local_time to_local(wall_time at);

} // namespace titip::replay
