#pragma once

#include "base/bytes.hpp"

#include <cstdint>
#include <optional>

namespace titip::enrollment {

/// How a biometric is packed. The numbers are those of proto BiometricFormat.
enum class container : std::uint8_t {
    finger_record = 1, ///< ISO/IEC 19794-4:2005, :2011
    face_record = 2,   ///< ISO/IEC 19794-5:2005, :2011
    iris_record = 3,   ///< ISO/IEC 19794-6:2005, :2011
    wsq = 4,
    jpeg_2000 = 5,
    png = 6,
};

enum class flaw {
    other_format = 1, ///< it does not begin as this format does
    unknown_version,  ///< an edition of the standard that we do not know
    wrong_length,     ///< a length in it contradicts the number of bytes
    cut_off,          ///< its end is missing
    padded,           ///< its end is there, and something behind it
    no_image,         ///< it says itself that it holds no image
};

/// The first flaw found in the header or at the end of `data`. What lies between is not decoded:
/// that is the centre's business, and a decoder here would meet foreign bytes with full rights.
std::optional<flaw> examine(container format, bytes_view data);

/// What the header of an image that examine() finds no flaw in says of it.
struct picture {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    /// So few bytes for so many points that only one colour can be in it. A guess, by size.
    bool is_blank = false;
};

/// Nothing where the header is of a kind that is not looked into. Not decoded, as above.
std::optional<picture> picture_of(container format, bytes_view data);

} // namespace titip::enrollment
