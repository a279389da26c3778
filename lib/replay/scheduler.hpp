#pragma once

#include "journal/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

namespace titip::replay {

/// One of the connections to the upstream: 0, 1, ...
enum class connection : std::uint32_t {};

/// Decides which record goes next on which connection. Knows no socket, no clock and no disk; what
/// it holds is rebuilt from the journal at every start.
///
///     waiting --next()--> in flight --on_settled()--> gone
///        ^                    |  \---on_failed()----> waiting (once more) or gone (quarantine)
///        |                    v
///        +--on_reconciled()-- unknown <--on_broken()-- (all in flight on that connection)
///                                     <--on_unknown()-- (the one that was answered)
///     waiting or in flight --defer()--> deferred --recall()--> waiting
///
/// Rules
/// - A body is never sent blindly twice: what was in flight on a broken connection is unknown, and
/// only
///   a reconcile makes it waiting again, from the offset that the upstream has.
/// - At most `most_unanswered` requests or `most_unanswered_bytes` without an answer a connection,
/// but
///   always one. Rationale: what is unanswered is what one break makes unknown.
/// - Lanes in their order, within a lane by place; every `oldest_every`th pick takes the oldest of
/// all
///   lanes. Rationale: a stream of urgent records must not starve the one that waits since Monday.
/// - What is deferred (replay::distrust) is not offered, and holds up nobody. Records that were refused for no
///   fault of theirs go behind others; those that *go last*, behind all.
/// - A record of which the upstream takes no further byte in `patience` attempts in a row goes
///   behind all others, and so on with each `patience` more. It is stuck, so that its failures
///   count against it and not against the link, if those attempts were answered, or if others were
///   delivered meanwhile. Rationale: one body at which some middlebox always breaks the connection
///   must not stop all others, but where no large body gets through it is no record's fault.
class scheduler {
public:
    struct options {
        std::size_t most_unanswered = 32; ///< as many as intake reads ahead (protocol.md)
        std::uint64_t most_unanswered_bytes = 8u << 20;
        unsigned oldest_every = 8;
        unsigned patience = 5;
    };
    struct pick {
        journal::place place{};
        std::uint64_t size_bytes = 0;
        std::uint64_t offset = 0; ///< what the upstream has of it
        envelope::lane lane{};
        bool goes_last = false;
    };

    scheduler() = default;
    explicit scheduler(options opts) : opts_(opts) {}

    /// The record waits (accepted, released, retried). Known already: nothing changes.
    void add(journal::place at, envelope::lane lane, std::uint64_t size_bytes,
             bool goes_last = false);
    /// It does not wait any more (held, quarantined), or has been delivered some other way. One
    /// that is in flight stays there: its answer will come.
    void remove(journal::place at);

    enum class lanes { all, urgent };
    std::optional<pick> next(connection on, lanes of = lanes::all);

    /// So much of the record has been written, counted from its beginning.
    void on_written(journal::place at, std::uint64_t up_to);
    /// It was delivered before, and what was written of it now was not wanted.
    void on_unwanted(journal::place at);

    void on_settled(journal::place at);
    void on_failed(journal::place at, bool again);
    /// For no fault of its own: it waits, behind others.
    void on_refused(journal::place at);
    /// It is not offered before recall(). Of one that was picked and not sent: it goes on from where it stood.
    /// False, both of them: it does not wait (any more).
    bool defer(journal::place at);
    bool recall(journal::place at);
    /// The answer said how much the upstream has: the record goes on from there. True: it is stuck.
    bool on_position(journal::place at, std::uint64_t offset);
    /// The answer left open what became of it. True: it is stuck.
    bool on_unknown(journal::place at);
    /// `hit`: the first without an answer, where the connection broke by itself. True: it is stuck.
    bool on_broken(connection on, std::optional<journal::place> hit = std::nullopt);

    /// What a reconcile has to ask for, at most `limit`.
    std::vector<journal::place> unknown(std::size_t limit) const;
    bool has_unknown() const noexcept { return !unknown_.empty(); }
    /// The upstream has `offset` bytes of it (0: none, or nothing known); more than there are is all.
    void on_reconciled(journal::place at, std::uint64_t offset);

    std::size_t waiting() const noexcept { return by_place_.size(); }
    bool has_urgent() const noexcept; ///< one that is not stuck
    /// Of bodies: written, and then written again or not wanted.
    std::uint64_t wasted_bytes() const noexcept { return wasted_bytes_; }
    std::size_t in_flight() const noexcept { return in_flight_.size(); }
    /// Of bodies in flight on it: not yet written.
    std::uint64_t left_bytes(connection on) const noexcept;
    bool is_in_flight(journal::place at) const noexcept { return in_flight_.contains(at); }
    /// Of one in flight; 0: it is not.
    std::uint64_t size_of(journal::place at) const noexcept;

private:
    struct item {
        envelope::lane lane{};
        std::uint64_t size_bytes = 0;
        std::uint64_t offset = 0;
        std::uint64_t written = 0; ///< up to here, by the attempt under way
        unsigned stalls = 0;       ///< attempts in a row without progress
        unsigned refusals = 0;     ///< for no fault of its own
        bool goes_last = false;
        std::uint64_t settled_before = 0; ///< records, at the first of them
    };
    struct sent {
        item what;
        connection on{};
        bool is_withdrawn = false; ///< removed while in flight
    };
    void make_waiting(journal::place at, const item& what);
    void stop_waiting(journal::place at);
    unsigned rank_of(const item& what) const noexcept;
    bool stall(item& what, bool is_answered) const;
    void move_to(item& what, std::uint64_t offset);

    options opts_;
    std::map<journal::place, item> by_place_; ///< waiting
    /// Those that stalled or were refused last; before that by lane, or by age alone.
    std::set<std::tuple<unsigned, envelope::lane, journal::place>> by_lane_;
    std::set<std::pair<unsigned, journal::place>> by_age_;
    std::map<journal::place, sent> in_flight_;
    std::map<journal::place, sent> unknown_;
    std::map<journal::place, item> deferred_;
    unsigned picks_ = 0;
    std::uint64_t settled_ = 0;
    std::uint64_t wasted_bytes_ = 0;
};

} // namespace titip::replay
