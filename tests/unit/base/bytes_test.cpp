#include "base/bytes.hpp"

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/name.hpp"
#include "base/record_id.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <random>
#include <set>

using namespace titip;

TEST_CASE("base64 is that of RFC 4648, section 10", "[base]")
{
    const std::pair<std::string_view, std::string_view> vectors[]{{"", ""},
                                                                  {"f", "Zg=="},
                                                                  {"fo", "Zm8="},
                                                                  {"foo", "Zm9v"},
                                                                  {"foob", "Zm9vYg=="},
                                                                  {"fooba", "Zm9vYmE="},
                                                                  {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, coded] : vectors) {
        CHECK(to_base64(as_bytes(plain)) == coded);
        const auto back = from_base64(coded);
        REQUIRE(back.has_value());
        CHECK(as_text(*back) == plain);
    }
}

TEST_CASE("whatever is made base64 comes back", "[base]")
{
    std::mt19937 random{3};
    for (std::size_t size = 0; size < 200; ++size) {
        bytes data(size);
        for (auto& each : data)
            each = static_cast<std::byte>(random());
        const auto back = from_base64(to_base64(data));
        REQUIRE(back.has_value());
        CHECK((*back == data));
    }
}

TEST_CASE("what is not exactly base64 is refused", "[base]")
{
    for (const std::string_view bad :
         {"Z", "Zg", "Zg=", "Zm9v\n", " Zm9v", "Zm9v ", "Zm 9",
          "Zg==Zg==", "Z===", "====", "=Zg=", "Zm-v", "Zm_v", "Zm9vZg==\n\n\n\n"}) {
        CAPTURE(bad);
        CHECK_FALSE(from_base64(bad).has_value());
    }
}

TEST_CASE("hexadecimal is lower-case and whole", "[base]")
{
    CHECK(to_hex({}).empty());
    CHECK(to_hex(as_bytes(std::string_view{"\x00\x0f\xa5\xff", 4})) == "000fa5ff");
}

TEST_CASE("digests are those of FIPS 180-4 and RFC 4231", "[base]")
{
    CHECK(to_hex(sha256(as_bytes("abc"))) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(to_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(to_hex(hmac_sha256(as_bytes("Jefe"), as_bytes("what do ya want for nothing?"))) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("a digest in pieces is the digest of the whole, at any point", "[base]")
{
    const std::string_view text = "a record that comes in pieces";
    hasher pieces;
    for (std::size_t i = 0; i < text.size(); ++i) {
        CHECK(pieces.value() == sha256(as_bytes(text.substr(0, i))));
        pieces.update(as_bytes(text.substr(i, 1)));
    }
    CHECK(pieces.value() == sha256(as_bytes(text)));
}

TEST_CASE("only 32 bytes are a digest", "[base]")
{
    const bytes data(33, std::byte{7});
    CHECK_FALSE(to_digest(bytes_view{data}.first(31)).has_value());
    CHECK(to_digest(bytes_view{data}.first(32)).has_value());
    CHECK_FALSE(to_digest(data).has_value());
    CHECK_FALSE(to_digest({}).has_value());
}

TEST_CASE("a record's name is read in either case and written in one", "[base]")
{
    const auto id = record_id::parse("0198F2C1-7f3a-7ABC-9def-0123456789aB");
    REQUIRE(id.has_value());
    CHECK(id->to_string() == "0198f2c1-7f3a-7abc-9def-0123456789ab");
    CHECK(record_id::parse(id->to_string()) == id);
    CHECK(record_id::from_bytes(id->data()) == id);
    CHECK(std::hash<record_id>{}(*id) ==
          std::hash<record_id>{}(*record_id::parse(id->to_string())));
}

TEST_CASE("what is no UUID, or the nil one, names no record", "[base]")
{
    for (const std::string_view bad :
         {"", "0198f2c1", "00000000-0000-0000-0000-000000000000",
          "0198f2c1-7f3a-7abc-9def-0123456789a", "0198f2c1-7f3a-7abc-9def-0123456789abc",
          "0198f2c17f3a7abc9def0123456789ab", "0198f2c1-7f3a-7abc-9def0-123456789ab",
          "{0198f2c1-7f3a-7abc-9def-0123456789}", "0198f2c1-7f3a-7abc-9def-0123456789ag",
          "0198f2c1_7f3a_7abc_9def_0123456789ab", " 198f2c1-7f3a-7abc-9def-0123456789ab"}) {
        CAPTURE(bad);
        CHECK_FALSE(record_id::parse(bad).has_value());
    }
    const bytes zeros(16);
    CHECK_FALSE(record_id::from_bytes(zeros).has_value());
    CHECK_FALSE(record_id::from_bytes(bytes_view{zeros}.first(15)).has_value());
    CHECK_FALSE(record_id::from_bytes(bytes(17, std::byte{1})).has_value());
}

TEST_CASE("fresh names are random UUIDs of version 4", "[base]")
{
    std::set<record_id> seen;
    for (int i = 0; i < 1'000; ++i) {
        const auto id = record_id::random();
        const auto text = id.to_string();
        CHECK(text[14] == '4');
        CHECK(std::string_view{"89ab"}.find(text[19]) != std::string_view::npos);
        CHECK(seen.insert(id).second);
    }
    CHECK(epoch_id::random() != epoch_id::random());
    CHECK_FALSE(epoch_id::from_bytes(bytes(15)).has_value());
}

TEST_CASE("a node's name is a label of a DNS name", "[base]")
{
    for (const std::string_view good : {"a", "kab-karimun-03", "0"})
        CHECK(is_node_name(good));
    CHECK(is_node_name(std::string(63, 'a')));
    CHECK_FALSE(is_node_name(std::string(64, 'a')));
    for (const std::string_view bad : {"", "A", "a.b", "a_b", "a b", "a/b", "caf\xc3\xa9"}) {
        CAPTURE(bad);
        CHECK_FALSE(is_node_name(bad));
    }
    CHECK_FALSE(is_node_name(std::string_view{"a\0b", 3}));
}

TEST_CASE("a file is replaced as a whole, and read whole or not at all", "[base]")
{
    const auto folder = std::filesystem::temp_directory_path() / record_id::random().to_string();
    std::filesystem::create_directories(folder);
    const auto path = folder / "file";
    CHECK(read_file(path).error() == boost::system::errc::no_such_file_or_directory);
    for (const std::size_t size : {0u, 1u, 65'535u, 65'536u, 65'537u, 300'000u}) {
        const bytes data(size, std::byte{9});
        REQUIRE(write_file(path, data).has_value());
        CHECK((read_file(path).value() == data));
        CHECK((read_file(path, size).value() == data));
        if (size > 0)
            CHECK(read_file(path, size - 1).error() == boost::system::errc::file_too_large);
    }
    CHECK(std::distance(std::filesystem::directory_iterator{folder}, {}) == 1); // no temporary left
    CHECK_FALSE(write_file(folder / "none" / "file", {}).has_value());
    CHECK_FALSE(read_file(folder).has_value());
    std::filesystem::remove_all(folder);
}
