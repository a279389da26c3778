#pragma once

#include "base/bytes.hpp"
#include "base/record_id.hpp"
#include "base/time.hpp"
#include "enrollment/check.hpp"

#include <optional>
#include <random>

/// Invented enrollments, for tests, benches and the demo. No person is in them: the names are
/// syllables with CONTOH ("example") behind, the NIK begin with 99, which no province has, and the
/// images are noise in right containers, so that they compress as little as real ones do.
namespace titip::support {

/// A UUID version 4 that the seed alone decides.
record_id random_id(std::mt19937_64& random);

struct enrollment_options {
    std::optional<record_id> id{};    ///< default: random_id()
    std::size_t size_bytes = 800'000; ///< met within 2 % or 2,000 bytes; at least 4,000
    std::optional<enrollment::lane> lane{};
    wall_time taken_at = from_ms(1'764'000'000'000);
    /// Nothing is missing, and the NIK agrees with the biodata; else one record in five has excused
    /// recordings, and one in ten people has moved since the NIK was issued.
    bool is_plain = false;
};

/// An Enrollment, serialised, that enrollment::check() takes. The same seed and options give the
/// same bytes.
bytes enrollment(std::mt19937_64& random, const enrollment_options& options = {});

} // namespace titip::support
