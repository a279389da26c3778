#include "envelope/statement.hpp"

#include "base/name.hpp"
#include "envelope/seal.hpp"

#include <titip/v1/statement.pb.h>

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <array>

namespace titip::envelope {

namespace {

constexpr std::array lanes{lane::urgent, lane::ordinary, lane::bulk};
constexpr std::array verdict_kinds{verdict_kind::opened, verdict_kind::print_ready,
                                   verdict_kind::duplicate, verdict_kind::enrollment_failure,
                                   verdict_kind::open_failed};

template <class Enum, std::size_t N>
std::optional<Enum> parse(const std::array<Enum, N>& all, std::string_view text) noexcept
{
    const auto found = std::ranges::find(all, text, [](Enum e) { return to_string(e); });
    if (found == all.end())
        return std::nullopt;
    return *found;
}

std::string to_field(bytes_view data)
{
    return std::string{as_text(data)};
}

void write(const manifest& from, v1::Statement& to)
{
    auto& out = *to.mutable_manifest();
    out.set_record_id(to_field(from.record.data()));
    out.set_station(from.station);
    out.set_epoch(to_field(from.epoch.data()));
    out.set_sequence(number(from.at));
    out.set_taken_at_ms(to_ms(from.taken_at));
    out.set_lane(static_cast<v1::Lane>(from.lane));
    out.set_size_bytes(from.size_bytes);
    out.set_digest(to_field(from.digest));
    out.set_previous(to_field(from.previous));
    if (from.previous_epoch) {
        out.set_previous_epoch(to_field(from.previous_epoch->epoch.data()));
        out.set_previous_sequence(number(from.previous_epoch->at));
        if (from.previous_epoch->hash != digest{})
            out.set_previous_head(to_field(from.previous_epoch->hash));
    }
}

void write(const receipt& from, v1::Statement& to)
{
    auto& out = *to.mutable_receipt();
    out.set_record_id(to_field(from.record.data()));
    out.set_station(from.station);
    out.set_epoch(to_field(from.epoch.data()));
    out.set_sequence(number(from.at));
    out.set_digest(to_field(from.digest));
    out.set_size_bytes(from.size_bytes);
    out.set_manifest_hash(to_field(from.manifest_hash));
    out.set_held_at_ms(to_ms(from.held_at));
}

void write(const custody& from, v1::Statement& to)
{
    auto& out = *to.mutable_custody();
    out.set_station(from.station);
    out.set_at_ms(to_ms(from.at));
    for (const auto& epoch : from.epochs) {
        auto& added = *out.add_epochs();
        added.set_epoch(to_field(epoch.epoch.data()));
        for (const auto& each : epoch.ranges) {
            auto& range = *added.add_ranges();
            range.set_first(number(each.first));
            range.set_last(number(each.last));
            range.set_last_hash(to_field(each.last_hash));
        }
    }
}

void write(const verdict& from, v1::Statement& to)
{
    auto& out = *to.mutable_verdict();
    out.set_record_id(to_field(from.record.data()));
    out.set_station(from.station);
    out.set_digest(to_field(from.digest));
    out.set_kind(static_cast<v1::VerdictKind>(from.kind));
    out.set_at_ms(to_ms(from.at));
}

void write(const withdrawal& from, v1::Statement& to)
{
    auto& out = *to.mutable_withdrawal();
    out.set_record_id(to_field(from.record.data()));
    out.set_station(from.station);
    out.set_epoch(to_field(from.epoch.data()));
    out.set_sequence(number(from.at));
    out.set_digest(to_field(from.digest));
    out.set_reason(from.reason);
    out.set_operator_id(from.operator_id);
    out.set_at_ms(to_ms(from.decided_at));
}

// Turns fields into values. What does not fit gives some value and makes good() false for ever,
// so that reading is a list without branches.
class field_reader {
public:
    bool good() const noexcept { return good_; }
    void require(bool holds) noexcept { good_ = good_ && holds; }

    record_id record(const std::string& field)
    {
        return or_fail(record_id::from_bytes(as_bytes(field)));
    }
    epoch_id epoch(const std::string& field)
    {
        return or_fail(epoch_id::from_bytes(as_bytes(field)));
    }
    titip::digest digest(const std::string& field) { return or_fail(to_digest(as_bytes(field))); }

    std::string station(const std::string& field)
    {
        require(is_node_name(field));
        return field;
    }

    sequence place(std::uint64_t field)
    {
        require(field != 0);
        return sequence{field};
    }

    std::uint64_t size_bytes(std::uint64_t field)
    {
        require(field != 0);
        return field;
    }

    wall_time time(std::int64_t field_ms)
    {
        require(field_ms > 0 && field_ms <= to_ms(last_time));
        return from_ms(field_ms);
    }

    std::string text(const std::string& field, std::size_t most_bytes)
    {
        require(!field.empty() && field.size() <= most_bytes);
        return field;
    }

    template <class Enum, std::size_t N>
    Enum one_of(const std::array<Enum, N>& all, int field)
    {
        const auto found =
            std::ranges::find(all, field, [](Enum e) { return static_cast<int>(e); });
        require(found != all.end());
        return found == all.end() ? Enum{} : *found;
    }

private:
    template <class T>
    T or_fail(std::optional<T> value)
    {
        require(value.has_value());
        return value.value_or(T{});
    }

    bool good_ = true;
};

manifest read(const v1::Manifest& from, field_reader& fields)
{
    manifest out;
    out.record = fields.record(from.record_id());
    out.station = fields.station(from.station());
    out.epoch = fields.epoch(from.epoch());
    out.at = fields.place(from.sequence());
    out.taken_at = fields.time(from.taken_at_ms());
    out.lane = fields.one_of(lanes, from.lane());
    out.size_bytes = fields.size_bytes(from.size_bytes());
    out.digest = fields.digest(from.digest());
    out.previous = fields.digest(from.previous());
    const bool is_first = out.at == sequence{1};
    fields.require(is_first == (out.previous == digest{}));
    if (!from.previous_epoch().empty())
        out.previous_epoch =
            head{fields.epoch(from.previous_epoch()), sequence{from.previous_sequence()}};
    fields.require(out.previous_epoch ? is_first : from.previous_sequence() == 0);
    if (!from.previous_head().empty()) {
        const auto hash = fields.digest(from.previous_head());
        fields.require(from.previous_sequence() > 0 && hash != digest{});
        if (out.previous_epoch)
            out.previous_epoch->hash = hash;
    }
    return out;
}

receipt read(const v1::Receipt& from, field_reader& fields)
{
    receipt out;
    out.record = fields.record(from.record_id());
    out.station = fields.station(from.station());
    out.epoch = fields.epoch(from.epoch());
    out.at = fields.place(from.sequence());
    out.digest = fields.digest(from.digest());
    out.size_bytes = fields.size_bytes(from.size_bytes());
    out.manifest_hash = fields.digest(from.manifest_hash());
    out.held_at = fields.time(from.held_at_ms());
    return out;
}

epoch_custody read(const v1::EpochCustody& from, field_reader& fields)
{
    epoch_custody out;
    out.epoch = fields.epoch(from.epoch());
    std::uint64_t before = 0;
    for (const auto& each : from.ranges()) {
        fields.require(each.first() > before && each.last() >= each.first());
        before = each.last();
        out.ranges.push_back(
            {sequence{each.first()}, sequence{each.last()}, fields.digest(each.last_hash())});
    }
    return out;
}

custody read(const v1::Custody& from, field_reader& fields)
{
    custody out;
    out.station = fields.station(from.station());
    out.at = fields.time(from.at_ms());
    for (const auto& each : from.epochs())
        out.epochs.push_back(read(each, fields));
    return out;
}

verdict read(const v1::Verdict& from, field_reader& fields)
{
    verdict out;
    out.record = fields.record(from.record_id());
    out.station = fields.station(from.station());
    out.digest = fields.digest(from.digest());
    out.kind = fields.one_of(verdict_kinds, from.kind());
    out.at = fields.time(from.at_ms());
    return out;
}

withdrawal read(const v1::Withdrawal& from, field_reader& fields)
{
    withdrawal out;
    out.record = fields.record(from.record_id());
    out.station = fields.station(from.station());
    out.epoch = fields.epoch(from.epoch());
    out.at = fields.place(from.sequence());
    out.digest = fields.digest(from.digest());
    out.reason = fields.text(from.reason(), reason_limit_bytes);
    out.operator_id = fields.text(from.operator_id(), operator_id_limit_bytes);
    out.decided_at = fields.time(from.at_ms());
    return out;
}

std::optional<statement> read(const v1::Statement& from, field_reader& fields)
{
    switch (from.kind_case()) {
    case v1::Statement::kManifest:
        return read(from.manifest(), fields);
    case v1::Statement::kReceipt:
        return read(from.receipt(), fields);
    case v1::Statement::kCustody:
        return read(from.custody(), fields);
    case v1::Statement::kVerdict:
        return read(from.verdict(), fields);
    case v1::Statement::kWithdrawal:
        return read(from.withdrawal(), fields);
    case v1::Statement::KIND_NOT_SET:
        break;
    }
    return std::nullopt;
}

} // namespace

std::string_view to_string(lane value) noexcept
{
    switch (value) {
    case lane::urgent:
        return "urgent";
    case lane::ordinary:
        return "ordinary";
    case lane::bulk:
        return "bulk";
    }
    return "unknown";
}

std::optional<lane> parse_lane(std::string_view text) noexcept
{
    return parse(lanes, text);
}

std::string_view to_string(verdict_kind value) noexcept
{
    switch (value) {
    case verdict_kind::opened:
        return "opened";
    case verdict_kind::print_ready:
        return "print-ready";
    case verdict_kind::duplicate:
        return "duplicate";
    case verdict_kind::enrollment_failure:
        return "enrollment-failure";
    case verdict_kind::open_failed:
        return "open-failed";
    }
    return "unknown";
}

std::optional<verdict_kind> parse_verdict_kind(std::string_view text) noexcept
{
    return parse(verdict_kinds, text);
}

bytes encode(const statement& value)
{
    v1::Statement message;
    std::visit([&](const auto& each) { write(each, message); }, value);
    bytes out(message.ByteSizeLong());
    message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data()));
    return out;
}

result<statement> decode(bytes_view data)
{
    const google::protobuf::LogSilencer quiet; // a peer's bytes do not write into our log
    v1::Statement message;
    if (data.size() > statement_limit_bytes ||
        !message.ParseFromArray(data.data(), static_cast<int>(data.size())))
        return errc::bad_statement;
    field_reader fields;
    auto out = read(message, fields);
    if (!out || !fields.good())
        return errc::bad_statement;
    return std::move(*out);
}

} // namespace titip::envelope
