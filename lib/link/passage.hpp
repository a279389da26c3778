#pragma once

#include "base/time.hpp"

#include <array>
#include <cstddef>

namespace titip::link {

/// Decides what is tried where a connection is made and no byte of a body comes through: small questions
/// are answered, and what fills a segment is lost without a word, because the path carries less than
/// both its ends do and nobody is told (RFC 2923, 2.1). Knows no socket and no clock.
///
///     usual size --silence--> smaller --silence--> smallest --silence, a wait--> usual size ...
///
/// - A *silence* is the end of a connection over which a body was begun and no byte of it acknowledged in
///   `least_silence`. It does not count where bodies came through over others meanwhile, and is taken
///   back where the link turns out to be down: that explains it.
/// - What carried a byte of a body stays in use until the network of this machine changes, or for `kept`:
///   then the next larger size is tried, which costs one silence where the path is as before.
/// - After a whole round in vain it is not the size: the next one begins after a wait that doubles.
///   Progress alone ends that, a change of the network, or somebody who wants to know now.
class passage {
public:
    /// TCP's maximum segment size; 0: as path and interface say. 1,200 fits the smallest packet of
    /// IPv6 (1,280) with all headers, and every tunnel, modem and satellite that is in use; 536 the
    /// smallest that IPv4 promises to carry (576).
    static constexpr std::array<unsigned, 3> segments{0, 1'200, 536};

    struct options {
        milliseconds least_silence = 20s; ///< shorter, and the break was another one
        milliseconds kept = 24h;
        milliseconds first_wait = 1min;
        milliseconds most_wait = 5min;
    };
    struct decision {
        unsigned most_segment_bytes = 0; ///< of connections that are made from now on
        bool is_blocked = false;         ///< connected, but nothing gets through
        instant blocked_since{};         ///< when the first body that was not acknowledged began
        instant next_at{};               ///< no body before
    };
    enum class event { none, through };

    passage() : passage(options{}) {}
    explicit passage(const options& opts) : opts_(opts) {}

    /// A connection has ended whose first body began at `began`, and no byte of a body was acknowledged.
    /// True: it was a silence.
    bool on_silence(instant now, instant began);
    /// The same of a handshake, whose certificates fill segments too: only the size is changed.
    void on_silent_handshake(instant now);
    /// A byte of a body was acknowledged. What it changed.
    event on_progress(instant now);
    void on_outage();
    void on_network_change();
    /// Somebody wants to know now: does not wait.
    void on_hint() { now_.next_at = instant{}; }
    /// Time has passed.
    const decision& at(instant now);
    const decision& current() const noexcept { return now_; }

    /// What must hold between two calls.
    void check() const;

private:
    void use(std::size_t size, instant now);
    void advance(instant now);

    options opts_;
    decision now_;
    std::size_t size_ = 0;   ///< of `segments`
    std::size_t proven_ = 0; ///< the one that carried something last
    instant used_since_{};
    instant progress_at_{};
    bool has_progress_ = false;
    unsigned rounds_ = 0; ///< in vain
    instant last_{};
};

} // namespace titip::link
