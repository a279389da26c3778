#include "intake/metadata.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using intake::find_metadata;

namespace {

std::optional<std::string> found(std::string_view header, std::string_view key = "manifest")
{
    const auto value = find_metadata(header, key);
    return value ? std::optional<std::string>{as_text(*value)} : std::nullopt;
}

} // namespace

TEST_CASE("the value of a key is found wherever it stands", "[intake]")
{
    CHECK(found("manifest aGVsbG8=") == "hello");
    CHECK(found("manifest aGVsbG8=,filename YS5jbXM=") == "hello");
    CHECK(found("filename YS5jbXM=,manifest aGVsbG8=") == "hello");
    CHECK(found("filename YS5jbXM=, manifest aGVsbG8=") == "hello");
    CHECK(found("is_confidential,manifest aGVsbG8=") == "hello"); // tus: a key may have no value
    CHECK(found("manifest YQ==,manifest Yg==") == "a");
}

TEST_CASE("what is not there, or is no base64, is not found", "[intake]")
{
    CHECK_FALSE(found("").has_value());
    CHECK_FALSE(found(",,,").has_value());
    CHECK_FALSE(found(" ").has_value());
    CHECK_FALSE(found("manifest").has_value());
    CHECK_FALSE(found("manifests aGVsbG8=").has_value());
    CHECK_FALSE(found("mani aGVsbG8=").has_value());
    CHECK_FALSE(found("Manifest aGVsbG8=").has_value()); // keys are as written
    CHECK_FALSE(found("aGVsbG8= manifest").has_value());
    CHECK_FALSE(found("manifest aGVsbG8").has_value());
    CHECK_FALSE(found("manifest aGVs bG8=").has_value());
    CHECK_FALSE(found("manifest aGVs-_8=").has_value());
}
