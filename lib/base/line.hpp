#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace titip {

/// Text from outside, made fit to be kept, sent on, logged and shown: one line of valid UTF-8, of at most
/// `most_bytes`, cut between characters. What is no UTF-8 becomes U+FFFD, one for each run of such bytes;
/// control characters (C0, DEL, C1), line and paragraph separators, and what turns the direction of
/// writing, become a space. Rationale: protobuf reads no message again that has a text which is not
/// UTF-8, and a terminal obeys what it is shown. Text that is fit already comes out as it was.
std::string to_line(std::string_view said, std::size_t most_bytes);

} // namespace titip
