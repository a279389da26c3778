#pragma once

#include "base/record_id.hpp"
#include "base/time.hpp"
#include "journal/types.hpp"
#include "mirror/trouble.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace titip::mirror {

/// A file's name as a number: what a listing is kept as, eight bytes a file. Two names alike are a
/// chance of one in 10^7 with a million files, and cost one copy.
enum class name_hash : std::uint64_t {};

/// What one of the journal's rows is to the second copy.
struct row {
    journal::place place{};
    record_id record;
    wall_time accepted_at{};
    name_hash name{};
    enum class kind {
        kept,   ///< its bytes are in the journal
        rotten, ///< they should be, and were found rotten: the copy is to repair them
        erased, ///< they were erased on purpose: the copy goes too
    } what = kind::kept;
};

/// Decides what is done next for the second copy, and when. Knows no disk and no clock: time is an
/// argument, and what was found or failed is told to it.
///
///     unlisted --list--> scanning --rows, in order of place--> listed: write, erase, repair, check
///        ^                  |                                        |
///        +---trouble--------+----------------trouble-----------------+
///
/// Rules
/// - What the copy has is found again by listing its folder, at the start and after every trouble:
///   nothing of it is kept in the journal, and the disk that comes back may be another one.
/// - Records are written in order of place. Rationale: what is missing is then the newest, and a
///   person can say from when on.
/// - Repairs go before writing, writing before erasing; but one file is erased every `erase_every`
///   also while there is something to write, and on a full disk erasing goes first.
///   Rationale: erasing is what makes room, and a burst of it must not keep records from being
///   copied.
/// - After trouble it is tried again after `base`, twice as long each time up to `cap`. No chance is
///   in it: nobody else waits for this disk.
/// - While there is nothing to do it looks every `check_every` whether the disk is still there.
/// - Nothing in the folder that the journal does not know is touched.
class plan {
public:
    struct options {
        milliseconds base = 1s;
        milliseconds cap = 30s;
        milliseconds check_every = 30s;
        milliseconds erase_every = 100ms;
        /// 48 bytes each; what is missing beyond is counted, and found by another scan.
        std::size_t most_missing = 65'536;
        std::size_t most_erasures = 65'536;
    };

    struct step {
        enum class kind { wait, list, scan, write, erase, repair, check } what = kind::wait;
        journal::place place{}; ///< write, erase, repair; scan: the last one that was seen
        instant until{};        ///< wait
    };

    struct report {
        trouble why = trouble::none;
        std::string detail; ///< what the system said
        wall_time trouble_since{};
        bool is_counted = false;   ///< the folder was compared with the journal in this process
        std::uint64_t missing = 0; ///< records not on the copy; of those known, if not is_counted
        wall_time missing_since{}; ///< when the oldest of them came; zero if none
        std::optional<record_id> newest_missing;
        std::uint64_t skipped = 0; ///< cannot be copied, each for a reason that the log has
    };

    plan() = default;
    explicit plan(options opts) : opts_(opts) {}

    step next(instant now) const;

    // What the steps brought.
    void on_listed(std::vector<name_hash> names, instant now);
    /// In order of place. `names` of rows that are erased are looked up as well.
    void on_row(const row& seen);
    void on_scanned(instant now);
    void on_written(journal::place at, instant now);
    /// This record is not to be had, or not to be written; the others go on.
    void on_skipped(journal::place at);
    void on_erased(journal::place at, instant now);
    void on_repaired(journal::place at); ///< or given up
    void on_checked(instant now);
    void on_trouble(trouble why, std::string detail, instant now, wall_time clock);
    /// Repairs that will not be made now; whoever asked for them has to hear of it.
    std::vector<journal::place> take_repairs();

    // What the journal did.
    void on_accepted(journal::place at, const record_id& record, wall_time clock);
    void on_erased_in_journal(journal::place at);
    void on_rotten(journal::place at);

    /// Whether a repair can be tried now.
    bool is_listed() const noexcept { return phase_ == phase::listed; }
    report now() const;

    /// What changed for people since the last call, to be logged once each.
    enum class news { none, trouble, good_again };
    news take_news();

private:
    enum class phase { unlisted, scanning, listed };
    struct missing {
        journal::place place{};
        record_id record;
        wall_time came_at{};
    };
    void add_missing(std::deque<missing>& to, const missing& what);
    void add_erasure(journal::place at);
    bool drop_missing(journal::place at);
    bool has(name_hash name) const;

    options opts_;
    phase phase_ = phase::unlisted;
    std::vector<name_hash> names_; ///< sorted; while scanning
    journal::place seen_{};        ///< while scanning
    std::deque<missing> missing_;  ///< in order of place
    std::deque<missing> found_;    ///< by the scan under way
    std::deque<missing> came_;     ///< since that scan began
    std::deque<journal::place> erasures_;
    std::deque<journal::place> repairs_;
    std::uint64_t overflow_ = 0; ///< missing beyond what is kept
    bool is_stale_ = false;      ///< something was not kept: scan again when all else is done
    std::uint64_t skipped_ = 0;
    trouble why_ = trouble::none;
    trouble told_ = trouble::none;
    std::string detail_;
    wall_time since_{};
    instant retry_at_{};
    instant check_at_{};
    instant erase_at_{};
    unsigned failed_ = 0;
    bool is_counted_ = false;
};

} // namespace titip::mirror
