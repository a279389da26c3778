#include "base/units.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace titip {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array sizes{unit{"B", 1},
                           unit{"kB", 1'000},
                           unit{"MB", 1'000'000},
                           unit{"GB", 1'000'000'000},
                           unit{"TB", 1'000'000'000'000},
                           unit{"KiB", 1u << 10},
                           unit{"MiB", 1u << 20},
                           unit{"GiB", 1u << 30},
                           unit{"TiB", 1ull << 40}};

constexpr std::array rates{unit{"bit/s", 1}, unit{"kbit/s", 1'000}, unit{"Mbit/s", 1'000'000}};

constexpr std::uint64_t second = 1'000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;

constexpr std::array durations{unit{"ms", 1},           unit{"s", second},   unit{"second", second},
                               unit{"seconds", second}, unit{"min", minute}, unit{"minute", minute},
                               unit{"minutes", minute}, unit{"h", hour},     unit{"hour", hour},
                               unit{"hours", hour},     unit{"d", day},      unit{"day", day},
                               unit{"days", day}};

std::optional<std::uint64_t> parse(std::string_view text, std::span<const unit> units)
{
    std::uint64_t number = 0;
    const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{})
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    if (text.starts_with(' '))
        text.remove_prefix(1);
    for (const auto& each : units)
        if (each.name == text) {
            if (number > std::numeric_limits<std::int64_t>::max() / each.factor)
                return std::nullopt;
            return number * each.factor;
        }
    return std::nullopt;
}

} // namespace

std::optional<std::uint64_t> parse_size_bytes(std::string_view text)
{
    return parse(text, sizes);
}

std::optional<milliseconds> parse_duration(std::string_view text)
{
    const auto ms = parse(text, durations);
    if (!ms)
        return std::nullopt;
    return milliseconds{static_cast<std::int64_t>(*ms)};
}

std::optional<std::uint64_t> parse_rate_bytes_per_s(std::string_view text)
{
    const auto bits = parse(text, rates);
    if (!bits)
        return std::nullopt;
    return *bits / 8;
}

std::string show_size(std::uint64_t size_bytes)
{
    if (size_bytes < 1'000)
        return fmt::format("{} B", size_bytes);
    auto value = static_cast<double>(size_bytes);
    std::string_view name = "B";
    for (const std::string_view next : {"kB", "MB", "GB", "TB"}) {
        if (value < 999.5)
            break;
        value /= 1'000;
        name = next;
    }
    return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, name);
}

std::string show_duration(milliseconds d)
{
    const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(d.count(), 0));
    if (ms < minute)
        return fmt::format("{} s", ms / second);
    if (ms < hour)
        return fmt::format("{} min", ms / minute);
    if (ms < day)
        return fmt::format("{} h {} min", ms / hour, ms % hour / minute);
    return fmt::format("{} day{} {} h", ms / day, ms / day == 1 ? "" : "s", ms % day / hour);
}

} // namespace titip
