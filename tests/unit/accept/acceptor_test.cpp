#include "accept/acceptor.hpp"

#include "base/file.hpp"
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

enrollment::known_time time_known()
{
    return {.from = wall_now() - 24h, .until = wall_now()};
}

class acceptor_fixture : public journal_fixture {
public:
    acceptor_fixture()
    {
        open();
        begin_again();
    }
    /// As a process that ends and is started again, to the store as it is.
    void begin_again()
    {
        door = std::make_unique<accept::acceptor>(
            *store, pool, "office-1",
            std::make_shared<const envelope::sealer>(
                envelope::sealer::load(
                    {sealed_to().centre.certificate, sealed_to().escrow.certificate})
                    .value()),
            [] { return time_known(); });
    }

    result<accept::accepted, accept::rejection>
    submit(record_id id, const bytes& body, std::optional<envelope::lane> lane = std::nullopt)
    {
        return finish(door->submit(id, lane, body));
    }
    accept::accepted accepted(record_id id, const bytes& body,
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
        return support::enrollment(
            random, {.id = id, .size_bytes = 60'000, .taken_at = wall_now(), .is_plain = true});
    }

    std::size_t stored_before = 0;
    std::unique_ptr<accept::acceptor> door;
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
        CHECK(to_bytes(opened.enrollment.view()) == body);
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
    std::vector<asio::awaitable<result<accept::accepted, accept::rejection>>> work;
    for (int i = 0; i < 6; ++i)
        work.push_back(f.door->submit(id, std::nullopt, body));
    std::size_t made = 0;
    for (const auto& each : finish_all(std::move(work))) {
        REQUIRE(each.has_value());
        CHECK(each->sequence == 1);
        made += each->is_new ? 1 : 0;
    }
    CHECK(made == 1);
    const auto sealed =
        finish(f.store->read_at(journal::place{1}, 0, envelope::limit_bytes)).value();
    const auto opened =
        envelope::open(sealed, sealed_to().centre.certificate, sealed_to().centre.key);
    CHECK(to_bytes(opened.value().enrollment.view()) == body);
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
                .value()),
        [] { return time_known(); }};
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

namespace {

using texts = std::vector<std::string>;

/// Another recording of the same citizen: the capture program gave it another id.
bytes under(record_id id, const bytes& enrollment)
{
    return changed(enrollment,
                   [&](v1::Enrollment& e) { e.set_record_id(std::string{as_text(id.data())}); });
}

} // namespace

TEST_CASE("one citizen under two ids is taken with a warning that names the first", "[accept]")
{
    acceptor_fixture f;
    const auto first = record_id::random();
    const auto second = record_id::random();
    const auto body = f.enrollment(first);
    const auto once = f.accepted(first, body);
    CHECK(once.warnings.empty());
    CHECK_FALSE(once.other);
    const auto twice = f.accepted(second, under(second, body));
    CHECK(twice.is_new);
    CHECK(twice.warnings == texts{"nik-seen-before"});
    CHECK(twice.other == first);
    CHECK(twice.other_state == journal::state::waiting);
    REQUIRE(twice.remarks.size() == 1);
    CHECK_THAT(twice.remarks[0].sentence, Catch::Matchers::Contains(first.to_string()));
    // What stays of it is the code: which record the other is stays in the answer.
    const auto shown = finish(f.store->show(second)).value();
    REQUIRE(shown.size() == 1);
    CHECK(shown[0].warnings == texts{"nik-seen-before"});
}

TEST_CASE("a record that is submitted again is no other record of its citizen", "[accept]")
{
    acceptor_fixture f;
    const auto first = record_id::random();
    const auto second = record_id::random();
    const auto body = f.enrollment(first);
    for (int i = 0; i < 2; ++i) {
        const auto got = f.accepted(first, body);
        CHECK(got.warnings.empty());
        CHECK(got.remarks.empty());
        CHECK_FALSE(got.other);
    }
    for (int i = 0; i < 2; ++i)
        CHECK(f.accepted(second, under(second, body)).other == first);
    CHECK(f.accepted(first, body).remarks.empty());
}

TEST_CASE("that a record was the first of its citizen stays so after a restart", "[accept]")
{
    acceptor_fixture f;
    const auto first = record_id::random();
    const auto second = record_id::random();
    const auto body = f.enrollment(first);
    f.accepted(first, body);
    REQUIRE(f.accepted(second, under(second, body)).other == first);
    // Another process knows no NIK, and is asked for the second one first.
    f.begin_again();
    const auto repeated = f.accepted(second, under(second, body));
    CHECK(repeated.warnings == texts{"nik-seen-before"}); // of then, and which it was is forgotten
    CHECK_FALSE(repeated.other);
    const auto got = f.accepted(first, body);
    CHECK_FALSE(got.is_new);
    CHECK(got.warnings.empty());
    CHECK(got.remarks.empty());
    CHECK_FALSE(got.other);
    CHECK_FALSE(got.other_state);
    const auto third = record_id::random();
    CHECK(f.accepted(third, under(third, body)).other.has_value());
}

TEST_CASE("of two records of one citizen that come at once one is told of the other", "[accept]")
{
    acceptor_fixture f;
    const auto body = f.enrollment(record_id::random());
    std::vector<asio::awaitable<result<accept::accepted, accept::rejection>>> work;
    for (int i = 0; i < 5; ++i) {
        const auto id = record_id::random();
        work.push_back(f.door->submit(id, std::nullopt, under(id, body)));
    }
    std::size_t told = 0;
    for (const auto& each : finish_all(std::move(work))) {
        REQUIRE(each.has_value());
        told += each->other ? 1 : 0;
    }
    CHECK(told == 4);
}

TEST_CASE("a record that was not taken is not told of", "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = f.enrollment(id);
    REQUIRE(f.accepted(id, body).is_new);
    // The same id with another citizen's record: refused as a conflict, and not seen.
    const auto other = f.enrollment(id);
    f.stored_before = 1;
    CHECK(f.refusal_of(id, other).what == kind::conflict);
    const auto next = record_id::random();
    CHECK(f.accepted(next, under(next, other)).warnings.empty());
}

TEST_CASE("of a citizen's number nothing is on the disk, in no form that can be tried", "[accept]")
{
    acceptor_fixture f;
    const auto first = record_id::random();
    const auto second = record_id::random();
    const auto body = f.enrollment(first);
    v1::Enrollment parsed;
    REQUIRE(parsed.ParseFromArray(body.data(), static_cast<int>(body.size())));
    const auto nik = to_bytes(as_bytes(parsed.biodata().nik()));
    const auto key = to_bytes(f.store->submission_key());
    f.accepted(first, body);
    f.accepted(second, under(second, body));
    f.close();
    std::size_t files = 0;
    for (const auto& each : std::filesystem::recursive_directory_iterator(f.options.directory)) {
        if (!each.is_regular_file())
            continue;
        ++files;
        const auto disk = read_file(each.path(), 1u << 30).value();
        const auto has = [&disk](bytes_view what) {
            return !std::ranges::search(disk, what).empty();
        };
        CAPTURE(each.path());
        CHECK_FALSE(has(nik));
        // Sixteen digits are soon tried: a digest that the disk has the key of is the number itself.
        for (const auto& mac : {sha256(nik), hmac_sha256(key, nik), hmac_sha256({}, nik)}) {
            CHECK_FALSE(has(bytes_view{mac}.first(16)));
            CHECK_FALSE(has(as_bytes(to_hex(bytes_view{mac}.first(16)))));
        }
        // Nor that the two records are of one citizen.
        CHECK_FALSE(has(as_bytes(first.to_string())));
    }
    CHECK(files > 0);
}

TEST_CASE("the sentences of all warnings are in the answer, their codes once each in the row",
          "[accept]")
{
    acceptor_fixture f;
    const auto id = record_id::random();
    const auto body = changed(f.enrollment(id), [](v1::Enrollment& e) {
        e.set_taken_at_ms(to_ms(from_ms(946'684'800'000))); // 2000-01-01
        e.mutable_biometrics(3)->set_data(e.biometrics(1).data());
        e.mutable_biometrics(3)->set_format(e.biometrics(1).format());
        e.mutable_biometrics(5)->set_data(e.biometrics(1).data());
        e.mutable_biometrics(5)->set_format(e.biometrics(1).format());
    });
    const auto got = f.accepted(id, body);
    CHECK(got.warnings == texts{"taken-at-odd", "same-image"});
    REQUIRE(got.remarks.size() == 3);
    CHECK_THAT(got.remarks[0].sentence,
               Catch::Matchers::Contains("The clock of the capture set says 2000-01-01"));
}

TEST_CASE("what is remembered of citizens is bounded, and the oldest is forgotten first",
          "[accept]")
{
    accept::nik_memory niks;
    const auto mac_of = [](std::size_t i) { return sha256(as_bytes(std::to_string(i))); };
    const auto id = record_id::random();
    const auto other = record_id::random();
    for (std::size_t i = 0; i < accept::nik_memory::most; ++i)
        CHECK(niks.note(mac_of(i), id).is_new);
    CHECK(niks.note(mac_of(0), other).other == id);
    CHECK(niks.note(mac_of(accept::nik_memory::most), id).is_new);
    CHECK(niks.size() == accept::nik_memory::most);
    CHECK(niks.note(mac_of(1), other).other == id);
    CHECK(niks.note(mac_of(0), other).is_new); // forgotten: a warning is missing
    niks.forget(mac_of(2));
    niks.forget(mac_of(2));
    CHECK(niks.size() == accept::nik_memory::most - 1);
    CHECK(niks.note(mac_of(2), other).is_new);
}

TEST_CASE("only another record is told of, and what was forgotten is new again", "[accept]")
{
    accept::nik_memory niks;
    const auto first = record_id::random();
    const auto second = record_id::random();
    const auto nik = sha256(as_bytes("one"));
    CHECK(niks.note(nik, first).is_new);
    CHECK_FALSE(niks.note(nik, first).other);
    CHECK(niks.note(nik, second).other == first);
    niks.forget(nik);
    CHECK(niks.note(nik, second).is_new);
    // Nothing of the forgotten one is left that would make others be forgotten too early.
    for (std::size_t i = 1; i < accept::nik_memory::most; ++i)
        niks.note(sha256(as_bytes(std::to_string(i))), first);
    CHECK(niks.size() == accept::nik_memory::most);
    CHECK(niks.note(nik, first).other == second);
}
