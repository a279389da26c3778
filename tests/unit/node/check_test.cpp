#include "node/check.hpp"

#include <catch2/catch.hpp>

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace titip;
using namespace titip::node;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// A machine on which everything that the configuration names is in order.
class machine {
public:
    machine()
    {
        std::string name = "/tmp/titip-check.XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
        said.name = "office-1";
        said.state = folder / "state";
        said.control = {.socket = folder / "titip.sock",
                        .submit = "root",
                        .read = "root",
                        .operate = "root",
                        .consume = "root"};
        said.identity.key = folder / "node.key";
        std::ofstream{said.identity.key} << "a key";
        ::chmod(said.identity.key.c_str(), 0400);
    }
    machine(const machine&) = delete;
    ~machine() { std::filesystem::remove_all(folder); }

    std::vector<std::string> warnings() const
    {
        const auto found = check_machine(said, "titip.toml");
        INFO((found ? std::string{} : found.error().sentence));
        REQUIRE(found.has_value());
        return *found;
    }

    std::string error() const
    {
        const auto found = check_machine(said, "titip.toml");
        REQUIRE_FALSE(found.has_value());
        CHECK_THAT(found.error().sentence, StartsWith("titip.toml: ") && !Contains("\n"));
        return found.error().sentence;
    }

    std::filesystem::path folder;
    config said;
};

} // namespace

TEST_CASE("a machine in order gives no warning", "[node]")
{
    CHECK(machine{}.warnings().empty());
}

TEST_CASE("a key that a group or everybody may read is a warning", "[node]")
{
    const machine here;
    for (const ::mode_t mode : {0440, 0404, 0420, 0640, 0644}) {
        CAPTURE(mode);
        ::chmod(here.said.identity.key.c_str(), mode);
        const auto said = here.warnings();
        REQUIRE(said.size() == 1);
        CHECK_THAT(said[0], StartsWith("titip.toml: [identity] key: ") && Contains("node.key") &&
                                Contains("chmod 400"));
    }
    ::chmod(here.said.identity.key.c_str(), 0600);
    CHECK(here.warnings().empty());
}

TEST_CASE("the state directory may be missing, the one above it not", "[node]")
{
    machine here;
    for (const std::string there : {"state", "state/", "./state"}) {
        here.said.state = here.folder / there;
        CHECK(here.warnings().empty());
    }
    for (const std::string mistyped : {"sate/titip", "sate/titip/", "node.key/titip"}) {
        CAPTURE(mistyped);
        here.said.state = here.folder / mistyped;
        CHECK_THAT(here.error(), Contains("[node] state") && Contains(here.said.state.string()) &&
                                     Contains("no directory") && Contains("correct the path"));
    }
    CHECK_FALSE(std::filesystem::exists(here.folder / "sate"));
    here.said.state = here.said.identity.key;
    CHECK_THAT(here.error(), Contains("[node] state") && Contains("not a directory"));
    here.said.state = "titip-state";
    CHECK(here.warnings().empty());
}
