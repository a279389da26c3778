#pragma once

#include "base/record_id.hpp"
#include "base/time.hpp"
#include "journal/types.hpp"
#include "mirror/trouble.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace titip::mirror {

/// A file's name as a number. Two names alike are a chance of one in 10^7 with a million files, and
/// cost one copy.
enum class name_hash : std::uint64_t {};

/// What a listing is kept as: 16 bytes a file.
struct listed_file {
    name_hash name{};
    std::uint64_t size_bytes = 0;
};

/// What one of the journal's rows is to the second copy.
struct row {
    journal::place place{};
    record_id record;
    wall_time accepted_at{};
    name_hash name{};
    std::uint64_t least_bytes = 0; ///< of a file that is whole
    bool is_only_here = true;      ///< no custodian further up has said that it holds it
    enum class kind {
        kept,   ///< its bytes are in the journal
        rotten, ///< they should be, and were found rotten: the copy is to repair them
        erased, ///< they were erased on purpose: the copy goes too
    } what = kind::kept;
};

/// What is known of a disk beyond what a listing shows. It is worth keeping over a restart; lost, the
/// disk is believed until it is read again.
struct disk_memory {
    std::string disk; ///< its number
    std::uint64_t lost =
        0; ///< files on it that were not what had been written, each time it was seen
    wall_time lost_since{};      ///< the first of them
    journal::place read_up_to{}; ///< in the pass under way; zero: at its begin, or between two
    wall_time pass_began{};      ///< zero: none yet
    wall_time earlier_began{}; ///< of the pass before: what lies behind `read_up_to` was read since
    friend bool operator==(const disk_memory&, const disk_memory&) = default;
};

/// Decides what is done next for the second copy, and when. Knows no disk and no clock: time is an
/// argument, and what was found or failed is told to it.
///
///     unlisted --list--> scanning --rows, in order of place--> listed: write, erase, repair, check,
///        ^                                                       |  ^            read back    |
///        +-----------no disk, or another one---------------------+  +---other trouble: wait--+
///
/// Rules
/// - What the copy has is found by listing its folder, at the start, and when a disk comes back or
///   another one is there: nothing of it is kept in the journal. A file that is too short is none.
/// - What is nowhere else is written first, in order of place; then what the next custodian holds.
///   Rationale: a new disk is empty, most records are at the centre, and copying those takes hours.
/// - Repairs go before writing, writing before erasing; but one file is erased every `erase_every`
///   also while there is something to write, and on a full disk erasing goes first.
///   Rationale: erasing is what makes room, and a burst of it must not keep records from being
///   copied.
/// - After trouble it is tried again after `base`, twice as long each time up to `cap`. No chance is
///   in it: nobody else waits for this disk. Trouble ends by a check that writes, on a full disk by
///   a record that fits; a listing proves nothing.
/// - What is known of a disk stays known through trouble with it; after such that may have cost files
///   it is listed again, `relist_every` at most. Rationale: 200,000 rows are seconds of a core.
/// - A record, or an erasure, that fails twice while a check succeeds gives way to the others; a
///   record is tried once more behind them, and then by the next listing.
/// - Names and sizes prove nothing: while there is nothing else to do, file after file is read back
///   and compared, in order of place, in passes. From when a disk is listed until each file has been
///   read once this goes at `read_soon_bytes_per_s`, then at `read_bytes_per_s`, a pass every
///   `read_every` at most. Rationale: a stick that comes out of a drawer is to be known today; one
///   that stays plugged in is worn the less, and 64 GiB take 18 hours.
/// - What is not what was written is missing, and is written again; that the disk loses files is told
///   until another one is there. One that the disk lost twice in this process is written no more,
///   nor is any once the disk has lost more than twice what it holds: else a stick that is smaller
///   than it says would be written to for ever. What is new is written all the same.
///   One file that is cut short at a listing is none of these: it was being written when the disk
///   was pulled out, or the machine switched off. More than one are.
/// - While there is nothing to do it looks every `check_every` whether the disk still answers.
/// - Nothing in the folder that the journal does not know is touched.
class plan {
public:
    struct options {
        milliseconds base = 1s;
        milliseconds cap = 30s;
        milliseconds check_every = 30s;
        milliseconds erase_every = 100ms;
        milliseconds relist_every = 1h;
        /// 48 bytes each; what is missing beyond is counted, and found by another scan.
        std::size_t most_missing = 65'536;
        std::size_t most_erasures = 65'536;
        std::uint64_t read_soon_bytes_per_s = 8u << 20;
        std::uint64_t read_bytes_per_s = 1u << 20;
        milliseconds read_every = 24h; ///< from the begin of a pass to that of the next
        std::size_t most_disks = 8;    ///< that take turns, and are remembered
    };

    struct step {
        enum class kind { wait, list, scan, write, erase, repair, check, read } what = kind::wait;
        journal::place place{}; ///< write, erase, repair; scan, read: the last one that was seen
        instant until{};        ///< wait
    };

    struct report {
        trouble why = trouble::none;
        std::string detail; ///< what the system said
        wall_time trouble_since{};
        bool is_counted = false;     ///< the folder was compared with the journal in this process
        std::uint64_t missing = 0;   ///< records not on the copy; of those known, if not is_counted
        std::uint64_t only_here = 0; ///< of these, held by no custodian further up
        wall_time missing_since{};   ///< when the oldest of them came; zero if none
        std::optional<record_id> newest_missing;
        std::uint64_t skipped = 0; ///< cannot be copied, each for a reason that the log has
        std::uint64_t lost = 0;    ///< files that this disk, or the last one here, did not keep
        wall_time lost_since{};
        std::uint64_t beyond_help = 0; ///< of those missing: not written again on this disk
        std::uint64_t unread = 0;      ///< files not read back since the disk was listed
        /// When the file that was not read back for longest was read, or its record came; zero: none
        /// is there, or that is not known yet.
        wall_time oldest_read{};
    };
    /// What becomes of the record that is next in a pass.
    enum class turn {
        read,
        skip, ///< it has no file there, as is known
        over, ///< there is no next one: the pass is over
    };

    plan() = default;
    explicit plan(options opts) : opts_(opts) {}

    step next(instant now) const;

    // What the steps brought.
    void on_listed(std::vector<listed_file> files, instant now, const std::string& disk = {},
                   wall_time clock = {});
    /// In order of place. `names` of rows that are erased are looked up as well.
    void on_row(const row& seen);
    void on_scanned(instant now, wall_time clock = {});
    void on_written(journal::place at, instant now);
    /// This record is not to be had, or not to be written; the others go on.
    void on_skipped(journal::place at);
    void on_erased(journal::place at, instant now);
    void on_repaired(journal::place at); ///< or given up
    /// Also written, where there was trouble. Returns what has given way for good.
    std::optional<journal::place> on_checked(instant now);
    /// `concerned`: what was being written or erased.
    void on_trouble(trouble why, std::string detail, instant now, wall_time clock,
                    journal::place concerned = {});
    /// Another disk is there, or the same one after it did not answer: it is listed at once.
    void look_again();
    // What reading back brought: the first record after the one that step::read named, if there is
    // one, and then what its file is.
    turn on_next_stored(std::optional<journal::place> next, wall_time accepted_at, instant now,
                        wall_time clock);
    void on_read(std::uint64_t size_bytes, instant now);
    /// Also by reading it back after it was written. True: it is written again.
    bool on_ruined(const row& which, instant now, wall_time clock);
    /// There is no file; whoever removed it. True: that is news.
    bool on_gone(const row& which, instant now);

    /// Repairs that will not be made now; whoever asked for them has to hear of it.
    std::vector<journal::place> take_repairs();

    // What the journal did.
    void on_accepted(journal::place at, const record_id& record, wall_time clock);
    void on_held_elsewhere(journal::place at);
    void on_lost_elsewhere(journal::place at);
    void on_erased_in_journal(journal::place at);
    void on_rotten(journal::place at);

    /// From an earlier process, before anything else: there was trouble then, and of these rows the
    /// copy had none.
    void go_on_missing(wall_time since, const std::vector<row>& rows);

    /// From earlier processes, before anything else; what was used last in front.
    void recall(std::deque<disk_memory> disks);
    const std::deque<disk_memory>& disks() const noexcept { return disks_; }

    /// What has to hold between two calls.
    void check() const;

    /// Whether a repair can be tried now.
    bool is_listed() const noexcept { return phase_ == phase::listed; }
    trouble why() const noexcept { return why_; }
    report now() const;
    /// The first place that the copy has not; none if it has all.
    std::optional<journal::place> first_missing() const;

    /// What changed for people since the last call, to be logged once each.
    enum class news { none, trouble, good_again };
    news take_news();
    /// That the disk lost files, once a disk; and whenever it has lost ten times as many.
    bool take_loss();

private:
    void set_only_here(journal::place at, bool is);
    enum class phase { unlisted, scanning, listed };
    struct missing {
        journal::place place{};
        record_id record;
        wall_time came_at{};
        bool is_only_here = true;
        bool has_given_way = false;
        bool is_named = false;       ///< there is a file of its name, which is not what was written
        bool is_beyond_help = false; ///< the disk does not keep it: it is not written again
    };
    using queue = std::deque<missing>;
    struct ruin {
        unsigned times = 0;
        bool is_now = false; ///< it was not written again since
    };
    static std::tuple<bool, bool, bool, journal::place> rank(const missing& of);
    void add_missing(queue& to, const missing& what);
    void add_erasure(journal::place at);
    std::optional<missing> drop_missing(journal::place at);
    const listed_file* find(name_hash name) const;
    void forget_listing();
    bool has_to_write() const;
    step read_or_wait(instant now, instant until) const;
    missing missing_of(const row& which) const;
    bool has_lost_too_much() const;
    void add_lost(std::uint64_t files, wall_time clock);
    void use(const std::string& disk);
    void pace(std::uint64_t size_bytes, instant now);
    disk_memory& memory() { return disks_.front(); }
    const disk_memory& memory() const { return disks_.front(); }

    options opts_;
    phase phase_ = phase::unlisted;
    std::vector<listed_file> files_; ///< sorted by name; while scanning
    journal::place seen_{};          ///< while scanning
    queue missing_;                  ///< in order of rank
    queue found_;                    ///< by the scan under way
    queue came_;                     ///< since that scan began
    std::deque<journal::place> erasures_;
    std::deque<journal::place> repairs_;
    std::uint64_t overflow_ = 0; ///< missing beyond what is kept
    bool is_stale_ = false;      ///< something was not kept: scan again when all else is done
    bool is_doubtful_ = false;   ///< files may have been lost: list again, when it is time
    std::uint64_t skipped_ = 0;
    trouble why_ = trouble::none;
    trouble told_ = trouble::none;
    std::string detail_;
    wall_time since_{};
    instant retry_at_{};
    instant check_at_{};
    instant erase_at_{};
    instant listed_at_{};
    unsigned failed_ = 0;
    journal::place suspect_{}; ///< what failed last
    int suspect_failures_ = 0;
    bool is_counted_ = false;

    std::deque<disk_memory> disks_{disk_memory{}}; ///< never empty; the one that is listed in front
    std::map<journal::place, ruin> ruined_;        ///< on that disk, by this process
    bool is_fresh_ = true;        ///< the disk was put in, or did not answer, since it was listed
    std::uint64_t there_ = 0;     ///< files on it that the journal knows
    std::uint64_t cut_short_ = 0; ///< while scanning
    bool is_soon_ = false;        ///< not each file was read since the listing
    journal::place soon_from_{};  ///< where that began
    bool soon_came_round_ = false;
    std::uint64_t unread_ = 0;
    wall_time oldest_read_{};
    instant read_at_{};
    std::uint64_t told_lost_ = 0;
};

} // namespace titip::mirror
