#pragma once

#include "base/bytes.hpp"

#include <fmt/format.h>

#include <functional>
#include <string_view>

/// What the two programs say on standard output, and whether it arrived there.
///
/// Nothing here throws or ends a command: a disk that is full under standard output must not keep
/// the second file from being submitted. The loss is remembered, and told once, at the end, with an
/// exit code of its own. Threads: the main thread.
namespace titip::cli {

/// The exit code where standard output, or the file of --out, did not take all that was to be written:
/// whatever else the command would have said.
constexpr int output_lost = 8;

/// Text as it is, to standard output.
void put_text(std::string_view text);

/// The same of bytes of which no copy is to stay in a buffer.
void put_bytes(bytes_view data);

template <class... Args>
void put(fmt::format_string<Args...> format, Args&&... args)
{
    put_text(fmt::format(format, std::forward<Args>(args)...));
}

/// Sends what was written on to its reader. False if anything has been lost so far: a command that follows
/// events ends by it.
bool flush();

/// Runs a program, or the part of it that speaks: `run` gives its exit code. What is closed of the
/// three standard streams is opened before, on nothing: else the first file that is opened, a socket
/// or the store itself, would be standard output.
int with_output(std::string_view program, const std::function<int()>& run);

} // namespace titip::cli
