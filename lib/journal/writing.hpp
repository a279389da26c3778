#pragma once

#include "journal/chunks.hpp"
#include "journal/findings.hpp"
#include "journal/revoked.hpp"
#include "journal/rows.hpp"
#include "journal/space.hpp"
#include "journal/spans.hpp"
#include "trust/identity.hpp"
#include "vault/limit.hpp"

#include <memory>

/// What can be done to the journal, each within one write transaction that others share (group
/// commit). Every operation reads and decides first and writes after, so that one that refuses has
/// changed nothing. In arrivals.cpp how records come in, in steps.cpp what becomes of them, in
/// writing.cpp what both stand on. Private to this room; the writer thread only.
namespace titip::journal {

/// What the operations need beside the transaction.
struct surroundings {
    std::string node;
    bool has_upstream = false;
    std::shared_ptr<const trust::identity> identity;
};

class writing {
public:
    writing(transaction& txn, const tables& t, v1::Meta& meta, const surroundings& around,
            space& room, wall_time now);

    result<acceptance> accept(const submission& offered);
    result<void> keep(const vault::offer& what, std::uint64_t offset, bytes_view data);
    result<bytes> complete(const vault::offer& what, std::uint64_t offset, bytes_view rest);
    /// `detail`: by whom and why, where it is not the sender.
    result<void> discard(const vault::key& which, std::string_view detail = {});

    /// The next custodian's receipt: overrides hold, quarantine and withdrawal, because the truth
    /// is what is held where. errc::loop: its signer is the relay that brought the record, and so
    /// counts on us.
    result<void> settle(place at, const envelope::receipt& said, const bytes& cms,
                        const trust::peer& by);
    result<std::uint32_t> count_failure(place at);
    result<void> quarantine(place at, reason why, std::string_view note);
    /// See store::note_rot.
    result<void> note_rot(place at);
    /// The same for a waiting record whose row is rotten: the row stays, the queue is rid of it.
    result<void> quarantine_unreadable(place at);
    /// See store::repair and store::restore. `of`: the digest of `envelope`.
    result<void> begin_repair(place at, const digest& of, std::uint64_t size_bytes);
    result<void> repair(place at, bytes_view envelope);
    result<place> restore(const vault::offer& what, bytes_view envelope, bytes_view receipt_given);
    result<void> set_held(const vault::key& which, bool held);
    result<void> retry(const vault::key& which);
    result<void> retry_at(place at);
    /// See store::free_set_aside. False: it is not one of those.
    bool free_for_try(place at);
    void note_freed(std::uint32_t protocol, std::uint64_t records);
    /// Handed on once, and no longer held by whom it was handed to: it waits again. Its receipt stays
    /// in the row until there is another. What was found when it was opened there does not count any
    /// more: it has to be opened again.
    void send_again(place at, trust::role said_by);
    /// Handed on to this relay, which hands its own on to us: it waits again.
    bool take_back(place at, std::string_view custodian);
    /// A verdict from upstream, out of the store of this epoch; one for a record that is not here, or
    /// not readable, is kept in the ledger only.
    void take_verdict(const told_verdict& told, const epoch_id& store_epoch);
    /// The centre's store whose answers come from now on.
    void note_centre(const epoch_id& store_epoch);
    /// Why `opened` may not be so any more.
    enum class doubt {
        other_store,     ///< the centre's present one did not say it
        earlier_version, ///< it took a verdict from before the centre's loss for one of after it
    };
    /// Takes it back if the doubt holds of the row: it is delivered, or waits as it did. Whether it did.
    bool take_opening_back(place at, doubt why);
    /// All verdicts come again, from the first on.
    void forget_cursor() { meta_.clear_verdict_cursor(); }
    void set_cursor(const epoch_id& store_epoch, std::uint64_t number);
    void note_custody(const bytes& cms, wall_time signed_at);
    /// Settles the gaps of which this says that all is held.
    void settle_gaps(const envelope::custody& held);
    /// At the centre: signs and keeps a verdict. errc::conflict if the record here has another
    /// digest; errc::contradicts, unless `replaces`, if one holds that excludes it.
    result<bytes> judge(const vault::key& which, const digest& of, envelope::verdict_kind kind,
                        bool replaces);
    result<void> erase(place at);
    /// Erases what the table of opened records names, if it still may be (see may_be_erased); false, and
    /// never again, if its row is rotten.
    bool erase_due(std::int64_t opened_ms, place at, const envelope::custody* held);
    void set_paused(bool paused);
    /// See store::keep_revoked and store::forget_revoked.
    result<void> keep_revoked(const revoked_certificate& which);
    result<void> forget_revoked(const digest& certificate, std::string_view who_and_why);
    void note_sent(std::int64_t day, std::uint64_t size_bytes);
    void continue_from(const epoch_id& earlier, envelope::sequence at, const digest& manifest_hash);
    /// Nothing if `present` is not the epoch any more.
    void begin_epoch(const epoch_id& present, std::string_view why);
    /// The same because of what the upstream signed: at most once a day, as any custodian may sign.
    void begin_epoch_as_told(const epoch_id& present, std::string_view why);
    void note(v1::Entry::Event event, std::string_view detail, milliseconds duration = {});
    /// See station_findings.
    void add_finding(const notice& one);
    result<kept_finding> acknowledge(std::uint64_t number, std::string_view by,
                                     std::string_view why);
    /// What stands, if these operations changed it.
    std::optional<standing_findings> changed_findings() const;

    /// Stores what the operations changed beside rows; last before the commit.
    void finish();
    std::vector<change> take_changes() { return std::move(changes_); }

    bool has_room(std::uint64_t weight_bytes);
    const std::vector<std::pair<std::string, std::uint64_t>>& new_verdicts() const
    {
        return new_verdicts_;
    }

private:
    v1::Row row_at(place at) const;
    /// Where by_id led to the place: it has no checksum.
    v1::Row row_at(place at, const vault::key& of) const;
    result<std::pair<place, v1::Row>> row_of(const vault::key& which) const;
    /// errc::rotten where row_of() throws: among many, one bad record must not hold up the others.
    result<std::pair<place, v1::Row>> good_row_of(const vault::key& which) const;
    void store_row(place at, const v1::Row& row);
    void count(const v1::Row& row, int sign);
    /// Stores `after` in place of `before`: tallies, queue and retention follow the state.
    void replace(place at, const v1::Row& before, v1::Row after);
    void enter(v1::Entry::Event event, place at, const v1::Row& row, std::string_view detail = {});
    static placing placing_of(const v1::Row& row, const digest& previous);
    void add_number(const v1::Row& row, place at, const digest& previous);
    /// Whether the station may begin another incomplete record; one of its own that has stood still
    /// for long is given up for it.
    bool make_way_for_arriving(const std::string& station);
    void give_up(place at, const v1::Row& row, std::string_view detail);
    void note_arriving(const std::string& station, place at, std::uint64_t stored_bytes);
    void note_arrived(const std::string& station, place at);
    /// Whether the node is nearly full, and the station has a large share of it.
    bool is_over_share(const std::string& station) const;
    static std::uint64_t weight_of(const v1::Row& row) noexcept;
    /// What a station from below has here.
    void weigh(const std::string& station, std::uint64_t more, std::uint64_t less);
    void tally(const v1::Row& row, int sign);
    v1::Row row_from(const vault::offer& what) const;
    /// Stores what changed; the rows of one station.
    void put(const station_findings& about, std::string_view station);

    transaction& txn_;
    const tables& t_;
    v1::Meta& meta_;
    const surroundings& around_;
    space& space_;
    wall_time now_;
    std::vector<change> changes_;
    bool are_findings_changed_ = false;
    std::vector<std::pair<std::string, std::uint64_t>> new_verdicts_;
};

/// Whether another record of so many bytes would be taken: the quota, and then the disk or pages
/// that erasing freed inside the file. Tops the reserve up.
bool finds_room(MDB_env* environment, space& room, const v1::Meta& meta,
                std::uint64_t weight_bytes);

/// How much there is, and whether a record like the one that was refused last would be taken.
struct standing_room {
    capacity room;
    bool has_room = true;
};
standing_room look_for_room(MDB_env* environment, const tables& t, space& room,
                            const v1::Meta& meta);

/// trust::judge::certain() for what this store has taken in.
wall_time certain_time(wall_time newest_signed, wall_time clock) noexcept;

/// Adds to the day of `now`, and forgets all but the `most_days` that end with it: also days to
/// come, which a clock that was ahead has left.
void count_day(v1::Meta& meta, wall_time now, std::uint64_t accepted_bytes,
               std::uint64_t erased_bytes);

/// Row, index entries and ledger of a record, generously.
constexpr std::uint64_t row_weight_bytes = 8'192;

std::string_view to_string(v1::Entry::Event event) noexcept;
std::uint64_t live_bytes(const v1::Meta& meta) noexcept;
v1::Meta::Tally& tally_of(v1::Meta& meta, state s);
vault::finding to_finding(const v1::Finding& stored);
/// What is larger is not kept in Meta, which every commit rewrites. Nothing here reads it again: it is
/// what the centre signed, should somebody ask.
constexpr std::size_t most_custody_bytes = 16u << 10; // some 300 ranges
void bound_custody(v1::Meta& meta);

} // namespace titip::journal
