#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace titip::bench {

using seconds = std::chrono::duration<double>;

/// One line of JSON that the scripts beside this read.
inline void print(std::vector<double> latencies_ms, seconds took, std::size_t bytes)
{
    std::ranges::sort(latencies_ms);
    const auto at = [&latencies_ms](double share) {
        return latencies_ms[static_cast<std::size_t>(share *
                                                     static_cast<double>(latencies_ms.size() - 1))];
    };
    const auto count = static_cast<double>(latencies_ms.size());
    fmt::print(
        "{{\"records_per_s\":{:.2f},\"mb_per_s\":{:.2f},\"p50_ms\":{:.2f},\"p99_ms\":{:.2f}}}\n",
        count / took.count(), static_cast<double>(bytes) / 1e6 / took.count(), at(0.5), at(0.99));
}

} // namespace titip::bench
