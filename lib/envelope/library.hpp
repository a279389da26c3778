#pragma once

#include <string>

/// Which OpenSSL runs. The build demands one without the flaw below (CMakeLists.txt); the one that runs is
/// the machine's, and may be older.
namespace titip::envelope {

/// Pure. Whether a version (OPENSSL_version_num()) has CVE-2026-63072: unwrapping a key that somebody forged
/// writes past the end of a buffer. The project mended it in 3.0.22, 3.4.7, 3.5.8, 3.6.4 and 4.0.2. A
/// distribution may have mended an older version under its old number; this does not know that.
bool has_known_flaw(unsigned long version) noexcept;

/// One sentence, with what to do. Empty: the library that runs is not known to have a flaw.
std::string flaw_of_library();

} // namespace titip::envelope
