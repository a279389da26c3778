#pragma once

#include "base/bytes.hpp"
#include "base/digest.hpp"
#include "base/record_id.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Whether an enrollment (proto/titip/v1/enrollment.proto) is one that can be handed on.
namespace titip::enrollment {

/// One thing that is wrong with a record, or odd about it. Nothing in it repeats a value of the
/// citizen: it may be logged and shown.
struct defect {
    /// Stable, lower-case with dashes; programs may act on it. One of
    ///
    ///     not-an-enrollment    not protobuf, or empty; then it is the only one
    ///     too-many-biometrics  more entries than anyone has fingers: not looked at further
    ///     missing              a field that every record has is empty
    ///     not-utf8, too-long   of a text
    ///     bad-record-id, bad-time, bad-date, date-in-future, bad-digits, bad-citizenship
    ///     unknown-value        of an enum: 0, or none that this program knows
    ///     bad-nik, bad-nik-day, bad-nik-month, bad-nik-serial
    ///     biometric-missing    of a kind there is neither data nor a reason
    ///     biometric-repeated   more than one of a kind
    ///     no-reason, needless-reason, no-note, needless-format
    ///     bad-quality, wrong-format (for this kind)
    ///     bad-container, unknown-version, wrong-length, cut-off, padded, no-image
    ///
    /// and as warnings only:
    ///
    ///     nik-region-differs, nik-sex-differs, nik-birth-date-differs
    ///     taken-at-odd         the capture set's clock is wrong, or the record comes late
    ///     nik-seen-before      the acceptor's: a record of this NIK was taken here before
    ///     blank                a text of spaces only, or a name without a letter
    ///     odd-reason           a recording is missing for a reason that does not fit it
    ///     nothing-recorded     every recording is excused
    ///     nothing-to-compare   every finger and both irises are
    ///     same-image           two recordings are the same bytes
    ///     tiny-image, blank-image
    std::string code;
    std::string field;    ///< a path into the schema: "biodata.nik", "biometrics[3].data"
    std::string sentence; ///< English, for a clerk
};

/// The numbers are those of proto Lane.
enum class lane : std::uint8_t { urgent = 1, ordinary = 2, bulk = 3 };

/// What the machine that takes a record knows of the time: what the capture set says of it is
/// compared with that. A wrong clock is told as one, and not as a fault of the citizen's papers.
struct known_time {
    wall_time from;      ///< it is not before this for certain
    wall_time until;     ///< nor after this, with what is known here
    bool is_clock{true}; ///< `until` is what the clock here says, rather than a bound far away
};

/// How far what a record says of its time may be from what is known without a warning.
inline constexpr milliseconds odd_after = 24h;

struct checked {
    record_id id;
    wall_time taken_at;
    std::optional<enrollment::lane> lane; ///< nothing if the record does not say
    digest nik_mac;                       ///< HMAC of the NIK under the caller's key
    std::vector<defect> warnings;
};

/// No text of a record may be longer. The longest address on a card is far below it.
inline constexpr std::size_t text_limit_bytes = 512;

/// What a submitter needs to know at once: every defect found is in the answer, in the order of the
/// schema (texts that are not UTF-8 first). A NIK never changes (PP 40/2019 art. 30), even when its
/// holder moves or its date is wrong; so one that contradicts the biodata warns and does not
/// refuse. Containers of biometrics are checked by their headers and ends, not decoded. Fields that
/// this program does not know are ignored. The caller bounds the size. Copies made while parsing
/// are cleansed before returning. `nik_key`: what nik_mac is made with; the NIK itself does not
/// leave. Threads: any number at once.
result<checked, std::vector<defect>> check(bytes_view submitted, const known_time& now,
                                           bytes_view nik_key);

} // namespace titip::enrollment
