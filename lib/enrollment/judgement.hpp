#pragma once

#include "enrollment/blank.hpp"
#include "enrollment/check.hpp"

#include <chrono>
#include <string_view>

namespace titip::v1 {
class Biodata;
class Enrollment;
} // namespace titip::v1

namespace titip::enrollment {

/// What check() has found so far: shared by its parts, not used outside of the room.
class judgement {
public:
    void refuse(std::string code, std::string field, std::string sentence)
    {
        defects.push_back({std::move(code), std::move(field), std::move(sentence)});
    }
    void warn(std::string code, std::string field, std::string sentence)
    {
        warnings.push_back({std::move(code), std::move(field), std::move(sentence)});
    }

    /// Of a text: "missing" if it is required and empty, "too-long". `label` names it in a
    /// sentence: "full name". True if there is something to look at further.
    bool has_text(std::string_view field, std::string_view label, const std::string& text,
                  bool required)
    {
        if (text.empty() && required)
            refuse("missing", std::string{field}, "The " + std::string{label} + " is missing.");
        if (text.size() > text_limit_bytes)
            refuse("too-long", std::string{field},
                   "The " + std::string{label} + " is too long to be one.");
        else if (!text.empty() && is_spaces(text))
            warn("blank", std::string{field},
                 "The " + std::string{label} + " is nothing but spaces.");
        return !text.empty() && text.size() <= text_limit_bytes;
    }

    /// The same, of one that is required and is a name: "blank" also for a dash in its place.
    /// (For a street or an occupation that is what is written where there is none.)
    void has_name(std::string_view field, std::string_view label, const std::string& text)
    {
        if (has_text(field, label, text, true) && !is_spaces(text) && is_punctuation(text))
            warn("blank", std::string{field},
                 "The " + std::string{label} + " has no letter and no digit.");
    }

    std::vector<defect> defects;
    std::vector<defect> warnings;
};

/// `taken_on`: the day of the recording, in UTC, or a later one.
void check_biodata(const v1::Biodata& biodata, std::chrono::sys_days taken_on, judgement& out);
void check_biometrics(const v1::Enrollment& enrollment, judgement& out);

} // namespace titip::enrollment
