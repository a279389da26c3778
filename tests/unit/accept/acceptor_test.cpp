#include "accept/acceptor.hpp"

#include "journal/support.hpp"
#include "support/synthetic.hpp"

#include <titip/v1/enrollment.pb.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdio>

using namespace titip;
using namespace titip::tests;
using kind = accept::rejection::kind;

namespace {

struct recipients {
    support::credential centre = support::recipient(support::key_kind::p256, "Centre");
    support::credential escrow = support::recipient(support::key_kind::rsa2048, "Escrow");
};

const recipients& sealed_to()
{
    static const recipients made;
    return made;
}

class acceptor_fixture : public journal_fixture {
public:
    acceptor_fixture()
        : door(open(), pool, "office-1",
               std::make_shared<const envelope::sealer>(
                   envelope::sealer::load(
                       {sealed_to().centre.certificate, sealed_to().escrow.certificate})
                       .value()))
    {
    }

    result<journal::acceptance, accept::rejection>
    submit(record_id id, const bytes& body, std::optional<envelope::lane> lane = std::nullopt)
    {
        return finish(door.submit(id, lane, body));
    }
    journal::acceptance accepted(record_id id, const bytes& body,
                                 std::optional<envelope::lane> lane = std::nullopt)
    {
        const auto got = submit(id, body, lane);
        REQUIRE(got.has_value());
        return *got;
    }
    accept::rejection refusal_of(record_id id, const bytes& body)
    {
        const auto got = submit(id, body);
        REQUIRE_FALSE(got.has_value());
        CHECK(finish(store->show(id)).value().size() == stored_before);
        return got.error();
    }
    bytes enrollment(record_id id)
    {
        return support::enrollment(random, {.id = id, .size_bytes = 60'000, .is_plain = true});
    }

    std::size_t stored_before = 0;
    accept::acceptor door;
};

/// The same enrollment with something done to it.
template <class Change>
bytes changed(const bytes& enrollment, Change change)
{
    v1::Enrollment parsed;
    REQUIRE(parsed.ParseFromArray(enrollment.data(), static_cast<int>(enrollment.size())));
    change(parsed);
    return to_bytes(as_bytes(parsed.SerializeAsString()));
}

} // namespace

TEST_CASE("what was submitted is what a recipient opens", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = f.enrollment(id);
    const auto got = f.accepted(id, body);
    CHECK(got.is_new);
    CHECK(got.sequence == 1);
    const auto sealed = finish(f.store->read_at(got.place, 0, envelope::limit_bytes)).value();
    CHECK(sealed.size() == got.size_bytes);
    CHECK(sha256(sealed) == got.digest);
    for (const auto* who : {&sealed_to().centre, &sealed_to().escrow}) {
        const auto opened = envelope::open(sealed, who->certificate, who->key).value();
        CHECK(opened.ids == envelope::inner_ids{id, "office-1"});
        CHECK((opened.enrollment == body));
    }
}

TEST_CASE("nothing of the plaintext lies on the disk", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = f.enrollment(id);
    REQUIRE(f.submit(id, body).has_value());
    f.close();
    std::FILE* file = std::fopen(f.data_file().c_str(), "rb");
    REQUIRE(file);
    bytes disk(std::filesystem::file_size(f.data_file()));
    CHECK(std::fread(disk.data(), 1, disk.size(), file) == disk.size());
    std::fclose(file);
    for (std::size_t at = 0; at + 24 < body.size(); at += body.size() / 50)
        CHECK(std::ranges::search(disk, bytes_view{body}.subspan(at, 24)).empty());
    CHECK(std::ranges::search(disk, as_bytes("CONTOH")).empty());
}

TEST_CASE("the same body again gets the first answer, another one a conflict", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = f.enrollment(id);
    const auto first = f.accepted(id, body);
    const auto again = f.accepted(id, body);
    CHECK_FALSE(again.is_new);
    CHECK(again.place == first.place);
    CHECK(again.sequence == first.sequence);
    CHECK(again.digest == first.digest);
    CHECK(again.accepted_at == first.accepted_at);
    f.stored_before = 1;
    CHECK(f.refusal_of(id, f.enrollment(id)).what == kind::conflict);
    CHECK(f.accepted(id, body).digest == first.digest);
    CHECK(f.store->now().of(journal::state::waiting).records == 1);
}

TEST_CASE("a repetition that crosses the first submission is one record", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = f.enrollment(id);
    std::vector<asio::awaitable<result<journal::acceptance, accept::rejection>>> work;
    for (int i = 0; i < 6; ++i)
        work.push_back(f.door.submit(id, std::nullopt, body));
    std::size_t made = 0;
    for (const auto& each : finish_all(std::move(work))) {
        REQUIRE(each.has_value());
        CHECK(each->sequence == 1);
        made += each->is_new ? 1 : 0;
    }
    CHECK(made == 1);
    const auto sealed =
        finish(f.store->read_at(journal::place{1}, 0, envelope::limit_bytes)).value();
    CHECK((envelope::open(sealed, sealed_to().centre.certificate, sealed_to().centre.key)
               .value()
               .enrollment == body));
}

TEST_CASE("every defect is reported at once, and nothing is stored", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = changed(f.enrollment(id), [](v1::Enrollment& e) {
        e.mutable_biodata()->set_nik("12");
        e.mutable_biodata()->clear_full_name();
        e.mutable_biodata()->mutable_birth_date()->set_month(13);
    });
    const auto why = f.refusal_of(id, body);
    CHECK(why.what == kind::defective);
    for (const auto* field : {"nik", "full_name", "birth_date"}) {
        CAPTURE(field);
        CHECK(std::ranges::any_of(why.defects, [field](const auto& each) {
            return each.field.find(field) != std::string::npos;
        }));
    }
    CHECK(f.store->now().of(journal::state::waiting).records == 0);
    CHECK(f.refusal_of(id, to_bytes(as_bytes("hello"))).what == kind::defective);
    CHECK(f.refusal_of(id, {}).what == kind::defective);
    CHECK(f.accepted(id, f.enrollment(id)).sequence == 1); // no number was used
}

TEST_CASE("a record under another id than its own is refused with both", "[accept]")
{
    acceptor_fixture f;
    const auto own = record_id::random();
    const auto other = record_id::random();
    const auto why = f.refusal_of(other, f.enrollment(own));
    CHECK(why.what == kind::other_id);
    CHECK_THAT(why.detail, Catch::Matchers::Contains(own.to_string()) &&
                               Catch::Matchers::Contains(other.to_string()));
}

TEST_CASE("a body over the limit is too large, whatever is in it", "[accept]")
{
    acceptor_fixture f;
    const auto why = f.refusal_of(record_id::random(), bytes(accept::most_enrollment_bytes + 1));
    CHECK(why.what == kind::too_large);
    CHECK(f.refusal_of(record_id::random(), bytes(accept::most_enrollment_bytes)).what ==
          kind::defective);
}

TEST_CASE("the largest body that is taken fits an envelope", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    auto body = f.enrollment(id);
    // An unknown field of the right length: a newer capture program's.
    const auto padding = accept::most_enrollment_bytes - body.size() - 6;
    std::string field{"\xfa\x7f"}; // field 2047, length-delimited
    for (auto left = padding; field.size() < 6; left >>= 7)
        field += static_cast<char>((left & 0x7f) | (field.size() < 5 ? 0x80u : 0u));
    field.append(padding, 'x');
    std::ranges::copy(as_bytes(field), std::back_inserter(body));
    REQUIRE(body.size() == accept::most_enrollment_bytes);
    const auto got = f.submit(id, body);
    REQUIRE(got.has_value());
    CHECK(got->size_bytes <= envelope::limit_bytes);
}

TEST_CASE("the lane is the submitter's, else the record's, else ordinary", "[accept]")
{
    acceptor_fixture f;
    const auto lane_of = [&f](std::optional<enrollment::lane> recorded,
                              std::optional<envelope::lane> asked) {
        const auto id = record_id::random();
        const auto body = support::enrollment(
            f.random, {.id = id, .size_bytes = 30'000, .lane = recorded, .is_plain = true});
        const auto got = f.accepted(id, body, asked);
        return finish(f.store->outgoing_of(got.place)).value().view.lane;
    };
    CHECK(lane_of(std::nullopt, std::nullopt) == envelope::lane::ordinary);
    CHECK(lane_of(enrollment::lane::urgent, std::nullopt) == envelope::lane::urgent);
    CHECK(lane_of(enrollment::lane::urgent, envelope::lane::bulk) == envelope::lane::bulk);
}

TEST_CASE("what is odd about a record warns and does not refuse", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = changed(f.enrollment(id), [](v1::Enrollment& e) {
        auto& biodata = *e.mutable_biodata();
        biodata.set_sex(biodata.sex() == v1::SEX_MALE ? v1::SEX_FEMALE : v1::SEX_MALE);
    });
    const auto got = f.accepted(id, body);
    CHECK(got.warnings == std::vector<std::string>{"nik-sex-differs"});
    CHECK(f.accepted(id, body).warnings == got.warnings);
}

TEST_CASE("a full store refuses as full", "[accept]")
{
    acceptor_fixture f;
    f.close();
    f.options.quota_bytes = 1u << 20;
    accept::acceptor door{
        f.open(), f.pool, "office-1",
        std::make_shared<const envelope::sealer>(
            envelope::sealer::load({sealed_to().centre.certificate, sealed_to().escrow.certificate})
                .value())};
    std::optional<accept::rejection> refused;
    for (int i = 0; i < 100 && !refused; ++i) {
        const auto id = record_id::random();
        const auto got = finish(door.submit(id, std::nullopt, f.enrollment(id)));
        if (!got)
            refused = got.error();
    }
    REQUIRE(refused.has_value());
    CHECK(refused->what == kind::full);
}
