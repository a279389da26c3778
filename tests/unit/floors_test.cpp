#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>

namespace {

const std::filesystem::path lib{TITIP_SOURCE "/lib"};

std::string read(const std::filesystem::path& file)
{
    std::ifstream in{file};
    return {std::istreambuf_iterator<char>{in}, {}};
}

/// Each room's CMakeLists.txt names its floor: "# floor 3".
std::map<std::string, int> floors()
{
    std::map<std::string, int> out;
    const std::regex named{"# floor ([0-9])"};
    for (const auto& room : std::filesystem::directory_iterator{lib}) {
        if (!room.is_directory())
            continue;
        std::smatch found;
        const auto text = read(room.path() / "CMakeLists.txt");
        INFO(room.path());
        REQUIRE(std::regex_search(text, found, named));
        out[room.path().filename().string()] = std::stoi(found[1]);
    }
    return out;
}

} // namespace

TEST_CASE("a room includes only its own files and rooms on floors below it", "[floors]")
{
    const auto known = floors();
    REQUIRE(known.size() >= 14);
    const std::regex include{"#include \"([a-z]+)/[a-z0-9_]+\\.hpp\""};
    for (const auto& [room, floor] : known)
        for (const auto& file : std::filesystem::directory_iterator{lib / room}) {
            const auto text = read(file.path());
            for (std::sregex_iterator each{text.begin(), text.end(), include}, end; each != end;
                 ++each) {
                const std::string other = (*each)[1];
                INFO(file.path() << " includes " << other);
                REQUIRE(known.contains(other));
                CHECK((other == room || known.at(other) < floor));
            }
        }
}
