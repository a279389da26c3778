#pragma once

#include "base/time.hpp"
#include "link/verdict.hpp"

#include <string_view>

namespace titip::link {

/// Decides from what became of probes and transfers whether the upstream can be reached, and when
/// to look again. Knows no socket and no clock: time and chance are arguments, so a month takes
/// milliseconds to test.
///
///     new  ---1 good---> up      at a start nothing speaks against the first answer
///     new  ---1 bad----> down    begins an outage
///     up   ---1 bad----> down    begins an outage: a false "up" costs a transfer, a false "down"
///                                two probes
///     down ---2 good---> up      ends it: one good answer on a flapping link is not yet a link;
///                                the second is asked for after `base`
///
/// Between failures: exponential backoff with jitter. The n-th wait is drawn evenly from 0 to
/// min(cap, base * 2^n), but is never less than `base`, so that nothing spins; below TLS from half
/// of it.
/// Rationale: jitter over the whole range spreads a fleet that failed in one moment best. Where an
/// attempt costs nobody but ourselves, half of it does, and a black hole is looked into half as often
/// with the same longest wait. The cap is low where an attempt costs a SYN or two and higher where it
/// costs a TLS handshake, on both sides. Below TLS it is larger once an outage is no longer `young`: after minutes the link is
/// wanted back within half a minute, after hours a minute is soon, and half the bytes
/// (tests/simulation/link_test.cpp prints what comes of it).
///
/// For a while after the link worked (`fresh`) waits are at most `fresh_cap`, and the exponent does
/// not grow. Rationale: most breaks of a link in use are over within seconds.
///
/// What the upstream asks for (Retry-After) is a floor, with the jitter on top of it, not instead:
/// otherwise everyone that it asked would come back in one moment. Only this floor and `base` bind
/// a hint. A later failure that asks for nothing leaves the floor in force.
///
/// Threads: one. Times must not go back (the monotonic clock).
class monitor {
public:
    struct options {
        milliseconds base = 1s;
        milliseconds cap_below_tls = 20s;
        milliseconds cap_below_tls_old = 45s;
        milliseconds young = 5min;
        milliseconds cap_above = 5min;
        milliseconds retry_after_cap = 1h; ///< a mistyped header must not silence us for days
        milliseconds fresh = 60s;
        milliseconds fresh_cap = 2s;
        milliseconds idle = 5min; ///< between probes of a link that is up and not in use
    };

    enum class event { none, outage_began, outage_ended }; ///< they alternate

    struct decision {
        bool is_up = false;
        bool is_promising = false;                ///< no failure since the last good answer
        link::verdict verdict = verdict::unknown; ///< ok if up; if down, of the last failure
        instant since{};              ///< when it became up or down; while new, the start
        instant checked_at{};         ///< of the last outcome; before the first, the start
        instant probe_at{};           ///< the earliest moment for the next probe
        event happened = event::none; ///< by this input
    };

    /// New; the first probe is due at `start`.
    monitor(const options& opts, instant start);
    explicit monitor(instant start) : monitor(options{}, start) {}

    /// A probe was answered well: the upstream's newest word, which ends a pause that it asked for.
    decision on_probe_success(instant now);

    /// A probe or a transfer failed in a way that speaks of the link, not of the record. `why` is
    /// neither ok nor unknown. `retry_after`: what the upstream asked for, or zero; anything may be
    /// in it. `chance`: the caller's draw from [0, 1).
    decision on_failure(instant now, verdict why, milliseconds retry_after, double chance);

    /// The operating system says that something changed (an address, a route, a carrier), or an
    /// operator wants to know. Only ever shortens the wait.
    decision on_hint(instant now);

    /// Whether the next good answer makes it up: what is asked for then may be asked along with it.
    bool is_nearly_up() const noexcept;

    /// The last decision again, without its event.
    const decision& current() const noexcept { return now_; }

private:
    void advance(instant now);
    decision with(event what) const;
    milliseconds ceiling(instant now);
    void turn_down(instant now);

    options opts_;
    decision now_;
    instant last_{};
    instant asked_until_{}; ///< the pause that the upstream asked for
    instant not_before_{};  ///< what binds a hint
    instant fresh_until_{};
    milliseconds step_{}; ///< base * 2^n, up to the cap that held when it was computed
    int good_ = 0;        ///< answers in a row while down
    bool is_new_ = true;
};

/// When a node that the outage kept away sends first: somewhere in the window that the upstream
/// asked for (at most an hour), always at the same place in it for the same name, so that 7,285
/// offices do not come back in one second, and none of them twice within one window by bad luck.
instant first_send_at(instant now, milliseconds spread, std::string_view node);

} // namespace titip::link
