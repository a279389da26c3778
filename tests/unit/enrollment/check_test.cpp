#include "enrollment/check.hpp"

#include "support/synthetic.hpp"

#include <titip/v1/enrollment.pb.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <limits>

using namespace titip;
using namespace std::chrono_literals;
using enrollment::known_time;

namespace {

constexpr auto taken =
    from_ms(1'764'000'000'000); // what support::enrollment() says: 24 November 2025
// The centre signed something yesterday, and the clock here says that it is noon.
constexpr known_time today{.from = taken - 20h, .until = taken + 1h};

result<enrollment::checked, std::vector<enrollment::defect>> check(bytes_view data,
                                                                   const known_time& now = today)
{
    return enrollment::check(data, now, as_bytes("a key"));
}

// Nothing missing and no warnings; biometrics(i) is of kind i + 1.
v1::Enrollment plain(unsigned seed = 1)
{
    std::mt19937_64 random{seed};
    const auto data = support::enrollment(random, {.size_bytes = 20'000, .is_plain = true});
    v1::Enrollment out;
    REQUIRE(out.ParseFromArray(data.data(), static_cast<int>(data.size())));
    return out;
}

bytes serialised(const v1::Enrollment& record)
{
    return to_bytes(as_bytes(record.SerializeAsString()));
}

using codes = std::vector<std::string>;

codes described(const std::vector<enrollment::defect>& defects)
{
    codes out;
    for (const auto& each : defects) {
        CHECK_FALSE(each.sentence.empty());
        out.push_back(each.code + ' ' + each.field);
    }
    return out;
}

codes defects_of(bytes_view data)
{
    const auto answer = check(data);
    return answer ? codes{} : described(answer.error());
}

// What is found when one thing is changed in a record without a flaw.
codes defects_after(const std::function<void(v1::Enrollment&)>& change)
{
    auto record = plain();
    change(record);
    return defects_of(serialised(record));
}

codes warnings_after(const std::function<void(v1::Enrollment&)>& change,
                     const known_time& now = today)
{
    auto record = plain();
    change(record);
    const auto answer = check(serialised(record), now);
    REQUIRE(answer.has_value());
    return described(answer->warnings);
}

void set_nik(v1::Enrollment& record, std::size_t at, std::string_view digits)
{
    record.mutable_biodata()->mutable_nik()->replace(at, digits.size(), digits);
}

} // namespace

TEST_CASE("a right record is taken with its id, time and lane", "[enrollment]")
{
    auto record = plain();
    record.set_lane(v1::LANE_URGENT);
    const auto answer = check(serialised(record));
    REQUIRE(answer.has_value());
    CHECK(as_text(answer->id.data()) == record.record_id());
    CHECK(to_ms(answer->taken_at) == record.taken_at_ms());
    CHECK(answer->lane == enrollment::lane::urgent);
    CHECK(answer->warnings.empty());
}

TEST_CASE("a record that names no lane is taken without one", "[enrollment]")
{
    const auto answer = check(serialised(plain()));
    REQUIRE(answer.has_value());
    CHECK_FALSE(answer->lane);
}

TEST_CASE("every invented record is taken", "[enrollment]")
{
    const auto seed = GENERATE(range(1u, 65u));
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const std::size_t size_bytes = 4'000 + (seed == 1 ? 0 : random() % 400'000);
    const auto record = support::enrollment(random, {.size_bytes = size_bytes});
    CHECK(defects_of(record) == codes{});
    CHECK(static_cast<double>(record.size()) == Approx(size_bytes).epsilon(0.02).margin(2'000));
}

TEST_CASE("the same seed invents the same record", "[enrollment]")
{
    std::mt19937_64 once{7};
    std::mt19937_64 again{7};
    CHECK(support::enrollment(once) == support::enrollment(again));
    CHECK(support::enrollment(once) != support::enrollment(once));
}

TEST_CASE("bytes that are no record have that one defect", "[enrollment]")
{
    const codes expected{"not-an-enrollment "};
    CHECK(defects_of({}) == expected);
    CHECK(defects_of(as_bytes("a letter")) == expected);
    const auto data = serialised(plain());
    CHECK(defects_of(bytes_view{data}.first(data.size() - 1)) == expected);
    // A text that says it is longer than the message around it.
    CHECK(defects_of(as_bytes("\x22\x02\x0a\x7f")) == expected);
}

TEST_CASE("an empty message names everything that it lacks at once", "[enrollment]")
{
    const auto found = defects_of(as_bytes("\x18\x01")); // a lane, and nothing else
    CHECK(found.size() == 2 + 1 + 14 + 3);
    CHECK(std::ranges::count(found, "missing biodata") == 1);
    CHECK(std::ranges::count(found, "biometric-missing biometrics") == 14);
}

TEST_CASE("all defects of a record are in one answer, in the order of the schema", "[enrollment]")
{
    const auto found = defects_after([](v1::Enrollment& it) {
        it.set_record_id("short");
        it.mutable_biodata()->clear_full_name();
        it.mutable_biodata()->mutable_address()->set_region_code("99");
        it.mutable_biometrics(3)->set_quality(101);
        it.mutable_device()->clear_serial();
    });
    CHECK(found == codes{"bad-record-id record_id", "missing biodata.full_name",
                         "bad-digits biodata.address.region_code",
                         "bad-quality biometrics[3].quality", "missing device.serial"});
}

TEST_CASE("an id must be a UUID and the time a time", "[enrollment]")
{
    const auto with_id = [](std::string id) {
        return defects_after([&](v1::Enrollment& it) { it.set_record_id(std::move(id)); });
    };
    CHECK(with_id(std::string(16, '\0')) == codes{"bad-record-id record_id"});
    CHECK(with_id(std::string(17, 'x')) == codes{"bad-record-id record_id"});
    const auto with_time = [](std::int64_t ms) {
        return defects_after([&](v1::Enrollment& it) { it.set_taken_at_ms(ms); });
    };
    CHECK(with_time(0) == codes{"bad-time taken_at_ms"});
    CHECK(with_time(-1) == codes{"bad-time taken_at_ms"});
    CHECK(with_time(std::numeric_limits<std::int64_t>::min()) == codes{"bad-time taken_at_ms"});
    CHECK(with_time(std::numeric_limits<std::int64_t>::max()) == codes{"bad-time taken_at_ms"});
}

TEST_CASE("a NIK needs sixteen digits, a day, a month and a serial number", "[enrollment]")
{
    const auto with = [](std::size_t at, std::string_view digits) {
        return defects_after([&](v1::Enrollment& it) { set_nik(it, at, digits); });
    };
    CHECK(with(0, "x") == codes{"bad-nik biodata.nik"});
    for (const auto* day : {"00", "32", "40", "72"})
        CHECK(with(6, day) == codes{"bad-nik-day biodata.nik"});
    for (const auto* month : {"00", "13"})
        CHECK(with(8, month) == codes{"bad-nik-month biodata.nik"});
    CHECK(with(12, "0000") == codes{"bad-nik-serial biodata.nik"});
    CHECK(with(6, "00130000").size() == 2);
    CHECK(defects_after([](v1::Enrollment& it) { it.mutable_biodata()->clear_nik(); }) ==
          codes{"missing biodata.nik"});
    CHECK(defects_after([](v1::Enrollment& it) { it.mutable_biodata()->set_nik("123"); }) ==
          codes{"bad-nik biodata.nik"});
}

TEST_CASE("a NIK that contradicts the biodata warns and does not refuse", "[enrollment]")
{
    CHECK(warnings_after([](v1::Enrollment& it) { set_nik(it, 0, "110101"); }) ==
          codes{"nik-region-differs biodata.nik"});
    CHECK(warnings_after([](v1::Enrollment& it) {
              auto& biodata = *it.mutable_biodata();
              biodata.set_sex(biodata.sex() == v1::SEX_MALE ? v1::SEX_FEMALE : v1::SEX_MALE);
          }) == codes{"nik-sex-differs biodata.nik"});
    CHECK(warnings_after([](v1::Enrollment& it) {
              auto& date = *it.mutable_biodata()->mutable_birth_date();
              date.set_year(date.year() - 1);
          }) == codes{"nik-birth-date-differs biodata.nik"});
    CHECK(warnings_after([](v1::Enrollment& it) {
              auto& date = *it.mutable_biodata()->mutable_birth_date();
              date.set_day(date.day() == 1 ? 2 : 1);
          }) == codes{"nik-birth-date-differs biodata.nik"});
    // A NIK gives no century.
    CHECK(warnings_after([](v1::Enrollment& it) {
              auto& date = *it.mutable_biodata()->mutable_birth_date();
              date.set_year(1900 + date.year() % 100);
          }) == codes{});
}

TEST_CASE("a birth date is a day of the calendar, and not after the recording", "[enrollment]")
{
    const auto born = [](unsigned year, unsigned month, unsigned day) {
        return defects_after([&](v1::Enrollment& it) {
            auto& date = *it.mutable_biodata()->mutable_birth_date();
            date.set_year(year);
            date.set_month(month);
            date.set_day(day);
            it.set_taken_at_ms(1'764'000'000'000); // 24 November 2025
        });
    };
    const codes bad{"bad-date biodata.birth_date"};
    CHECK(born(1999, 2, 29) == bad);
    CHECK(born(2000, 2, 29) == codes{});
    CHECK(born(1899, 12, 31) == bad);
    CHECK(born(1990, 13, 1) == bad);
    CHECK(born(1990, 257, 1) == bad); // 1, if it were cut to eight bits
    CHECK(born(1990, 1, 0) == bad);
    CHECK(born(4'294'967'295, 1, 1) == bad);
    CHECK(born(2025, 11, 25) == codes{}); // already tomorrow in Papua
    CHECK(born(2025, 11, 26) == codes{"date-in-future biodata.birth_date"});
}

TEST_CASE("biodata that a card shows must be there", "[enrollment]")
{
    const auto found = defects_after([](v1::Enrollment& it) {
        const auto nik = it.biodata().nik();
        *it.mutable_biodata() = {};
        it.mutable_biodata()->set_nik(nik);
        it.mutable_biodata()->mutable_address();
    });
    CHECK(found == codes{"missing biodata.full_name", "missing biodata.birth_place",
                         "missing biodata.birth_date", "unknown-value biodata.sex",
                         "missing biodata.address.street", "missing biodata.address.village",
                         "missing biodata.address.district", "missing biodata.address.regency",
                         "missing biodata.address.province", "missing biodata.address.region_code",
                         "unknown-value biodata.religion", "unknown-value biodata.marital_status",
                         "missing biodata.occupation", "missing biodata.citizenship"});
}

TEST_CASE("numbers in the biodata have their digits, or are empty where they may be",
          "[enrollment]")
{
    CHECK(defects_after([](v1::Enrollment& it) {
              auto& biodata = *it.mutable_biodata();
              biodata.mutable_address()->set_rt("1");
              biodata.mutable_address()->set_rw("0012");
              biodata.mutable_address()->set_postal_code("2966x");
              biodata.set_citizenship("idn");
              biodata.set_family_card_number("1");
          }) == codes{"bad-digits biodata.address.rt", "bad-digits biodata.address.rw",
                      "bad-digits biodata.address.postal_code",
                      "bad-citizenship biodata.citizenship",
                      "bad-digits biodata.family_card_number"});
    CHECK(defects_after([](v1::Enrollment& it) {
              auto& biodata = *it.mutable_biodata();
              biodata.mutable_address()->clear_rt();
              biodata.mutable_address()->clear_rw();
              biodata.mutable_address()->clear_postal_code();
              biodata.clear_family_card_number();
          }) == codes{});
}

TEST_CASE("values that this program does not know are refused", "[enrollment]")
{
    CHECK(defects_after([](v1::Enrollment& it) {
              it.set_lane(static_cast<v1::Lane>(9));
              it.mutable_biodata()->set_sex(static_cast<v1::Sex>(3));
              it.mutable_biodata()->set_blood_type(static_cast<v1::BloodType>(-1));
          }) == codes{"unknown-value lane", "unknown-value biodata.sex",
                      "unknown-value biodata.blood_type"});
    CHECK(defects_after([](v1::Enrollment& it) {
              it.mutable_biometrics(0)->set_format(static_cast<v1::BiometricFormat>(7));
              it.mutable_biometrics(1)->clear_format();
              it.mutable_biometrics(2)->clear_data();
              it.mutable_biometrics(2)->clear_format();
              it.mutable_biometrics(2)->set_missing(static_cast<v1::MissingReason>(8));
          }) == codes{"unknown-value biometrics[0].format", "unknown-value biometrics[1].format",
                      "unknown-value biometrics[2].missing"});
    CHECK(defects_after([](v1::Enrollment& it) {
              it.add_biometrics()->set_kind(static_cast<v1::BiometricKind>(15));
          }) == codes{"unknown-value biometrics[14].kind"});
}

TEST_CASE("fields that this program does not know are ignored", "[enrollment]")
{
    auto data = serialised(plain());
    for (const auto each : as_bytes("\xfa\x07\x03new")) // field 127
        data.push_back(each);
    CHECK(defects_of(data) == codes{});
}

TEST_CASE("texts are of bounded length", "[enrollment]")
{
    const auto named = [](std::size_t size) {
        return defects_after([&](v1::Enrollment& it) {
            it.mutable_biodata()->set_full_name(std::string(size, 'A'));
        });
    };
    CHECK(named(enrollment::text_limit_bytes) == codes{});
    CHECK(named(enrollment::text_limit_bytes + 1) == codes{"too-long biodata.full_name"});
}

TEST_CASE("each text that is not UTF-8 is named, and the rest is judged all the same",
          "[enrollment]")
{
    // Not set by the setters, which refuse to serialise it: replaced in the bytes.
    auto record = plain();
    record.mutable_biodata()->set_full_name("JOSE-ONE");
    record.mutable_biodata()->mutable_address()->set_street("JOSE-TWO");
    record.mutable_biometrics(4)->set_missing_note("JOSE-SIX");
    record.mutable_biodata()->set_citizenship("X");
    auto text = record.SerializeAsString();
    for (const auto* each : {"JOSE-ONE", "JOSE-TWO", "JOSE-SIX"})
        text[text.find(each) + 3] = '\xc9'; // É in Latin-1
    CHECK(defects_of(as_bytes(text)) ==
          codes{"not-utf8 biodata.full_name", "not-utf8 biodata.address.street",
                "not-utf8 biometrics[4].missing_note", "bad-citizenship biodata.citizenship",
                "needless-reason biometrics[4].missing_note"});
}

TEST_CASE("each recording is there exactly once or excused", "[enrollment]")
{
    CHECK(defects_after([](v1::Enrollment& it) { it.mutable_biometrics()->RemoveLast(); }) ==
          codes{"biometric-missing biometrics"});
    CHECK(defects_after([](v1::Enrollment& it) {
              *it.add_biometrics() = it.biometrics(2);
              *it.add_biometrics() = it.biometrics(2);
          }) == codes{"biometric-repeated biometrics[14].kind"});
    CHECK(defects_after([](v1::Enrollment& it) {
              auto& thumb = *it.mutable_biometrics(1);
              thumb.clear_data();
              thumb.clear_format();
              thumb.set_missing(v1::MISSING_AMPUTATED);
          }) == codes{});
}

TEST_CASE("a recording has data or a reason, and not both", "[enrollment]")
{
    CHECK(defects_after([](v1::Enrollment& it) { it.mutable_biometrics(1)->clear_data(); }) ==
          codes{"no-reason biometrics[1].missing", "needless-format biometrics[1].format"});
    CHECK(defects_after([](v1::Enrollment& it) {
              it.mutable_biometrics(1)->set_missing(v1::MISSING_WORN);
          }) == codes{"needless-reason biometrics[1].missing"});
    CHECK(defects_after([](v1::Enrollment& it) {
              it.mutable_biometrics(1)->clear_data();
              it.mutable_biometrics(1)->clear_format();
              it.mutable_biometrics(1)->set_missing(v1::MISSING_OTHER);
          }) == codes{"no-note biometrics[1].missing_note"});
}

TEST_CASE("a reason that cannot be meant warns", "[enrollment]")
{
    CHECK(warnings_after([](v1::Enrollment& it) {
              auto& thumb = *it.mutable_biometrics(1);
              thumb.clear_data();
              thumb.clear_format();
              thumb.set_missing(v1::MISSING_CANNOT_OPEN_EYE);
          }) == codes{"odd-reason biometrics[1].missing"});
}

TEST_CASE("a quality is 0 to 100, or 255", "[enrollment]")
{
    const auto with = [](std::uint32_t quality) {
        return defects_after(
            [&](v1::Enrollment& it) { it.mutable_biometrics(0)->set_quality(quality); });
    };
    for (const auto good : {0u, 100u, 255u})
        CHECK(with(good) == codes{});
    for (const auto bad : {101u, 254u, 256u})
        CHECK(with(bad) == codes{"bad-quality biometrics[0].quality"});
}

TEST_CASE("a format must fit what was recorded, and the data their format", "[enrollment]")
{
    CHECK(defects_after([](v1::Enrollment& it) {
              auto& face = *it.mutable_biometrics(0);
              face.set_format(v1::WSQ);
              face.set_data("\xff\xa0\xff\xa2..\xff\xa1");
          }) == codes{"wrong-format biometrics[0].format"});
    CHECK(defects_after([](v1::Enrollment& it) {
              auto& thumb = *it.mutable_biometrics(1);
              thumb.set_format(v1::WSQ);
              thumb.set_data("\xff\xa0\xff\xa2..");
          }) == codes{"cut-off biometrics[1].data"});
}

TEST_CASE("a message that would grow when parsed is refused before", "[enrollment]")
{
    std::string many; // empty recordings, two bytes each
    for (int i = 0; i < 4'000'000; ++i)
        many.append("\x2a\x00", 2);
    CHECK(defects_of(as_bytes(many)) == codes{"too-many-biometrics biometrics"});
}

TEST_CASE("no answer repeats what it was given", "[enrollment]")
{
    auto record = plain();
    auto& biodata = *record.mutable_biodata();
    biodata.set_nik("SECRET");
    biodata.set_citizenship("SECRET");
    biodata.mutable_address()->set_region_code("SECRET");
    biodata.set_family_card_number("SECRET");
    record.mutable_biometrics(0)->set_missing_note("SECRET");
    record.mutable_biometrics(0)->set_data("SECRET");
    const auto answer = check(serialised(record));
    REQUIRE_FALSE(answer.has_value());
    for (const auto& each : answer.error()) {
        CHECK(each.sentence.find("SECRET") == std::string::npos);
        CHECK(each.code.find_first_not_of("abcdefghijklmnopqrstuvwxyz-8") == std::string::npos);
    }
}

TEST_CASE("a record cut or flipped anywhere gives an answer", "[enrollment]")
{
    const auto seed = GENERATE(range(1u, 9u));
    CAPTURE(seed);
    std::mt19937_64 random{seed};
    const auto whole = serialised(plain(seed));
    for (int i = 0; i < 300; ++i) {
        auto data = whole;
        data.resize(1 + random() % data.size());
        for (auto flips = random() % 4; flips > 0; --flips)
            data[random() % std::min<std::size_t>(data.size(), 400)] ^= std::byte{0x10};
        const auto answer = check(data);
        if (!answer)
            REQUIRE_FALSE(answer.error().empty());
    }
}

namespace {

constexpr auto noon_of(int year)
{
    return wall_time{std::chrono::sys_days{std::chrono::year{year} / 1 / 1}} + 12h;
}

// As the clerk reads it: the sentence about the time of a record of this person, taken then.
std::string said_of_time(wall_time taken_at, const known_time& now = today)
{
    auto record = plain();
    record.set_taken_at_ms(to_ms(taken_at));
    const auto answer = check(serialised(record), now);
    const auto& all = answer ? answer->warnings : answer.error();
    std::string out;
    for (const auto& each : all)
        out += each.code + " " + each.field + ": " + each.sentence + "\n";
    return out;
}

void excuse(v1::Biometric& it, v1::MissingReason why = v1::MISSING_DEVICE_BROKEN)
{
    it.clear_data();
    it.clear_format();
    it.clear_quality();
    it.set_missing(why);
}

std::string number(std::uint32_t value)
{
    std::string out(4, '\0');
    for (auto i = out.rbegin(); i != out.rend(); ++i, value >>= 8)
        *i = static_cast<char>(value & 0xff);
    return out;
}

// A PNG of grey points, as large as that in bytes, for what check() looks at of it.
std::string png(std::uint32_t width, std::uint32_t height, std::size_t data_bytes)
{
    using namespace std::string_literals;
    return "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"s + number(width) + number(height) +
           "\x8\0\0\0\0CRC."s + number(static_cast<std::uint32_t>(data_bytes)) + "IDAT" +
           std::string(data_bytes, 'x') + "CRC.\0\0\0\0IEND\xae\x42\x60\x82"s;
}

void show(v1::Biometric& it, std::string data, v1::BiometricFormat format = v1::PNG)
{
    it.set_format(format);
    it.set_data(std::move(data));
}

} // namespace

TEST_CASE("a capture set with a wrong clock is told so, and the citizen's papers are not blamed",
          "[enrollment]")
{
    const auto year = GENERATE(1971, 2000, 2106, 9999);
    CAPTURE(year);
    const auto said = said_of_time(noon_of(year));
    CHECK(said.find("taken-at-odd taken_at_ms: The clock of the capture set says " +
                    std::to_string(year) + "-01-01") == 0);
    CHECK(said.find("birth") == std::string::npos);
    CHECK(said.find("set ") != std::string::npos);
}

TEST_CASE("a time that is none refuses, and is all that is wrong", "[enrollment]")
{
    // 1970 in Jakarta and on Papua, year 0, what overflows a signed number, and the year 10000.
    const auto ms = GENERATE(-25'200'000LL, -32'400'000LL, -62'167'219'200'000LL,
                             std::numeric_limits<std::int64_t>::min(),
                             std::numeric_limits<std::int64_t>::max(), 253'402'300'800'000LL);
    const auto said = said_of_time(from_ms(ms));
    CAPTURE(ms, said);
    CHECK(said.find("bad-time taken_at_ms: The clock of the capture set") == 0);
    CHECK(std::ranges::count(said, '\n') == 1);
    CHECK(said_of_time(from_ms(0)) ==
          "bad-time taken_at_ms: The record does not say when it was taken.\n");
}

TEST_CASE("a record of a day before or after what is known is not odd", "[enrollment]")
{
    CHECK(said_of_time(today.from - 24h).empty());
    CHECK(said_of_time(today.from - 24h - 1ms).find("taken-at-odd") == 0);
    CHECK(said_of_time(today.until + 24h).empty());
    CHECK(said_of_time(today.until + 24h + 1ms).find("taken-at-odd") == 0);
}

TEST_CASE("where the clock here is not to be believed, nobody is told to follow it", "[enrollment]")
{
    const known_time bound{
        .from = today.from, .until = today.from + 10 * 8'766h, .is_clock = false};
    CHECK(said_of_time(taken + 28 * 24h, bound).empty()); // four weeks without the centre
    const auto said = said_of_time(noon_of(2106), bound);
    CHECK(said.find("says 2106-01-01: set it.") != std::string::npos);
    CHECK(said.find("this machine") == std::string::npos);
    CHECK(said_of_time(noon_of(2106)).find("that of this machine 2025-11-24") != std::string::npos);
}

TEST_CASE("beside a wrong clock a birth date is compared with the time that is known",
          "[enrollment]")
{
    const auto born_in = [](int year) {
        return [year](v1::Enrollment& it) {
            it.mutable_biodata()->mutable_birth_date()->set_year(static_cast<unsigned>(year));
            it.set_taken_at_ms(to_ms(noon_of(2000)));
        };
    };
    const auto said = warnings_after(born_in(2003));
    CHECK(std::ranges::count(said, "taken-at-odd taken_at_ms") == 1);
    CHECK(defects_after(born_in(2027)) == codes{"date-in-future biodata.birth_date"});
}

TEST_CASE("a record on which everything is excused is taken with a warning", "[enrollment]")
{
    CHECK(warnings_after([](v1::Enrollment& it) {
              for (auto& each : *it.mutable_biometrics())
                  excuse(each);
          }) == codes{"nothing-recorded biometrics"});
    CHECK(warnings_after([](v1::Enrollment& it) {
              for (int kind = v1::RIGHT_THUMB; kind <= v1::LEFT_IRIS; ++kind)
                  excuse(*it.mutable_biometrics(kind - 1));
          }) == codes{"nothing-to-compare biometrics"});
    CHECK(warnings_after([](v1::Enrollment& it) {
              for (int kind = v1::RIGHT_THUMB; kind < v1::LEFT_IRIS; ++kind)
                  excuse(*it.mutable_biometrics(kind - 1));
          }) == codes{});
}

TEST_CASE("an image too small to know anybody by warns, in each format that says its size",
          "[enrollment]")
{
    using namespace std::string_literals;
    const auto with = [](int at, std::string data, v1::BiometricFormat format) {
        return warnings_after(
            [&](v1::Enrollment& it) { show(*it.mutable_biometrics(at), data, format); });
    };
    const codes face{"tiny-image biometrics[0].data"};
    CHECK(with(0, png(1, 1, 10), v1::PNG) == face);
    CHECK(with(0, png(63, 480, 90'000), v1::PNG) == face);
    CHECK(with(0, png(64, 64, 9'000), v1::PNG) == codes{});
    const auto j2k = "\xff\x4f\xff\x51\0\x29\0\0"s + number(101) + number(1) + number(100) +
                     number(0) + std::string(200, 'x') + "\xff\xd9"s;
    CHECK(with(0, j2k, v1::JPEG_2000) == face); // from column 100 to 101
    const auto wsq = "\xff\xa0\xff\xa8\0\x4-\xff"s + "\xff\xa2\0\x11\0\xff\0\x20\x1\xf4..."s +
                     std::string(900, 'x') + "\xff\xa1"s;
    CHECK(with(1, wsq, v1::WSQ) == codes{"tiny-image biometrics[1].data"}); // 500 by 32
    auto finger = "FIR\0"s + "010\0\0\0"s + number(300) + "\0\0\0\0\x1"s + std::string(300, '\0');
    finger.resize(300);
    CHECK(with(1, finger, v1::ISO_19794_4_FINGER) == codes{"tiny-image biometrics[1].data"});
    auto iris = "IIR\0"s + "010\0"s + number(300) + "\0\0\x1"s + std::string(300, '\0');
    iris.resize(300);
    CHECK(with(11, iris, v1::ISO_19794_6_IRIS) == codes{"tiny-image biometrics[11].data"});
    auto old_face = "FAC\0"s + "010\0"s + number(300) + "\0\x1"s + std::string(300, '\0');
    old_face.resize(300);
    CHECK(with(0, old_face, v1::ISO_19794_5_FACE) == face);
}

TEST_CASE("an image of one colour warns, one with a few strokes does not", "[enrollment]")
{
    const auto signature = [](std::size_t data_bytes) {
        return warnings_after([&](v1::Enrollment& it) {
            show(*it.mutable_biometrics(13), png(600, 200, data_bytes));
        });
    };
    CHECK(signature(140) == codes{"blank-image biometrics[13].data"}); // as pngcrush makes it
    CHECK(signature(700) == codes{});
    // As large as a header can say, in a few bytes.
    CHECK(warnings_after([](v1::Enrollment& it) {
              show(*it.mutable_biometrics(13), png(4'294'967'295, 4'294'967'295, 10));
          }) == codes{"blank-image biometrics[13].data"});
}

TEST_CASE("the same picture under two names warns, once for each that repeats another",
          "[enrollment]")
{
    CHECK(warnings_after([](v1::Enrollment& it) {
              for (const int at : {3, 5, 12})
                  show(*it.mutable_biometrics(at), png(500, 500, 9'000));
          }) == codes{"same-image biometrics[5].data", "same-image biometrics[12].data"});
}

TEST_CASE("an image that was filled up to whole blocks is not told as one that is cut off",
          "[enrollment]")
{
    const auto padded = [](v1::BiometricFormat format, std::string data) {
        return defects_after(
            [&](v1::Enrollment& it) { show(*it.mutable_biometrics(1), data, format); });
    };
    using namespace std::string_literals;
    const codes expected{"padded biometrics[1].data"};
    CHECK(padded(v1::PNG, png(500, 500, 900) + std::string(70, '\0')) == expected);
    CHECK(padded(v1::PNG, png(500, 500, 900) + "note") == expected);
    CHECK(padded(v1::WSQ, "\xff\xa0\xff\xa2..\xff\xa1"s + std::string(9, '\0')) == expected);
    CHECK(padded(v1::JPEG_2000, "\xff\x4f\xff\x51"s + std::string(20, 'x') + "\xff\xd9\0"s) ==
          expected);
    CHECK(padded(v1::WSQ, "\xff\xa0\xff\xa2..\0\0\0"s) == codes{"cut-off biometrics[1].data"});
}

TEST_CASE("a name of spaces or of a dash warns, in whatever signs", "[enrollment]")
{
    const auto named = [](std::string name) {
        return warnings_after(
            [&](v1::Enrollment& it) { it.mutable_biodata()->set_full_name(std::move(name)); });
    };
    const codes blank{"blank biodata.full_name"};
    for (const auto* each : {" ", "\t\n", "-", " - ", "...", "--", "\u00a0", "\u3000\u200b",
                             "\u2013", "\u2014 \u2014", "\x01"})
        CHECK(named(each) == blank);
    for (const auto* each : {"O", "-A-", "\u00c9", "\ua98f", "7"}) // a name of one letter is one
        CHECK(named(each) == codes{});
    // A village without street names has a dash there.
    CHECK(warnings_after([](v1::Enrollment& it) {
              it.mutable_biodata()->mutable_address()->set_street("-");
              it.mutable_biodata()->mutable_address()->set_village(" ");
          }) == codes{"blank biodata.address.village"});
}

TEST_CASE("of a NIK nothing leaves but its HMAC under the caller's key", "[enrollment]")
{
    const auto once = plain(1);
    auto again = plain(2);
    again.mutable_biodata()->set_nik(once.biodata().nik());
    const auto mac = [](const v1::Enrollment& of, std::string_view key) {
        const auto answer = enrollment::check(serialised(of), today, as_bytes(key));
        REQUIRE(answer.has_value());
        return answer->nik_mac;
    };
    CHECK(mac(once, "a key") == mac(again, "a key"));
    CHECK(mac(once, "a key") != mac(plain(2), "a key"));
    CHECK(mac(once, "a key") != mac(once, "another"));
    CHECK(mac(once, "a key") == hmac_sha256(as_bytes("a key"), as_bytes(once.biodata().nik())));
}
