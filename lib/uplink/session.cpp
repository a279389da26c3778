#include "uplink/session.hpp"

#include "vault/problem.hpp"

#include <titip/v1/reconcile.pb.h>

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <span>

namespace titip::uplink {

namespace {

constexpr std::size_t most_answer_bytes = 64u << 10;
constexpr std::size_t most_reconcile_bytes = 4u << 20; // 256 verdicts, 64 receipts, ranges

std::string text(bytes_view data)
{
    return std::string{as_text(data)};
}

outcome link_failure()
{
    return {.what = outcome::kind::link, .receipt_cms = {}, .note = {}};
}

v1::ReconcileRequest to_request(const vault::question& asked)
{
    v1::ReconcileRequest out;
    for (const auto& each : asked.heads) {
        auto& head = *out.add_heads();
        head.set_epoch(text(each.epoch.data()));
        head.set_sequence(each.sequence);
        if (each.sequence > 0)
            head.set_manifest_hash(text(each.hash));
    }
    if (asked.cursor_epoch) {
        out.mutable_verdicts_after()->set_store_epoch(text(asked.cursor_epoch->data()));
        out.mutable_verdicts_after()->set_number(asked.cursor_number);
    }
    for (const auto& each : asked.kept) {
        auto& kept = *out.add_kept();
        kept.set_epoch(text(each.epoch.data()));
        kept.set_first(each.first);
        kept.set_last(each.last);
        kept.set_why(each.is_quarantined ? v1::KeptRange::QUARANTINED : v1::KeptRange::HELD);
    }
    for (const auto& each : asked.unsettled)
        out.add_unsettled(text(each.data()));
    return out;
}

} // namespace

http::fields fields_of_request()
{
    http::fields out;
    out.add("Titip-Protocol", std::to_string(vault::protocol_version));
    return out;
}

session::session(std::unique_ptr<http::stream> transport, std::string host)
    : connection_(std::move(transport), std::move(host))
{
}

asio::awaitable<result<void>> session::begin(parcel what, std::uint64_t offset)
{
    auto fields = fields_of_request();
    fields.add("Tus-Resumable", "1.0.0");
    fields.add("Content-Type", "application/offset+octet-stream");
    std::string target = "/v1/uploads/" + what.key.station;
    std::string_view method = "POST";
    if (offset == 0) {
        fields.add("Upload-Length", std::to_string(what.size_bytes));
        fields.add("Upload-Metadata", metadata_of(what.manifest_cms));
    } else {
        method = "PATCH";
        target += "/" + what.key.record.to_string();
        fields.add("Upload-Offset", std::to_string(offset));
    }
    co_return co_await connection_.write_request(method, target, fields, what.size_bytes - offset);
}

asio::awaitable<result<void>> session::write(bytes_view data)
{
    return connection_.write_body(data);
}

asio::awaitable<result<outcome>> session::receive()
{
    const auto answer = co_await connection_.read_response(false, most_answer_bytes);
    if (!answer)
        co_return answer.error();
    auto out = classify(*answer, true);
    co_return out;
}

result<receipt> verify_receipt(const trust::authorities& authorities, const bytes& cms)
{
    auto verified = authorities.verify(cms, wall_time{}); // judged as of its own signing time
    if (!verified)
        return verified.error();
    const auto* said = std::get_if<envelope::receipt>(&verified->statement);
    if (!said)
        return trust::errc::wrong_role;
    return receipt{.said = *said, .by = verified->signer, .cms = cms};
}

std::string metadata_of(bytes_view manifest_cms)
{
    return "manifest " + to_base64(manifest_cms);
}

asio::awaitable<void> ask_for_standing(http::client_connection& over, vault::key which)
{
    auto fields = fields_of_request();
    fields.add("Tus-Resumable", "1.0.0");
    const auto target = "/v1/uploads/" + which.station + "/" + which.record.to_string();
    co_await over.write_request("HEAD", target, fields, 0);
}

asio::awaitable<result<standing_above>> take_standing(http::client_connection& over)
{
    const auto answer = co_await over.read_response(true, most_answer_bytes);
    if (!answer)
        co_return answer.error();
    standing_above out{.what = classify(*answer, true),
                       .metadata =
                           std::string{answer->fields.find("Upload-Metadata").value_or("")}};
    co_return out;
}

asio::awaitable<void> ask_to_reconcile(http::client_connection& over, vault::question asked)
{
    const auto body = to_request(asked).SerializeAsString();
    auto fields = fields_of_request();
    fields.add("Content-Type", "application/x-protobuf");
    const auto begun = co_await over.write_request("POST", "/v1/reconcile", fields, body.size());
    if (begun)
        co_await over.write_body(as_bytes(body));
}

namespace {

/// Of what an upstream says to have noticed: what may be said about the station that was asked for. Its
/// clock says nothing here. An honest one tells at most 64, and all again next time.
std::vector<vault::finding> findings_in(const v1::ReconcileResponse& response,
                                        const std::string& station)
{
    std::vector<vault::finding> out;
    for (const auto& each : response.findings()) {
        const auto epoch = epoch_id::from_bytes(as_bytes(each.epoch()));
        const bool is_known =
            each.kind() >= v1::Finding::GAP && each.kind() <= v1::Finding::UNKNOWN_EPOCH;
        if (!epoch || !is_known || each.station() != station || each.first() > each.last() ||
            out.size() == vault::most_findings)
            continue;
        out.push_back({.what = static_cast<vault::finding::kind>(each.kind()),
                       .station = station,
                       .epoch = *epoch,
                       .first = each.first(),
                       .last = each.last(),
                       .noticed_at = wall_now(),
                       .records = each.records()});
    }
    return out;
}

} // namespace

result<reconciled, outcome> read_reconciled(const http::response& answer,
                                            const trust::authorities& authorities,
                                            const std::string& station)
{
    if (answer.status != 200 || answer.fields.find("Content-Type") != "application/x-protobuf") {
        auto refused = classify(answer, false);
        if (refused.what == outcome::kind::unknown)
            refused.what = outcome::kind::portal;
        return refused;
    }

    const google::protobuf::LogSilencer quiet; // a peer's bytes do not write into our log
    v1::ReconcileResponse response;
    if (!response.ParseFromArray(answer.body.data(), static_cast<int>(answer.body.size())))
        return link_failure();
    auto custody = authorities.verify(as_bytes(response.custody()), wall_time{});
    const auto* said = custody ? std::get_if<envelope::custody>(&custody->statement) : nullptr;
    if (!said || said->station != station)
        return outcome{.what = outcome::kind::auth,
                       .receipt_cms = {},
                       .note = "the answer's signature is not the upstream's"};

    reconciled out{.custody = *said,
                   .by = custody->signer,
                   .answer = {},
                   .verdicts = {},
                   .not_believed = {},
                   .receipts = {}};
    out.answer.custody_cms = to_bytes(as_bytes(response.custody()));
    out.answer.store_epoch =
        epoch_id::from_bytes(as_bytes(response.store_epoch())).value_or(epoch_id{});
    // Of each no more than an honest answer has; of verdicts those behind come with the next one.
    constexpr auto most = static_cast<int>(vault::most_unsettled);
    constexpr auto most_verdicts = static_cast<int>(vault::most_verdicts);
    const auto some = [](const auto& all, int at_most) {
        return std::span{all.data(), all.data() + std::min(all.size(), at_most)};
    };
    out.answer.more = response.more() || response.verdicts_size() > most_verdicts;
    for (const auto* each_one : some(response.partials(), most)) {
        const auto& each = *each_one;
        const auto id = record_id::from_bytes(as_bytes(each.record_id()));
        const auto digest = to_digest(as_bytes(each.digest()));
        if (id && digest)
            out.answer.partials.push_back(
                {.record = *id, .digest = *digest, .offset = each.offset_bytes()});
    }
    for (const auto* each_one : some(response.verdicts(), most_verdicts)) {
        const auto& each = *each_one;
        const auto verified = authorities.verify(as_bytes(each.statement()), wall_time{});
        const auto* verdict =
            verified ? std::get_if<envelope::verdict>(&verified->statement) : nullptr;
        if (verdict)
            out.verdicts.push_back({each.number(), *verdict});
        else
            out.not_believed.push_back(each.number());
        out.answer.verdicts.push_back({.number = each.number(), .cms = {}});
    }
    for (const auto* each_one : some(response.receipts(), most)) {
        const auto& each = *each_one;
        auto verified = verify_receipt(authorities, to_bytes(as_bytes(each.statement())));
        if (verified)
            out.receipts.push_back(std::move(*verified));
    }
    out.answer.findings = findings_in(response, station);
    return out;
}

asio::awaitable<result<reconciled, outcome>>
take_reconciled(http::client_connection& over,
                std::shared_ptr<const trust::authorities> authorities, std::string station)
{
    const auto answer = co_await over.read_response(false, most_reconcile_bytes);
    if (!answer)
        co_return link_failure();
    co_return read_reconciled(*answer, *authorities, station);
}

} // namespace titip::uplink
