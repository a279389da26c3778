#include "node/check.hpp"

#include "support/pki.hpp"

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
        said.quota_bytes = 1u << 20;
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
        const auto found = check_machine(said, "titip.toml", when);
        INFO((found ? std::string{} : found.error().sentence));
        REQUIRE(found.has_value());
        return *found;
    }

    std::string error() const
    {
        const auto found = check_machine(said, "titip.toml", when);
        REQUIRE_FALSE(found.has_value());
        CHECK_THAT(found.error().sentence, StartsWith("titip.toml: ") && !Contains("\n"));
        return found.error().sentence;
    }

    /// A file of certificates, one of [seal] recipients.
    void seal_to(const std::string& name, const bytes& pem)
    {
        if (!said.seal)
            said.seal.emplace();
        said.seal->recipients.push_back(folder / name);
        std::ofstream{folder / name} << as_text(pem);
    }

    std::filesystem::path folder;
    config said;
    occasion when = occasion::check;
};

} // namespace

TEST_CASE(
    "records are submitted at stations: elsewhere [seal] is an error of the check, and a start "
    "goes on without it",
    "[node]")
{
    machine here;
    here.seal_to("one.pem", to_bytes(as_bytes("nothing looks into it")));
    here.said.listen.emplace();
    for (const bool is_relay : {true, false}) {
        if (is_relay)
            here.said.upstream.emplace();
        else
            here.said.upstream.reset();
        here.when = occasion::check;
        CHECK_THAT(here.error(), Contains("[seal] and [listen]") && Contains("remove [seal]"));
        here.when = occasion::start;
        const auto said = here.warnings();
        REQUIRE(said.size() == 1);
        CHECK_THAT(said[0], StartsWith("titip.toml: [seal] and [listen]"));
    }
}

TEST_CASE("a machine in order gives no warning", "[node]")
{
    CHECK(machine{}.warnings().empty());
}

TEST_CASE("a quota that is more than the disk can give is a warning, with what it can", "[node]")
{
    machine here;
    here.said.quota_bytes = 1ull << 60;
    for (const auto when : {occasion::check, occasion::start}) {
        here.when = when;
        const auto told = here.warnings();
        REQUIRE(told.size() == 1);
        CHECK_THAT(told.front(), StartsWith("titip.toml: [node] quota: ") &&
                                     Contains(here.folder.string()) &&
                                     Contains("than the disk of") && Contains("can give"));
    }
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

TEST_CASE("a socket in a directory that is missing is an error", "[node]")
{
    machine here;
    here.said.control.socket = here.folder / "none/titip.sock";
    for (const auto when : {occasion::check, occasion::start}) {
        here.when = when;
        CHECK_THAT(here.error(), Contains("[control] socket") && Contains("none/titip.sock") &&
                                     Contains("no directory") && Contains("correct the path"));
    }
}

TEST_CASE("the directory in /run that systemd makes at a start may be missing before it", "[node]")
{
    machine here;
    here.said.control.socket = "/run/titip-of-no-service/titip.sock";
    CHECK(here.warnings().empty());
    here.when = occasion::start;
    CHECK_THAT(here.error(), Contains("[control] socket"));
}

TEST_CASE("a group that this system does not have is a warning that names the role", "[node]")
{
    machine here;
    here.said.control.operate = "titip-no-such-group";
    const auto said = here.warnings();
    REQUIRE(said.size() == 1);
    CHECK_THAT(said[0], StartsWith("titip.toml: [control] operate: ") &&
                            Contains("\"titip-no-such-group\"") && Contains("groupadd"));
}

TEST_CASE("a recipient that nothing can be sealed to is named", "[node]")
{
    machine here;
    here.seal_to("good.pem", support::recipient(support::key_kind::p256).certificate);
    here.seal_to("weak.pem", support::recipient(support::key_kind::rsa1024).certificate);
    CHECK_THAT(here.error(), Contains("[seal] recipients") && Contains("weak.pem") &&
                                 !Contains("good.pem") && Contains("RSA of 2,048 bits"));
    here.said.seal->recipients.pop_back();
    here.seal_to("text.pem", to_bytes(as_bytes("no certificate")));
    CHECK_THAT(here.error(), Contains("text.pem"));
}

TEST_CASE("a recipient that is named twice is no escrow, and said to be the same", "[node]")
{
    machine here;
    const auto centre = support::recipient(support::key_kind::p256).certificate;
    here.seal_to("centre.pem", centre);
    here.seal_to("copy.pem", centre);
    CHECK_THAT(here.error(), Contains("[seal] recipients") && Contains("copy.pem\" is the same") &&
                                 Contains("centre.pem\"") && Contains("escrow's"));
    here.seal_to("escrow.pem", support::recipient(support::key_kind::rsa2048).certificate);
    CHECK(here.warnings().empty());
}

TEST_CASE("a recipient's file that cannot be read is left to those who read it", "[node]")
{
    machine here;
    here.seal_to("centre.pem", support::recipient(support::key_kind::p256).certificate);
    here.said.seal->recipients.push_back(here.folder / "none.pem");
    CHECK(here.warnings().empty());
}

TEST_CASE("a second copy on a disk that is not there, or is the store's own, is a warning",
          "[node]")
{
    machine here;
    here.said.mirror.emplace().path = here.folder / "backup";
    const auto said = [&here] {
        const auto all = here.warnings();
        REQUIRE(all.size() == 1);
        CHECK_THAT(all[0], StartsWith("titip.toml: [mirror] path: ") && Contains("backup"));
        return all[0];
    };
    CHECK_THAT(said(), Contains("mount the disk")); // also before the store was ever made
    std::filesystem::create_directory(here.folder / "backup");
    CHECK_THAT(said(), Contains("on the disk of the store itself"));
    std::filesystem::create_directory(here.said.state);
    CHECK_THAT(said(), Contains("on the disk of the store itself"));
    std::ofstream{here.folder / "file-backup"} << "no folder";
    here.said.mirror->path = here.folder / "file-backup";
    CHECK_THAT(said(), Contains("mount the disk"));
    here.when = occasion::start; // where a disk that hangs would keep the daemon from starting
    CHECK(here.warnings().empty());
}
