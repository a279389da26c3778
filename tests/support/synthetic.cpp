#include "support/synthetic.hpp"

#include <titip/v1/enrollment.pb.h>

#include <boost/crc.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

namespace titip::support {

namespace {

using namespace std::literals;

// The distributions of <random> differ between libraries; a remainder does not.
std::uint32_t below(std::mt19937_64& random, std::uint32_t limit)
{
    return static_cast<std::uint32_t>(random() % limit);
}

template <class T, std::size_t N>
const T& one_of(std::mt19937_64& random, const std::array<T, N>& choices)
{
    return choices[below(random, N)];
}

std::string digits(std::uint64_t number, std::size_t count)
{
    auto out = std::to_string(number);
    return std::string(count - std::min(count, out.size()), '0') + out;
}

std::string big_endian(std::uint64_t number, std::size_t count)
{
    std::string out(count, '\0');
    for (auto each = out.rbegin(); each != out.rend(); ++each, number >>= 8)
        *each = static_cast<char>(number & 0xff);
    return out;
}

std::string word(std::mt19937_64& random)
{
    static constexpr std::array syllables{"BA"sv, "DI"sv, "KU"sv, "LA"sv, "MI"sv, "NO"sv,
                                          "PA"sv, "RE"sv, "SU"sv, "TA"sv, "WA"sv, "YO"sv,
                                          "JA"sv, "GE"sv, "CI"sv, "HA"sv};
    static constexpr std::array endings{""sv, "N"sv, "H"sv, "R"sv, "NG"sv, "S"sv};
    std::string out;
    for (auto left = 2 + below(random, 2); left > 0; --left)
        out += one_of(random, syllables);
    return out += one_of(random, endings);
}

// Without ff, which begins a marker in WSQ and JPEG 2000.
std::string noise(std::mt19937_64& random, std::size_t size)
{
    std::string out(size, '\0');
    for (std::size_t at = 0; at < size; at += 8) {
        const auto chunk = random();
        std::memcpy(out.data() + at, &chunk, std::min<std::size_t>(8, size - at));
    }
    std::ranges::replace(out, '\xff', '\x7f');
    return out;
}

// Each of these makes a container of about `size` bytes.
std::string wsq(std::mt19937_64& random, std::size_t size)
{
    // SOF: black, white, height, width, shift and scale twice, encoder, software.
    const auto frame = "\xff\xa2"s + big_endian(17, 2) + "\0\xff"s + big_endian(500, 2) +
                       big_endian(500, 2) + "\0\0\0\0\x1\x3\xe8\0\0"s;
    return "\xff\xa0"s + frame + noise(random, size) + "\xff\xa1"s;
}

std::string codestream(std::mt19937_64& random, std::size_t size)
{
    const auto extent = big_endian(640, 4) + big_endian(480, 4);
    const auto origin = big_endian(0, 8);
    // SIZ: capabilities, image and tiles, one component of eight bits.
    const auto sizes =
        big_endian(0, 2) + extent + origin + extent + origin + big_endian(1, 2) + "\x7\x1\x1"s;
    return "\xff\x4f\xff\x51"s + big_endian(sizes.size() + 2, 2) + sizes + noise(random, size) +
           "\xff\xd9"s;
}

std::string box(std::string_view type, std::string_view content)
{
    return big_endian(content.size() + 8, 4) + std::string{type} + std::string{content};
}

std::string jp2(std::mt19937_64& random, std::size_t size)
{
    const auto image = box("ihdr", big_endian(480, 4) + big_endian(640, 4) + "\0\x1\x7\x7\0\0"s);
    const auto colour = box("colr", "\x1\0\0"s + big_endian(17, 4));
    return box("jP  ", "\r\n\x87\n") + box("ftyp", "jp2 \0\0\0\0jp2 "sv) +
           box("jp2h", image + colour) + box("jp2c", codestream(random, size));
}

std::string png_chunk(std::string_view type, std::string_view content)
{
    const auto body = std::string{type} + std::string{content};
    boost::crc_32_type crc;
    crc.process_bytes(body.data(), body.size());
    return big_endian(content.size(), 4) + body + big_endian(crc.checksum(), 4);
}

std::string png(std::mt19937_64& random, std::size_t size)
{
    return "\x89PNG\r\n\x1a\n"s +
           png_chunk("IHDR", big_endian(600, 4) + big_endian(200, 4) + "\x1\0\0\0\0"s) +
           png_chunk("IDAT", noise(random, size)) + png_chunk("IEND", "");
}

std::string finger_record(std::mt19937_64& random, std::size_t size)
{
    const auto image = wsq(random, size);
    const auto view = big_endian(image.size() + 14, 4) + "\x1\x1\x1\x50\0"s + big_endian(500, 2) +
                      big_endian(500, 2) + "\0"s + image;
    const auto resolutions =
        big_endian(197, 2) + big_endian(197, 2) + big_endian(197, 2) + big_endian(197, 2);
    const auto header = "\0\0\0\x1f\x1\x2"s + resolutions + "\x8\x2\0\0"s;
    return "FIR\0"s + "010\0"s + big_endian(14 + header.size() + view.size(), 6) + header + view;
}

// The shape of all records of 2011: length, then the number of representations.
std::string record_2011(std::string_view magic, std::string_view version, std::string_view flags,
                        std::string_view representation)
{
    const auto size = 14 + flags.size() + representation.size();
    return std::string{magic} + std::string{version} + big_endian(size, 4) + big_endian(1, 2) +
           std::string{flags} + std::string{representation};
}

std::string face_record(std::mt19937_64& random, std::size_t size)
{
    return record_2011("FAC\0"sv, "030\0"sv, "\0\0\0"sv, jp2(random, size));
}

std::string iris_record(std::mt19937_64& random, std::size_t size)
{
    return record_2011("IIR\0"sv, "020\0"sv, "\0\x1"sv, jp2(random, size));
}

struct form {
    v1::BiometricFormat format;
    std::string (*make)(std::mt19937_64&, std::size_t);
};
constexpr std::array face_forms{form{v1::ISO_19794_5_FACE, face_record}, form{v1::JPEG_2000, jp2},
                                form{v1::JPEG_2000, codestream}};
constexpr std::array finger_forms{form{v1::WSQ, wsq}, form{v1::WSQ, wsq},
                                  form{v1::ISO_19794_4_FINGER, finger_record},
                                  form{v1::JPEG_2000, codestream}};
constexpr std::array iris_forms{form{v1::ISO_19794_6_IRIS, iris_record}, form{v1::JPEG_2000, jp2},
                                form{v1::JPEG_2000, codestream}};
constexpr std::array signature_forms{form{v1::PNG, png}};

bool is_finger(int kind)
{
    return kind >= v1::RIGHT_THUMB && kind <= v1::LEFT_LITTLE;
}
bool is_iris(int kind)
{
    return kind == v1::RIGHT_IRIS || kind == v1::LEFT_IRIS;
}

form form_for(std::mt19937_64& random, int kind)
{
    if (is_finger(kind))
        return one_of(random, finger_forms);
    if (is_iris(kind))
        return one_of(random, iris_forms);
    return kind == v1::FACE ? one_of(random, face_forms) : one_of(random, signature_forms);
}

// Parts of the whole, as a passport office has them: a finger as WSQ is small, an iris is not.
std::size_t weight_of(int kind)
{
    if (is_finger(kind))
        return 5;
    if (is_iris(kind))
        return 14;
    return kind == v1::FACE ? 20 : 2;
}

v1::MissingReason reason_for(std::mt19937_64& random, int kind)
{
    static constexpr std::array finger{v1::MISSING_AMPUTATED, v1::MISSING_INJURED, v1::MISSING_WORN,
                                       v1::MISSING_DEVICE_BROKEN};
    if (is_finger(kind))
        return one_of(random, finger);
    return is_iris(kind) ? v1::MISSING_CANNOT_OPEN_EYE : v1::MISSING_UNABLE_TO_SIGN;
}

void add_missing(std::mt19937_64& random, v1::Enrollment& to, int kind)
{
    auto& out = *to.add_biometrics();
    out.set_kind(static_cast<v1::BiometricKind>(kind));
    out.set_missing(reason_for(random, kind));
}

void add_biometrics(std::mt19937_64& random, v1::Enrollment& to, std::size_t size_bytes,
                    const std::array<bool, v1::SIGNATURE + 1>& missing)
{
    std::size_t weights = 0;
    for (int kind = v1::FACE; kind <= v1::SIGNATURE; ++kind)
        weights += missing[static_cast<std::size_t>(kind)] ? 0 : weight_of(kind);
    for (int kind = v1::FACE; kind <= v1::SIGNATURE; ++kind) {
        if (missing[static_cast<std::size_t>(kind)]) {
            add_missing(random, to, kind);
            continue;
        }
        auto& out = *to.add_biometrics();
        const auto chosen = form_for(random, kind);
        out.set_kind(static_cast<v1::BiometricKind>(kind));
        out.set_format(chosen.format);
        out.set_data(chosen.make(random, size_bytes * weight_of(kind) / weights));
        out.set_quality(below(random, 10) == 0 ? 255 : 40 + below(random, 61));
    }
}

std::array<bool, v1::SIGNATURE + 1> choose_missing(std::mt19937_64& random, bool is_plain)
{
    std::array<bool, v1::SIGNATURE + 1> out{};
    if (!is_plain && below(random, 5) == 0)
        for (auto left = 1 + below(random, 2); left > 0; --left)
            out[v1::RIGHT_THUMB + below(random, v1::SIGNATURE - 1)] = true;
    return out;
}

std::string region(std::mt19937_64& random)
{
    return "99" + digits(1 + below(random, 20), 2) + digits(1 + below(random, 30), 2);
}

void fill_birth(std::mt19937_64& random, v1::Biodata& out, const std::string& born_in)
{
    const bool is_female = below(random, 2) == 1;
    const auto year = 1940 + below(random, 68);
    const auto month = 1 + below(random, 12);
    const auto day = 1 + below(random, 28);
    out.set_sex(is_female ? v1::SEX_FEMALE : v1::SEX_MALE);
    out.mutable_birth_date()->set_year(year);
    out.mutable_birth_date()->set_month(month);
    out.mutable_birth_date()->set_day(day);
    out.set_nik(born_in + digits(is_female ? day + 40 : day, 2) + digits(month, 2) +
                digits(year % 100, 2) + digits(1 + below(random, 9'999), 4));
}

void fill_address(std::mt19937_64& random, v1::Address& out, const std::string& lives_in)
{
    out.set_street("JALAN CONTOH " + std::to_string(1 + below(random, 200)));
    out.set_rt(digits(1 + below(random, 20), 3));
    out.set_rw(digits(1 + below(random, 10), 3));
    out.set_village(word(random) + " CONTOH");
    out.set_district(word(random) + " CONTOH");
    out.set_regency("KABUPATEN CONTOH " + lives_in.substr(2, 2));
    out.set_province("PROVINSI CONTOH");
    out.set_region_code(lives_in);
    out.set_postal_code("99" + digits(below(random, 1'000), 3));
}

void fill_biodata(std::mt19937_64& random, v1::Biodata& out, bool is_plain)
{
    static constexpr std::array occupations{"PETANI/PEKEBUN"sv,    "NELAYAN/PERIKANAN"sv,
                                            "PELAJAR/MAHASISWA"sv, "MENGURUS RUMAH TANGGA"sv,
                                            "WIRASWASTA"sv,        "GURU"sv};
    const auto born_in = region(random);
    const bool has_moved = !is_plain && below(random, 10) == 0;
    const auto lives_in = has_moved ? region(random) : born_in;
    fill_birth(random, out, born_in);
    out.set_full_name(word(random) + ' ' + word(random) + " CONTOH");
    out.set_birth_place(word(random) + " CONTOH");
    out.set_blood_type(static_cast<v1::BloodType>(below(random, v1::BloodType_ARRAYSIZE)));
    fill_address(random, *out.mutable_address(), lives_in);
    out.set_religion(static_cast<v1::Religion>(1 + below(random, v1::Religion_ARRAYSIZE - 1)));
    out.set_marital_status(
        static_cast<v1::MaritalStatus>(1 + below(random, v1::MaritalStatus_ARRAYSIZE - 1)));
    out.set_occupation(std::string{one_of(random, occupations)});
    out.set_citizenship("IDN");
    out.set_family_card_number(lives_in + digits(below(random, 1'000'000'000), 10));
}

} // namespace

record_id random_id(std::mt19937_64& random)
{
    auto data = big_endian(random(), 8) + big_endian(random(), 8);
    data[6] = static_cast<char>((data[6] & 0x0f) | 0x40);
    data[8] = static_cast<char>((data[8] & 0x3f) | 0x80);
    return *record_id::from_bytes(as_bytes(data));
}

bytes enrollment(std::mt19937_64& random, const enrollment_options& options)
{
    constexpr std::size_t overhead_bytes = 2'500; // biodata, and the headers of the containers
    v1::Enrollment out;
    const auto id = options.id ? *options.id : random_id(random);
    out.set_record_id(std::string{as_text(id.data())});
    out.set_taken_at_ms(to_ms(options.taken_at));
    if (options.lane)
        out.set_lane(static_cast<v1::Lane>(*options.lane));
    fill_biodata(random, *out.mutable_biodata(), options.is_plain);
    add_biometrics(random, out, std::max<std::size_t>(options.size_bytes, 4'000) - overhead_bytes,
                   choose_missing(random, options.is_plain));
    out.mutable_operator_()->set_operator_id("operator-" + digits(below(random, 20), 2));
    out.mutable_device()->set_serial("SYN-" + digits(below(random, 10'000), 4));
    out.mutable_device()->set_software("titip-synthesize 1");
    return to_bytes(as_bytes(out.SerializeAsString()));
}

} // namespace titip::support
