#include "base/file.hpp"
#include "base/line.hpp"
#include "journal/support.hpp"
#include "journal/writing.hpp"

#include <catch2/catch.hpp>

#include <regex>

/// What a peer, or a person, says goes into rows: whatever it is, they can be read again.
using namespace titip;
using namespace titip::tests;
using journal::place;
using journal::reason;
using journal::seed;

namespace {

/// Bytes that anybody may send: often nearly UTF-8.
class hostile {
public:
    explicit hostile(unsigned seed) : random_(seed) {}

    std::string bytes(std::size_t most = 60)
    {
        static const std::string_view parts[] = {
            "a",       "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x93\xa6", "\xc3",         "\xff",
            "\x1b[2J", "\xc2\x9b", "\n",           "\xed\xa0\x80",     "\xe2\x80\xae", "\x80\x80"};
        std::string out;
        for (auto left = random_() % most; left > 0; --left)
            out += parts[random_() % std::size(parts)];
        if (random_() % 4 == 0)
            out += '\0';
        return out;
    }
    std::uint64_t number() { return random_() >> random_() % 64; }

private:
    std::mt19937_64 random_;
};

template <class Message>
void comes_back(seed kind, const Message& written)
{
    const auto key = journal::key_builder{}.u64(7);
    const auto stored = journal::seal_row(kind, key, written);
    Message read;
    REQUIRE_NOTHROW(journal::open_row(kind, key, stored, read));
    REQUIRE(read.SerializeAsString() == written.SerializeAsString());
}

v1::Row row_of(hostile& from)
{
    v1::Row out;
    out.set_record_id(from.bytes());
    out.set_station(from.bytes());
    out.set_epoch(from.bytes());
    out.set_sequence(from.number());
    out.set_state(static_cast<v1::State>(from.number() % 9));
    out.set_digest(from.bytes());
    out.set_manifest(from.bytes());
    out.set_manifest_hash(from.bytes());
    out.set_submission_mac(from.bytes());
    out.set_receipt(from.bytes());
    out.set_receipt_given(from.bytes());
    out.set_quarantine_note(from.bytes(300));
    out.add_warnings(from.bytes());
    out.add_warnings(from.bytes());
    out.set_receipt_by(from.bytes());
    out.set_brought_by(from.bytes());
    out.set_opened_by(from.bytes());
    out.add_verdicts(v1::OPENED);
    auto& judged = *out.add_judgements();
    judged.set_number(from.number());
    judged.set_epoch(from.number());
    return out;
}

v1::Numbering numbering_of(hostile& from)
{
    v1::Numbering out;
    out.set_head(from.number());
    out.set_head_hash(from.bytes());
    auto& span = *out.add_spans();
    span.set_first(from.number());
    span.set_last(from.number());
    span.set_first_previous(from.bytes());
    span.set_last_hash(from.bytes());
    return out;
}

v1::Meta meta_of(hostile& from)
{
    v1::Meta out;
    out.set_format(1);
    out.set_store_epoch(from.bytes());
    out.set_submission_key(from.bytes());
    out.mutable_verdict_cursor()->set_store_epoch(from.bytes());
    out.set_node(from.bytes());
    out.set_custody(from.bytes());
    out.set_previous_epoch(from.bytes());
    out.set_previous_head(from.bytes());
    out.set_centre_epoch(from.bytes());
    out.set_opened_before(from.bytes());
    return out;
}

v1::Entry entry_of(hostile& from)
{
    v1::Entry out;
    out.set_number(from.number());
    out.set_record_id(from.bytes());
    out.set_station(from.bytes());
    out.set_detail(from.bytes(300));
    return out;
}

v1::FindingRow finding_of(hostile& from)
{
    v1::FindingRow out;
    out.set_number(from.number());
    out.set_station(from.bytes());
    out.set_epoch(from.bytes());
    out.set_proof(from.bytes());
    out.set_told_by(from.bytes());
    out.set_acknowledged_by(from.bytes());
    out.set_acknowledged_why(from.bytes(300));
    return out;
}

bool is_line(const std::string& text)
{
    return to_line(text, text.size()) == text;
}

} // namespace

TEST_CASE("no row is written that cannot be read again, whatever is in it", "[journal]")
{
    hostile from{GENERATE(range(1u, 65u))};
    comes_back(seed::row, row_of(from));
    comes_back(seed::numbering, numbering_of(from));
    comes_back(seed::meta, meta_of(from));
    comes_back(seed::entry, entry_of(from));
    comes_back(seed::finding, finding_of(from));
}

TEST_CASE("rows have no field that protobuf would refuse for its text", "[journal]")
{
    const auto file = std::filesystem::path{TITIP_SOURCE} / "proto/titip/v1/journal.proto";
    const std::string schema{as_text(read_file(file).value())};
    // A new one is bytes as well: the two are the same on the disk, and only bytes take all of them.
    const std::regex texts{"\\n *(repeated |optional )?string [a-z_]+ = "};
    CHECK_FALSE(std::regex_search(schema, texts));
    // These are on the wire too, and in rows: see what is put into them.
    const std::regex others{"\\n *(repeated )?(Finding|Cursor|Judgement|Span|Tally|Day) "};
    CHECK(std::regex_search(schema, others));
}

TEST_CASE("what an upstream says of a record is kept as a line that can be read", "[journal]")
{
    hostile from{GENERATE(range(1u, 33u))};
    journal_fixture at;
    auto& store = at.open();
    const auto accept = [&] {
        return finish(store.accept(submission_of(noise(300, at.random)))).value().place;
    };
    const auto refused = accept();
    REQUIRE(finish(store.quarantine(refused, reason::too_large, from.bytes(400))).has_value());
    const auto then = finish(store.outgoing_of(refused));
    REQUIRE(then.has_value());
    CHECK(is_line(then->view.note));
    CHECK(then->view.note.size() <= 200);
    REQUIRE(finish(store.note_outage(true, from.bytes(400), 0ms)).has_value());
    REQUIRE(finish(store.begin_epoch(store.epoch(), from.bytes(400))).has_value());
    sender below{everyone().neighbour};
    const auto data = noise(900, at.random);
    const auto offered = below.next(data);
    REQUIRE(finish(store.keep(offered, 0, bytes(data.begin(), data.begin() + 100))).has_value());
    REQUIRE(finish(store.discard_for(offered.key(), from.bytes(4'000))).has_value());
    const auto ledger = finish(store.ledger(0, 1'000));
    REQUIRE(ledger.has_value());
    for (const auto& each : *ledger) {
        CHECK(is_line(each.detail));
        CHECK(each.detail.size() <= 1'024);
    }
    CHECK(finish(store.audit()).value().empty());
    REQUIRE(finish(store.retry(then->view.key)).has_value());
    CHECK(finish(store.outgoing_of(refused)).value().view.state == journal::state::waiting);
}
