#pragma once

#include <fmt/format.h>

#include <string_view>

/// One line per change of custody or state, never per retry: event word first, as in the ledger and
/// the command line, then key=value. No personal data. To standard error, where systemd's journal takes
/// the level from the prefix (sd-daemon(3)). Never waits for who reads it: see base/outlet.hpp.
namespace titip::log {

enum class level { error, warn, info, debug };

void write(level, std::string_view line);
/// Lines below this level are dropped. The default is info.
void set_threshold(level) noexcept;
bool is_on(level) noexcept;

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) ///< act now
{
    write(level::error, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) ///< look
{
    write(level::warn, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) ///< custody or link changed
{
    if (is_on(level::info))
        write(level::info, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) ///< for us
{
    if (is_on(level::debug))
        write(level::debug, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace titip::log
