#pragma once

#include "journal/database.hpp"
#include "journal/types.hpp"

#include <titip/v1/journal.pb.h>

#include <stdexcept>

/// How rows lie in LMDB: eight bytes of XXH3-64 (seeded with the table, so that a row in the wrong
/// table or under the wrong key is noticed), then protobuf. Private to this room.
namespace titip::journal {

enum class seed : std::uint64_t { meta = 1, row, numbering, verdict, entry, chunk, finding };

/// Stored bytes are not what was written. A row or chunk costs only its record; any other table is
/// an index that all records stand on, and then the store cannot be trusted.
class rotten_row : public std::runtime_error {
public:
    rotten_row(seed kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
    bool concerns_one_record() const noexcept { return kind_ == seed::row || kind_ == seed::chunk; }

private:
    seed kind_;
};

std::uint64_t checksum(seed kind, bytes_view key, bytes_view data);

bytes seal_row(seed kind, bytes_view key, const google::protobuf::MessageLite& message);
/// Throws rotten_row.
void open_row(seed kind, bytes_view key, bytes_view stored, google::protobuf::MessageLite& message);

/// The CMS of a stored verdict. Throws rotten_row.
bytes_view open_verdict(bytes_view key, bytes_view stored);

inline key_builder place_key(place p)
{
    return key_builder{}.u64(static_cast<std::uint64_t>(p));
}
inline key_builder id_key(const vault::key& k)
{
    return key_builder{}.text(k.station).raw(k.record.data());
}
inline key_builder numbering_key(std::string_view station, const epoch_id& epoch)
{
    return key_builder{}.text(station).raw(epoch.data());
}
inline key_builder sequence_key(std::string_view station, const epoch_id& epoch, std::uint64_t n)
{
    return key_builder{}.text(station).raw(epoch.data()).u64(n);
}
inline key_builder verdict_key(std::string_view station, std::uint64_t n)
{
    return key_builder{}.text(station).u64(n);
}
inline key_builder queue_key(envelope::lane l, place p)
{
    return key_builder{}.u8(static_cast<std::uint8_t>(l)).u64(static_cast<std::uint64_t>(p));
}
inline key_builder opened_key(std::int64_t opened_ms, place p)
{
    return key_builder{}
        .u64(static_cast<std::uint64_t>(opened_ms))
        .u64(static_cast<std::uint64_t>(p));
}

/// All tables of the environment.
struct tables {
    table meta, rows, chunks, by_id, by_sequence, queue, numbering, verdicts, ledger, opened;
    std::optional<table> findings; ///< from format 2 on
};

constexpr std::int64_t day_ms = 24 * 3'600 * 1'000;

/// Makes those that are not there, but `findings`.
tables open_tables(transaction& txn);
table make_findings_table(transaction& txn);
/// Throws MDB_NOTFOUND, with its name, for one that is not there, but `findings`.
tables find_tables(const transaction& txn);

/// Pages of all tables but that of the envelopes.
std::uint64_t row_bytes(const transaction& txn, const tables& t);
/// Pages of all tables, and of LMDB's own; what else the file has is free to be used again. Counts that
/// LMDB keeps: free_pages() walks its list.
std::uint64_t used_bytes(const transaction& txn, const tables& t);

/// Protobuf keeps bytes in strings.
inline std::string text(bytes_view data)
{
    return std::string{as_text(data)};
}

inline bool is_in_queue(const v1::Row& row)
{
    return row.state() == v1::WAITING && !row.held();
}

/// Whether OPENED is among its verdicts, and was said by the centre's store whose answers come now:
/// another one may never have opened it. Of a store that has heard of none: whether it was said.
bool is_opened_above(const v1::Meta& meta, const v1::Row& row);

/// What a record adds to the sum of its state.
inline std::uint64_t counted_bytes(const v1::Row& row)
{
    return row.state() == v1::ERASED     ? 0
           : row.state() == v1::ARRIVING ? row.stored_bytes()
                                         : row.size_bytes();
}

inline envelope::lane lane_of(const v1::Row& row)
{
    return static_cast<envelope::lane>(row.lane());
}

/// Record id, sequence, size: so that a start, and each reconcile, reads the queue and not the row
/// of each record in it. Rows lie far apart: 20,000 of them are 4 s from a cold disk. One more byte: it
/// goes last.
inline key_builder queue_value(const v1::Row& row)
{
    key_builder out;
    out.raw(as_bytes(row.record_id())).u64(row.sequence()).u64(row.size_bytes());
    if (row.goes_last())
        out.u8(1);
    return out;
}
/// Whatever the bytes are: these have no checksum, and the row has the last word.
queued read_queued(const cursor::entry& each);

/// All verdicts on it, in the centre's order. Of rows of a version that kept no numbers: as they came.
std::vector<judgement> judgements_of(const v1::Row& row);
void set_judgements(v1::Row& row, const std::vector<judgement>& all);
/// Those that hold: of the kinds that count, what no later one overrules.
std::vector<envelope::verdict_kind> standing_of(const v1::Row& row);

vault::key key_of(const v1::Row& row);
record_view to_view(place at, const v1::Row& row);
state to_state(v1::State s);
v1::State to_proto(state s);

std::optional<v1::Row> find_row(const transaction& txn, const tables& t, place at);
/// Nothing also for a row that is rotten: where one bad record must not hide the others.
std::optional<v1::Row> find_good_row(const transaction& txn, const tables& t, place at);
std::optional<place> find_place(const transaction& txn, const tables& t, const vault::key& k);

struct found_row {
    place at{};
    v1::Row row;
};
/// Throws rotten_row where by_id, whose entries have no checksum, leads to the row of another record.
std::optional<found_row> find_record(const transaction& txn, const tables& t, const vault::key& k);
void require_row_of(const vault::key& k, const v1::Row& row);

/// One of a station's epochs here.
struct known_epoch {
    epoch_id epoch;
    v1::Numbering numbering;
};
/// Their heads only: where the spans lie spans.hpp says.
std::vector<known_epoch> epochs_of(const transaction& txn, const tables& t,
                                   std::string_view station);
/// 0: there is none.
std::uint64_t newest_verdict_of(const transaction& txn, const tables& t, std::string_view station);

} // namespace titip::journal
