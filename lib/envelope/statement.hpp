#pragma once

#include "base/digest.hpp"
#include "base/record_id.hpp"
#include "base/time.hpp"
#include "envelope/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What nodes say to each other (proto/titip/v1/statement.proto), as values. Encoding is protobuf
/// of one `Statement`; signing it is trust's business.
namespace titip::envelope {

/// Place of a record in its station's numbering: 1, 2, 3, ... without gaps. 0 is "none yet".
enum class sequence : std::uint64_t {};
constexpr std::uint64_t number(sequence s) noexcept
{
    return static_cast<std::uint64_t>(s);
}

enum class lane : std::uint8_t { urgent = 1, ordinary = 2, bulk = 3 };
std::string_view to_string(lane) noexcept;
std::optional<lane> parse_lane(std::string_view text) noexcept;

struct head {
    epoch_id epoch;
    sequence at{};
    titip::digest hash{}; ///< of the manifest there; all zero if that is not known
    friend bool operator==(const head&, const head&) = default;
};

struct manifest {
    record_id record;
    std::string station;
    epoch_id epoch;
    sequence at{};
    wall_time taken_at;
    envelope::lane lane = lane::ordinary;
    std::uint64_t size_bytes = 0;
    titip::digest digest{};
    titip::digest previous{}; ///< all zero for sequence 1
    std::optional<head> previous_epoch{};
    friend bool operator==(const manifest&, const manifest&) = default;
};

struct receipt {
    record_id record;
    std::string station;
    epoch_id epoch;
    sequence at{};
    titip::digest digest{};
    std::uint64_t size_bytes = 0;
    titip::digest manifest_hash{};
    wall_time held_at;
    friend bool operator==(const receipt&, const receipt&) = default;
};

struct held_range {
    sequence first{};
    sequence last{};
    titip::digest last_hash{};
    friend bool operator==(const held_range&, const held_range&) = default;
};

struct epoch_custody {
    epoch_id epoch;
    std::vector<held_range> ranges; ///< ascending, not overlapping
    friend bool operator==(const epoch_custody&, const epoch_custody&) = default;
};

struct custody {
    std::string station;
    wall_time at;
    std::vector<epoch_custody> epochs;
    friend bool operator==(const custody&, const custody&) = default;
};

enum class verdict_kind : std::uint8_t {
    opened = 1,
    print_ready = 2,
    duplicate = 3,
    enrollment_failure = 4,
    open_failed = 5,
};
/// "opened", "print-ready", "duplicate", "enrollment-failure", "open-failed".
std::string_view to_string(verdict_kind) noexcept;
std::optional<verdict_kind> parse_verdict_kind(std::string_view text) noexcept;

struct verdict {
    record_id record;
    std::string station;
    titip::digest digest{};
    verdict_kind kind{};
    wall_time at;
    friend bool operator==(const verdict&, const verdict&) = default;
};

struct withdrawal {
    record_id record;
    std::string station;
    epoch_id epoch;
    sequence at{};
    titip::digest digest{};
    std::string reason;
    std::string operator_id;
    wall_time decided_at;
    friend bool operator==(const withdrawal&, const withdrawal&) = default;
};

/// Bounds of what decode() takes. A custody statement of 100,000 ranges has 5 MB.
inline constexpr std::size_t statement_limit_bytes = 8u << 20;
inline constexpr std::size_t reason_limit_bytes = 500;
inline constexpr std::size_t operator_id_limit_bytes = 100;
/// 9999-12-31T23:59:59.999Z, the end of X.509's calendar too.
inline constexpr wall_time last_time = from_ms(253'402'300'799'999);

using statement = std::variant<manifest, receipt, custody, verdict, withdrawal>;

/// Checks nothing: what breaks the rules of decode() is encoded all the same, and refused there.
bytes encode(const statement& value);

/// errc::bad_statement for a missing or misshapen field, a name that is_node_name() refuses, text
/// that is empty, too long or not UTF-8, sequence 0, a time outside (1970-01-01, last_time], a size
/// of 0, a kind or lane that is not known here, ranges that are not ascending
/// or overlap, no kind of statement. In a manifest `previous` is zero for sequence 1 and only
/// there, and `previous_epoch` may stand only there; it may be at 0, an epoch in which nothing was
/// numbered, and then has no hash. How large an envelope may be is for accept::gate to say. Unknown fields are ignored: a
/// newer program may have added one.
result<statement> decode(bytes_view data);

/// What `previous` and `manifest_hash` hold: SHA-256 of the Statement bytes, not of the CMS around
/// them, since ECDSA is random.
inline digest hash_of(bytes_view statement_bytes)
{
    return sha256(statement_bytes);
}

} // namespace titip::envelope
