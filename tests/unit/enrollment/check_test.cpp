#include "enrollment/check.hpp"

#include "support/synthetic.hpp"

#include <titip/v1/enrollment.pb.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <limits>

using namespace titip;
using enrollment::check;

namespace {

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

codes warnings_after(const std::function<void(v1::Enrollment&)>& change)
{
    auto record = plain();
    change(record);
    const auto answer = check(serialised(record));
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
    CHECK(with_time(0).front() == "bad-time taken_at_ms");
    CHECK(with_time(-1).front() == "bad-time taken_at_ms");
    CHECK(with_time(std::numeric_limits<std::int64_t>::min()).front() == "bad-time taken_at_ms");
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
