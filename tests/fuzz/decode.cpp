#include "require.hpp"

#include "base/line.hpp"
#include "envelope/statement.hpp"
#include "intake/reconciling.hpp"
#include "journal/findings.hpp"
#include "journal/rows.hpp"

#include <algorithm>

using namespace titip;
using fuzz::require;

namespace {

void read_statement(bytes_view data)
{
    const auto said = envelope::decode(data);
    if (!said)
        return;
    const auto encoded = envelope::encode(*said);
    const auto again = envelope::decode(encoded);
    require(again.has_value() && *again == *said);
    require(envelope::encode(*again) == encoded);
}

/// A row whose checksum is right, whatever is in it: shown, and the same when it is written again.
void read_row(bytes_view data)
{
    v1::Row row;
    if (!row.ParseFromArray(data.data(), static_cast<int>(data.size())))
        return;
    const auto key = journal::place_key(journal::place{7});
    v1::Row read;
    journal::open_row(journal::seed::row, key, journal::seal_row(journal::seed::row, key, row),
                      read);
    // Its kinds of verdicts are ours to write.
    if (!std::ranges::all_of(read.verdicts(), v1::VerdictKind_IsValid) ||
        !std::ranges::all_of(read.judgements(), [](const v1::Judgement& each) {
            return v1::VerdictKind_IsValid(each.kind());
        }))
        return;
    if (!record_id::from_bytes(as_bytes(read.record_id())))
        return; // rotten
    const auto view = journal::to_view(journal::place{7}, read);
    require(to_line(view.note, view.note.size()) == view.note);
    const auto judgements = journal::judgements_of(read);
    require(view.judgements == judgements && view.standing.size() <= judgements.size());
    auto written = read;
    journal::set_judgements(written, judgements);
    const auto again = journal::judgements_of(written);
    require(again == judgements);
    require(journal::standing_of(written) == view.standing);
}

void read_finding(bytes_view data)
{
    v1::FindingRow row;
    if (!row.ParseFromArray(data.data(), static_cast<int>(data.size())))
        return;
    const auto kept = journal::to_kept(row);
    require(journal::to_kept(row) == kept);
    journal::describe(row);
}

void read_question(bytes_view data)
{
    const auto asked = intake::read_question(data);
    require(!asked ||
            (asked->heads.size() <= vault::most_heads && asked->kept.size() <= vault::most_kept &&
             asked->unsettled.size() <= vault::most_unsettled));
}

} // namespace

/// Any bytes where a message of protobuf is expected, by the first of them: refused, or a value that is the
/// same when it is written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const bytes_view rest{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        read_statement(rest);
        break;
    case 1:
        read_row(rest);
        break;
    case 2:
        read_question(rest);
        break;
    case 3:
        read_finding(rest);
        break;
    }
    return 0;
}
