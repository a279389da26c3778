#pragma once

#include "journal/rows.hpp"

/// Which numbers of a station were ever complete here. In the table of numberings, each span has a key
/// of its own behind its epoch's, so that a record in order touches one span, whatever holes there are.
/// Behind the epochs of a station lies what is counted of it. Private to this room.
///
///     station, epoch             the head (Numbering); in stores of before with all spans in it
///     station, epoch, first      one span
///     station, 16 x ff, 1        the station's Account
///
/// An epoch's row of before is read as ever, and split in the transaction that next adds a number to it:
/// the row and its parts are never both there. A program of before would take a row that was split for
/// one of an epoch without records: so Meta.format has to say 2 before the first is.
namespace titip::journal {

/// A record that would open a further span is refused above these, for a custody statement names
/// each: 36,864 spans of 85 bytes and less are below the 4 MiB that a node below reads. An honest
/// sender in order goes on with the last span; of 65,536 records that wait, sent in the worst order
/// of lanes, every second one opens a span.
constexpr std::uint64_t most_spans = 32'768;
/// Each may have its first span, though the station has as many spans as it may: that is a store that
/// was put back, at most one a day.
constexpr std::uint64_t most_epochs = 4'096;

/// One record's place in the numbering.
struct placing {
    std::string station;
    epoch_id epoch;
    std::uint64_t sequence = 0;
    digest previous{};
    digest hash{};
};

/// False: it would open a span too many. Splits the epoch's row if that is one of before.
bool may_add_number(transaction& txn, const tables& t, const placing& what);
/// `what` was not there before.
void add_number(transaction& txn, const tables& t, const placing& what);

/// Epochs with all their spans, ascending.
std::vector<known_epoch> epochs_with_spans_of(const transaction& txn, const tables& t,
                                              std::string_view station);

key_builder account_key(std::string_view station);
/// Its epochs and spans may not be counted yet (`is_counted`).
v1::Account read_account(const transaction& txn, const tables& t, std::string_view station);
void write_account(transaction& txn, const tables& t, std::string_view station,
                   const v1::Account& account);

/// What a key of the table of numberings says; nothing for one that is none.
struct numbering_place {
    enum class kind { epoch, span, account };
    kind what{};
    std::string_view station;
    epoch_id epoch;
    std::uint64_t first = 0; ///< of a span
};
std::optional<numbering_place> read_numbering_key(bytes_view key);

} // namespace titip::journal
