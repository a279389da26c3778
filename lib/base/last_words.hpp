#pragma once

#include <string>
#include <string_view>

namespace titip {

/// Why a program ends, to standard error: "titipd: WHY". Where systemd's journal takes that, with the
/// priority `err`: who looks for what needs somebody has to find why a service does not start.
void last_words(std::string_view program, std::string_view why);

/// The line as it is written; `is_journal`: whether the journal takes it.
std::string last_words_line(std::string_view program, std::string_view why, bool is_journal);

/// Whether standard error is what systemd's journal reads, and not what somebody put in its place.
bool is_journal_reading() noexcept;

} // namespace titip
