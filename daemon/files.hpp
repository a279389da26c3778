#pragma once

#include "base/bytes.hpp"
#include "base/record_id.hpp"

#include <optional>
#include <string>

namespace titip::cli {

/// The record id that an enrollment carries, read without looking at the rest.
std::optional<record_id> id_of_enrollment(bytes_view enrollment);

/// To a file, or to standard output for "-" or "". Says what went wrong itself.
bool put_out(bytes_view data, const std::string& file);

} // namespace titip::cli
