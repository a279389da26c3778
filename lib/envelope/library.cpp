#include "envelope/library.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>

namespace titip::envelope {

bool has_known_flaw(unsigned long version) noexcept
{
    struct series {
        unsigned long number;
        unsigned long mended; ///< the first patch without the flaw
    };
    constexpr std::array<series, 5> known{
        {{0x300, 22}, {0x304, 7}, {0x305, 8}, {0x306, 4}, {0x400, 2}}};
    const auto number = version >> 20;
    const auto patch = version >> 4 & 0xff;
    const auto found = std::ranges::find(known, number, &series::number);
    if (found != known.end())
        return patch < found->mended;
    return number <
           known.back().number; // 3.1 to 3.3 ended before; what comes after 4.0 began without it
}

std::string flaw_of_library()
{
    if (!has_known_flaw(::OpenSSL_version_num()))
        return {};
    return fmt::format(
        "{} runs here. Its number is one of a version with a published flaw, by which "
        "an envelope that somebody forged can damage the memory of the program that "
        "opens it (CVE-2026-63072). Install the newest libssl3 (Debian 12: 3.0.22 or "
        "later, apt-get update && apt-get install libssl3), then restart titipd",
        ::OpenSSL_version(OPENSSL_VERSION));
}

} // namespace titip::envelope
