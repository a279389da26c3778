#include "enrollment/judgement.hpp"
#include "enrollment/nik.hpp"

#include <titip/v1/enrollment.pb.h>

#include <algorithm>
#include <iterator>

namespace titip::enrollment {

namespace {

using namespace std::chrono;

std::string the(std::string_view label, std::string_view rest)
{
    return "The " + std::string{label} + std::string{rest};
}

void check_digits(std::string_view field, std::string_view label, const std::string& text,
                  std::size_t count, bool required, judgement& out)
{
    if (out.has_text(field, label, text, required) && !is_digits(text, count))
        out.refuse("bad-digits", std::string{field},
                   the(label, " must have " + std::to_string(count) + " digits and nothing else."));
}

void check_address(const v1::Address& it, judgement& out)
{
    out.has_text("biodata.address.street", "street", it.street(), true);
    check_digits("biodata.address.rt", "RT", it.rt(), 3, false, out);
    check_digits("biodata.address.rw", "RW", it.rw(), 3, false, out);
    out.has_text("biodata.address.village", "village (kelurahan or desa)", it.village(), true);
    out.has_text("biodata.address.district", "district (kecamatan)", it.district(), true);
    out.has_text("biodata.address.regency", "regency or city", it.regency(), true);
    out.has_text("biodata.address.province", "province", it.province(), true);
    check_digits("biodata.address.region_code", "region code", it.region_code(), 6, true, out);
    check_digits("biodata.address.postal_code", "postal code", it.postal_code(), 5, false, out);
}

std::optional<sys_days> day_of(const v1::Date& date)
{
    // Checked before the narrow types of <chrono> take the numbers modulo 256.
    if (date.year() < 1900 || date.year() > 9999 || date.month() > 12 || date.day() > 31)
        return std::nullopt;
    const year_month_day out{year{static_cast<int>(date.year())}, month{date.month()},
                             day{date.day()}};
    return out.ok() ? std::optional<sys_days>{out} : std::nullopt;
}

std::optional<sys_days> check_birth_date(const v1::Biodata& biodata, sys_days taken_on,
                                         judgement& out)
{
    constexpr auto field = "biodata.birth_date";
    if (!biodata.has_birth_date()) {
        out.refuse("missing", field, "The birth date is missing.");
        return std::nullopt;
    }
    const auto born = day_of(biodata.birth_date());
    if (!born)
        out.refuse("bad-date", field, "The birth date is no day of the calendar since 1900.");
    // Papua's day begins nine hours before that of UTC.
    else if (*born > taken_on + days{1})
        out.refuse("date-in-future", field, "The birth date lies after the recording.");
    return born;
}

bool is_existing(const nik& number, judgement& out)
{
    constexpr auto field = "biodata.nik";
    if (!number.has_day())
        out.refuse("bad-nik-day", field,
                   "The seventh and eighth digit of the NIK must be 01 to 31 for men, 41 to 71 for "
                   "women.");
    if (!number.has_month())
        out.refuse("bad-nik-month", field,
                   "The ninth and tenth digit of the NIK must be a month, 01 to 12.");
    if (!number.has_serial())
        out.refuse("bad-nik-serial", field, "The last four digits of the NIK cannot be 0000.");
    return number.has_day() && number.has_month();
}

bool is_dated(const nik& number, sys_days born)
{
    const year_month_day date{born};
    return day{number.birth_day()} == date.day() && month{number.month} == date.month() &&
           static_cast<int>(number.year_of_century) == static_cast<int>(date.year()) % 100;
}

void compare(const nik& number, const v1::Biodata& biodata, const std::optional<sys_days>& born,
             judgement& out)
{
    constexpr auto field = "biodata.nik";
    const auto& region = biodata.address().region_code();
    if (is_digits(region, 6) && region != number.region)
        out.warn("nik-region-differs", field,
                 "The NIK was issued in another district than that of the address.");
    if ((biodata.sex() == v1::SEX_MALE && number.is_female()) ||
        (biodata.sex() == v1::SEX_FEMALE && !number.is_female()))
        out.warn("nik-sex-differs", field,
                 "The NIK says another sex than the biodata: compare both with the papers.");
    if (born && !is_dated(number, *born))
        out.warn("nik-birth-date-differs", field,
                 "The NIK says another birth date than the biodata: compare both with the "
                 "papers.");
}

void check_nik(const v1::Biodata& biodata, const std::optional<sys_days>& born, judgement& out)
{
    constexpr auto field = "biodata.nik";
    if (!out.has_text(field, "NIK", biodata.nik(), true))
        return;
    const auto number = nik::parse(biodata.nik());
    if (!number)
        out.refuse("bad-nik", field, "The NIK must have 16 digits and nothing else.");
    else if (is_existing(*number, out))
        compare(*number, biodata, born, out);
}

void check_choice(bool is_known, std::string_view field, std::string_view label, judgement& out)
{
    if (!is_known)
        out.refuse("unknown-value", std::string{field},
                   the(label, " is missing, or none that this program knows."));
}

void check_citizenship(const std::string& text, judgement& out)
{
    constexpr auto field = "biodata.citizenship";
    const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
    if (out.has_text(field, "citizenship", text, true) &&
        (text.size() != 3 || !std::ranges::all_of(text, is_upper)))
        out.refuse("bad-citizenship", field,
                   "The citizenship must be a country code of three letters, such as IDN.");
}

} // namespace

void check_biodata(const v1::Biodata& it, sys_days taken_on, judgement& out)
{
    judgement dates; // reported behind the NIK, which is compared with them
    const auto born = check_birth_date(it, taken_on, dates);
    check_nik(it, born, out);
    out.has_name("biodata.full_name", "full name", it.full_name());
    out.has_name("biodata.birth_place", "birth place", it.birth_place());
    std::ranges::move(dates.defects, std::back_inserter(out.defects));
    check_choice(it.sex() != v1::SEX_UNSPECIFIED && v1::Sex_IsValid(it.sex()), "biodata.sex", "sex",
                 out);
    check_choice(v1::BloodType_IsValid(it.blood_type()), "biodata.blood_type", "blood type", out);
    if (it.has_address())
        check_address(it.address(), out);
    else
        out.refuse("missing", "biodata.address", "The address is missing.");
    check_choice(it.religion() != v1::RELIGION_UNSPECIFIED && v1::Religion_IsValid(it.religion()),
                 "biodata.religion", "religion", out);
    check_choice(it.marital_status() != v1::MARITAL_STATUS_UNSPECIFIED &&
                     v1::MaritalStatus_IsValid(it.marital_status()),
                 "biodata.marital_status", "marital status", out);
    out.has_text("biodata.occupation", "occupation", it.occupation(), true);
    check_citizenship(it.citizenship(), out);
    check_digits("biodata.family_card_number", "family card number", it.family_card_number(), 16,
                 false, out);
}

} // namespace titip::enrollment
