#include "node/mark.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <string>

#include <sys/stat.h>

using namespace titip;
using namespace titip::node;
using kind = mark_reading::kind;

namespace {

const mark ours{.node = "kab-karimun-03", .store = "5f0c6a9be1d24c07a1f2d3c4b5a69788"};

class folder {
public:
    folder()
    {
        std::string name = "/tmp/titip-mark.XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    folder(const folder&) = delete;
    ~folder() { std::filesystem::remove_all(path); }

    std::ptrdiff_t entries() const
    {
        return std::distance(std::filesystem::directory_iterator{path}, {});
    }
    std::filesystem::path path;
};

} // namespace

TEST_CASE("a mark is read as it was written, by everybody who may look into the folder")
{
    const folder at;
    const auto file = mark_file_of(at.path / "titip.toml");
    CHECK(file.filename() == "titip.toml.store");
    CHECK(read_mark(file).what == kind::absent);
    REQUIRE(write_mark(file, ours, existing::stays));
    CHECK(at.entries() == 1);
    const auto found = read_mark(file);
    REQUIRE(found.what == kind::good);
    CHECK(found.said == ours);
    struct ::stat made {};
    REQUIRE(::stat(file.c_str(), &made) == 0);
    CHECK((made.st_mode & 07777) == 0644);
}

TEST_CASE("a mark that is there is only replaced where that is meant")
{
    const folder at;
    const auto file = at.path / "titip.toml.store";
    const mark other{.node = "kab-karimun-03", .store = std::string(32, 'a')};
    REQUIRE(write_mark(file, ours, existing::stays));
    const auto refused = write_mark(file, other, existing::stays);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().value() == EEXIST);
    CHECK(read_mark(file).said == ours);
    CHECK(at.entries() == 1);
    for (const auto& no_store : {std::string{}, std::string{"a\nnode b"}, std::string(33, 'a')})
        CHECK_FALSE(
            write_mark(file, {.node = ours.node, .store = no_store}, existing::is_replaced));
    CHECK(read_mark(file).said == ours);
    REQUIRE(write_mark(file, other, existing::is_replaced));
    CHECK(read_mark(file).said == other);
    CHECK(at.entries() == 1);
    // The place of a link, or of a device, is not meant by that.
    const auto link = file.parent_path() / "link.store";
    std::filesystem::create_symlink(file, link);
    CHECK_FALSE(write_mark(link, ours, existing::is_replaced));
    CHECK_FALSE(write_mark(link, ours, existing::stays));
    CHECK(std::filesystem::is_symlink(link));
}

TEST_CASE("what is no mark is said to be none, and never taken for an absent one")
{
    const folder at;
    const auto file = at.path / "titip.toml.store";
    const auto whole = to_text(ours);
    for (const auto& text :
         {std::string{}, std::string{"titip-store 2\n"} + whole.substr(14), whole.substr(0, 40),
          std::string(3'000, '\0'), std::string{"titip-store 1\nnode A\nstore "} + ours.store,
          std::string{"titip-store 1\nnode a\nstore "} + ours.store + "0\n",
          std::string{"titip-store 1\nnode a\nstore ../../../../../../../../etc/passw\n"}}) {
        CAPTURE(text);
        CHECK_FALSE(parse_mark(text));
        std::ofstream{file} << text;
        CHECK(read_mark(file).what == kind::malformed);
    }
    CHECK(parse_mark(whole + "something of a later version\n") == ours);
    std::ofstream{file} << std::string(1u << 20, 'x');
    CHECK(read_mark(file).what == kind::unreadable); // too long to be read
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    CHECK(read_mark(file).what == kind::malformed);
    std::filesystem::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0); // nobody writes into it: it must not be waited for
    CHECK(read_mark(file).what == kind::malformed);
}

TEST_CASE("a mark that cannot be looked at is not taken for an absent one")
{
    const folder at;
    const auto file = at.path / "titip.toml.store";
    std::filesystem::create_symlink(file, file); // ELOOP, also for root
    const auto found = read_mark(file);
    CHECK(found.what == kind::unreadable);
    CHECK_FALSE(found.why.empty());
    REQUIRE(write_mark(at.path / "file", ours, existing::stays));
    CHECK(read_mark(at.path / "file" / "titip.toml.store").what == kind::unreadable); // ENOTDIR
    CHECK(read_mark(at.path / "none" / "titip.toml.store").what == kind::absent);
}

TEST_CASE("a store is judged by its mark: its own, none, another store's or another node's")
{
    const auto found = [](kind what, mark said = {}) {
        return mark_reading{.what = what, .said = std::move(said), .why = {}};
    };
    auto other_store = ours;
    other_store.store.back() = '0';
    auto other_node = ours;
    other_node.node = "kab-bintan-01";
    CHECK(judge(found(kind::good, ours), ours) == mark_trouble::none);
    CHECK(judge(found(kind::absent), ours) == mark_trouble::absent);
    CHECK(judge(found(kind::unreadable), ours) == mark_trouble::unreadable);
    CHECK(judge(found(kind::malformed), ours) == mark_trouble::unreadable);
    CHECK(judge(found(kind::good, other_store), ours) == mark_trouble::other_store);
    CHECK(judge(found(kind::good, other_node), ours) == mark_trouble::other_store);
}
