#include "journal/meddling.hpp"

#include <catch2/catch.hpp>

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;
using kind = journal::open_failure::kind;

namespace {

bool is_there(const journal_fixture& at)
{
    const auto found = journal::is_there(at.options.directory);
    REQUIRE(found.has_value());
    return *found;
}

kind why_no_id(const journal_fixture& at)
{
    const auto id = journal::id_in(at.options.directory, at.options.node);
    REQUIRE_FALSE(id.has_value());
    return id.error().what;
}

result<std::unique_ptr<journal::store>, journal::open_failure> open_only(journal_fixture& at)
{
    return journal::store::open(at.options, at.pool, [](const std::string&) {});
}

std::string id_in(const journal_fixture& at)
{
    const auto found = journal::id_in(at.options.directory, at.options.node);
    return found ? *found : found.error().sentence;
}

std::string id_of(const journal_fixture& at)
{
    return journal::store_id(at.store->submission_key());
}

} // namespace

TEST_CASE("no store is made where none was asked for, and nothing is left in the folder")
{
    journal_fixture at;
    for (const bool is_folder_there : {false, true}) {
        CAPTURE(is_folder_there);
        if (is_folder_there)
            std::filesystem::create_directory(at.options.directory);
        const auto opened = open_only(at);
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().what == kind::unreadable);
        CHECK(opened.error().sentence.find(at.options.directory.string()) != std::string::npos);
        CHECK(std::filesystem::exists(at.options.directory) == is_folder_there);
    }
    CHECK(std::filesystem::is_empty(at.options.directory));
    CHECK_FALSE(is_there(at));
    REQUIRE(journal::make_empty(at.options.directory, at.options.node).has_value());
    CHECK(is_there(at));
    CHECK(open_only(at).has_value());
    const auto again = journal::make_empty(at.options.directory, at.options.node);
    REQUIRE_FALSE(again.has_value());
    CHECK(open_only(at).has_value());
}

TEST_CASE("a store has one id for ever, which its backup has too, and no other store has")
{
    journal_fixture at;
    at.open();
    const auto id = id_of(at);
    CHECK(id.size() == 32);
    at.reopen();
    CHECK(id_of(at) == id);
    REQUIRE(finish(at.store->begin_epoch(at.store->epoch(), "a test")));
    at.reopen();
    CHECK(id_of(at) == id);
    CHECK(why_no_id(at) == kind::in_use);

    const auto copies = at.folder.path() / "copies";
    std::filesystem::create_directory(copies);
    const auto copy =
        finish(at.store->back_up(copies, std::make_shared<journal::backup_progress>()));
    REQUIRE(copy.has_value());
    at.close();
    CHECK(id_in(at) == id);
    std::filesystem::remove_all(at.options.directory);
    std::filesystem::create_directory(at.options.directory);
    std::filesystem::copy_file(copy->file, at.data_file());
    CHECK(id_in(at) == id);
    at.open();
    CHECK(id_of(at) == id);
    at.close();

    std::filesystem::remove_all(at.options.directory);
    at.open();
    CHECK(id_of(at) != id);
    at.close();
    const auto other = journal::id_in(at.options.directory, "office-2");
    REQUIRE_FALSE(other.has_value());
    CHECK(other.error().what == kind::foreign);
}

TEST_CASE("a store of which only data.mdb is gone is not taken for one that never was")
{
    journal_fixture at;
    at.open();
    at.close();
    std::filesystem::rename(at.data_file(), at.folder.path() / "moved");
    CHECK(is_there(at));
    const auto opened = open_only(at);
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().what == kind::untrusted);
    CHECK_FALSE(journal::make_empty(at.options.directory, at.options.node).has_value());
    CHECK_FALSE(std::filesystem::exists(at.data_file()));
    std::filesystem::rename(at.folder.path() / "moved", at.data_file());
    CHECK(at.try_open().has_value());
}

TEST_CASE("what is there is told from what is not: half a birth, another file, a folder of others")
{
    journal_fixture at;
    std::filesystem::create_directory(at.options.directory);
    const auto put = [&at](const std::string& content) {
        std::ofstream{at.data_file(), std::ios::trunc} << content;
    };
    put("");
    CHECK_FALSE(is_there(at));
    put(std::string(8'192, '\0')); // what a power failure leaves of a birth
    CHECK_FALSE(is_there(at));
    put("something else");
    CHECK(is_there(at));
    CHECK(why_no_id(at) == kind::untrusted);
    put(std::string(12'288, '\0'));
    CHECK(is_there(at));
    std::filesystem::remove(at.data_file());
    std::filesystem::create_directory(at.data_file());
    CHECK(is_there(at));
    std::filesystem::remove(at.data_file());
    std::filesystem::create_symlink(at.folder.path() / "nowhere", at.data_file());
    CHECK_FALSE(is_there(at));
    at.options.directory = "/dev/null";
    CHECK_FALSE(is_there(at));
}

TEST_CASE("a store whose first pages are blank or gone is not taken for one that never was")
{
    journal_fixture at;
    at.open();
    at.close();
    for (const std::size_t blank : {0u, 8'192u}) {
        CAPTURE(blank);
        std::ofstream{at.data_file(), std::ios::trunc} << std::string(blank, '\0');
        CHECK(is_there(at));
        const auto opened = open_only(at);
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().what == kind::untrusted);
        CHECK_FALSE(journal::make_empty(at.options.directory, at.options.node).has_value());
        CHECK(std::filesystem::file_size(at.data_file()) == blank);
    }
}

TEST_CASE("a store is known from its birth on, though no daemon has opened it yet")
{
    journal_fixture at;
    REQUIRE(journal::make_empty(at.options.directory, at.options.node).has_value());
    std::filesystem::remove(at.data_file());
    CHECK(is_there(at));
    CHECK_FALSE(journal::make_empty(at.options.directory, at.options.node).has_value());
}

TEST_CASE("a folder that this user may not look into is neither empty nor a store's")
{
    journal_fixture at;
    at.open();
    at.close();
    std::filesystem::permissions(at.options.directory, std::filesystem::perms::none);
    const auto us = ::geteuid();
    constexpr ::uid_t nobody = 65'534;
    if (us == 0)
        REQUIRE(::seteuid(nobody) == 0);
    const auto found = journal::is_there(at.options.directory);
    if (us == 0)
        REQUIRE(::seteuid(us) == 0);
    std::filesystem::permissions(at.options.directory, std::filesystem::perms::owner_all);
    REQUIRE_FALSE(found.has_value());
    CHECK(found.error().what == kind::unreadable);
    CHECK(found.error().sentence.find(at.data_file().string()) != std::string::npos);
}

TEST_CASE("no store is made where a restore was begun, or a copy was to be put back")
{
    journal_fixture at;
    for (const auto* left : {journal::store::unfinished, "restored"}) {
        CAPTURE(left);
        std::filesystem::create_directories(at.options.directory);
        std::ofstream{at.options.directory / left};
        const auto made = journal::make_empty(at.options.directory, at.options.node);
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error().what == kind::unreadable);
        CHECK(made.error().sentence.find(left) != std::string::npos);
        CHECK_FALSE(is_there(at));
        std::filesystem::remove_all(at.options.directory);
    }
}

TEST_CASE("the id of a store that a later version wrote is not told by this one")
{
    journal_fixture at;
    at.open();
    at.close();
    REQUIRE(id_in(at).size() == 32);
    meddle(at, [](auto&, auto&, v1::Meta& meta) { meta.set_format(meta.format() + 1); });
    CHECK(why_no_id(at) == kind::newer);
}
