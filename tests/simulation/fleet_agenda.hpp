#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <queue>
#include <vector>

namespace titip::fleet {

enum class happening : std::uint8_t {
    // of an office
    probe_due,
    first_send,
    retry_due,
    // of a connection
    arrives,
    gives_up,
    paid,
    shaken,
    handshake_late,
    handshake_fair,
    answered,
    look_again,
    idle_here,
    idle_there,
    // of the centre
    goes,
    returns,
};

/// `serial`: of the subject when this was planned; if it has another one by then, it is void.
struct event {
    instant at;
    std::uint64_t order = 0;
    happening what{};
    std::uint32_t subject = 0;
    std::uint32_t serial = 0;
};

/// What is to happen, in order; at one time in the order in which it was planned.
class agenda {
public:
    void plan(instant at, happening what, std::uint32_t subject, std::uint32_t serial)
    {
        planned_.push({at, ++order_, what, subject, serial});
    }
    bool has_before(instant end) const { return !planned_.empty() && planned_.top().at < end; }
    event next()
    {
        const auto out = planned_.top();
        planned_.pop();
        return out;
    }

private:
    struct later {
        bool operator()(const event& a, const event& b) const
        {
            return a.at != b.at ? a.at > b.at : a.order > b.order;
        }
    };
    std::priority_queue<event, std::vector<event>, later> planned_;
    std::uint64_t order_ = 0;
};

} // namespace titip::fleet
