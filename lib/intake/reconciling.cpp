#include "intake/reconciling.hpp"

#include <titip/v1/reconcile.pb.h>

namespace titip::intake {

namespace {

std::string text(bytes_view data)
{
    return std::string{as_text(data)};
}

vault::question to_question(const v1::ReconcileRequest& request)
{
    vault::question out;
    const auto epoch_of = [](const std::string& data) {
        return epoch_id::from_bytes(as_bytes(data)).value_or(epoch_id{});
    };
    for (const auto& each : request.heads())
        out.heads.push_back({.epoch = epoch_of(each.epoch()),
                             .sequence = each.sequence(),
                             .hash = to_digest(as_bytes(each.manifest_hash())).value_or(digest{})});
    if (request.has_verdicts_after()) {
        out.cursor_epoch = epoch_id::from_bytes(as_bytes(request.verdicts_after().store_epoch()));
        out.cursor_number = request.verdicts_after().number();
    }
    for (const auto& each : request.kept())
        out.kept.push_back({.epoch = epoch_of(each.epoch()),
                            .first = each.first(),
                            .last = each.last(),
                            .is_quarantined = each.why() == v1::KeptRange::QUARANTINED});
    for (const auto& each : request.unsettled())
        if (const auto id = record_id::from_bytes(as_bytes(each));
            id && out.unsettled.size() < vault::most_unsettled)
            out.unsettled.push_back(*id);
    return out;
}

} // namespace

result<vault::question, not_a_question> read_question(bytes_view body)
{
    v1::ReconcileRequest asked;
    if (!asked.ParseFromArray(body.data(), static_cast<int>(body.size())))
        return not_a_question{"the body is not a ReconcileRequest"};
    if (asked.heads().size() > static_cast<int>(vault::most_heads) ||
        asked.kept().size() > static_cast<int>(vault::most_kept))
        return not_a_question{"the body names too many heads or ranges"};
    return to_question(asked);
}

bytes encode(const vault::answer& answer)
{
    v1::ReconcileResponse out;
    out.set_custody(text(answer.custody_cms));
    out.set_more(answer.more);
    out.set_store_epoch(text(answer.store_epoch.data()));
    out.set_now_ms(to_ms(wall_now()));
    for (const auto& each : answer.partials) {
        auto& partial = *out.add_partials();
        partial.set_record_id(text(each.record.data()));
        partial.set_digest(text(each.digest));
        partial.set_offset_bytes(each.offset);
    }
    for (const auto& each : answer.verdicts) {
        auto& verdict = *out.add_verdicts();
        verdict.set_number(each.number);
        verdict.set_statement(text(each.cms));
    }
    for (const auto& [id, cms] : answer.receipts) {
        auto& receipt = *out.add_receipts();
        receipt.set_record_id(text(id.data()));
        receipt.set_statement(text(cms));
    }
    for (const auto& each : answer.findings) {
        auto& finding = *out.add_findings();
        finding.set_kind(static_cast<v1::Finding::Kind>(each.what));
        finding.set_station(each.station);
        finding.set_epoch(text(each.epoch.data()));
        finding.set_first(each.first);
        finding.set_last(each.last);
        finding.set_noticed_at_ms(to_ms(each.noticed_at));
        finding.set_records(each.records);
    }
    return to_bytes(as_bytes(out.SerializeAsString()));
}

} // namespace titip::intake
