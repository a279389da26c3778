#pragma once

#include "envelope/statement.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace titip::journal {

/// One verdict on a record, as the centre numbered it.
struct judgement {
    envelope::verdict_kind kind{};
    std::uint64_t number = 0; ///< in the centre's numbering for the station; 0: not known
    std::uint64_t epoch = 0;  ///< of that numbering: the first bytes of the centre's store epoch
    wall_time at{};           ///< as signed; zero: not known
    friend bool operator==(const judgement&, const judgement&) = default;
};

/// So many are kept with a record; the ledger has all.
constexpr std::size_t most_judgements = 32;

/// Whether one record cannot be both.
///
///     opened        | open-failed          it could be opened, or not
///     print-ready   | duplicate            what became of it: one of these
///                   | enrollment-failure
///     open-failed   | each of the others   of what could not be opened nothing else is known
bool exclude(envelope::verdict_kind, envelope::verdict_kind) noexcept;

/// Whether somebody has to do something about a record of which this was said.
bool needs_person(envelope::verdict_kind) noexcept;

/// Puts a verdict where its number says. Rationale: verdicts may come late, and twice. Of one numbering
/// the number counts; another numbering (the centre's store was put back) is later than those before it;
/// without a number it is later than what is here. `is_news`: its number was not given before, so that it
/// is none of those whose numbers are not known. False: it is here already.
bool add_judgement(std::vector<judgement>& all, const judgement& said, bool is_news);

/// What holds: all that no later one excludes which holds itself; each once, in order.
std::vector<envelope::verdict_kind> standing(const std::vector<judgement>& all);

/// The one of those that hold that needs a person.
std::optional<envelope::verdict_kind>
person_needed(const std::vector<envelope::verdict_kind>& held) noexcept;

} // namespace titip::journal
