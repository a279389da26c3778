#include "trust/chain.hpp"

#include "envelope/pem.hpp"
#include "support/pki.hpp"
#include "trust/authorities.hpp"
#include "trust/identity.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::trust;

namespace {

constexpr auto now = from_ms(1'795'000'000'000);
constexpr auto day = std::chrono::milliseconds{24h};

support::dates lasting(int days)
{
    return {now - 100 * day, now + days * day};
}

std::shared_ptr<x509_st> certificate_of(const support::credential& from)
{
    return envelope::read_certificates(from.certificate).front();
}

authorities trusting(std::initializer_list<bytes> pem)
{
    bytes all;
    for (const auto& each : pem)
        all.insert(all.end(), each.begin(), each.end());
    return authorities::load(all).value();
}

std::vector<chain_link> chain(const support::credential& of, const authorities& by,
                              wall_time at = now)
{
    return chain_of(certificate_of(of).get(), by.store(), at);
}

} // namespace

TEST_CASE("the first of a whole chain to end is named, wherever in it", "[trust]")
{
    const support::pki root{"Root", lasting(5)};
    const auto station = root.station("office-1", lasting(400));
    const auto all = chain(station, trusting({root.authorities()}));
    REQUIRE(all.size() == 2);
    CHECK(all[0] == link_of(certificate_of(station).get()));
    CHECK_THAT(first_to_end(all).subject, Catch::Matchers::Contains("CN=Root"));
    CHECK(first_to_end(all).until == now + 5 * day);

    const support::pki other{"Other", lasting(4'000)};
    const support::pki hub{other, "Hub", lasting(20)};
    const auto below = chain(hub.station("office-1", lasting(400)),
                             trusting({other.authorities(), hub.authorities()}));
    REQUIRE(below.size() >= 2);
    CHECK_THAT(first_to_end(below).subject, Catch::Matchers::Contains("CN=Hub"));
}

TEST_CASE("a chain is followed when all of it has expired, or not begun", "[trust]")
{
    const support::pki root{"Root", lasting(5)};
    const auto all = chain(root.station("office-1", lasting(3)), trusting({root.authorities()}),
                           now + 1'000 * day);
    REQUIRE(all.size() == 2);
    CHECK(first_to_end(all).until == now + 3 * day);
    CHECK(chain(root.station("office-1", lasting(3)), trusting({root.authorities()}), wall_time{})
              .size() == 2);
}

TEST_CASE("of an authority that was renewed with its key the younger certificate counts", "[trust]")
{
    const support::pki root{"Root", lasting(5)};
    const auto station = root.station("office-1", lasting(400));
    const auto renewed = root.renewed(lasting(4'000));
    for (const auto& trusted :
         {trusting({root.authorities(), renewed}), trusting({renewed, root.authorities()})})
        CHECK(first_to_end(chain(station, trusted)).until == now + 400 * day);
}

TEST_CASE("what leads to no authority has no chain", "[trust]")
{
    const support::pki root{"Root", lasting(5)};
    const support::pki other{"Root", lasting(5)};
    CHECK(chain(other.station("office-1"), trusting({root.authorities()})).empty());
    CHECK(chain(support::recipient(support::key_kind::rsa2048), trusting({root.authorities()}))
              .empty());
}

TEST_CASE("each certificate is watched once, for all that stands on it", "[trust]")
{
    const support::pki root{"Root", lasting(5)};
    const auto by = trusting({root.authorities()});
    const auto all = all_of({.node = chain(root.station("office-1"), by),
                             .upstream = chain(root.centre(), by),
                             .recipients = {chain(root.node({"titip:station:r"}), by)}});
    REQUIRE(all.size() == 4);
    CHECK(all[0].serves_node);
    CHECK_FALSE(all[0].is_authority);
    CHECK((all[1].is_authority && all[1].serves_node && all[1].serves_upstream &&
           all[1].serves_recipient));
    CHECK((all[2].serves_upstream && !all[2].serves_node && !all[2].is_authority));
    CHECK((all[3].serves_recipient && !all[3].is_authority));
}

TEST_CASE("a name in a certificate is printable and bounded", "[trust]")
{
    // The second is 180 characters when it is printable.
    for (const auto& name : {"a\n\"b\x1b" + std::string(55, 'x'), std::string(60, '\n')}) {
        const support::pki odd{name, lasting(5)};
        const auto said = link_of(certificate_of(odd.self()).get()).subject;
        CHECK(said.size() <= 130);
        for (const char each : said)
            CHECK((each >= ' ' && each < '\x7f' && each != '"'));
    }
}

TEST_CASE("a month is counted up, and an end is the end of its second", "[trust]")
{
    const chain_link it{.subject = "x", .from = now, .until = now + 30 * day};
    CHECK_FALSE(ends_soon(it, now));
    CHECK_FALSE(ends_soon(it, now + day - 1ms));
    CHECK(ends_soon(it, now + day));
    CHECK(ends_soon(it, now + 1'000 * day));
    CHECK_FALSE(has_ended(it, it.until + 999ms));
    CHECK(has_ended(it, it.until + 1s));
}
