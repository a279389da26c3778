#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace titip::intake {

/// Decides who is let in when not all can be: connections, and the requests that take memory and
/// the writer's time (a record's body, a reconcile; here "body" means either). Knows no socket and
/// no clock: time and chance are arguments. Where there is room for all nobody waits.
///
/// - A station has a turn while its bodies come. There are as many turns as places. It ends when
///   nothing has come for `turn_idle`; and after `turn_bytes` or `turn_time` while others want one.
///   Rationale: whoever is sent away pauses its whole link, connects and reconciles again. Turns
///   as short as a record would spend the link on that; turns without end would keep the others
///   out for hours.
/// - A body needs a place, from its first byte until its commit has been synced. None is given while
///   bodies have more than `memory_bytes` in memory. A place goes to the station in turn that holds
///   the fewest, so more connections or faster requests do not make a larger share.
/// - Without a place a body waits: its connection is not read, and TCP holds the peer back, which
///   loses nothing. Without a turn it waits at most `patience`, longest waiting station first.
/// - Who would wait longer is refused, and told when its turn comes: by Little's law, the time that
///   a turn lasts, times those who wait or were told before, over the turns. Rationale: one time
///   for all would bring them back together. Who asks too early is told the same time again.
/// - While others wait, a body that has stood still for `stall` is displaced: its connection is to
///   be closed, which commits what has come. A letter now and then is standing still.
/// - Where connections are used up, a newcomer displaces one of the station that has most, if that
///   one keeps more than it; else, if it comes at the time that it was told, one of the station with
///   more than it has whose turn is the oldest; else that of a station which has been idle for
///   `least_idle`. Else it is refused. Either is told when to come back. Rationale:
///   a station needs two, one for its question and one to send. Where all have two, who has one
///   would else be refused until others have sent all.
class admission {
public:
    struct options {
        std::size_t most_connections = 1'024;
        /// A station has at most 16 and its probe's; one more displaces one of its own, which may
        /// be dead without our knowing.
        std::size_t most_per_station = 32;
        /// Places, and turns. A place is held by a slow link, not by the writer, and costs little
        /// more memory than is counted: as many as there may be senders.
        std::size_t most_bodies = 512;
        std::size_t memory_bytes = 24u << 20;
        std::uint64_t turn_bytes = 64u << 20;
        milliseconds turn_time = 5min;
        milliseconds turn_idle = 3s; ///< a few round trips of the worst link
        milliseconds patience = 10s;
        milliseconds stall = 15s;
        milliseconds least_idle = 10s;
        milliseconds shortest_pause = 1s;
        milliseconds longest_pause = 5min; ///< beyond that the measure says nothing any more
        /// The window for first contacts while the node has run no longer than that: it cannot know
        /// yet how many will come.
        std::chrono::seconds first_spread{};
        /// What a station's first contact takes: three handshakes and a reconcile.
        milliseconds contact_cost = 20ms;
    };

    struct refusal {
        bool is_over_share = false; ///< 429: it had its turn, and others want theirs; else 503
        std::chrono::seconds retry_after{};
    };

    admission(instant started, options opts);

    struct displacement {
        std::string station;
        std::optional<refusal> told; ///< nothing for one of the newcomer's own, or of many
    };
    struct entrance {
        std::optional<refusal> refused; ///< it is not counted: no on_disconnect()
        std::optional<displacement> displaced;
    };
    /// `chance`: the caller's draw in [0, 1).
    entrance on_connect(instant now, const std::string& station, double chance);
    /// `since`: when it was let in.
    void on_disconnect(instant now, const std::string& station, instant since);

    /// The window over which stations that come now should spread their first sending: as wide as
    /// it takes to serve those who have come within the last minute; nothing if that is no time.
    std::chrono::seconds spread(instant now) const;

    enum class ticket : std::uint64_t {};
    struct view {
        bool is_in = false;
        std::optional<refusal> refused;  ///< the ticket is void
        std::optional<ticket> displaced; ///< its connection is to be closed
        instant look_again{};            ///< if neither in nor refused
    };
    /// A body begins. Look at it at once; it counts until on_end().
    ticket on_body(instant now, const std::string& station);
    /// Whether it is let in.
    view look(ticket mine, instant now, double chance);
    /// Bytes of it came into memory. Only of one that was let in, as all below.
    void on_bytes(ticket mine, instant now, std::size_t bytes);
    /// All its bytes are here: what it now waits for is not its peer.
    void on_whole(ticket mine);
    /// What of it was in memory has been committed.
    void on_kept(ticket mine, instant now);
    /// It ended, whichever way; also one that gave up waiting, but not one that was refused.
    void on_end(ticket mine, instant now);
    /// Those that were let in since the last call: look at them again.
    std::vector<ticket> take_called() { return std::exchange(called_, {}); }

    bool is_memory_short() const noexcept { return memory_bytes_ >= opts_.memory_bytes; }
    /// What has come of it must be committed before more is read: memory is short, and it has its
    /// equal share of it or more.
    bool is_to_be_kept(ticket mine) const;

    std::size_t connections() const noexcept { return connections_.taken; }
    std::size_t bodies() const noexcept { return bodies_in_; }
    std::size_t waiting() const noexcept { return waiting_.size(); }
    std::size_t memory_bytes() const noexcept { return memory_bytes_; }

private:
    struct station {
        std::size_t connections = 0;
        std::size_t bodies = 0; ///< in a place
        std::size_t waiting = 0;
        instant idle_since{};
        bool is_in_turn = false;
        bool is_over_share = false; ///< until its next turn
        instant turn_began{};
        std::uint64_t turn_bytes = 0;
        std::optional<instant> wants_since; ///< a turn; being told to come back does not end it
        std::optional<instant> body_promise;
        std::optional<instant> connection_promise;
    };
    using stations = std::map<std::string, station>;
    using promise_of = std::optional<instant> station::*;

    /// What is taken and given back, and when those who were sent away were told to come.
    struct line {
        promise_of of;
        double mean_hold_s;
        double most_hold_s; ///< where nobody waits, things are kept for as long as you like
        instant zero;       ///< times are summed from here
        std::size_t taken = 0;
        double since_sum_s = 0.0;
        std::set<std::pair<instant, std::string>> promised{};

        void take(instant now);
        void give_back(instant since, instant until);
        /// How long one with so many before it will wait.
        double wait_s(instant now, std::size_t ahead) const;
    };
    struct body {
        stations::iterator of;
        instant since;
        bool is_in = false;
        bool is_whole = false;
        bool is_displaced = false;
        instant moved{};             ///< when the newest piece was complete
        std::size_t piece_bytes = 0; ///< of the next one
        std::size_t memory_bytes = 0;
    };

    std::optional<displacement> displace_connection(instant now, stations::iterator newcomer,
                                                    double chance);
    std::optional<ticket> displace_body(instant now);
    void call_next(instant now);
    void give_turns(instant now);
    void end_idle_turns(instant now);
    void end_turn(stations::iterator whose, instant at);
    bool is_turn_idle(instant now, const station& whose) const;
    bool is_turn_over(instant now, const station& whose) const;
    refusal refuse(line& at, stations::iterator who, instant now, std::size_t ahead, double chance);
    void drop_past(line& at, instant now);
    void forget_if_idle(stations::iterator who);

    options opts_;
    instant started_;
    stations stations_;
    std::vector<stations::iterator> in_turn_;
    std::map<ticket, body> bodies_;
    std::map<ticket, body*> waiting_; ///< in order of arrival
    std::vector<ticket> called_;
    line connections_;
    line turns_;
    std::size_t bodies_in_ = 0;
    std::size_t memory_bytes_ = 0;
    std::size_t displaced_ = 0;
    std::uint64_t last_ticket_ = 0;
    double contacts_ = 0.0; ///< stations that came lately, fading
    instant contacts_at_;
};

} // namespace titip::intake
