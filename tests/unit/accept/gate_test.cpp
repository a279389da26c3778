#include "accept/gate.hpp"

#include "envelope/pem.hpp"
#include "envelope/seal.hpp"
#include "vault/support.hpp"

#include <catch2/catch.hpp>

using namespace titip;
using namespace titip::tests;
using kind = accept::refusal::kind;

namespace {

accept::gate make_gate()
{
    return accept::gate{std::make_shared<const trust::authorities>(everyone().believed)};
}

envelope::manifest a_manifest(std::string station)
{
    return {.record = record_id::random(),
            .station = std::move(station),
            .epoch = epoch_id::random(),
            .at = envelope::sequence{1},
            .taken_at = from_ms(1'764'000'000'000),
            .size_bytes = 1'000,
            .digest = sha256(as_bytes("sealed"))};
}

bytes signed_by(const trust::identity& who, const envelope::statement& what)
{
    return who.sign(envelope::encode(what));
}

kind refusal_of(const bytes& cms, const trust::peer& from, std::string_view station)
{
    const auto got = make_gate().examine(cms, from, station);
    REQUIRE_FALSE(got.has_value());
    CHECK_FALSE(got.error().sentence.empty());
    return got.error().what;
}

const trust::peer& station()
{
    return everyone().station->self();
}
const trust::peer& neighbour()
{
    return everyone().neighbour->self();
}
const trust::peer& relay()
{
    return everyone().relay->self();
}

} // namespace

TEST_CASE("a station offers its own records, a relay anyone's, the centre none", "[accept]")
{
    const auto gate = make_gate();
    CHECK(gate.may_offer(station(), "office-1"));
    CHECK_FALSE(gate.may_offer(station(), "office-2"));
    CHECK_FALSE(gate.may_offer(station(), ""));
    CHECK(gate.may_offer(relay(), "office-1"));
    CHECK(gate.may_offer(relay(), "office-2"));
    CHECK_FALSE(gate.may_offer(everyone().centre->self(), "office-1"));
    CHECK_FALSE(gate.may_offer({trust::role::centre, "office-1"}, "office-1"));
}

TEST_CASE("a manifest that its station signed passes, by itself or through a relay", "[accept]")
{
    const auto said = a_manifest("office-1");
    const auto cms = signed_by(*everyone().station, said);
    for (const auto& from : {station(), relay()}) {
        const auto got = make_gate().examine(cms, from, "office-1");
        REQUIRE(got.has_value());
        CHECK(got->manifest == said);
        CHECK((got->cms == cms));
        CHECK(got->hash == envelope::hash_of(envelope::encode(said)));
    }
}

TEST_CASE("who may not offer a station's records is told so before anything else", "[accept]")
{
    const auto cms = signed_by(*everyone().station, a_manifest("office-1"));
    CHECK(refusal_of(cms, neighbour(), "office-1") == kind::not_theirs);
    CHECK(refusal_of(cms, everyone().centre->self(), "office-1") == kind::not_theirs);
    CHECK(refusal_of({}, neighbour(), "office-1") == kind::not_theirs);
}

TEST_CASE("a manifest signed by anyone but its station is not believed", "[accept]")
{
    const auto said = a_manifest("office-1");
    CHECK(refusal_of(signed_by(*everyone().neighbour, said), relay(), "office-1") ==
          kind::not_believed);
    CHECK(refusal_of(signed_by(*everyone().relay, said), relay(), "office-1") ==
          kind::not_believed);
    CHECK(refusal_of(signed_by(*everyone().centre, said), relay(), "office-1") ==
          kind::not_believed);
    const support::pki foreign{"Another Authority"};
    const auto stranger = identity_of(foreign.station("office-1"));
    CHECK(refusal_of(signed_by(*stranger, said), station(), "office-1") == kind::not_believed);
}

TEST_CASE("a damaged signature is this one manifest's fault, not its signer's", "[accept]")
{
    auto cms = signed_by(*everyone().station, a_manifest("office-1"));
    cms.back() ^= std::byte{1};
    CHECK(refusal_of(cms, station(), "office-1") == kind::not_signed);
}

TEST_CASE("an address that names another station than the manifest is a fault of the request",
          "[accept]")
{
    const auto cms = signed_by(*everyone().station, a_manifest("office-1"));
    CHECK(refusal_of(cms, relay(), "office-2") == kind::other_station);
}

TEST_CASE(
    "a record is believed whenever it was taken and whatever its station's certificate says of "
    "dates",
    "[accept]")
{
    const auto& authority = everyone().authority;
    const auto before =
        identity_of(authority.station("office-1", {wall_now() - 48h, wall_now() - 24h}));
    const auto ahead =
        identity_of(authority.station("office-1", {wall_now() + 24h, wall_now() + 48h}));
    for (const auto& by : {before, ahead, everyone().station})
        for (const auto taken_at : {from_ms(1), wall_now() - 72h, wall_now() - 36h, wall_now(),
                                    wall_now() + 72h, from_ms(4'300'000'000'000)}) {
            auto said = a_manifest("office-1");
            said.taken_at = from_ms(to_ms(taken_at));
            for (const auto& from : {station(), relay()})
                CHECK(make_gate().examine(signed_by(*by, said), from, "office-1").has_value());
        }
}

TEST_CASE("a changed byte anywhere is not believed", "[accept]")
{
    const auto cms = signed_by(*everyone().station, a_manifest("office-1"));
    for (std::size_t i = 0; i < cms.size(); i += 7) {
        auto bad = cms;
        bad[i] ^= std::byte{1};
        CHECK_FALSE(make_gate().examine(bad, station(), "office-1").has_value());
    }
    CHECK_FALSE(make_gate().examine({}, station(), "office-1").has_value());
}

TEST_CASE("a signed statement that is no manifest is none", "[accept]")
{
    const envelope::withdrawal other{.record = record_id::random(),
                                     .station = "office-1",
                                     .epoch = epoch_id::random(),
                                     .at = envelope::sequence{1},
                                     .digest = sha256(as_bytes("sealed")),
                                     .reason = "why",
                                     .operator_id = "op",
                                     .decided_at = wall_now()};
    CHECK(refusal_of(signed_by(*everyone().station, other), station(), "office-1") ==
          kind::not_a_manifest);
    CHECK(refusal_of(everyone().station->sign(as_bytes("hello")), station(), "office-1") ==
          kind::not_a_manifest);
}

TEST_CASE("an envelope over the limit is too large", "[accept]")
{
    auto said = a_manifest("office-1");
    said.size_bytes = envelope::limit_bytes + 1;
    CHECK(refusal_of(signed_by(*everyone().station, said), station(), "office-1") ==
          kind::too_large);
}

TEST_CASE("an envelope at the limit passes", "[accept]")
{
    auto said = a_manifest("office-1");
    said.size_bytes = envelope::limit_bytes;
    CHECK(make_gate()
              .examine(signed_by(*everyone().station, said), station(), "office-1")
              .has_value());
}

TEST_CASE("what a revoked certificate signed is refused where it is new, and only there",
          "[accept]")
{
    const auto revoked = std::make_shared<trust::revocations>();
    const accept::gate gate{std::make_shared<const trust::authorities>(everyone().believed),
                            revoked};
    const auto cms = signed_by(*everyone().station, a_manifest("office-1"));
    const auto before = gate.examine(cms, relay(), "office-1");
    REQUIRE(before.has_value());
    CHECK_FALSE(accept::gate::refuse_new(*before).has_value());

    const auto list = std::make_shared<trust::revocation_list>();
    std::vector<std::string> told;
    list->read(as_bytes("station:office-1"), everyone().believed, told);
    REQUIRE(told.empty());
    revoked->replace(list);
    const auto after = gate.examine(cms, relay(), "office-1");
    REQUIRE(after.has_value()); // what is here already goes on by it
    const auto no = accept::gate::refuse_new(*after);
    REQUIRE(no.has_value());
    CHECK(no->what == kind::revoked);
    CHECK(no->sentence.find("office-1") != std::string::npos);
    const auto other = signed_by(*everyone().neighbour, a_manifest("office-2"));
    const auto of_other = gate.examine(other, relay(), "office-2");
    REQUIRE(of_other.has_value());
    CHECK_FALSE(accept::gate::refuse_new(*of_other).has_value());
}

TEST_CASE("what was signed below an authority that is revoked is refused where it is new",
          "[accept]")
{
    const auto revoked = std::make_shared<trust::revocations>();
    const accept::gate gate{std::make_shared<const trust::authorities>(everyone().believed),
                            revoked};
    const auto authority = envelope::read_certificates(everyone().authority.authorities()).front();
    for (const auto& each : trust::fingerprints_of(authority.get()))
        revoked->keep(each);
    const auto what =
        gate.examine(signed_by(*everyone().station, a_manifest("office-1")), station(), "office-1");
    REQUIRE(what.has_value());
    CHECK(accept::gate::refuse_new(*what).has_value());
}
