#include "node/birth.hpp"

#include "journal/birth.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

/// birth_test.py tries the same with users, disks and containers; here is what is decided of files.
using namespace titip;
using namespace titip::node;
using Catch::Matchers::Contains;

namespace {

/// A configuration whose state and mark are in a folder of their own.
class machine {
public:
    machine()
    {
        std::string name = "/tmp/titip-birth.XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        folder = name;
        said.name = "office-1";
        said.state = folder / "state";
        said.may_be_fleeting = true; // wherever tests run
        said.mark_file = folder / "titip.toml.store";
        said.identity.key = folder / "node.key";
    }
    machine(const machine&) = delete;
    ~machine() { std::filesystem::remove_all(folder); }

    bool has_store() const
    {
        const auto found = journal::is_there(said.state);
        REQUIRE(found.has_value());
        return *found;
    }
    std::string id() const
    {
        const auto found = journal::id_in(said.state, said.name);
        REQUIRE(found.has_value());
        return *found;
    }
    mark marked() const
    {
        const auto found = read_mark(said.mark_file);
        REQUIRE(found.what == mark_reading::kind::good);
        return found.said;
    }
    std::string refused() const
    {
        const auto made = create(said);
        REQUIRE_FALSE(made.has_value());
        return made.error().sentence;
    }
    void mark_as(const std::string& text) const { std::ofstream{said.mark_file} << text; }

    std::filesystem::path folder;
    config said;
};

const mark other{.node = "office-1", .store = std::string(32, 'a')};

} // namespace

TEST_CASE("a store and its mark are made where they are asked for, once", "[node]")
{
    const machine here;
    const auto made = create(here.said);
    REQUIRE(made.has_value());
    CHECK_FALSE(made->was_there);
    CHECK(made->mark_why.empty());
    const auto id = here.id();
    CHECK(here.marked() == mark{.node = "office-1", .store = id});
    struct ::stat found {};
    REQUIRE(::stat(here.said.state.c_str(), &found) == 0);
    CHECK((found.st_mode & 07777) == 0700);

    const auto again = create(here.said);
    REQUIRE(again.has_value());
    CHECK(again->was_there);
    CHECK(again->mark_why.empty());
    CHECK(here.id() == id);
    const auto adopted = adopt(here.said);
    REQUIRE(adopted.has_value());
    CHECK_FALSE(*adopted);
    const auto checked = check_store(here.said);
    CHECK(checked.warnings.empty());
    CHECK(checked.alarms.empty());
}

TEST_CASE("where a mark says that a store was made no other one is, whatever it says", "[node]")
{
    const machine here;
    for (const auto& text : {to_text(other), std::string{"something else"}, std::string{}}) {
        CAPTURE(text);
        here.mark_as(text);
        CHECK_THAT(here.refused(), Contains(here.said.state.string()) &&
                                       Contains(here.said.mark_file.string()) &&
                                       Contains("ount its disk"));
        CHECK_FALSE(std::filesystem::exists(here.said.state));
        const auto checked = check_store(here.said);
        CHECK(checked.warnings.empty());
        CHECK(checked.alarms.size() == 1);
    }
}

TEST_CASE("no store is made in a directory that has other things in it", "[node]")
{
    const machine here;
    std::filesystem::create_directories(here.said.state / "lost+found"); // a disk's own
    std::ofstream{here.said.state / "letters.odt"};
    CHECK_THAT(here.refused(), Contains("has other things in it (letters.odt)"));
    CHECK_FALSE(here.has_store());
    CHECK(std::filesystem::exists(here.said.state / "letters.odt"));
    CHECK(read_mark(here.said.mark_file).what == mark_reading::kind::absent);
    std::filesystem::remove(here.said.state / "letters.odt");
    std::filesystem::permissions(here.said.state, std::filesystem::perms{0755});
    CHECK(create(here.said).has_value());
    CHECK(std::filesystem::status(here.said.state).permissions() ==
          std::filesystem::perms::owner_all);
}

TEST_CASE("the directory above the state's is never made", "[node]")
{
    machine here;
    here.said.state = here.folder / "disk" / "state";
    CHECK_THAT(here.refused(), Contains(here.said.state.string()));
    CHECK_FALSE(std::filesystem::exists(here.folder / "disk"));
}

TEST_CASE("a store without a mark gets one, by a birth that was asked for again or by adoption",
          "[node]")
{
    const machine here;
    REQUIRE(create(here.said).has_value());
    const auto id = here.id();
    const bool is_adopted = GENERATE(false, true);
    std::filesystem::remove(here.said.mark_file);
    const auto checked = check_store(here.said);
    CHECK(checked.alarms.empty());
    REQUIRE(checked.warnings.size() == 1);
    CHECK_THAT(checked.warnings[0], Contains("titipd --adopt"));
    CHECK(read_mark(here.said.mark_file).what == mark_reading::kind::absent); // it changes nothing
    if (is_adopted) {
        const auto adopted = adopt(here.said);
        REQUIRE(adopted.has_value());
        CHECK(*adopted == mark{.node = "office-1", .store = id});
    } else {
        const auto again = create(here.said);
        REQUIRE(again.has_value());
        CHECK(again->mark_why.empty());
    }
    CHECK(here.marked().store == id);
}

TEST_CASE("a mark that names another store is said, and replaced only where that is meant",
          "[node]")
{
    const machine here;
    REQUIRE(create(here.said).has_value());
    const auto id = here.id();
    here.mark_as(to_text(other));
    const auto again = create(here.said);
    REQUIRE(again.has_value());
    CHECK(again->was_there);
    CHECK_THAT(again->mark_why, Contains("names another store") && Contains(other.store) &&
                                    Contains("here is " + id));
    const auto checked = check_store(here.said);
    CHECK(checked.warnings.empty());
    REQUIRE(checked.alarms.size() == 1);
    CHECK(checked.alarms[0] == again->mark_why);
    const auto adopted = adopt(here.said);
    REQUIRE(adopted.has_value());
    CHECK_FALSE(*adopted);
    CHECK(here.marked() == other);
    REQUIRE(replace_mark(here.said).has_value());
    CHECK(here.marked().store == id);
}

TEST_CASE("nothing is adopted or marked where no store is", "[node]")
{
    const machine here;
    const auto adopted = adopt(here.said);
    REQUIRE(adopted.has_value());
    CHECK_FALSE(*adopted);
    CHECK_FALSE(replace_mark(here.said).has_value());
    CHECK(read_mark(here.said.mark_file).what == mark_reading::kind::absent);
    CHECK_FALSE(std::filesystem::exists(here.said.state));
    const auto checked = check_store(here.said);
    CHECK(checked.alarms.empty());
    REQUIRE(checked.warnings.size() == 1);
    CHECK_THAT(checked.warnings[0], Contains("titipd --create"));
}

TEST_CASE("a store that a daemon has is neither marked nor taken for a fault", "[node]")
{
    const machine here;
    REQUIRE(create(here.said).has_value());
    const auto reserved = journal::store::reserve(here.said.state);
    REQUIRE(reserved.has_value());
    here.mark_as(to_text(other)); // the daemon says so in its status
    const auto again = create(here.said);
    REQUIRE(again.has_value());
    CHECK(again->was_there);
    CHECK(again->mark_why.empty());
    CHECK(check_store(here.said).alarms.empty());
    here.mark_as("something else"); // that needs no look into the store
    CHECK(check_store(here.said).alarms.size() == 1);
    std::filesystem::remove(here.said.mark_file);
    CHECK_FALSE(adopt(here.said).has_value());
    CHECK(read_mark(here.said.mark_file).what == mark_reading::kind::absent);
}

TEST_CASE("a restore that was not finished is told before any mark", "[node]")
{
    const machine here;
    std::filesystem::create_directories(here.said.state);
    std::ofstream{here.said.state / journal::store::unfinished};
    for (const bool is_marked : {false, true}) {
        if (is_marked)
            here.mark_as(to_text(other));
        CHECK_THAT(absence(here.said, read_mark(here.said.mark_file)),
                   Contains("run titip restore again"));
        CHECK_THAT(here.refused(), Contains("run titip restore again"));
        CHECK_FALSE(here.has_store());
    }
}
