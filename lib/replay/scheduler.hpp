#pragma once

#include "journal/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
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
class scheduler {
public:
    struct options {
        std::size_t most_unanswered = 8;
        std::uint64_t most_unanswered_bytes = 8u << 20;
        unsigned oldest_every = 8;
    };
    struct pick {
        journal::place place{};
        std::uint64_t size_bytes = 0;
        std::uint64_t offset = 0; ///< what the upstream has of it
    };

    scheduler() = default;
    explicit scheduler(options opts) : opts_(opts) {}

    /// The record waits (accepted, released, retried). Known already: nothing changes.
    void add(journal::place at, envelope::lane lane, std::uint64_t size_bytes);
    /// It does not wait any more (held, quarantined), or has been delivered some other way. One
    /// that is in flight stays there: its answer will come.
    void remove(journal::place at);

    std::optional<pick> next(connection on);

    void on_settled(journal::place at);
    void on_failed(journal::place at, bool again);
    /// The answer said how much the upstream has: the record goes on from there.
    void on_position(journal::place at, std::uint64_t offset);
    /// The answer left open what became of it.
    void on_unknown(journal::place at);
    void on_broken(connection on);

    /// What a reconcile has to ask for, at most `limit`.
    std::vector<journal::place> unknown(std::size_t limit) const;
    bool has_unknown() const noexcept { return !unknown_.empty(); }
    /// The upstream has `offset` bytes of it (0: none, or nothing known).
    void on_reconciled(journal::place at, std::uint64_t offset);

    std::size_t waiting() const noexcept { return by_place_.size(); }
    std::size_t in_flight() const noexcept { return in_flight_.size(); }
    bool is_in_flight(journal::place at) const noexcept { return in_flight_.contains(at); }

private:
    struct item {
        envelope::lane lane{};
        std::uint64_t size_bytes = 0;
        std::uint64_t offset = 0;
    };
    struct sent {
        item what;
        connection on{};
        bool is_withdrawn = false; ///< removed while in flight
    };
    void make_waiting(journal::place at, const item& what);

    options opts_;
    std::map<journal::place, item> by_place_; ///< waiting
    std::set<std::pair<envelope::lane, journal::place>> by_lane_;
    std::map<journal::place, sent> in_flight_;
    std::map<journal::place, sent> unknown_;
    unsigned picks_ = 0;
};

} // namespace titip::replay
