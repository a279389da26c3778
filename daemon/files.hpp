#pragma once

#include "base/bytes.hpp"
#include "base/record_id.hpp"

#include <optional>
#include <string>

namespace titip::cli {

/// The record id that an enrollment carries, read without looking at the rest.
std::optional<record_id> id_of_enrollment(bytes_view enrollment);

/// The one way to write what --out names: a file as a whole, as write_file() does it; into a device or a
/// pipe; to standard output for "-", "" and what is another name of it. A link to a file is refused. Says what
/// went wrong itself.
bool put_out(bytes_view data, const std::string& file);

} // namespace titip::cli
