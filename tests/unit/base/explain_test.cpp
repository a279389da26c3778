#include "base/explain.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <set>

using namespace titip;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

std::string of(int code)
{
    return explain("/var/lib/titip", error_code{code, boost::system::system_category()});
}

} // namespace

TEST_CASE("what the system said of a path is told with what it means, and nothing else", "[base]")
{
    CHECK_THAT(of(EACCES), StartsWith("/var/lib/titip: Permission denied: the user ") &&
                               Contains("may not pass a directory above it"));
    CHECK_THAT(of(EROFS), Contains("can only be read"));
    CHECK_THAT(of(ENOSPC), Contains("No space left") && Contains("remove other things"));
    CHECK_THAT(of(ENOTDIR), Contains("not a directory"));
    CHECK_THAT(of(ELOOP), Contains("symbolic link"));
    CHECK_THAT(of(EIO), Contains("journalctl -k"));
    CHECK(of(ENOENT) == "/var/lib/titip: No such file or directory");
    std::set<std::string> all;
    for (const int code :
         {EACCES, EPERM, ENOTDIR, EISDIR, ELOOP, EROFS, ENOSPC, EDQUOT, EIO, ENOENT}) {
        CHECK(of(code).find('\n') == std::string::npos);
        all.insert(of(code));
    }
    CHECK(all.size() == 10);
    // A number of ours is none of the system's.
    CHECK_THAT(explain("x", make_error_code(boost::system::errc::success)), !Contains("user"));
}

TEST_CASE("that nothing is there is told from that nobody can tell", "[base]")
{
    CHECK(is_there("/").value());
    CHECK_FALSE(is_there("/no/such/thing").value());
    CHECK(is_there("/dev/null/x").error() == boost::system::errc::not_a_directory);
}
