#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace titip {

/// "64 GiB", "500 MB", "4096 B": a number without sign, a space or none, a unit; powers of 1,024
/// for KiB, MiB, GiB, TiB and of 1,000 for kB, MB, GB, TB. A bare number is refused: units are for
/// people.
std::optional<std::uint64_t> parse_size_bytes(std::string_view text);

/// "30 days", "5 min", "250 ms": ms, s, min, h, d and their English words.
std::optional<milliseconds> parse_duration(std::string_view text);

/// "256 kbit/s", "2 Mbit/s", as providers write it, in bytes per second; "0 kbit/s" is 0.
std::optional<std::uint64_t> parse_rate_bytes_per_s(std::string_view text);

/// "1.2 GB", three significant digits, powers of 1,000.
std::string show_size(std::uint64_t size_bytes);

/// "3 days 4 h", "12 min", "45 s": the two largest units that matter.
std::string show_duration(milliseconds d);

} // namespace titip
