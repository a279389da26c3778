#include "envelope/statement.hpp"

#include "envelope/seal.hpp"

#include <titip/v1/statement.pb.h>

#include <catch2/catch.hpp>

#include <functional>
#include <limits>
#include <random>

using namespace titip;
using namespace titip::envelope;

namespace {

titip::digest filled(int value)
{
    titip::digest out;
    out.fill(std::byte(value));
    return out;
}

manifest some_manifest()
{
    manifest out;
    out.record = record_id::random();
    out.station = "kab-karimun-03";
    out.epoch = epoch_id::random();
    out.at = sequence{4711};
    out.taken_at = from_ms(1'543'000'000'000);
    out.lane = lane::urgent;
    out.size_bytes = 812'345;
    out.digest = filled(1);
    out.previous = filled(2);
    return out;
}

manifest first_of_a_later_epoch()
{
    auto out = some_manifest();
    out.at = sequence{1};
    out.previous = {};
    out.previous_epoch = head{epoch_id::random(), sequence{99}, filled(9)};
    return out;
}

receipt some_receipt()
{
    const auto m = some_manifest();
    return {m.record, m.station,    m.epoch,   m.at,
            m.digest, m.size_bytes, filled(3), from_ms(1'543'000'001'000)};
}

custody some_custody()
{
    return {"kab-karimun-03",
            from_ms(1'543'000'002'000),
            {{epoch_id::random(),
              {{sequence{1}, sequence{9}, filled(4)}, {sequence{10}, sequence{10}, filled(5)}}},
             {epoch_id::random(), {}}}};
}

verdict some_verdict()
{
    return {record_id::random(), "kab-karimun-03", filled(6), verdict_kind::duplicate,
            from_ms(1'543'000'003'000)};
}

withdrawal some_withdrawal()
{
    const auto m = some_manifest();
    return {m.record, m.station,        m.epoch,   m.at,
            m.digest, "recorded twice", "clerk-7", from_ms(1'543'000'004'000)};
}

std::vector<statement> one_of_each()
{
    return {some_manifest(), first_of_a_later_epoch(), some_receipt(),
            some_custody(),  some_verdict(),           some_withdrawal()};
}

template <class T>
bool is_refused(T value, const std::function<void(T&)>& spoil)
{
    REQUIRE(decode(encode(value)).has_value());
    spoil(value);
    const auto read = decode(encode(value));
    return !read && read.error() == errc::bad_statement;
}

bool is_refused(const v1::Statement& message)
{
    return !decode(as_bytes(message.SerializeAsString()));
}

v1::Statement as_message(const statement& value)
{
    v1::Statement out;
    REQUIRE(out.ParseFromString(std::string{as_text(encode(value))}));
    return out;
}

} // namespace

TEST_CASE("every statement reads back as it was written", "[envelope]")
{
    for (const auto& each : one_of_each()) {
        CAPTURE(each.index());
        const auto read = decode(encode(each));
        REQUIRE(read.has_value());
        CHECK(*read == each);
    }
    manifest last = some_manifest();
    last.at = sequence{std::numeric_limits<std::uint64_t>::max()};
    last.size_bytes = limit_bytes;
    last.taken_at = last_time;
    CHECK(decode(encode(last)).value() == statement{last});
}

TEST_CASE("the same statement is always the same bytes", "[envelope]")
{
    for (const auto& each : one_of_each())
        CHECK(hash_of(encode(each)) == hash_of(encode(each)));
}

TEST_CASE("a manifest without one of its fields is refused", "[envelope]")
{
    const auto refused = [](auto clear) {
        auto message = as_message(some_manifest());
        clear(*message.mutable_manifest());
        return is_refused(message);
    };
    CHECK(refused([](auto& m) { m.clear_record_id(); }));
    CHECK(refused([](auto& m) { m.clear_station(); }));
    CHECK(refused([](auto& m) { m.clear_epoch(); }));
    CHECK(refused([](auto& m) { m.clear_sequence(); }));
    CHECK(refused([](auto& m) { m.clear_taken_at_ms(); }));
    CHECK(refused([](auto& m) { m.clear_lane(); }));
    CHECK(refused([](auto& m) { m.clear_size_bytes(); }));
    CHECK(refused([](auto& m) { m.clear_digest(); }));
    CHECK(refused([](auto& m) { m.clear_previous(); }));
    CHECK_FALSE(refused([](auto&) {}));
}

TEST_CASE("a receipt without one of its fields is refused", "[envelope]")
{
    const auto refused = [](auto clear) {
        auto message = as_message(some_receipt());
        clear(*message.mutable_receipt());
        return is_refused(message);
    };
    CHECK(refused([](auto& m) { m.clear_record_id(); }));
    CHECK(refused([](auto& m) { m.clear_station(); }));
    CHECK(refused([](auto& m) { m.clear_epoch(); }));
    CHECK(refused([](auto& m) { m.clear_sequence(); }));
    CHECK(refused([](auto& m) { m.clear_digest(); }));
    CHECK(refused([](auto& m) { m.clear_size_bytes(); }));
    CHECK(refused([](auto& m) { m.clear_manifest_hash(); }));
    CHECK(refused([](auto& m) { m.clear_held_at_ms(); }));
    CHECK_FALSE(refused([](auto&) {}));
}

TEST_CASE("a custody statement without one of its fields is refused", "[envelope]")
{
    const auto refused = [](auto clear) {
        auto message = as_message(some_custody());
        clear(*message.mutable_custody());
        return is_refused(message);
    };
    CHECK(refused([](auto& m) { m.clear_station(); }));
    CHECK(refused([](auto& m) { m.clear_at_ms(); }));
    CHECK(refused([](auto& m) { m.mutable_epochs(0)->clear_epoch(); }));
    CHECK(refused([](auto& m) { m.mutable_epochs(0)->mutable_ranges(0)->clear_first(); }));
    CHECK(refused([](auto& m) { m.mutable_epochs(0)->mutable_ranges(0)->clear_last(); }));
    CHECK(refused([](auto& m) { m.mutable_epochs(0)->mutable_ranges(0)->clear_last_hash(); }));
    CHECK_FALSE(refused([](auto& m) { m.clear_epochs(); })); // nothing is held yet
}

TEST_CASE("a verdict without one of its fields is refused", "[envelope]")
{
    const auto refused = [](auto clear) {
        auto message = as_message(some_verdict());
        clear(*message.mutable_verdict());
        return is_refused(message);
    };
    CHECK(refused([](auto& m) { m.clear_record_id(); }));
    CHECK(refused([](auto& m) { m.clear_station(); }));
    CHECK(refused([](auto& m) { m.clear_digest(); }));
    CHECK(refused([](auto& m) { m.clear_kind(); }));
    CHECK(refused([](auto& m) { m.clear_at_ms(); }));
    CHECK_FALSE(refused([](auto&) {}));
}

TEST_CASE("a withdrawal without one of its fields is refused", "[envelope]")
{
    const auto refused = [](auto clear) {
        auto message = as_message(some_withdrawal());
        clear(*message.mutable_withdrawal());
        return is_refused(message);
    };
    CHECK(refused([](auto& m) { m.clear_record_id(); }));
    CHECK(refused([](auto& m) { m.clear_station(); }));
    CHECK(refused([](auto& m) { m.clear_epoch(); }));
    CHECK(refused([](auto& m) { m.clear_sequence(); }));
    CHECK(refused([](auto& m) { m.clear_digest(); }));
    CHECK(refused([](auto& m) { m.clear_reason(); }));
    CHECK(refused([](auto& m) { m.clear_operator_id(); }));
    CHECK(refused([](auto& m) { m.clear_at_ms(); }));
    CHECK_FALSE(refused([](auto&) {}));
}

TEST_CASE("ids and digests of another length are refused", "[envelope]")
{
    for (const std::size_t size : {1u, 15u, 17u, 31u, 33u}) {
        CAPTURE(size);
        const std::string odd(size, 'x');
        auto message = as_message(some_manifest());
        message.mutable_manifest()->set_record_id(odd);
        CHECK(is_refused(message));
        message = as_message(some_manifest());
        message.mutable_manifest()->set_epoch(odd);
        CHECK(is_refused(message));
        message = as_message(some_manifest());
        message.mutable_manifest()->set_digest(odd);
        CHECK(is_refused(message));
        message = as_message(first_of_a_later_epoch());
        message.mutable_manifest()->set_previous_epoch(odd);
        CHECK(is_refused(message));
        message = as_message(first_of_a_later_epoch());
        message.mutable_manifest()->set_previous_head(odd);
        CHECK(is_refused(message));
    }
    auto nil = as_message(some_manifest());
    nil.mutable_manifest()->set_record_id(std::string(16, '\0'));
    CHECK(is_refused(nil));
}

TEST_CASE("values outside their range are refused", "[envelope]")
{
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.station = "Kab Karimun"; }));
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.lane = lane{4}; }));
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.taken_at = from_ms(-1); }));
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.taken_at = last_time + 1ms; }));
    CHECK(is_refused<verdict>(some_verdict(), [](auto& v) { v.kind = verdict_kind{6}; }));
}

TEST_CASE("the chain begins with nothing at sequence 1, and nowhere else", "[envelope]")
{
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.previous = {}; }));
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) { m.at = sequence{1}; }));
    CHECK(is_refused<manifest>(some_manifest(), [](auto& m) {
        m.previous_epoch = head{epoch_id::random(), sequence{3}};
    }));

    auto born_empty = first_of_a_later_epoch();
    born_empty.previous_epoch->at = sequence{0};
    CHECK(is_refused(as_message(born_empty))); // nothing has no hash
    born_empty.previous_epoch->hash = {};
    CHECK(decode(encode(born_empty)).value() == statement{born_empty});
    auto of_an_older_program = first_of_a_later_epoch();
    of_an_older_program.previous_epoch->hash = {};
    CHECK(decode(encode(of_an_older_program)).value() == statement{of_an_older_program});

    auto half = as_message(first_of_a_later_epoch());
    half.mutable_manifest()->clear_previous_epoch();
    CHECK(is_refused(half));
}

TEST_CASE("ranges that overlap, run backwards or stand out of order are refused", "[envelope]")
{
    const auto refused = [](std::vector<held_range> ranges) {
        auto message = some_custody();
        message.epochs[0].ranges = std::move(ranges);
        return !decode(encode(message));
    };
    const auto range = [](std::uint64_t first, std::uint64_t last) {
        return held_range{sequence{first}, sequence{last}, filled(7)};
    };
    CHECK_FALSE(refused({range(1, 3), range(4, 4), range(9, 12)}));
    CHECK(refused({range(0, 3)}));
    CHECK(refused({range(3, 2)}));
    CHECK(refused({range(1, 3), range(3, 4)}));
    CHECK(refused({range(4, 5), range(1, 2)}));
}

TEST_CASE("an operator's reason has words, but not more than 500 bytes of UTF-8", "[envelope]")
{
    auto value = some_withdrawal();
    value.reason.assign(reason_limit_bytes, 'r');
    value.operator_id.assign(operator_id_limit_bytes, 'o');
    CHECK(decode(encode(value)).has_value());
    CHECK(is_refused<withdrawal>(value, [](auto& w) { w.reason += 'r'; }));
    CHECK(is_refused<withdrawal>(value, [](auto& w) { w.operator_id += 'o'; }));

    auto not_text = encode(some_withdrawal());
    not_text[as_text(not_text).find("recorded twice")] = std::byte{0xff};
    CHECK_FALSE(decode(not_text).has_value());
}

TEST_CASE("a statement of no kind is refused", "[envelope]")
{
    CHECK_FALSE(decode({}).has_value());
    CHECK_FALSE(
        decode(as_bytes("\x7a\x02xx")).has_value()); // field 15, which only a later program knows
}

TEST_CASE("a field that a later program has added does no harm", "[envelope]")
{
    const statement known = some_receipt();
    for (const auto* added : {"\x7a\x02xx", "\x12\x04\x7a\x02xx"}) { // beside it, and inside
        auto longer = encode(known);
        for (const auto b : as_bytes(added))
            longer.push_back(b);
        CHECK(decode(longer).value() == known);
    }
}

TEST_CASE("a statement of more than 8 MiB is not even looked at", "[envelope]")
{
    const auto filler = [](std::size_t size) { // field 15, as a later program might have added it
        auto out = encode(some_receipt());
        out.push_back(std::byte{0x7a});
        for (const auto shift : {0, 7, 14})
            out.push_back(std::byte(0x80 | (size >> shift & 0x7f)));
        out.push_back(std::byte(size >> 21));
        out.resize(out.size() + size);
        return out;
    };
    const auto header_bytes = filler(0).size();
    CHECK(decode(filler(statement_limit_bytes - header_bytes)).has_value());
    CHECK_FALSE(decode(filler(statement_limit_bytes - header_bytes + 1)).has_value());
}

TEST_CASE("cut, changed and random bytes never break the reader of statements", "[envelope]")
{
    std::mt19937 random{20'181'124};
    const auto below = [&](std::size_t n) { return std::size_t{random()} % n; };
    for (const auto& each : one_of_each()) {
        const auto good = encode(each);
        for (std::size_t size = 0; size < good.size(); ++size)
            if (const auto read = decode(bytes_view{good}.first(size)))
                CHECK(read->index() == each.index()); // a custody may end after any epoch
        for (int i = 0; i < 2'000; ++i) {
            auto bad = good;
            for (auto n = below(4) + 1; n > 0; --n)
                bad[below(bad.size())] = std::byte(below(256));
            if (const auto read = decode(bad))
                CHECK(decode(encode(*read)).value() == *read);
        }
    }
    for (int i = 0; i < 20'000; ++i) {
        bytes noise(below(100));
        for (auto& b : noise)
            b = std::byte(below(256));
        if (const auto read = decode(noise))
            CHECK(decode(encode(*read)).value() == *read);
    }
}

TEST_CASE("lanes and verdicts have one name each, and no other is understood", "[envelope]")
{
    for (const auto each : {lane::urgent, lane::ordinary, lane::bulk})
        CHECK(parse_lane(to_string(each)) == each);
    for (const auto each :
         {verdict_kind::opened, verdict_kind::print_ready, verdict_kind::duplicate,
          verdict_kind::enrollment_failure, verdict_kind::open_failed})
        CHECK(parse_verdict_kind(to_string(each)) == each);
    CHECK(to_string(verdict_kind::print_ready) == "print-ready");
    CHECK_FALSE(parse_lane("URGENT"));
    CHECK_FALSE(parse_verdict_kind("unknown"));
}
