#pragma once

#include "base/time.hpp"
#include "http/tcp.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>

namespace titip::link {

/// Decides how the link to the upstream is filled: over how many connections, with which congestion
/// control, at most how fast. It looks at what TCP counted meanwhile, in windows of some round trips.
/// Knows no socket and no clock. The figures behind it are in docs/link.md.
///
/// - The *rate* of the link is what was delivered in a window before which a queue stood: the round
///   trip was longer than the shortest known. It caps the pacing of all connections together, a
///   little below, so that we do not overflow our own modem's queue. Every few seconds a window above it
///   finds out whether the link has become faster; a queue that stands in spite of the cap says that
///   it has become slower.
/// - Loss where no queue stands is the link's own: such a link is *lossy*. Loss-based congestion
///   control takes it for congestion and leaves the link empty. BBR does not; where the system does
///   not allow it, connections are added until the link is full.
/// - On a *clean* link, one that has lost nothing for a while but what overflowed, loss-based
///   connections are best: they have no phases in which BBR leaves the link empty to measure it.
/// - What is given away is shared evenly among the connections; at the end of a backlog so that all end
///   together.
/// - A window in which next to nothing came through is a cut. Nothing is learned from it, nor from
///   what is sent again after it. Two connections go on asking often whether it is over.
///
/// What was learned stays over reconnects, as long as this object does. Threads: one.
class regulator {
public:
    struct options {
        unsigned most_connections = 16;
        double cap = 0.976;       ///< of the rate
        double first_gain = 2.5;  ///< while the rate is not known, of the most that was delivered
        unsigned connections = 2; ///< two, so that no loss of one holds up all
        /// Where BBR is not allowed, until the link is known to be clean: more to begin with, and then
        /// as many as a link that loses needs.
        unsigned first_connections = 4;
    };
    struct sample {
        std::uint64_t connection = 0; ///< never the same for two connections
        http::tcp_figures seen;
        /// Not yet handed to TCP, at the end of a backlog: that all may end together, those with most
        /// left go fastest. Nothing: others wait, and all go alike.
        std::optional<std::uint64_t> left_bytes;
    };
    struct decision {
        unsigned connections = 2;
        /// For the last records, if that is more than those: where one connection gets a small part of
        /// the link none should go alone.
        unsigned connections_at_end = 2;
        bool wants_bbr = true;   ///< where it is allowed
        bool is_flowing = false; ///< in the last window half of the rate or more came through
        /// Of all connections together; 0: no limit yet.
        std::uint64_t most_bytes_per_s = 0;
        /// Of it, by busy connection. Together more, where some have not used theirs lately.
        std::map<std::uint64_t, std::uint64_t> shares;
        std::uint64_t notsent_lowat_bytes = 128u << 10; ///< of each
        milliseconds longest_retransmission_wait = 1500ms;
        /// Connections that wait longer, while the others find out whether a cut is over: each asks with
        /// a packet.
        std::set<std::uint64_t> patient;
        /// Opening a connection when an urgent record comes would take it most of a second, or the
        /// link is so slow that what lies before it would: one is to be open before.
        bool is_slow = false;
        std::uint64_t probes = 0; ///< begun; each is the moment to renew BBR
    };

    regulator() : regulator(options{}) {}
    explicit regulator(const options& opts);

    /// Of all connections that bodies are sent on, some times a second while there are any.
    /// `may_bbr`: the system allows it.
    const decision& on_samples(instant now, std::span<const sample> all, bool may_bbr);
    const decision& current() const noexcept { return decided_; }

    /// Payload of TCP; 0: not known yet.
    std::uint64_t rate_bytes_per_s() const noexcept { return rate_; }

private:
    enum class kind { unknown, clean, lossy };
    struct window {
        instant began{};
        std::uint64_t delivered = 0;
        std::map<std::uint64_t, std::uint64_t> delivered_by; ///< connection
        std::uint64_t sent = 0;
        std::uint64_t resent = 0;
        std::uint64_t newest_rate = 0; ///< as the newest acknowledgements tell
        std::chrono::microseconds queueing = std::chrono::microseconds::max(); ///< the least
        std::chrono::microseconds most_queueing{};
        bool is_busy = true; ///< there was always something to send
    };
    void add(std::span<const sample> all);
    void close(instant now, bool may_bbr);
    void learn(std::uint64_t rate, bool is_full);
    void classify(const window& ended, std::uint64_t rate, bool is_full);
    void decide(bool may_bbr);
    void cap(instant now);
    unsigned most_connections() const noexcept;
    bool is_growing(std::uint64_t rate) const noexcept;
    bool is_fast() const noexcept;
    /// One connection alone gets a small part of the link.
    bool is_each_slow() const noexcept { return kind_ == kind::lossy && !decided_.wants_bbr; }
    bool is_probing() const noexcept { return probe_ != no_probe; }
    void share_out(const window& ended, instant now);
    instant::duration length() const;

    options opts_;
    decision decided_;
    std::map<std::uint64_t, sample> last_;
    window now_;
    instant looked_at_{};
    std::chrono::microseconds shortest_ = std::chrono::microseconds::max(); ///< round trip
    std::chrono::microseconds longest_{};                                   ///< round trip, now
    std::deque<std::uint64_t> full_rates_; ///< of the last windows in which the link was full
    std::uint64_t rate_ = 0;
    std::uint64_t most_seen_ = 0; ///< delivered in a second
    kind kind_ = kind::unknown;
    std::uint64_t unlost_bytes_ = 0; ///< sent since the link lost something by itself
    unsigned echo_ = 0;              ///< windows in which an overflow or a cut is still sent again
    unsigned unfilled_ = 0;          ///< windows in a row that loss left half empty
    double lost_share_ = 0;          ///< by the link itself, of what was sent
    static constexpr std::size_t no_probe = ~std::size_t{0};
    std::size_t probe_ = no_probe; ///< under way: how much is tried
    instant probe_at_{};
    /// Of the excess over the shortest round trip: not our queue, since it does not pass when we send less.
    std::chrono::microseconds standing_{};
    std::chrono::microseconds before_drain_{};
    std::chrono::microseconds last_queueing_{};
    bool is_draining_ = false;
    unsigned full_ = 0;      ///< windows in a row
    unsigned cuts_ = 0;      ///< the same
    bool is_faster_ = false; ///< than was known: the last probe has shown it
};

} // namespace titip::link
