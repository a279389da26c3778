#include "control/bodies.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace titip::control {

namespace {

/// Times that have not come are left out.
void add_time(boost::json::object& to, std::string_view key, wall_time at)
{
    if (at != wall_time{})
        to[key] = to_ms(at);
}

boost::json::object to_json(const vault::finding& what)
{
    boost::json::object out;
    out["kind"] = to_string(what.what);
    out["station"] = what.station;
    out["epoch"] = what.epoch.to_string();
    out["first"] = what.first;
    out["last"] = what.last;
    if (what.what == vault::finding::kind::unknown_epoch)
        out["records"] = what.records;
    out["noticed_at_ms"] = to_ms(what.noticed_at);
    return out;
}

boost::json::object records_of(const journal::totals& now)
{
    boost::json::object out;
    for (std::size_t i = 1; i < journal::state_count; ++i) {
        const auto s = static_cast<journal::state>(i);
        boost::json::object each;
        each["records"] = now.of(s).records;
        each["bytes"] = now.of(s).bytes;
        out[journal::to_string(s)] = std::move(each);
    }
    return out;
}

boost::json::object history_of(const replay::history::view& past)
{
    boost::json::object out;
    out["slot_s"] = std::chrono::duration_cast<std::chrono::seconds>(replay::history::slot).count();
    out["delivered_bytes"] =
        boost::json::array(past.delivered_bytes.begin(), past.delivered_bytes.end());
    out["waiting_bytes"] = boost::json::array(past.waiting_bytes.begin(), past.waiting_bytes.end());
    return out;
}

boost::json::object to_json(const replay::report& link)
{
    boost::json::object out;
    out["up"] = link.is_up;
    out["verdict"] = link::to_string(link.verdict);
    out["upstream"] = link.upstream;
    if (!link.detail.empty())
        out["detail"] = link.detail;
    add_time(out, "since_ms", link.since);
    add_time(out, "last_checked_ms", link.last_checked);
    add_time(out, "next_check_ms", link.next_check);
    add_time(out, "last_delivery_ms", link.last_delivery);
    out["in_flight"] = link.in_flight;
    out["goodput_bytes_per_s"] = link.past.minute_bytes_per_s;
    out["goodput_hour_bytes_per_s"] = link.past.hour_bytes_per_s;
    if (link.rate_bytes_per_s > 0)
        out["rate_bytes_per_s"] = link.rate_bytes_per_s;
    out["connections"] = link.connections;
    out["congestion_control"] = link.is_bbr ? "bbr" : "loss-based";
    out["bbr_allowed"] = link.may_bbr;
    out["sent_bytes"] = link.sent_bytes;
    out["retransmitted_bytes"] = link.resent_bytes;
    out["sent_again_bytes"] = link.wasted_bytes;
    if (link.day_budget_bytes) {
        out["day_budget_bytes"] = *link.day_budget_bytes;
        out["sent_today_bytes"] = link.sent_today_bytes;
    }
    out["within_budget"] = link.is_within_budget;
    if (link.protocol > 0)
        out["protocol"] = link.protocol;
    boost::json::array deferred;
    for (const auto& each : link.deferrals)
        deferred.push_back(control::to_json(each));
    out["deferred"] = std::move(deferred);
    out["history"] = history_of(link.past);
    return out;
}

boost::json::object to_json(const mirror::second_copy& copy)
{
    const auto now = copy.now();
    boost::json::object out;
    out["path"] = copy.folder().string();
    out["trouble"] = mirror::to_string(now.why);
    if (!now.detail.empty())
        out["detail"] = now.detail;
    add_time(out, "trouble_since_ms", now.trouble_since);
    out["is_counted"] = now.is_counted;
    out["missing"] = now.missing;
    out["only_here"] = now.only_here;
    add_time(out, "missing_since_ms", now.missing_since);
    if (now.newest_missing)
        out["newest_missing"] = now.newest_missing->to_string();
    out["skipped"] = now.skipped;
    return out;
}

} // namespace

boost::json::object to_json(const replay::deferral& why)
{
    boost::json::object out;
    out["why"] = to_string(why.what.why);
    out["is_odd"] = why.what.of == replay::distrust::scope::odd;
    out["note"] = why.what.note;
    out["station"] = why.what.station;
    out["records"] = why.what.records;
    add_time(out, "since_ms", why.since);
    add_time(out, "next_try_ms", why.next_try);
    return out;
}

boost::json::object to_json(const journal::retried& done)
{
    boost::json::object out;
    out["retried"] = done.records;
    out["open_failed"] = done.open_failed;
    if (done.next_after)
        out["next_after"] = static_cast<std::uint64_t>(*done.next_after);
    return out;
}

boost::json::object to_json(const journal::record_view& record)
{
    boost::json::object out;
    out["id"] = record.key.record.to_string();
    out["station"] = record.key.station;
    out["state"] = journal::to_string(record.state);
    out["held"] = record.held;
    out["lane"] = envelope::to_string(record.lane);
    out["place"] = static_cast<std::uint64_t>(record.place);
    out["epoch"] = record.epoch.to_string();
    out["sequence"] = record.sequence;
    out["size_bytes"] = record.size_bytes;
    out["digest"] = to_hex(record.digest);
    out["record_failures"] = record.record_failures;
    add_time(out, "taken_at_ms", record.taken_at);
    add_time(out, "accepted_at_ms", record.accepted_at);
    add_time(out, "delivered_at_ms", record.delivered_at);
    add_time(out, "opened_at_ms", record.opened_at);
    add_time(out, "erased_at_ms", record.erased_at);
    add_time(out, "rotten_at_ms", record.rotten_at);
    if (record.state == journal::state::arriving)
        out["stored_bytes"] = record.stored_bytes;
    if (record.reason != journal::reason::none)
        out["reason"] = journal::to_string(record.reason);
    if (!record.note.empty())
        out["note"] = record.note;
    if (!record.receipt_by.empty())
        out["receipt_by"] = record.receipt_by;
    boost::json::array verdicts;
    for (const auto each : record.verdicts)
        verdicts.emplace_back(envelope::to_string(each));
    out["verdicts"] = std::move(verdicts);
    boost::json::array warnings;
    for (const auto& each : record.warnings)
        warnings.emplace_back(each);
    out["warnings"] = std::move(warnings);
    return out;
}

boost::json::object to_json(const journal::ledger_entry& entry)
{
    boost::json::object out;
    out["number"] = entry.number;
    out["at_ms"] = to_ms(entry.at);
    out["event"] = entry.event;
    if (entry.record)
        out["id"] = entry.record->to_string();
    if (!entry.station.empty())
        out["station"] = entry.station;
    if (!entry.detail.empty())
        out["detail"] = entry.detail;
    if (entry.duration > 0ms)
        out["duration_ms"] = entry.duration.count();
    return out;
}

boost::json::object to_json(const journal::acceptance& accepted)
{
    boost::json::object out;
    out["epoch"] = accepted.epoch.to_string();
    out["sequence"] = accepted.sequence;
    out["digest"] = to_hex(accepted.digest);
    out["size_bytes"] = accepted.size_bytes;
    out["accepted_at_ms"] = to_ms(accepted.accepted_at);
    boost::json::array warnings;
    for (const auto& each : accepted.warnings)
        warnings.emplace_back(each);
    out["warnings"] = std::move(warnings);
    return out;
}

boost::json::object to_json(const journal::backup& done)
{
    boost::json::object out;
    out["file"] = done.file.string();
    out["node"] = done.node;
    out["epoch"] = done.epoch.to_string();
    out["sequence"] = done.head_sequence;
    out["records"] = done.records;
    out["size_bytes"] = done.size_bytes;
    out["sha256"] = to_hex(done.sha256);
    add_time(out, "taken_at_ms", done.taken_at);
    return out;
}

boost::json::object to_json(const journal::backup_progress& under_way)
{
    boost::json::object out;
    out["copied_bytes"] = under_way.copied_bytes.load();
    out["total_bytes"] = under_way.total_bytes.load();
    return out;
}

std::optional<std::uint64_t> days_to_full(std::uint64_t quota_bytes, std::uint64_t live_bytes,
                                          const std::vector<journal::day>& days, wall_time now)
{
    // The store forgets when it counts, and an idle one does not.
    const auto oldest = now - journal::most_days * 24h;
    std::uint64_t accepted = 0;
    std::uint64_t erased = 0;
    auto since = now;
    for (const auto& each : days)
        if (each.begins > oldest && each.begins <= now) {
            accepted += each.accepted_bytes;
            erased += each.erased_bytes;
            since = std::min(since, each.begins);
        }
    if (accepted <= erased)
        return std::nullopt;
    // Less than a day is taken for a day: a busy hour is none of the days to come.
    const auto time = std::max<milliseconds>(now - since, 24h);
    const auto net = static_cast<double>(accepted - erased);
    const auto a_day = net / (static_cast<double>(time.count()) / (24 * 3'600 * 1'000.0));
    const auto left = quota_bytes > live_bytes ? quota_bytes - live_bytes : 0;
    return static_cast<std::uint64_t>(static_cast<double>(left) / a_day);
}

boost::json::object status_of(const services& parts, const journal::totals& now,
                              wall_time oldest_waiting)
{
    boost::json::object out;
    out["node"] = parts.node;
    out["role"] = parts.role;
    out["time_ms"] = to_ms(wall_now());
    if (!parts.safe_mode.empty()) {
        out["safe_mode"] = parts.safe_mode;
        add_time(out, "safe_mode_since_ms", parts.safe_mode_since);
        return out;
    }
    out["records"] = records_of(now);
    out["held"] = now.of(journal::state::waiting).held;
    add_time(out, "oldest_waiting_ms", oldest_waiting);
    out["paused"] = now.paused;
    out["epoch"] = parts.store->epoch().to_string();
    if (parts.replayer)
        out["link"] = to_json(parts.replayer->now());
    if (parts.second_copy)
        out["second_copy"] = to_json(*parts.second_copy);
    boost::json::object disk;
    disk["quota_bytes"] = parts.store->quota_bytes();
    disk["live_bytes"] = now.live_bytes;
    disk["file_bytes"] = now.file_bytes;
    disk["row_bytes"] = now.row_bytes;
    if (const auto days =
            days_to_full(parts.store->quota_bytes(), now.live_bytes, now.days, wall_now()))
        disk["days_to_full"] = *days;
    disk["has_room"] = now.has_room;
    out["disk"] = std::move(disk);
    if (parts.scrubber) {
        const auto& scrubbed = parts.scrubber->now();
        boost::json::object scrub;
        add_time(scrub, "oldest_check_ms", scrubbed.oldest_check);
        scrub["checked"] = scrubbed.checked_records;
        scrub["rotten"] = scrubbed.rotten_records;
        scrub["differences"] = scrubbed.differences.size();
        out["scrub"] = std::move(scrub);
    }
    boost::json::array findings;
    for (const auto& each : now.findings)
        findings.push_back(to_json(each));
    out["findings"] = std::move(findings);
    add_time(out, "certificate_expires_ms", parts.certificate_expires);
    add_time(out, "recipient_expires_ms", parts.recipient_expires);
    return out;
}

http::response json_answer(unsigned status, const boost::json::value& body)
{
    http::response out{.status = status};
    out.fields.add("Content-Type", "application/json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body) + '\n'));
    return out;
}

http::response lines_answer(const std::vector<boost::json::object>& lines)
{
    std::string body;
    for (const auto& each : lines)
        body += boost::json::serialize(each) + '\n';
    http::response out;
    out.fields.add("Content-Type", "application/jsonl");
    out.body = to_bytes(as_bytes(body));
    return out;
}

http::response rejected(const accept::rejection& why)
{
    using kind = accept::rejection::kind;
    switch (why.what) {
    case kind::defective:
        break;
    case kind::other_id:
        return http::problem(400, "the record carries another id", why.detail);
    case kind::too_large:
        return http::problem(413, "the record is too large", why.detail);
    case kind::conflict:
        return http::problem(409, "this id was accepted before with another body",
                             "nothing was changed; a new record needs a new id");
    case kind::full:
        return http::problem(
            507, "no space for another record",
            "what was accepted is safe; free space on this machine's disk, or raise [node] quota");
    case kind::failed:
        return http::problem(500, "the store failed: whether this record was kept is unknown",
                             "submit it again under the same id");
    }
    boost::json::object body;
    body["type"] = "about:blank";
    body["status"] = 400;
    body["title"] = "the record has defects; nothing was stored";
    boost::json::array defects;
    for (const auto& each : why.defects) {
        boost::json::object one;
        one["code"] = each.code;
        one["field"] = each.field;
        one["sentence"] = each.sentence;
        defects.push_back(std::move(one));
    }
    body["defects"] = std::move(defects);
    http::response out{.status = 400};
    out.fields.add("Content-Type", "application/problem+json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body) + '\n'));
    return out;
}

http::response ambiguous(const std::vector<journal::record_view>& found)
{
    boost::json::object body;
    body["title"] = "several stations have a record of this id";
    body["status"] = 409;
    body["detail"] = "name one: ?station=NAME";
    boost::json::array stations;
    for (const auto& each : found)
        stations.emplace_back(each.key.station);
    body["stations"] = std::move(stations);
    http::response out{.status = 409};
    out.fields.add("Content-Type", "application/problem+json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body) + '\n'));
    return out;
}

http::response failed(const error_code& why)
{
    if (why == vault::errc::cannot_sign)
        return http::problem(409, "this node cannot sign now", why.message());
    if (why == vault::errc::unknown)
        return http::problem(404, "no such record here");
    if (why == vault::errc::wrong_state)
        return http::problem(409, "the record is not in a state that allows this",
                             "see titip show");
    if (why == vault::errc::conflict)
        return http::problem(409, "the record here has another digest");
    if (why == vault::errc::erased)
        return http::problem(410, "the bytes of this record have been erased; its receipt is kept");
    if (why == vault::errc::rotten)
        return http::problem(422, "the bytes of this record no longer match their checksum");
    if (why == vault::errc::full)
        return http::problem(507, "no space to record this");
    return http::problem(500, "the store failed", why.message());
}

http::response failed(const journal::backup_failure& why)
{
    using kind = journal::backup_failure::kind;
    switch (why.what) {
    case kind::refused:
    case kind::stopped:
        return http::problem(409, "no backup was made", why.sentence);
    case kind::full:
        return http::problem(507, "no space for the backup", why.sentence);
    case kind::failed:
        break;
    }
    return http::problem(500, "the backup failed", why.sentence);
}

} // namespace titip::control
