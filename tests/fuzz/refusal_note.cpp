#include "require.hpp"

#include "journal/support.hpp"
#include "uplink/outcome.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <fmt/format.h>
#include <fuzzer/FuzzedDataProvider.h>

#include <array>

using namespace titip;
using fuzz::require;

namespace {

/// Long enough for everything that is checked at its end, short enough for a disk in memory.
constexpr unsigned inputs_a_store = 2'000;

/// By another reader of UTF-8 than ours: that of JSON.
bool is_utf8(std::string_view text)
{
    boost::system::error_code failed;
    boost::json::parse(boost::json::serialize(boost::json::string{text}), failed);
    return !failed;
}

bool is_line(std::string_view text, std::size_t most_bytes)
{
    if (text.size() > most_bytes || !is_utf8(text))
        return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto at = static_cast<unsigned char>(text[i]);
        const bool is_c1 = at == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (at < 0x20 || at == 0x7f || is_c1)
            return false;
    }
    // LINE SEPARATOR, RIGHT-TO-LEFT OVERRIDE, RIGHT-TO-LEFT ISOLATE, ARABIC LETTER MARK
    constexpr std::array<std::string_view, 4> unfit{"\u2028", "\u202e", "\u2067", "\u061c"};
    return std::ranges::none_of(unfit, [text](auto each) { return text.find(each) != text.npos; });
}

/// A store with one record that waits, made anew from time to time.
class place_of_notes {
public:
    /// What is read of it again.
    journal::record_view quarantine(journal::reason why, const std::string& note)
    {
        if (inputs_ % inputs_a_store == 0)
            begin();
        const bool reopens = ++inputs_ % (inputs_a_store / 4) == 0;
        require(tests::finish(at_->store->quarantine(where_, why, note)).has_value());
        if (reopens) {
            at_->reopen();
            require(tests::finish(at_->store->audit()).value().empty());
        }
        const auto found = tests::finish(at_->store->show(record_));
        require(found && found->size() == 1);
        require(tests::finish(at_->store->retry(found->front().key)).has_value());
        return found->front();
    }

private:
    void begin()
    {
        at_ = std::make_unique<tests::journal_fixture>();
        auto& store = at_->open();
        const auto taken = tests::finish(store.accept(
            tests::submission_of(to_bytes(as_bytes("sealed")), record_ = record_id::random())));
        where_ = taken.value().place;
    }

    std::unique_ptr<tests::journal_fixture> at_;
    record_id record_;
    journal::place where_{};
    unsigned inputs_ = 0;
};

/// Any bytes as a JSON string: as they are, or as the code unit that each, or each two, would be.
std::string quoted(std::string_view text, unsigned how)
{
    std::string out{"\""};
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto at = static_cast<unsigned char>(text[i]);
        if (how == 0)
            out += text[i];
        else if (how == 1 || i + 1 == text.size())
            out += fmt::format("\\u{:04x}", at);
        else
            out += fmt::format("\\u{:02x}{:02x}", at, static_cast<unsigned char>(text[++i]));
    }
    return out + '"';
}

} // namespace

/// Whatever an upstream answers: what it means for the sender, and a note that can be kept with the
/// record, and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    FuzzedDataProvider input{data, size};
    http::response answer;
    answer.status = input.PickValueInArray({200u, 201u, 302u, 400u, 401u, 403u, 404u, 409u, 410u,
                                            413u, 415u, 422u, 423u, 429u, 460u, 500u, 503u, 507u});
    const auto fields = input.ConsumeIntegral<std::uint8_t>();
    if ((fields & 1) != 0)
        answer.fields.add("Retry-After", input.ConsumeRandomLengthString(24));
    if ((fields & 2) != 0)
        answer.fields.add("Upload-Offset", input.ConsumeRandomLengthString(24));
    if ((fields & 4) != 0)
        answer.fields.add("Titip-Receipt", input.ConsumeRandomLengthString(40));
    answer.fields.add("Content-Type", (fields & 8) != 0 ? input.ConsumeRandomLengthString(40)
                                                        : "application/problem+json");
    const auto* type = input.PickValueInArray({"titip:not-believed", "titip:role", "titip:limit",
                                               "titip:full", "titip:conflict", "titip:mismatch",
                                               "titip:revoked", "about:blank"});
    const bool on_upload = input.ConsumeBool();
    using journal::reason;
    const auto why = input.PickValueInArray({reason::refused, reason::too_large, reason::conflict,
                                             reason::not_ours, reason::mismatch, reason::revoked});
    const auto how = input.ConsumeIntegralInRange(0u, 3u);
    const auto said = input.ConsumeRemainingBytesAsString();
    const auto body =
        how == 3 ? said : fmt::format(R"({{"type":"{}","title":{}}})", type, quoted(said, how));
    answer.body = to_bytes(as_bytes(body));

    const auto out = uplink::classify(answer, on_upload);
    require(out.what <= uplink::outcome::kind::link && out.retry_after >= milliseconds{} &&
            out.retry_after <= 1h && is_line(out.note, uplink::most_note_bytes));
    require(out.what != uplink::outcome::kind::receipt || answer.status < 300);

    // The note, or what comes otherwise than by classify().
    tests::home(); // these two outlive the store
    tests::everyone();
    static place_of_notes notes;
    const auto& note = out.note.empty() ? said : out.note;
    const auto kept = notes.quarantine(why, note);
    require(kept.reason == why && is_line(kept.note, uplink::most_note_bytes));
    require(note != out.note || kept.note == note);
    return 0;
}
