#include "base/file.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>

#include <sys/stat.h>

using namespace titip;

namespace {

class folder {
public:
    folder() : path_(std::filesystem::temp_directory_path() / "titip-file.XXXXXX")
    {
        auto name = path_.string();
        REQUIRE(::mkdtemp(name.data()));
        path_ = name;
    }
    folder(const folder&) = delete;
    ~folder() { std::filesystem::remove_all(path_); }

    std::filesystem::path operator/(const char* name) const { return path_ / name; }
    std::ptrdiff_t entries() const
    {
        return std::distance(std::filesystem::directory_iterator{path_}, {});
    }

private:
    std::filesystem::path path_;
};

} // namespace

TEST_CASE("a file is replaced as a whole and is its owner's alone", "[base]")
{
    const folder at;
    REQUIRE(write_file(at / "out", as_bytes("first, and longer")));
    REQUIRE(write_file(at / "out", as_bytes("second")));
    CHECK(as_text(read_file(at / "out").value()) == "second");
    struct ::stat file {};
    REQUIRE(::stat((at / "out").c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    CHECK(at.entries() == 1);
}

TEST_CASE("a file that cannot be put in place leaves nothing of its contents behind", "[base]")
{
    const folder at;
    std::filesystem::create_directory(at / "out");
    CHECK_FALSE(write_file(at / "out", as_bytes("a record in the clear")));
    CHECK(at.entries() == 1);
}

TEST_CASE("what stands under a temporary name is neither followed nor written to", "[base]")
{
    const folder at;
    std::filesystem::create_symlink(at / "elsewhere", at / "out.new");
    REQUIRE(write_file(at / "out", as_bytes("a record in the clear")));
    CHECK_FALSE(std::filesystem::exists(at / "elsewhere"));
}
