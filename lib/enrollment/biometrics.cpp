#include "enrollment/container.hpp"
#include "enrollment/judgement.hpp"

#include <titip/v1/enrollment.pb.h>

#include <algorithm>
#include <array>

namespace titip::enrollment {

namespace {

enum class trait { face, finger, iris, signature };

struct kind {
    v1::BiometricKind value;
    enrollment::trait trait;
    std::string_view label;
};
constexpr std::array kinds{
    kind{v1::FACE, trait::face, "face"},
    kind{v1::RIGHT_THUMB, trait::finger, "right thumb"},
    kind{v1::RIGHT_INDEX, trait::finger, "right index finger"},
    kind{v1::RIGHT_MIDDLE, trait::finger, "right middle finger"},
    kind{v1::RIGHT_RING, trait::finger, "right ring finger"},
    kind{v1::RIGHT_LITTLE, trait::finger, "right little finger"},
    kind{v1::LEFT_THUMB, trait::finger, "left thumb"},
    kind{v1::LEFT_INDEX, trait::finger, "left index finger"},
    kind{v1::LEFT_MIDDLE, trait::finger, "left middle finger"},
    kind{v1::LEFT_RING, trait::finger, "left ring finger"},
    kind{v1::LEFT_LITTLE, trait::finger, "left little finger"},
    kind{v1::RIGHT_IRIS, trait::iris, "right iris"},
    kind{v1::LEFT_IRIS, trait::iris, "left iris"},
    kind{v1::SIGNATURE, trait::signature, "signature"},
};

const kind* find_kind(v1::BiometricKind value)
{
    const auto* found = std::ranges::find(kinds, value, &kind::value);
    return found == kinds.end() ? nullptr : found;
}

bool fits(trait what, container format)
{
    switch (format) {
    case container::finger_record:
    case container::wsq:
        return what == trait::finger;
    case container::face_record:
        return what == trait::face;
    case container::iris_record:
        return what == trait::iris;
    case container::jpeg_2000:
    case container::png:
        return true;
    }
    return false;
}

// Only what is surely a slip: an eye may be lost as well as a finger.
bool is_odd(trait what, v1::MissingReason reason)
{
    return (reason == v1::MISSING_WORN && what != trait::finger) ||
           (reason == v1::MISSING_CANNOT_OPEN_EYE && what != trait::iris) ||
           (reason == v1::MISSING_UNABLE_TO_SIGN && what != trait::signature);
}

struct wording {
    std::string_view code;
    std::string_view ending; ///< of "The recording of the right thumb ..."
};

wording words_for(flaw found)
{
    switch (found) {
    case flaw::other_format:
        return {"bad-container", "is not of the format that it claims."};
    case flaw::unknown_version:
        return {"unknown-version", "is of an edition of its format that is not known here."};
    case flaw::wrong_length:
        return {"wrong-length", "contradicts its own length."};
    case flaw::cut_off:
        return {"cut-off", "is not complete: its end is missing."};
    case flaw::padded:
        return {"padded", "is followed by bytes that are not part of it."};
    case flaw::no_image:
        return {"no-image", "holds no image."};
    }
    return {"bad-container", "is damaged."};
}

class biometric_check {
public:
    biometric_check(const v1::Biometric& it, const kind& what, std::string path, judgement& out)
        : it_(it), what_(what), path_(std::move(path)), out_(out)
    {
    }

    void run()
    {
        if (it_.data().empty())
            check_missing();
        else
            check_present();
        if (out_.has_text(path_ + ".missing_note", "note on a missing recording",
                          it_.missing_note(), false) &&
            it_.missing() == v1::MISSING_REASON_UNSPECIFIED)
            refuse("needless-reason", ".missing_note", "is excused without a reason.");
    }

private:
    void refuse(std::string_view code, std::string_view field, std::string_view ending)
    {
        out_.refuse(std::string{code}, path_ + std::string{field}, sentence(ending));
    }

    std::string sentence(std::string_view ending) const
    {
        return "The recording of the " + std::string{what_.label} + ' ' + std::string{ending};
    }

    void check_missing()
    {
        const auto reason = it_.missing();
        if (reason == v1::MISSING_REASON_UNSPECIFIED)
            refuse("no-reason", ".missing", "is missing, and no reason is given.");
        else if (!v1::MissingReason_IsValid(reason))
            refuse("unknown-value", ".missing", "is missing for a reason not known here.");
        else if (is_odd(what_.trait, reason))
            out_.warn("odd-reason", path_ + ".missing",
                      sentence("is missing for a reason that does not fit it."));
        if (reason == v1::MISSING_OTHER && it_.missing_note().empty())
            refuse("no-note", ".missing_note", "is missing: say in a note for what reason.");
        if (it_.format() != v1::BIOMETRIC_FORMAT_UNSPECIFIED)
            refuse("needless-format", ".format", "is missing, and yet has a format.");
    }

    void check_present()
    {
        constexpr std::uint32_t best_quality = 100;
        constexpr std::uint32_t not_measured = 255;
        check_format();
        if (it_.quality() > best_quality && it_.quality() != not_measured)
            refuse("bad-quality", ".quality",
                   "has a quality that is neither 0 to 100 nor 255 (not measured).");
        if (it_.missing() != v1::MISSING_REASON_UNSPECIFIED)
            refuse("needless-reason", ".missing", "is there, and yet is excused as missing.");
    }

    void check_format()
    {
        if (it_.format() == v1::BIOMETRIC_FORMAT_UNSPECIFIED ||
            !v1::BiometricFormat_IsValid(it_.format()))
            return refuse("unknown-value", ".format", "has a format that is not known here.");
        const auto format = static_cast<container>(it_.format());
        if (!fits(what_.trait, format))
            refuse("wrong-format", ".format", "has a format meant for something else.");
        if (const auto found = examine(format, as_bytes(it_.data()))) {
            const auto words = words_for(*found);
            return refuse(words.code, ".data", words.ending);
        }
        check_picture(picture_of(format, as_bytes(it_.data())));
    }

    void check_picture(const std::optional<picture>& shown)
    {
        if (!shown)
            return;
        // Nobody can be known by fewer: a quarter of the least that the standards ask for.
        const std::uint32_t least = what_.trait == trait::signature ? 16 : 64;
        if (shown->width < least || shown->height < least)
            out_.warn("tiny-image", path_ + ".data",
                      sentence("is an image of " + std::to_string(shown->width) + " by " +
                               std::to_string(shown->height) + " pixels."));
        else if (shown->is_blank)
            out_.warn("blank-image", path_ + ".data",
                      sentence("seems to be of one colour, with nothing on it."));
    }

    const v1::Biometric& it_;
    const kind& what_;
    std::string path_;
    judgement& out_;
};

// What one capture set has never given twice: a file that was attached to another finger as well.
void check_copies(const v1::Enrollment& enrollment, judgement& out)
{
    for (int i = 1; i < enrollment.biometrics_size(); ++i) {
        const auto& each = enrollment.biometrics(i);
        const auto* what = find_kind(each.kind());
        for (int j = 0; j < i && what != nullptr && !each.data().empty(); ++j) {
            const auto* other = find_kind(enrollment.biometrics(j).kind());
            if (other == nullptr || other == what || enrollment.biometrics(j).data() != each.data())
                continue;
            out.warn("same-image", "biometrics[" + std::to_string(i) + "].data",
                     "The recording of the " + std::string{what->label} +
                         " is byte for byte that of the " + std::string{other->label} + '.');
            break;
        }
    }
}

void check_what_is_left(const v1::Enrollment& enrollment, judgement& out)
{
    const auto has = [&enrollment](auto wanted) {
        return std::ranges::any_of(enrollment.biometrics(), [&wanted](const auto& each) {
            const auto* what = find_kind(each.kind());
            return what != nullptr && !each.data().empty() && wanted(what->trait);
        });
    };
    if (!has([](trait) { return true; }))
        out.warn("nothing-recorded", "biometrics",
                 "Every recording is excused: the record has no face, no finger, no iris and no "
                 "signature.");
    else if (!has([](trait each) { return each == trait::finger || each == trait::iris; }))
        out.warn("nothing-to-compare", "biometrics",
                 "All fingers and both irises are excused: nobody can tell by this record whether "
                 "its holder was recorded before.");
}

} // namespace

void check_biometrics(const v1::Enrollment& enrollment, judgement& out)
{
    std::array<int, kinds.size()> seen{};
    for (int i = 0; i < enrollment.biometrics_size(); ++i) {
        const auto& each = enrollment.biometrics(i);
        const auto path = "biometrics[" + std::to_string(i) + ']';
        const auto* what = find_kind(each.kind());
        if (what == nullptr) {
            out.refuse("unknown-value", path + ".kind",
                       "Recording " + std::to_string(i + 1) +
                           " is of a kind that is not known here.");
            continue;
        }
        if (++seen[static_cast<std::size_t>(what - kinds.data())] == 2)
            out.refuse("biometric-repeated", path + ".kind",
                       "There is more than one recording of the " + std::string{what->label} + '.');
        biometric_check{each, *what, path, out}.run();
    }
    for (std::size_t i = 0; i < kinds.size(); ++i)
        if (seen[i] == 0)
            out.refuse("biometric-missing", "biometrics",
                       "The " + std::string{kinds[i].label} +
                           " was not recorded, and no reason is given.");
    check_copies(enrollment, out);
    check_what_is_left(enrollment, out);
}

} // namespace titip::enrollment
