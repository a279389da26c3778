#include "envelope/library.hpp"

#include <catch2/catch.hpp>

#include <openssl/crypto.h>

using namespace titip;

TEST_CASE("a library is told by its number from one that was mended", "[envelope]")
{
    // 0xMNN00PP0L: major, minor, patch
    for (const auto flawed :
         {0x30000000UL, 0x30000130UL, 0x30000150UL, 0x30100090UL, 0x303000f0UL, 0x30400060UL,
          0x30500070UL, 0x30600030UL, 0x40000010UL, 0x1010117fUL}) {
        CAPTURE(flawed);
        CHECK(envelope::has_known_flaw(flawed));
    }
    for (const auto mended : {0x30000160UL, 0x30000170UL, 0x30400070UL, 0x30500080UL, 0x30600040UL,
                              0x40000020UL, 0x40100000UL, 0x50000000UL}) {
        CAPTURE(mended);
        CHECK_FALSE(envelope::has_known_flaw(mended));
    }
    CHECK(envelope::flaw_of_library().empty() ==
          !envelope::has_known_flaw(::OpenSSL_version_num()));
}
