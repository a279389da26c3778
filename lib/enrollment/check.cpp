#include "enrollment/check.hpp"

#include "enrollment/judgement.hpp"
#include "enrollment/survey.hpp"

#include <titip/v1/enrollment.pb.h>

#include <algorithm>
#include <cstring>

namespace titip::enrollment {

namespace {

// The first millisecond of the year 10000, which no format of ours can write.
constexpr std::int64_t end_of_time_ms = 253'402'300'800'000;

void cleanse(std::string* text)
{
    ::explicit_bzero(text->data(), text->size());
}

void cleanse(v1::Biodata& it)
{
    auto& address = *it.mutable_address();
    for (auto* each :
         {it.mutable_nik(), it.mutable_full_name(), it.mutable_birth_place(),
          it.mutable_occupation(), it.mutable_citizenship(), it.mutable_family_card_number(),
          address.mutable_street(), address.mutable_rt(), address.mutable_rw(),
          address.mutable_village(), address.mutable_district(), address.mutable_regency(),
          address.mutable_province(), address.mutable_region_code(), address.mutable_postal_code()})
        cleanse(each);
    it.mutable_birth_date()->Clear();
}

// A parsed record, whose texts and images do not stay in freed memory.
struct plaintext {
    v1::Enrollment record;

    plaintext() = default;
    plaintext(const plaintext&) = delete;
    plaintext& operator=(const plaintext&) = delete;
    ~plaintext()
    {
        cleanse(*record.mutable_biodata());
        for (auto& each : *record.mutable_biometrics()) {
            cleanse(each.mutable_data());
            cleanse(each.mutable_missing_note());
        }
    }
};

bool parse(bytes_view submitted, v1::Enrollment& into)
{
    return into.ParseFromArray(submitted.data(), static_cast<int>(submitted.size()));
}

// With question marks for what is not UTF-8, so that the other defects are found as well.
bool parse_mended(bytes_view submitted, const std::vector<survey::text>& wrong,
                  v1::Enrollment& into)
{
    auto copy = to_bytes(submitted);
    for (const auto& each : wrong)
        std::ranges::fill(std::span{copy}.subspan(each.offset, each.size), std::byte{'?'});
    const bool good = parse(copy, into);
    ::explicit_bzero(copy.data(), copy.size());
    return good;
}

std::vector<defect> not_an_enrollment()
{
    return {{"not-an-enrollment", "", "This is not an enrollment record."}};
}

std::vector<defect> too_many_biometrics()
{
    return {{"too-many-biometrics", "biometrics",
             "There are more recordings in it than one person can have."}};
}

void check_origin(const v1::Enrollment& it, judgement& out)
{
    out.has_name("operator.operator_id", "operator's id", it.operator_().operator_id());
    out.has_text("operator.supervisor_id", "supervisor's id", it.operator_().supervisor_id(),
                 false);
    out.has_text("device.serial", "capture set's serial number", it.device().serial(), true);
    out.has_text("device.software", "capture program's name", it.device().software(), true);
}

std::string day_of(wall_time t)
{
    return to_rfc3339(t).substr(0, std::string_view{"2000-01-01"}.size());
}

// When the record was taken at the latest: what it says, or what is known here where that is not
// to be believed.
wall_time check_time(const v1::Enrollment& it, const known_time& now, judgement& out)
{
    constexpr auto field = "taken_at_ms";
    const auto said_ms = it.taken_at_ms();
    if (said_ms == 0) {
        out.refuse("bad-time", field, "The record does not say when it was taken.");
        return now.until;
    }
    if (said_ms < 0 || said_ms >= end_of_time_ms) {
        out.refuse("bad-time", field,
                   "The clock of the capture set says a time before 1970 or after 9999: set it, "
                   "and correct the time of this record.");
        return now.until;
    }
    const auto said = from_ms(said_ms);
    if (said < now.from - odd_after) {
        out.warn("taken-at-odd", field,
                 "The clock of the capture set says " + day_of(said) + ", and it is " +
                     day_of(now.from) + " or later: set it, unless this record is so old.");
        return now.until;
    }
    if (said > now.until + odd_after) {
        out.warn("taken-at-odd", field,
                 "The clock of the capture set says " + day_of(said) +
                     (now.is_clock ? ", that of this machine " + day_of(now.until) +
                                         ": set the one that is wrong."
                                   : std::string{": set it."}));
        return now.until;
    }
    return said;
}

void check_head(const v1::Enrollment& it, judgement& out)
{
    if (!record_id::from_bytes(as_bytes(it.record_id())))
        out.refuse("bad-record-id", "record_id", "The record's id is not a UUID.");
}

judgement judge(const v1::Enrollment& it, const std::vector<survey::text>& wrong,
                const known_time& now)
{
    judgement out;
    check_head(it, out);
    const auto taken_by = check_time(it, now, out);
    if (!v1::Lane_IsValid(it.lane()))
        out.refuse("unknown-value", "lane", "The lane is none that this program knows.");
    for (const auto& each : wrong)
        out.refuse("not-utf8", each.field, "A text is not UTF-8: the capture program is at fault.");
    if (it.has_biodata())
        check_biodata(it.biodata(), std::chrono::floor<std::chrono::days>(taken_by), out);
    else
        out.refuse("missing", "biodata", "The biodata are missing.");
    check_biometrics(it, out);
    check_origin(it, out);
    return out;
}

} // namespace

result<checked, std::vector<defect>> check(bytes_view submitted, const known_time& now,
                                           bytes_view nik_key)
{
    const auto seen = survey_of(submitted);
    if (!seen)
        return not_an_enrollment();
    if (seen->too_many_biometrics)
        return too_many_biometrics();
    plaintext parsed;
    auto& it = parsed.record;
    if (!(seen->not_utf8.empty() ? parse(submitted, it)
                                 : parse_mended(submitted, seen->not_utf8, it)))
        return not_an_enrollment();
    auto found = judge(it, seen->not_utf8, now);
    if (!found.defects.empty())
        return std::move(found.defects);
    checked out{.id = *record_id::from_bytes(as_bytes(it.record_id())),
                .taken_at = from_ms(it.taken_at_ms()),
                .lane = {},
                .nik_mac = hmac_sha256(nik_key, as_bytes(it.biodata().nik())),
                .warnings = std::move(found.warnings)};
    if (it.lane() != v1::LANE_UNSPECIFIED)
        out.lane = static_cast<lane>(it.lane());
    return out;
}

} // namespace titip::enrollment
