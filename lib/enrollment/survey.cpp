#include "enrollment/survey.hpp"

#include <titip/v1/enrollment.pb.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <limits>
#include <span>

namespace titip::enrollment {

namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// The texts of the schema, and the messages that hold some.
struct part {
    int number;
    std::string_view name;
    std::span<const part> inside{};
};

using v1::Address;
constexpr part address_parts[]{
    {Address::kStreetFieldNumber, "street"},
    {Address::kRtFieldNumber, "rt"},
    {Address::kRwFieldNumber, "rw"},
    {Address::kVillageFieldNumber, "village"},
    {Address::kDistrictFieldNumber, "district"},
    {Address::kRegencyFieldNumber, "regency"},
    {Address::kProvinceFieldNumber, "province"},
    {Address::kRegionCodeFieldNumber, "region_code"},
    {Address::kPostalCodeFieldNumber, "postal_code"},
};
using v1::Biodata;
constexpr part biodata_parts[]{
    {Biodata::kNikFieldNumber, "nik"},
    {Biodata::kFullNameFieldNumber, "full_name"},
    {Biodata::kBirthPlaceFieldNumber, "birth_place"},
    {Biodata::kAddressFieldNumber, "address", address_parts},
    {Biodata::kOccupationFieldNumber, "occupation"},
    {Biodata::kCitizenshipFieldNumber, "citizenship"},
    {Biodata::kFamilyCardNumberFieldNumber, "family_card_number"},
};
constexpr part biometric_parts[]{
    {v1::Biometric::kMissingNoteFieldNumber, "missing_note"},
};
constexpr part operator_parts[]{
    {v1::Operator::kOperatorIdFieldNumber, "operator_id"},
    {v1::Operator::kSupervisorIdFieldNumber, "supervisor_id"},
};
constexpr part device_parts[]{
    {v1::Device::kSerialFieldNumber, "serial"},
    {v1::Device::kSoftwareFieldNumber, "software"},
};
using v1::Enrollment;
constexpr part enrollment_parts[]{
    {Enrollment::kBiodataFieldNumber, "biodata", biodata_parts},
    {Enrollment::kBiometricsFieldNumber, "biometrics", biometric_parts},
    {Enrollment::kOperatorFieldNumber, "operator", operator_parts},
    {Enrollment::kDeviceFieldNumber, "device", device_parts},
};

class walker {
public:
    explicit walker(bytes_view submitted)
        : submitted_(submitted), in_(as_uchar(submitted), static_cast<int>(submitted.size()))
    {
    }

    std::optional<survey> run()
    {
        in_.PushLimit(static_cast<int>(submitted_.size()));
        if (!message(enrollment_parts, {}) && !out_.too_many_biometrics)
            return std::nullopt;
        return std::move(out_);
    }

private:
    // False: malformed, or enough seen.
    bool message(std::span<const part> known, const std::string& path)
    {
        while (const auto tag = in_.ReadTag()) {
            const auto found =
                std::ranges::find(known, WireFormatLite::GetTagFieldNumber(tag), &part::number);
            if (found == known.end() ||
                WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
                if (!WireFormatLite::SkipField(&in_, tag))
                    return false;
            } else if (!field(*found, path)) {
                return false;
            }
        }
        return in_.ConsumedEntireMessage();
    }

    bool field(const part& it, const std::string& path)
    {
        int size = 0;
        if (!in_.ReadVarintSizeAsInt(&size) || size > in_.BytesUntilLimit())
            return false;
        auto name = path + std::string{it.name};
        if (it.inside.empty())
            return text(std::move(name), static_cast<std::size_t>(size));
        if (it.number == Enrollment::kBiometricsFieldNumber && path.empty()) {
            if (biometrics_ == most_biometrics) {
                out_.too_many_biometrics = true;
                return false;
            }
            name += '[' + std::to_string(biometrics_++) + ']';
        }
        const auto outer = in_.PushLimit(size);
        const bool whole = message(it.inside, name + '.');
        in_.PopLimit(outer);
        return whole;
    }

    bool text(std::string name, std::size_t size)
    {
        const auto offset = static_cast<std::size_t>(in_.CurrentPosition());
        if (!is_utf8(as_text(submitted_.subspan(offset, size))))
            out_.not_utf8.push_back({std::move(name), offset, size});
        return in_.Skip(static_cast<int>(size));
    }

    bytes_view submitted_;
    CodedInputStream in_;
    std::size_t biometrics_ = 0;
    survey out_;
};

// Bytes in the sequence at the start of `text`, or 0: RFC 3629 section 4.
std::size_t sequence_bytes(std::string_view text) noexcept
{
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto follows = [&](std::size_t i, unsigned from = 0x80, unsigned to = 0xbf) {
        return i < text.size() && at(i) >= from && at(i) <= to;
    };
    const auto lead = at(0);
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return follows(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const bool second = follows(1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
        return second && follows(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const bool second = follows(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
        return second && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

} // namespace

bool is_utf8(std::string_view text) noexcept
{
    while (!text.empty()) {
        const auto size = sequence_bytes(text);
        if (size == 0)
            return false;
        text.remove_prefix(size);
    }
    return true;
}

std::optional<survey> survey_of(bytes_view submitted)
{
    if (submitted.empty() || submitted.size() > std::numeric_limits<int>::max())
        return std::nullopt;
    return walker{submitted}.run();
}

} // namespace titip::enrollment
