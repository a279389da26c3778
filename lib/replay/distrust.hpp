#pragma once

#include "base/digest.hpp"
#include "base/time.hpp"
#include "journal/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace titip::replay {

/// Decides what is not offered for now because the upstream refuses it for a fault that is no record's.
/// Knows no socket, no clock and no disk: time and chance are arguments.
///
///     believed --3 refusals in a row--> doubted --one is accepted--> believed
///
/// Rules
/// - Records are told apart by the certificate that signed their manifest. While it is doubted they are
///   *deferred*; all others go on. Rationale: after a renewal the new certificate is believed though
///   the old one is not, and at a relay another station's is.
/// - "In a row" counts records of one certificate that are refused for the first time, as the answers
///   come over however many connections: an acceptance begins the count anew. An answer that comes after
///   the certificate is doubted was on its way before, and changes nothing but where that record is.
/// - A record that is refused for the second time is *odd*: it is deferred with others that are odd, and
///   says nothing more about the certificate; it joins the others when that is doubted. Rationale: one
///   damaged manifest, one size, or one of two centres that was not told of our authority must neither
///   stop what is taken nor be sent without end, and none of these is proof enough to set a record aside.
/// - A receipt that nobody believes is the upstream's fault: the record alone is deferred, from the first
///   one on. Rationale: it lies there, and sending it once more brings the same receipt.
/// - Of what is deferred together one is offered again after a wait: the one that was offered longest ago.
///   The n-th wait is drawn evenly from 0 to min(cap, base * 2^n), and never less than base. on_hint()
///   makes it due now. One accepted ends the doubt, and all of them go again.
/// - Records that *go last* (set aside by an earlier version, and free for one try) prove nothing when they
///   are refused: they are set aside again, and are tried last.
/// Nothing of this is kept on disk: after a start three refusals say it again.
///
/// Threads: one. Times must not go back (the monotonic clock).
class distrust {
public:
    struct options {
        unsigned in_a_row = 3;
        milliseconds base = 30s; ///< a try costs the link a part of a record
        milliseconds cap = 1h;
    };

    enum class fault {
        not_believed, ///< the upstream does not believe who signed the manifest
        role,         ///< it lets us not offer records of this station
        limit,        ///< it refuses a size that it said it takes
        receipt,      ///< its own receipt is not believed here
    };

    struct candidate {
        journal::place place{};
        digest certificate{}; ///< trust::signing_certificate() of its manifest
        std::string station;
        bool goes_last = false;
    };

    /// What becomes of a record that was refused.
    enum class ruling {
        again,     ///< it waits, behind others
        deferred,  ///< until due() or on_accepted() names it
        set_aside, ///< it had come free for one try
    };
    /// What is deferred together.
    enum class scope { certificate, odd, receipts };

    struct doubt {
        scope of{};
        fault why{};
        std::string note; ///< what the upstream said last
        std::string station;
        digest certificate{};
        instant since{};
        instant next_at{}; ///< of the next try; in the past: it is due, or under way
        std::size_t records =
            0; ///< deferred, as far as is known: one is looked at when its turn comes
    };

    distrust() = default;
    explicit distrust(options opts) : opts_(opts) {}

    /// It would be the next to be offered. False: it is deferred.
    bool may_offer(const candidate& next);
    /// Of one that may_offer() let go. `chance`: the caller's draw from [0, 1).
    ruling on_refused(journal::place at, fault why, std::string note, instant now, double chance);
    void on_receipt_not_believed(journal::place at, std::string note, instant now, double chance);
    /// An offer of it brought a receipt. Those that go again.
    std::vector<journal::place> on_accepted(journal::place at);
    /// It does not wait any more: held, set aside, or settled without being offered.
    void on_gone(journal::place at);

    /// Those whose try is due: deferred no longer. One for each doubt.
    std::vector<journal::place> due(instant now);
    /// When to ask for them; nothing: not before something else happens.
    std::optional<instant> next_at() const;
    /// Somebody did something about it: identity or authorities were read anew, or a look is asked for.
    void on_hint(instant now);

    std::vector<doubt> doubts() const;
    std::optional<doubt> of(journal::place at) const;
    bool is_any() const noexcept { return doubted_ > 0; }

    /// Asserts what holds between any two calls.
    void check() const;

private:
    using turn =
        std::tuple<bool, std::uint64_t, journal::place>; ///< goes last, offered when, which
    using key = std::pair<scope, digest>;                ///< receipts: none
    struct group {
        std::string station;
        std::size_t items = 0;
        unsigned refused = 0; ///< in a row
        bool is_doubted = false;
        fault why{};
        std::string note;
        instant since{};
        instant next_at{};
        milliseconds step{};
        std::optional<journal::place> on_trial; ///< may be offered though it is doubted
        std::set<turn> deferred;
    };
    struct item {
        digest certificate{};
        scope in = scope::certificate;
        std::uint64_t offered = 0; ///< the tick of it
        bool was_refused = false;  ///< since it is among those of its certificate
        bool goes_last = false;
        bool is_deferred = false;
    };
    using items = std::map<journal::place, item>;

    static key key_of(const item& what);
    turn turn_of(const items::value_type& of) const;
    group& group_of(const item& what) { return groups_.at(key_of(what)); }
    items::iterator join(const candidate& next);
    void move(items::value_type& which, scope to);
    void leave(items::iterator which);
    void enter(const item& what, const std::string& station);
    void quit(items::value_type& which);
    void defer(items::value_type& which);
    void begin_doubt(group& of, instant now);
    void gather_odd(const digest& certificate);
    void wait_longer(group& of, instant now, double chance);
    void end_doubt(const key& which, std::vector<journal::place>& freed);
    doubt describe(const key& which, const group& of) const;

    options opts_;
    std::map<key, group> groups_; ///< of those in items_
    items items_;                 ///< what was offered and not accepted yet
    std::uint64_t ticks_ = 0;
    std::size_t doubted_ = 0;
};

/// "not-believed", "role", "limit", "receipt".
std::string_view to_string(distrust::fault) noexcept;

} // namespace titip::replay
