#include "node/config.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::node;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

const std::string least = R"([node]
name = "kab-karimun-03"
[identity]
certificate = "node.pem"
key = "node.key"
authorities = "authorities.pem"
)";
const std::string upstream = "[upstream]\nurl = \"https://titip.example:9443\"\n";
const std::string listen = "[listen]\naddress = \"0.0.0.0:8443\"\n";

config good(const std::string& text)
{
    auto parsed = parse_config(text, "titip.toml");
    INFO((parsed ? std::string{} : parsed.error().sentence));
    REQUIRE(parsed.has_value());
    return *std::move(parsed);
}

std::string error_of(const std::string& text)
{
    const auto parsed = parse_config(text, "titip.toml");
    REQUIRE_FALSE(parsed.has_value());
    CHECK_THAT(parsed.error().sentence, StartsWith("titip.toml: "));
    CHECK_THAT(parsed.error().sentence, !Contains("\n"));
    return parsed.error().sentence;
}

std::string replaced(std::string text, std::string_view what, std::string_view by)
{
    const auto at = text.find(what);
    REQUIRE(at != std::string::npos);
    return text.replace(at, what.size(), by);
}

} // namespace

TEST_CASE("what is not said has its default", "[node]")
{
    const auto got = good(least + upstream);
    CHECK(got.name == "kab-karimun-03");
    CHECK(got.state == "/var/lib/titip");
    CHECK(got.quota_bytes == 64ull << 30);
    CHECK(got.identity.certificate == "node.pem");
    CHECK(got.identity.key == "node.key");
    CHECK(got.identity.authorities == "authorities.pem");
    CHECK(got.control.socket == "/run/titip/titip.sock");
    CHECK(got.control.submit == "titip-submit");
    CHECK(got.control.read == "titip");
    CHECK(got.control.operate == "titip-operate");
    CHECK(got.control.consume == "titip-consume");
    CHECK_FALSE(got.seal.has_value());
    CHECK_FALSE(got.listen.has_value());
    CHECK_FALSE(got.retention.has_value());
    REQUIRE(got.upstream.has_value());
    CHECK(got.upstream->host == "titip.example");
    CHECK(got.upstream->port == "9443");
    CHECK(got.upstream->connections == 16);
}

TEST_CASE("everything that can be said is understood", "[node]")
{
    const auto got = good(R"(
[node]
name = "hub-1"
state = "/srv/titip"
quota = "2 TiB"
[identity]
certificate = "/a"
key = "/b"
authorities = "/c"
[control]
socket = "/tmp/sock"
submit = "g1"
read = "g2"
operate = "g3"
consume = "g4"
[seal]
recipients = ["/x.pem", "/y.pem", "/z.pem"]
[listen]
address = "[::]:8443"
spread = "90 s"
connections = 8000
memory = "64 MiB"
[upstream]
url = "https://[2001:db8::1]/"
connections = 16
[retention]
keep = "30 days"
after = "opened"
)");
    CHECK(got.state == "/srv/titip");
    CHECK(got.quota_bytes == 2ull << 40);
    CHECK(got.control.socket == "/tmp/sock");
    CHECK(got.control.submit == "g1");
    CHECK(got.control.read == "g2");
    CHECK(got.control.operate == "g3");
    CHECK(got.control.consume == "g4");
    CHECK(got.seal->recipients.size() == 3);
    CHECK(got.listen->address == "[::]:8443");
    CHECK(got.listen->spread == 90s);
    CHECK(got.listen->connections == 8'000);
    CHECK(got.listen->memory_bytes == 64u << 20);
    CHECK(got.upstream->host == "2001:db8::1");
    CHECK(got.upstream->port == "8443");
    CHECK(got.upstream->connections == 16);
    CHECK(got.retention->keep == 30 * 24h);
}

TEST_CASE("a centre listens and hands nothing on", "[node]")
{
    const auto got = good(least + listen);
    CHECK_FALSE(got.upstream.has_value());
    CHECK(got.listen->spread == 0s);
}

TEST_CASE("every error names the table, the key and what to do", "[node]")
{
    struct row {
        std::string text;
        std::vector<std::string> said;
    };
    const auto all = least + upstream;
    const row table[]{
        {replaced(all, "name = \"kab-karimun-03\"\n", ""),
         {"[node] name", "missing", "add name ="}},
        {replaced(all, "\"kab-karimun-03\"", "\"\""), {"[node] name", "missing"}},
        {replaced(all, "\"kab-karimun-03\"", "3"), {"[node] name", "quotes"}},
        {replaced(all, "\"kab-karimun-03\"", "\"Kab.Karimun\""),
         {"[node] name", "a-z, 0-9 and '-'"}},
        {replaced(all, "[identity]", "quota = 5\n[identity]"), {"[node] quota", "quotes"}},
        {replaced(all, "[identity]", "quota = \"64\"\n[identity]"),
         {"[node] quota", "\"64\"", "64 GiB"}},
        {replaced(all, "[identity]", "quota = \"5 kB\"\n[identity]"),
         {"[node] quota", "at least 1 MiB"}},
        {replaced(all, "key = \"node.key\"\n", ""), {"[identity] key", "add key ="}},
        {replaced(all, "certificate = \"node.pem\"\n", ""),
         {"[identity] certificate", "add certificate ="}},
        {replaced(all, "authorities = \"authorities.pem\"\n", ""),
         {"[identity] authorities", "add"}},
        {all + "[seal]\n", {"[seal] recipients", "two files or more"}},
        {all + "[seal]\nrecipients = [\"one.pem\"]\n", {"[seal] recipients", "two files or more"}},
        {all + "[seal]\nrecipients = \"one.pem\"\n", {"[seal] recipients", "list"}},
        {all + "[seal]\nrecipients = [1, 2]\n", {"[seal] recipients", "list"}},
        {all + "[listen]\n", {"[listen] address", "add address ="}},
        {all + listen + "spread = \"soon\"\n", {"[listen] spread", "\"soon\"", "30 days"}},
        {all + listen + "connections = 15\n", {"[listen] connections", "16 to 65536"}},
        {all + listen + "connections = 65537\n", {"[listen] connections", "16 to 65536"}},
        {all + listen + "memory = \"1 KiB\"\n", {"[listen] memory", "1 MiB"}},
        {least + "[upstream]\n", {"[upstream] url", "add url ="}},
        {least + "[upstream]\nurl = \"http://titip.example\"\n",
         {"[upstream] url", "https://HOST:PORT"}},
        {least + "[upstream]\nurl = \"titip.example:8443\"\n",
         {"[upstream] url", "https://HOST:PORT"}},
        {least + "[upstream]\nurl = \"https://titip.example/v1\"\n",
         {"[upstream] url", "https://HOST:PORT"}},
        {least + "[upstream]\nurl = \"https://\"\n", {"[upstream] url", "https://HOST:PORT"}},
        {all + "connections = 0\n", {"[upstream] connections", "1 to 16"}},
        {all + "connections = 17\n", {"[upstream] connections", "1 to 16"}},
        {all + "connections = -1\n", {"[upstream] connections", "1 to 16"}},
        {all + "connections = \"2\"\n", {"[upstream] connections", "whole number"}},
        {all + "[retention]\n", {"[retention] keep", "add keep ="}},
        {all + "[mirror]\n", {"[mirror] path", "add path ="}},
        {all + "[mirror]\npath = \"backup\"\n", {"[mirror] path", "must begin with /"}},
        {all + "[mirror]\npath = \"/var/lib/titip/\"\n", {"[mirror] path", "second disk"}},
        {all + "[mirror]\npath = \"/var/lib/titip/x/../copy\"\n", {"[mirror] path", "second disk"}},
        {all + "[retention]\nkeep = \"a while\"\n", {"[retention] keep", "30 days"}},
        {all + "[retention]\nkeep = \"0 s\"\n", {"[retention] keep", "30 days"}},
        {all + "[retention]\nkeep = \"1 h\"\nafter = \"delivered\"\n",
         {"[retention] after", "opened"}},
        {"node = 5\n" + replaced(all, "[node]\nname = \"kab-karimun-03\"\n", ""),
         {"node", "[node]"}},
    };
    for (const auto& [text, said] : table) {
        CAPTURE(text);
        const auto sentence = error_of(text);
        for (const auto& each : said)
            CHECK_THAT(sentence, Contains(each));
    }
}

TEST_CASE("an unknown key is an error that names the nearest known one", "[node]")
{
    const auto all = least + upstream;
    CHECK_THAT(error_of(replaced(all, "name =", "nmae = \"x\"\nname =")),
               Contains("[node] nmae") && Contains("\"name\""));
    CHECK_THAT(error_of(replaced(all, "[identity]", "qouta = \"1 GB\"\n[identity]")),
               Contains("\"quota\""));
    CHECK_THAT(error_of(all + "conections = 3\n"), Contains("\"connections\""));
    CHECK_THAT(error_of(all + "[control]\nsockt = \"/x\"\n"), Contains("\"socket\""));
    CHECK_THAT(error_of(all + "[retention]\nkeep = \"1 h\"\nkep = \"1 h\"\n"),
               Contains("\"keep\""));
    CHECK_THAT(error_of(all + "[retentoin]\nkeep = \"1 h\"\n"),
               Contains("[retentoin]") && Contains("[retention]"));
    CHECK_THAT(error_of("name = \"x\"\n" + all), Contains("name"));
}

TEST_CASE("without a budget the link may be used as it is", "[node]")
{
    const auto budget = good(least + upstream).upstream->budget;
    CHECK_FALSE(budget.day_bytes.has_value());
    CHECK_FALSE(budget.most_bytes_per_s.has_value());
    CHECK(budget.by_hour.empty());
    CHECK(budget.binds_urgent);
    CHECK(good(least + upstream + "[upstream.budget]\n").upstream->budget.binds_urgent);
}

TEST_CASE("a budget says how much a day, how fast, at which hours, and what it binds", "[node]")
{
    const auto all = good(least + upstream + R"([upstream.budget]
day = "500 MB"
rate = "256 kbit/s"
hours = ["07:00-16:00 64 kbit/s", "22:00-05:30 2 Mbit/s", "00:00-24:00 0 kbit/s"]
urgent = "exempt"
)");
    const auto& budget = all.upstream->budget;
    CHECK(all.upstream->connections == 16);
    CHECK(budget.day_bytes == 500'000'000u);
    CHECK(budget.most_bytes_per_s == 32'000u);
    CHECK_FALSE(budget.binds_urgent);
    REQUIRE(budget.by_hour.size() == 3);
    CHECK(budget.by_hour[0].from_minute == 7 * 60);
    CHECK(budget.by_hour[0].to_minute == 16 * 60);
    CHECK(budget.by_hour[0].most_bytes_per_s == 8'000);
    CHECK(budget.by_hour[1].from_minute == 22 * 60);
    CHECK(budget.by_hour[1].to_minute == 5 * 60 + 30);
    CHECK(budget.by_hour[1].most_bytes_per_s == 250'000);
    CHECK(budget.by_hour[2].from_minute == 0);
    CHECK(budget.by_hour[2].to_minute == 24 * 60);
    CHECK(budget.by_hour[2].most_bytes_per_s == 0);
    CHECK(good(least + upstream + "[upstream.budget]\nurgent = \"bound\"\n")
              .upstream->budget.binds_urgent);
    // As a part of its table, too.
    CHECK(good(least + upstream + "budget.day = \"1 MB\"\n").upstream->budget.day_bytes ==
          1'000'000u);
}

TEST_CASE("an error in a budget names the key and what to do", "[node]")
{
    struct row {
        std::string text;
        std::vector<std::string> said;
    };
    const row table[]{
        {"day = \"0 MB\"", {"day", "more than 0", "titip pause"}},
        {"day = \"500\"", {"day", "\"500\" is not a size"}},
        {"day = 500", {"day", "quotes"}},
        {"rate = \"fast\"", {"rate", "\"fast\" is not a rate", "\"256 kbit/s\""}},
        {"rate = \"256\"", {"rate", "\"256\" is not a rate"}},
        {"rate = \"0 kbit/s\"", {"rate", "\"0 kbit/s\" is not a rate"}},
        {"rate = 256", {"rate", "quotes"}},
        {"hours = \"07:00-16:00 64 kbit/s\"", {"hours", "list"}},
        {"hours = [7]", {"hours", "list"}},
        {"urgent = \"free\"", {"urgent", "\"bound\" or \"exempt\""}},
        {"urgent = true", {"urgent", "quotes"}},
        {"dya = \"1 MB\"", {"dya", "unknown key", "\"day\""}},
        {"rat = \"1 kbit/s\"", {"rat", "\"rate\""}},
        {"hour = []", {"hour", "\"hours\""}},
        {"urgnet = \"bound\"", {"urgnet", "\"urgent\""}},
    };
    for (const auto& [text, said] : table) {
        CAPTURE(text);
        const auto sentence = error_of(least + upstream + "[upstream.budget]\n" + text + "\n");
        CHECK_THAT(sentence, Contains("[upstream.budget]"));
        for (const auto& each : said)
            CHECK_THAT(sentence, Contains(each));
    }
    CHECK_THAT(error_of(least + upstream + "budget = \"500 MB\"\n"),
               Contains("[upstream] budget") && Contains("write [upstream.budget]"));
    CHECK_THAT(error_of(least + upstream + "[upstream.bugdet]\n"),
               Contains("[upstream] bugdet") && Contains("\"budget\""));
}

TEST_CASE("hours that are none are refused, each by itself", "[node]")
{
    for (const std::string hours :
         {"", "07:00-16:00", "07:00-16:00 64", "07:00-16:00 fast", "07:00 16:00 64 kbit/s",
          "7-16 64 kbit/s", "07:00-16:60 64 kbit/s", "07:00-24:01 64 kbit/s",
          "25:00-07:00 64 kbit/s", "07:00-07:00 64 kbit/s", "-07:00-16:00 64 kbit/s",
          "07:00-16:00x 64 kbit/s", "07:00-16:00-18:00 64 kbit/s", "64 kbit/s 07:00-16:00",
          "71582789:00-16:00 64 kbit/s", "07:4294967340-16:00 64 kbit/s"}) {
        CAPTURE(hours);
        const auto sentence =
            error_of(least + upstream + "[upstream.budget]\nhours = [\"06:00-07:00 1 kbit/s\", \"" +
                     hours + "\"]\n");
        CHECK_THAT(sentence, Contains("[upstream.budget] hours: \"" + hours + "\"") &&
                                 Contains("FROM-TO RATE"));
    }
}

TEST_CASE("tables that do not go together are refused with what to change", "[node]")
{
    const std::string seal = "[seal]\nrecipients = [\"a\", \"b\"]\n";
    const std::string retention = "[retention]\nkeep = \"1 h\"\n";
    CHECK_THAT(error_of(least), Contains("[upstream]") && Contains("[listen]"));
    CHECK_THAT(error_of(least + seal), Contains("[seal]") && Contains("add [upstream]"));
    good(least + listen + seal); // see check_test: it takes none, and the rest runs
    CHECK_THAT(error_of(least + listen + retention), Contains("[retention]") && Contains("remove"));
    good(least + upstream + listen + seal + retention);
}

TEST_CASE("what is no TOML is refused with its line", "[node]")
{
    CHECK_THAT(error_of(least + "[upstream\n"), Contains("line 7"));
    CHECK_THAT(error_of(least + upstream + upstream), Contains("line"));
    CHECK_THAT(error_of("\xff\xfe"), Contains("line 1"));
    error_of("");
}

TEST_CASE("a port that is not given has its default, however the address ends", "[node]")
{
    CHECK(good(least + "[upstream]\nurl = \"https://titip.example\"\n").upstream->port == "8443");
    CHECK(good(least + "[upstream]\nurl = \"https://titip.example/\"\n").upstream->port == "8443");
}

TEST_CASE("an address with an empty port, a query or a user's name is refused", "[node]")
{
    for (const std::string url :
         {"https://titip.example:", "https://titip.example:8443?x=1",
          "https://titip.example:8443#x", "https://user:secret@titip.example:8443",
          "https://titip.example:0", "https://titip.example:99999"}) {
        CAPTURE(url);
        const auto parsed =
            parse_config(least + "[upstream]\nurl = \"" + url + "\"\n", "titip.toml");
        CHECK_FALSE(parsed.has_value());
    }
}

TEST_CASE("a file that cannot be read is named", "[node]")
{
    const auto got = load_config("/nowhere/titip.toml");
    REQUIRE_FALSE(got.has_value());
    CHECK_THAT(got.error().sentence,
               StartsWith("/nowhere/titip.toml: ") && Contains("--config") && !Contains("\n"));
}

TEST_CASE("the folder of the second copy is named without what does not matter in a path", "[node]")
{
    for (const std::string_view path : {"/media/backup", "/media/backup/", "/media/./backup//"}) {
        CAPTURE(path);
        const auto text = least + upstream + "[mirror]\npath = \"" + std::string{path} + "\"\n";
        CHECK(good(text).mirror->path == "/media/backup");
    }
    CHECK(good(least + upstream + "[mirror]\npath = \"/var/lib/titip-copy\"\n").mirror.has_value());
    CHECK_FALSE(good(least + upstream).mirror.has_value());
}

TEST_CASE("who is revoked is a file or several, and what a relay may do a table of names", "[node]")
{
    const auto with = [](const std::string& more) { return good(least + more + listen); };
    CHECK(with("").identity.revoked.empty());
    CHECK(with("revoked = \"a.pem\"\n").identity.revoked.size() == 1);
    CHECK(with("revoked = [\"a.pem\", \"b.txt\"]\n").identity.revoked.back() == "b.txt");
    CHECK_THAT(error_of(least + "revoked = 5\n" + listen), Contains("[identity] revoked"));

    CHECK_FALSE(good(least + listen).relays.has_value());
    CHECK(good(least + listen + "[relays]\n").relays->empty());
    const auto table =
        *good(least + listen + "[relays]\nhub-1 = [\"kab-karimun-*\", \"kota-1\"]\n").relays;
    CHECK(table.at("hub-1") == std::vector<std::string>{"kab-karimun-*", "kota-1"});
    CHECK_THAT(error_of(least + listen + "[relays]\nhub = \"kab-*\"\n"), Contains("[relays] hub"));
    CHECK_THAT(error_of(least + listen + "[relays]\nhub = [\"Kab\"]\n"), Contains("\"Kab\""));
    CHECK_THAT(error_of(least + listen + "[relays]\nHub = []\n"), Contains("[relays] Hub"));
    CHECK_THAT(error_of(least + upstream + "[relays]\n"), Contains("[relays] without [listen]"));
}
