#include "journal/rows.hpp"

#include "journal/spans.hpp"

#include "base/digest.hpp"
#include "base/line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace titip::journal {

namespace {

constexpr std::size_t epoch_bytes = 16;

constexpr std::array<std::string_view, state_count> state_names{
    "",       "arriving", "waiting",     "relayed",  "delivered",
    "opened", "erased",   "quarantined", "withdrawn"};
constexpr std::array<std::string_view, 10> reason_names{
    "none",     "rotten",   "refused",     "too-large",    "conflict",
    "not-ours", "mismatch", "open-failed", "not-believed", "revoked"};

} // namespace

std::string_view to_string(state s) noexcept
{
    return state_names[static_cast<std::size_t>(s)];
}

std::optional<state> parse_state(std::string_view text) noexcept
{
    for (std::size_t i = 1; i < state_names.size(); ++i)
        if (state_names[i] == text)
            return static_cast<state>(i);
    return std::nullopt;
}

std::string_view to_string(reason r) noexcept
{
    return reason_names[static_cast<std::size_t>(r)];
}

std::optional<reason> parse_reason(std::string_view text) noexcept
{
    for (std::size_t i = 1; i < reason_names.size(); ++i)
        if (reason_names[i] == text)
            return static_cast<reason>(i);
    return std::nullopt;
}

state to_state(v1::State s)
{
    return static_cast<state>(s);
}
v1::State to_proto(state s)
{
    return static_cast<v1::State>(s);
}

std::uint64_t checksum(seed kind, bytes_view key, bytes_view data)
{
    const auto seeded =
        XXH3_64bits_withSeed(key.data(), key.size(), static_cast<XXH64_hash_t>(kind));
    return XXH3_64bits_withSeed(data.data(), data.size(), seeded);
}

bytes seal_row(seed kind, bytes_view key, const google::protobuf::MessageLite& message)
{
    bytes out(sizeof(std::uint64_t) + message.ByteSizeLong());
    message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data() + 8));
    const auto sum = checksum(kind, key, bytes_view{out}.subspan(8));
    std::memcpy(out.data(), &sum, sizeof sum);
    return out;
}

void open_row(seed kind, bytes_view key, bytes_view stored, google::protobuf::MessageLite& message)
{
    std::uint64_t sum = 0;
    if (stored.size() >= sizeof sum) {
        std::memcpy(&sum, stored.data(), sizeof sum);
        const auto body = stored.subspan(sizeof sum);
        if (checksum(kind, key, body) == sum &&
            message.ParseFromArray(body.data(), static_cast<int>(body.size())))
            return;
    }
    throw rotten_row(
        kind, fmt::format("{} {} does not match its checksum", message.GetTypeName(), to_hex(key)));
}

namespace {

constexpr auto findings_name = "findings";

tables tables_of(const transaction& txn, unsigned flags)
{
    const auto open = [&txn, flags](const char* name) {
        table out;
        if (const int code = mdb_dbi_open(txn.native_handle(), name, flags, &out.handle))
            throw boost::system::system_error(code, lmdb_category(), name);
        return out;
    };
    table findings;
    const int code = mdb_dbi_open(txn.native_handle(), findings_name, 0, &findings.handle);
    if (code != MDB_NOTFOUND)
        check(code);
    return {.meta = open("meta"),
            .rows = open("rows"),
            .chunks = open("chunks"),
            .by_id = open("by_id"),
            .by_sequence = open("by_sequence"),
            .queue = open("queue"),
            .numbering = open("numbering"),
            .verdicts = open("verdicts"),
            .ledger = open("ledger"),
            .opened = open("opened"),
            .findings = code == MDB_NOTFOUND ? std::nullopt : std::optional{findings}};
}

} // namespace

tables open_tables(transaction& txn)
{
    return tables_of(txn, MDB_CREATE);
}

table make_findings_table(transaction& txn)
{
    table out;
    check(mdb_dbi_open(txn.native_handle(), findings_name, MDB_CREATE, &out.handle));
    return out;
}

tables find_tables(const transaction& txn)
{
    return tables_of(txn, 0);
}

std::uint64_t row_bytes(const transaction& txn, const tables& t)
{
    std::uint64_t out = 0;
    for (const auto each : {t.meta, t.rows, t.by_id, t.by_sequence, t.queue, t.numbering,
                            t.verdicts, t.ledger, t.opened})
        out += txn.size_bytes(each);
    if (t.findings)
        out += txn.size_bytes(*t.findings);
    return out;
}

std::uint64_t used_bytes(const transaction& txn, const tables& t)
{
    constexpr std::uint64_t meta_pages = 2;
    constexpr table free_list{0};
    constexpr table names{1};
    return row_bytes(txn, t) + txn.size_bytes(t.chunks) + txn.size_bytes(free_list) +
           txn.size_bytes(names) + meta_pages * lmdb_page_bytes;
}

bytes_view open_verdict(bytes_view key, bytes_view stored)
{
    std::uint64_t sum = 0;
    if (stored.size() >= sizeof sum) {
        std::memcpy(&sum, stored.data(), sizeof sum);
        if (checksum(seed::verdict, key, stored.subspan(sizeof sum)) == sum)
            return stored.subspan(sizeof sum);
    }
    throw rotten_row(seed::verdict, "a verdict does not match its checksum");
}

queued read_queued(const cursor::entry& each)
{
    queued out{.place = place{read_u64(each.key.subspan(1))},
               .lane = static_cast<envelope::lane>(each.key[0])};
    constexpr auto plain = record_id::size_bytes + 2 * sizeof(std::uint64_t);
    if (each.value.size() == plain || each.value.size() == plain + 1) {
        out.record =
            record_id::from_bytes(each.value.first(record_id::size_bytes)).value_or(record_id{});
        out.sequence = read_u64(each.value.subspan(record_id::size_bytes));
        out.size_bytes =
            read_u64(each.value.subspan(record_id::size_bytes + sizeof(std::uint64_t)));
        out.goes_last = each.value.size() > plain;
    }
    return out;
}

bool is_opened_above(const v1::Meta& meta, const v1::Row& row)
{
    const auto& verdicts = row.verdicts();
    if (std::ranges::find(verdicts, static_cast<int>(v1::OPENED)) == verdicts.end())
        return false;
    const auto& by = row.opened_by().empty() ? meta.opened_before() : row.opened_by();
    return meta.centre_epoch().empty() || by == meta.centre_epoch();
}

vault::key key_of(const v1::Row& row)
{
    const auto id = record_id::from_bytes(as_bytes(row.record_id()));
    if (!id)
        throw rotten_row(seed::row, "a row without an id");
    return {row.station(), *id};
}

std::vector<judgement> judgements_of(const v1::Row& row)
{
    std::vector<judgement> out;
    for (const auto kind : row.verdicts())
        if (std::ranges::find(row.judgements(), kind, [](const auto& each) {
                return static_cast<int>(each.kind());
            }) == row.judgements().end())
            out.push_back({.kind = static_cast<envelope::verdict_kind>(kind)});
    for (const auto& each : row.judgements())
        out.push_back({.kind = static_cast<envelope::verdict_kind>(each.kind()),
                       .number = each.number(),
                       .epoch = each.epoch(),
                       .at = from_ms(each.at_ms())});
    return out;
}

void set_judgements(v1::Row& row, const std::vector<judgement>& all)
{
    row.clear_judgements();
    for (const auto& each : all) {
        auto& stored = *row.add_judgements();
        stored.set_kind(static_cast<v1::VerdictKind>(each.kind));
        stored.set_number(each.number);
        stored.set_epoch(each.epoch);
        stored.set_at_ms(to_ms(each.at));
    }
}

std::vector<envelope::verdict_kind> standing_of(const v1::Row& row)
{
    auto all = judgements_of(row);
    std::erase_if(all, [&row](const judgement& each) {
        return std::ranges::find(row.verdicts(), static_cast<int>(each.kind)) ==
               row.verdicts().end();
    });
    return standing(all);
}

record_view to_view(place at, const v1::Row& row)
{
    record_view out{.place = at, .key = key_of(row)};
    out.state = to_state(row.state());
    out.held = row.held();
    out.lane = static_cast<envelope::lane>(row.lane());
    out.epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{});
    out.sequence = row.sequence();
    out.size_bytes = row.size_bytes();
    out.digest = to_digest(as_bytes(row.digest())).value_or(digest{});
    out.stored_bytes = row.stored_bytes();
    out.taken_at = from_ms(row.taken_at_ms());
    out.accepted_at = from_ms(row.accepted_at_ms());
    out.delivered_at = from_ms(row.delivered_at_ms());
    out.opened_at = from_ms(row.opened_at_ms());
    out.erased_at = from_ms(row.erased_at_ms());
    out.last_byte_at = from_ms(row.last_byte_at_ms());
    out.rotten_at = from_ms(row.rotten_at_ms());
    out.record_failures = row.record_failures();
    out.reason = static_cast<reason>(row.quarantine());
    // An earlier version cut it anywhere, and could not read such a row again.
    out.note = to_line(row.quarantine_note(), row.quarantine_note().size());
    for (const auto each : row.verdicts())
        out.verdicts.push_back(static_cast<envelope::verdict_kind>(each));
    out.judgements = judgements_of(row);
    out.standing = standing_of(row);
    out.warnings.assign(row.warnings().begin(), row.warnings().end());
    out.receipt_by = row.receipt_by();
    out.brought_by = row.brought_by();
    return out;
}

std::optional<v1::Row> find_row(const transaction& txn, const tables& t, place at)
{
    const auto key = place_key(at);
    const auto stored = txn.get(t.rows, key);
    if (!stored)
        return std::nullopt;
    v1::Row row;
    open_row(seed::row, key, *stored, row);
    return row;
}

std::optional<v1::Row> find_good_row(const transaction& txn, const tables& t, place at)
{
    try {
        return find_row(txn, t, at);
    } catch (const rotten_row&) {
        return std::nullopt;
    }
}

std::optional<place> find_place(const transaction& txn, const tables& t, const vault::key& k)
{
    const auto stored = txn.get(t.by_id, id_key(k));
    if (!stored)
        return std::nullopt;
    return place{read_u64(*stored)};
}

std::optional<found_row> find_record(const transaction& txn, const tables& t, const vault::key& k)
{
    const auto at = find_place(txn, t, k);
    auto row = at ? find_row(txn, t, *at) : std::nullopt;
    if (!row)
        return std::nullopt;
    require_row_of(k, *row);
    return found_row{*at, *std::move(row)};
}

void require_row_of(const vault::key& k, const v1::Row& row)
{
    if (key_of(row) != k)
        throw rotten_row(seed::row, "by_id leads to the row of another record");
}

std::vector<known_epoch> epochs_of(const transaction& txn, const tables& t,
                                   std::string_view station)
{
    std::vector<known_epoch> out;
    cursor walk{txn, t.numbering};
    for (auto each = walk.seek(key_builder{}.text(station)); each;) {
        const auto at = read_numbering_key(each->key);
        if (!at || at->station != station)
            break;
        if (at->what == numbering_place::kind::span) { // behind all of this epoch
            const auto past = std::numeric_limits<std::uint64_t>::max();
            each = walk.seek(numbering_key(station, at->epoch).u64(past).u8(0));
            continue;
        }
        if (at->what == numbering_place::kind::epoch) {
            out.emplace_back().epoch = at->epoch;
            open_row(seed::numbering, each->key, each->value, out.back().numbering);
        }
        each = walk.next();
    }
    return out;
}

std::uint64_t newest_verdict_of(const transaction& txn, const tables& t, std::string_view station)
{
    station_cursor walk{txn, t.verdicts, station, sizeof(std::uint64_t)};
    const auto newest = walk.last();
    return newest ? read_u64(newest->key.last(8)) : 0;
}

} // namespace titip::journal
