#pragma once

#include "base/activity.hpp"
#include "base/pool.hpp"
#include "journal/backup.hpp"
#include "journal/revoked.hpp"
#include "journal/types.hpp"
#include "trust/identity.hpp"
#include "vault/vault.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <variant>

namespace titip::journal {

/// Why a store could not be opened: one line that says what to do.
struct open_failure {
    enum class kind {
        in_use,     ///< another daemon has it
        newer,      ///< written by a later version
        foreign,    ///< born under another node's name
        unreadable, ///< permissions, or not a directory
        untrusted,  ///< meta pages, checksums or transaction ids do not fit: safe mode
    };
    open_failure::kind what{};
    std::string sentence;
};

/// What goes out on the wire about a record, beside its bytes.
struct outgoing {
    record_view view;
    bytes manifest_cms;
    digest manifest_hash{};
    bytes receipt_cms;       ///< from upstream; empty if none came
    bytes receipt_given_cms; ///< what we gave to the node below
};

struct list_filter {
    std::optional<journal::state> state;
    std::optional<envelope::lane> lane;
    std::optional<wall_time> accepted_before;
    std::optional<bool> held;
    bool needs_person = false; ///< only those
};

/// What this node knows about its upstream.
struct upstream_view {
    std::vector<vault::reported_head> heads; ///< of our own station, newest last: vault::most_heads
    std::optional<epoch_id> cursor_epoch;
    std::uint64_t cursor_number = 0;
    std::vector<vault::kept_range> kept; ///< newest last: vault::most_kept
    /// What waits here, newest first: to be told with those, as far as there is room.
    std::vector<vault::kept_range> waiting;
};

struct remark;

/// A commit that takes longer is an alarm: a disk that is well takes a hundredth of it, also an old one
/// that turns, and whoever submits a record waits as long.
inline constexpr milliseconds slow_disk = 5s;

/// The records that this node answers for, in one LMDB environment. DESIGN §7 and
/// docs/architecture.md have the format and its reasons.
/// Promise:  what an awaited function has returned as done survives power loss.
/// Threads:  every function on the socket thread; they come back there. One thread of its own
/// writes;
///           reading and checking happens on `pool`, never on the socket thread, where a cold page
///           would stop timers and status.
/// Errors:   vault::errc. After store_failed it can only be closed.
/// Lifetime: one per directory, guarded by flock(2); outlives every coroutine that uses it.
class store final : public vault::vault {
public:
    struct options {
        std::filesystem::path directory;
        std::string node;
        bool has_upstream = false;
        std::uint64_t quota_bytes = 64ull << 30;
        /// Most envelope bytes in one transaction: dirty pages are kept in memory.
        std::size_t group_bytes = 8u << 20;
        std::shared_ptr<const trust::identity> identity;
        /// What the writer is about, for who watches; made where it is null.
        std::shared_ptr<activity> writer;
        /// A backup whose disk takes nothing for so long is given up: a snapshot that stays keeps
        /// freed pages from being used again.
        milliseconds copy_patience = 2min;
    };

    /// `pool` must outlive the store. `failed` is told, on the writer thread, that a write or sync
    /// failed.
    static result<std::unique_ptr<store>, open_failure>
    open(options opts, boost::asio::thread_pool& pool, std::function<void(std::string)> failed);
    ~store() override;

    /// The format that a store has once there was space to bring it there.
    static constexpr std::uint32_t newest_format = 2;

    /// What is beside a store that is being made anew, and is not one: while it is there and no store
    /// is, open() refuses to begin an empty one.
    static constexpr auto unfinished = "restoring";
    /// Keeps every daemon from a directory as long as what is returned lives.
    static result<std::shared_ptr<void>, open_failure>
    reserve(const std::filesystem::path& directory);
    /// What is noted there is of a store that is no longer there; only after `unfinished` is.
    static result<void, open_failure> forget_note(const std::shared_ptr<void>& reserved);
    /// What is noted beside a store made elsewhere is noted where it is put, by who reserved that:
    /// else the next start would take it for a copy.
    static void take_note(const std::shared_ptr<void>& reserved, const std::filesystem::path& from);

    // What nodes below need: see vault.
    asio::awaitable<result<std::optional<::titip::vault::standing>>>
    find(::titip::vault::key which) override;
    asio::awaitable<result<void>> keep(::titip::vault::offer what, std::uint64_t offset,
                                       bytes data) override;
    asio::awaitable<result<bytes>> complete(::titip::vault::offer what, std::uint64_t offset,
                                            bytes rest) override;
    asio::awaitable<result<void>> discard(::titip::vault::key which) override;
    asio::awaitable<result<bytes>> read(::titip::vault::key which, std::uint64_t offset,
                                        std::size_t limit_bytes) override;
    asio::awaitable<result<hasher>> hash(::titip::vault::key which, std::uint64_t bytes) override;
    asio::awaitable<result<::titip::vault::answer>>
    reconcile(std::string station, ::titip::vault::question asked) override;
    std::uint64_t newest_verdict(const std::string& station) const override;
    bool has_room() const override;

    // Accepting here.
    /// The key of submission MACs: same body, same MAC, on this machine only.
    bytes_view submission_key() const noexcept;
    /// The same id and MAC give the first answer again; another MAC is errc::conflict.
    asio::awaitable<result<acceptance>> accept(submission offered);

    // Sending on.
    asio::awaitable<result<std::vector<queued>>> load_queue();
    asio::awaitable<result<outgoing>> outgoing_of(place at);
    /// Checked against the chunks' checksums.
    asio::awaitable<result<bytes>> read_at(place at, std::uint64_t offset, std::size_t limit_bytes);
    /// From there to the end, in slices of one short read transaction each; errc::rotten if it ends
    /// before.
    asio::awaitable<result<bytes>> read_rest(place at, std::uint64_t offset,
                                             std::uint64_t size_bytes);
    /// errc::rotten unless the whole envelope still has its digest.
    asio::awaitable<result<void>> check_intact(place at);
    /// The first record after `after` whose bytes are here and not known to be rotten.
    asio::awaitable<result<std::optional<record_view>>> next_stored(place after);
    /// That its bytes are rotten: sets a record aside that is held nowhere else; of one that the next
    /// custodian holds, the row and the ledger tell.
    asio::awaitable<result<void>> note_rot(place at);
    asio::awaitable<result<void>> settle(place at, envelope::receipt said, bytes cms,
                                         trust::peer by);
    asio::awaitable<result<std::uint32_t>> count_failure(place at);
    asio::awaitable<result<void>> quarantine(place at, reason why, std::string note);
    /// Puts the bytes of a second copy in place of those here; errc::conflict unless they have the
    /// digest of the record. One that was set aside because it was rotten goes back to where it was.
    /// errc::rotten if it was repaired three times already.
    asio::awaitable<result<void>> repair(place at, bytes envelope);
    /// For a store that is made anew from second copies: a record with the manifest as it was
    /// signed, under its old number; the caller has verified it. It waits; at the end of the road
    /// it is delivered, with the receipt that was given for it. Here already: nothing changes;
    /// errc::conflict if with other bytes, or under another number.
    asio::awaitable<result<place>> restore(::titip::vault::offer what, bytes envelope,
                                           bytes receipt_given);
    asio::awaitable<result<upstream_view>> upstream();
    /// `not_believed`: the numbers of those that could not be verified; each is a line of the
    /// ledger.
    asio::awaitable<result<void>> take_verdicts(std::vector<told_verdict> said,
                                                epoch_id store_epoch, std::uint64_t cursor,
                                                std::vector<std::uint64_t> not_believed = {});
    /// The newest custody statement, signed by a custodian of this role (`told_by`: its name), and what
    /// the upstream noticed. Records that wait here, also held or set aside, and that it covers are returned, to
    /// ask for their receipts, but for those of `asked`. Handed on ones that it does not cover wait
    /// again, with a finding, unless their receipt is of a higher custodian. Findings are also what
    /// another state of this store must have given: later numbers, other manifests, epochs that are
    /// not known here. Where the statement itself shows them in our present epoch, a new one begins,
    /// at most once a day. What was handed on to a relay, and the centre's statement covers, is returned
    /// as well: all of it over some calls.
    asio::awaitable<result<std::vector<placed>>>
    take_custody(envelope::custody said, trust::role by, bytes cms,
                 std::vector<::titip::vault::finding> findings, std::set<::titip::vault::key> asked,
                 std::string told_by = {});
    /// Answers come from the store of this epoch at the centre. What another one had said to be opened
    /// counts as opened no more (see drop_old_openings) and is not erased.
    asio::awaitable<result<void>> note_centre(epoch_id store_epoch);
    /// Once all verdicts of the centre's present store were taken in: what it does not say to have
    /// opened is delivered.
    asio::awaitable<result<void>> drop_old_openings();
    /// At a start: what earlier versions took for opened after the centre had lost it, on the verdict
    /// of before, is delivered, and all verdicts are asked for again.
    asio::awaitable<result<void>> drop_unsure_openings();
    /// What was handed on to this relay waits again: it hands its own records on to us, so that each
    /// would count on the other. How many.
    asio::awaitable<result<std::size_t>> take_back(std::string custodian);
    /// Numbers from now on, and the verdict numbers given to nodes below, belong to a new epoch. Does
    /// nothing if `present` is not the epoch any more. `why` goes to the ledger.
    asio::awaitable<result<void>> begin_epoch(epoch_id present, std::string why);
    /// The first record of the present epoch names this one of an earlier as the last that is known.
    asio::awaitable<result<void>> continue_from(epoch_id earlier, envelope::sequence at,
                                                digest manifest_hash);
    /// Erases up to 16 records opened longer than `keep` ago, both by the upstream's signed time and
    /// by the clock here where that is plausible; of our own only those that the newest custody
    /// statement of this process covers.
    asio::awaitable<result<std::size_t>> erase_due(milliseconds keep);

    // Operators.
    asio::awaitable<result<void>> hold(::titip::vault::key which);
    asio::awaitable<result<void>> release(::titip::vault::key which);
    asio::awaitable<result<void>> retry(::titip::vault::key which);
    /// Gives up an upload that is not complete, for an operator: `who_and_why` goes to the ledger. What
    /// had arrived is gone, the space free; its sender begins anew if it ever comes.
    /// errc::already_complete for anything else.
    asio::awaitable<result<void>> discard_for(::titip::vault::key which, std::string who_and_why);
    /// Uploads behind `after` whose newest byte came before `before`, out of a bounded number of rows;
    /// last_byte_at is not later than what is known of older rows. `next`: where to go on; none at the end.
    struct stalled_page {
        std::vector<record_view> found;
        std::optional<place> next;
    };
    asio::awaitable<result<stalled_page>> stalled(place after, wall_time before);
    /// Of those set aside after `after` (nothing: from the first on) a bounded part.
    asio::awaitable<result<retried>> retry_set_aside(retry_filter which,
                                                     std::optional<place> after);
    /// What version 1 of the upstream set aside for a fault that was no record's waits again, each record
    /// once, and goes behind all others. For an upstream that says a later one: does nothing if it
    /// was done for that.
    asio::awaitable<result<void>> free_set_aside(unsigned protocol);
    /// All that is kept of findings about a station, also acknowledged and settled ones, by number.
    asio::awaitable<result<std::vector<kept_finding>>> findings_about(std::string station);
    /// Ends the alarm of a finding; it stands again when it grows. One that is acknowledged already: as it
    /// is. errc::unknown: there is none of this number; errc::wrong_state: it has settled; errc::full: the
    /// store is still of format 1, for want of space.
    asio::awaitable<result<kept_finding>> acknowledge(std::uint64_t number, std::string by,
                                                      std::string why);
    asio::awaitable<result<void>> set_paused(bool paused);
    /// Certificates that are shut out for good, with an entry in the ledger for each change. keep_revoked:
    /// errc::full at most_revoked; one that is kept already changes nothing. forget_revoked: errc::unknown
    /// if it is not kept; `who_and_why` goes to the ledger.
    std::vector<revoked_certificate> revoked() const;
    asio::awaitable<result<void>> keep_revoked(revoked_certificate which);
    asio::awaitable<result<void>> forget_revoked(digest certificate, std::string who_and_why);
    /// Adds to what was sent on this day (of local time, since 1970) for records; another day than the
    /// last one begins anew. now() tells it.
    asio::awaitable<result<void>> note_sent(std::int64_t day, std::uint64_t size_bytes);
    asio::awaitable<result<void>> note_started();
    asio::awaitable<result<void>> note_outage(bool began, std::string layer, milliseconds duration);
    /// errc::contradicts: a verdict holds that excludes this one, and `replaces` is false.
    asio::awaitable<result<bytes>> judge(::titip::vault::key which, digest of,
                                         envelope::verdict_kind kind, bool replaces = false);
    /// Counts the records on which somebody has to do something; from then on totals has how many.
    asio::awaitable<result<void>> count_needs_person();
    asio::awaitable<result<std::vector<record_view>>>
    list(list_filter filter, std::optional<place> after, std::size_t limit);
    /// Every station's record of this id: one, but for ids that two stations chose alike.
    asio::awaitable<result<std::vector<record_view>>> show(record_id record);
    asio::awaitable<result<outgoing>> manifest_of(::titip::vault::key which);
    /// The upstream's receipt if there is one, else the one that we gave.
    asio::awaitable<result<bytes>> receipt_of(::titip::vault::key which);
    asio::awaitable<result<std::vector<ledger_entry>>> ledger(std::uint64_t after,
                                                              std::size_t limit);
    asio::awaitable<result<std::vector<ledger_entry>>> story(record_id record);
    /// The oldest record that waits, not held; zero if none does.
    asio::awaitable<result<wall_time>> oldest_waiting();
    /// Since when the oldest of those is relayed that were accepted first; zero if none is, or as long
    /// as it has not been found: each call looks a little further.
    asio::awaitable<result<wall_time>> oldest_relayed();

    /// Counts, sums, numbers, chain, heads, queue and indexes, each made anew from the rows and
    /// compared with what the journal says; every difference in a sentence. Envelopes are not read.
    asio::awaitable<result<std::vector<std::string>>> audit();
    /// The audit, LMDB's own pages, and the bytes of every record, beside the work: no read
    /// transaction is open for longer than one look at all rows takes. See examine.hpp.
    asio::awaitable<void> examine(std::function<void(const remark&)> told);

    /// A copy of the newest commit into a new file of `folder`, synced, and beside it, last, a file
    /// that says what it is; see backup. Opening the copy as a store begins a new epoch. Pages that
    /// are freed meanwhile are not used again before its end, so it is given up where its disk takes
    /// nothing for copy_patience, or the store needs the space; a disk that hangs holds up neither
    /// the store nor its end. One at a time.
    asio::awaitable<result<backup, backup_failure>>
    back_up(std::filesystem::path folder, std::shared_ptr<backup_progress> watched);

    /// As of the newest commit, without touching the disk.
    totals now() const;
    epoch_id epoch() const;
    std::uint64_t quota_bytes() const noexcept;

    /// `passed` is called by the writer thread when it comes round; it must not block.
    void knock(std::function<void()> passed);
    /// How long the disk has had the writer wait for one commit: now, and the longest of the last hour.
    struct disk_waits {
        milliseconds now{};
        milliseconds slowest{};
    };
    disk_waits disk() const noexcept;
    /// Told on `executor` after each commit, in order, until replaced.
    void on_change(asio::any_io_executor executor, std::function<void(const change&)> told);
    void replace_identity(std::shared_ptr<const trust::identity> identity);

private:
    struct parts;
    explicit store(std::unique_ptr<parts> p);
    template <class T, class Act>
    asio::awaitable<result<T>> commit(Act act, std::size_t weight_bytes, bool is_urgent);
    template <class T, class Look>
    asio::awaitable<result<T>> look(Look look);
    asio::awaitable<result<void>> note_backup(std::string file);
    /// By whose statement a finding shows.
    struct shown_by {
        std::string told_by;
        bytes proof;
    };
    asio::awaitable<result<void>> send_lost_again(std::shared_ptr<const envelope::custody> held,
                                                  trust::role by, shown_by shown);
    asio::awaitable<result<void>> add_relayed(std::shared_ptr<const envelope::custody> held,
                                              std::set<::titip::vault::key> asked,
                                              std::vector<placed>& covered);
    std::unique_ptr<parts> parts_;
};

} // namespace titip::journal
