#include "uplink/session.hpp"

#include "vault/problem.hpp"

#include <titip/v1/reconcile.pb.h>

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

asio::awaitable<result<reconciled, outcome>>
take_reconciled(http::client_connection& over,
                std::shared_ptr<const trust::authorities> authorities, std::string station)
{
    const auto answer = co_await over.read_response(false, most_reconcile_bytes);
    if (!answer)
        co_return link_failure();
    if (answer->status != 200 || answer->fields.find("Content-Type") != "application/x-protobuf") {
        auto refused = classify(*answer, false);
        if (refused.what == outcome::kind::unknown)
            refused.what = outcome::kind::portal;
        co_return refused;
    }

    v1::ReconcileResponse response;
    if (!response.ParseFromArray(answer->body.data(), static_cast<int>(answer->body.size())))
        co_return link_failure();
    auto custody = authorities->verify(as_bytes(response.custody()), wall_time{});
    const auto* said = custody ? std::get_if<envelope::custody>(&custody->statement) : nullptr;
    if (!said || said->station != station)
        co_return outcome{.what = outcome::kind::auth,
                          .receipt_cms = {},
                          .note = "the answer's signature is not the upstream's"};

    reconciled out{.custody = *said,
                   .by = custody->signer,
                   .answer = {},
                   .verdicts = {},
                   .not_believed = {},
                   .receipts = {}};
    out.answer.custody_cms = to_bytes(as_bytes(response.custody()));
    out.answer.more = response.more();
    out.answer.store_epoch =
        epoch_id::from_bytes(as_bytes(response.store_epoch())).value_or(epoch_id{});
    for (const auto& each : response.partials()) {
        const auto id = record_id::from_bytes(as_bytes(each.record_id()));
        const auto digest = to_digest(as_bytes(each.digest()));
        if (id && digest)
            out.answer.partials.push_back(
                {.record = *id, .digest = *digest, .offset = each.offset_bytes()});
    }
    for (const auto& each : response.verdicts()) {
        const auto verified = authorities->verify(as_bytes(each.statement()), wall_time{});
        const auto* verdict =
            verified ? std::get_if<envelope::verdict>(&verified->statement) : nullptr;
        if (verdict)
            out.verdicts.push_back({each.number(), *verdict});
        else
            out.not_believed.push_back(each.number());
        out.answer.verdicts.push_back({.number = each.number(), .cms = {}});
    }
    for (const auto& each : response.receipts()) {
        auto verified = verify_receipt(*authorities, to_bytes(as_bytes(each.statement())));
        if (verified)
            out.receipts.push_back(std::move(*verified));
    }
    for (const auto& each : response.findings())
        out.answer.findings.push_back(
            {.what = static_cast<vault::finding::kind>(each.kind()),
             .station = each.station(),
             .epoch = epoch_id::from_bytes(as_bytes(each.epoch())).value_or(epoch_id{}),
             .first = each.first(),
             .last = each.last(),
             .noticed_at = from_ms(each.noticed_at_ms()),
             .records = each.records()});
    co_return out;
}

} // namespace titip::uplink
