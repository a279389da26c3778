#pragma once

#include "base/time.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace titip::log {

/// Where lines go out, in order, by a thread of its own: a pipe that is full because nobody reads it, or
/// a journald that is stopped, holds up only that thread.
/// Promise:  put() never waits for who reads. What finds no room is dropped and counted, and where the
///           next line has room again stands how many are missing.
/// Threads:  any.
/// Lifetime: one that still waits for its reader is left behind, with what it holds.
class outlet {
public:
    struct limits {
        std::size_t bytes =
            256u << 10; ///< some 2,000 lines: hours of a node's life, seconds of a storm
        /// Beside these, for errors only: why a process ends must not be lost among what led to it.
        std::size_t urgent_bytes = 64u << 10;
    };

    /// Does not close `file`. `lost_prefix` stands before the line about lost ones.
    outlet(int file, std::string lost_prefix, limits bounds);
    explicit outlet(int file) : outlet(file, {}, {}) {}
    ~outlet();

    /// A whole line, with its end.
    void put(std::string line, bool is_urgent = false);
    /// True when all that was put has gone out; false after `limit`.
    bool flush(milliseconds limit);

private:
    struct parts;
    std::shared_ptr<parts> parts_;
};

/// All that was logged has gone out, or there is nobody who reads it: for who ends the process.
bool flush(milliseconds limit = 1s);

/// A line as it is, past every threshold, of a program that ends; and flushes. See base/last_words.hpp.
void last_line(std::string line);

} // namespace titip::log
