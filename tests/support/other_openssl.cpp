#include <openssl/crypto.h>

#include <cstdio>
#include <cstdlib>

/// Preloaded: the library says that it is the version in TITIP_OPENSSL, as 0x30000130.
extern "C" unsigned long OpenSSL_version_num()
{
    const char* said = std::getenv("TITIP_OPENSSL");
    return said == nullptr ? OPENSSL_VERSION_NUMBER : std::strtoul(said, nullptr, 0);
}

extern "C" const char* OpenSSL_version(int)
{
    static char text[64];
    const auto number = OpenSSL_version_num();
    std::snprintf(text, sizeof text, "OpenSSL %lu.%lu.%lu", number >> 28, number >> 20 & 0xff,
                  number >> 4 & 0xff);
    return text;
}
