#include "control/bodies.hpp"

#include "control/words.hpp"
#include "journal/birth.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace titip::control {

namespace {

/// Times that have not come are left out.
void add_time(boost::json::object& to, std::string_view key, wall_time at)
{
    if (at != wall_time{})
        to[key] = to_ms(at);
}

boost::json::object to_json(const enrollment::defect& what)
{
    boost::json::object out;
    out["code"] = what.code;
    out["field"] = what.field;
    out["sentence"] = what.sentence;
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
    out["sent_bytes"] = boost::json::array(past.sent_bytes.begin(), past.sent_bytes.end());
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
    if (!link.upstream_name.empty()) {
        out["upstream_name"] = link.upstream_name;
        out["upstream_role"] = link.is_upstream_relay ? "relay" : "centre";
    }
    out["turned_back"] = link.turned_back;
    if (!link.detail.empty())
        out["detail"] = link.detail;
    add_time(out, "since_ms", link.since);
    add_time(out, "last_checked_ms", link.last_checked);
    add_time(out, "next_check_ms", link.next_check);
    add_time(out, "nothing_through_since_ms", link.nothing_through_since);
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

boost::json::object to_json(const mirror::second_copy& copy, const journal::totals& totals)
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
    if (now.detail == make_error_code(bundle::errc::no_more_files).message())
        out["takes_no_more_files"] = true;
    if (const auto& disk = copy.room()) {
        const auto room = room_for_copies(*disk, totals);
        out["disk"] = control::to_json(room);
        if (const auto days =
                journal::days_to_full(room.left_bytes, totals.days, totals.born, wall_now()))
            out["days_to_full"] = *days;
    }
    out["lost"] = now.lost;
    add_time(out, "lost_since_ms", now.lost_since);
    out["beyond_help"] = now.beyond_help;
    out["unread"] = now.unread;
    add_time(out, "oldest_read_ms", now.oldest_read);
    return out;
}

/// Of those that `serves` picks, the one that ends first: under the keys that begin with `name`.
void add_first_to_end(boost::json::object& to, const std::string& name,
                      const std::vector<trust::watched>& all, bool trust::watched::*serves)
{
    const trust::watched* first = nullptr;
    for (const auto& each : all)
        if (each.*serves && (!first || each.certificate.until < first->certificate.until))
            first = &each;
    if (!first)
        return;
    add_time(to, name + "_expires_ms", first->certificate.until);
    to[name + "_expires_subject"] = first->certificate.subject;
    to[name + "_expires_is_authority"] = first->is_authority;
}

boost::json::object to_json(const trust::watched& what)
{
    boost::json::object out;
    out["subject"] = what.certificate.subject;
    out["is_authority"] = what.is_authority;
    boost::json::array serves;
    if (what.serves_node)
        serves.emplace_back("node");
    if (what.serves_upstream)
        serves.emplace_back("upstream");
    if (what.serves_recipient)
        serves.emplace_back("recipient");
    out["serves"] = std::move(serves);
    add_time(out, "valid_from_ms", what.certificate.from);
    add_time(out, "expires_ms", what.certificate.until);
    return out;
}

boost::json::object to_json(const trust::reckoning& known)
{
    boost::json::object out;
    out["state"] = trust::to_string(known.clock);
    add_time(out, "floor_ms", known.floor);
    add_time(out, "likely_ms", known.likely);
    add_time(out, "signed_ms", known.signed_at);
    return out;
}

boost::json::object to_json(const trust::refused_peers& refused)
{
    boost::json::object out;
    for (std::size_t i = 0; i < trust::refused_for_count; ++i) {
        const auto why = static_cast<trust::refused_for>(i);
        const auto counted = refused.of(why, monotonic::now());
        boost::json::object one;
        one["peers"] = counted.peers;
        one["is_at_least"] = counted.is_at_least;
        boost::json::array names;
        for (const auto& each : counted.names)
            names.emplace_back(each);
        one["names"] = std::move(names);
        out[trust::to_string(why)] = std::move(one);
    }
    return out;
}

/// What this node stands on, and what others stand on that it refuses.
void add_certificates(boost::json::object& to, const services& parts)
{
    if (parts.certificates) {
        const auto all = parts.certificates();
        add_first_to_end(to, "certificate", all, &trust::watched::serves_node);
        add_first_to_end(to, "upstream", all, &trust::watched::serves_upstream);
        add_first_to_end(to, "recipient", all, &trust::watched::serves_recipient);
        boost::json::array certificates;
        for (const auto& each : all)
            certificates.push_back(to_json(each));
        to["certificates"] = std::move(certificates);
    }
    if (parts.time)
        to["clock"] = to_json(parts.time());
    if (parts.refused)
        to["refused_peers"] = to_json(*parts.refused);
    boost::json::array misfits;
    for (const auto& each : parts.misfits)
        misfits.emplace_back(each);
    to["misfits"] = std::move(misfits);
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

namespace {

boost::json::object listed_in(const trust::revocations& who)
{
    const auto listed = who.listed();
    boost::json::object out;
    out["crl"] = listed->revoked_in_crls();
    out["fingerprints"] = listed->fingerprints().size();
    out["names"] = listed->names();
    return out;
}

} // namespace

boost::json::object to_json(const trust::revocations& who,
                            const std::vector<journal::revoked_certificate>& kept)
{
    boost::json::object out;
    out["listed"] = listed_in(who);
    boost::json::array all;
    for (const auto& each : kept) {
        boost::json::object one;
        one["certificate"] = to_hex(each.certificate);
        one["name"] = each.name;
        one["why"] = each.why;
        add_time(one, "since_ms", each.at);
        one["is_listed"] = who.is_listed(each.certificate);
        all.push_back(std::move(one));
    }
    out["kept"] = std::move(all);
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

boost::json::object to_json(const journal::capacity& room)
{
    boost::json::object out;
    out["limit"] = journal::to_string(room.by);
    out["total_bytes"] = room.total_bytes();
    out["left_bytes"] = room.left_bytes;
    out["used_percent"] = room.used_percent();
    if (room.files)
        out["files_left"] = *room.files;
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
    if (record.state == journal::state::arriving) {
        out["stored_bytes"] = record.stored_bytes;
        add_time(out, "last_byte_at_ms", record.last_byte_at);
    }
    if (record.reason != journal::reason::none)
        out["reason"] = journal::to_string(record.reason);
    if (!record.note.empty())
        out["note"] = record.note;
    if (!record.receipt_by.empty())
        out["receipt_by"] = record.receipt_by;
    if (!record.brought_by.empty())
        out["brought_by"] = record.brought_by;
    boost::json::array verdicts;
    for (const auto each : record.verdicts)
        verdicts.emplace_back(envelope::to_string(each));
    out["verdicts"] = std::move(verdicts);
    boost::json::array standing;
    for (const auto each : record.standing)
        standing.emplace_back(envelope::to_string(each));
    out["standing_verdicts"] = std::move(standing);
    if (const auto kind = journal::person_needed(record.standing))
        out["needs_person"] = envelope::to_string(*kind);
    boost::json::array warnings;
    for (const auto& each : record.warnings)
        warnings.emplace_back(each);
    out["warnings"] = std::move(warnings);
    return out;
}

boost::json::object to_json(const journal::kept_finding& what)
{
    boost::json::object out;
    if (what.number != 0)
        out["number"] = what.number;
    out["kind"] = to_string(what.what);
    out["station"] = what.station;
    out["epoch"] = what.epoch.to_string();
    out["first"] = what.first;
    out["last"] = what.last;
    if (what.what == vault::finding::kind::unknown_epoch)
        out["records"] = what.records;
    add_time(out, "noticed_at_ms", what.noticed_at);
    if (!what.told_by.empty())
        out["told_by"] = what.told_by;
    if (!what.proof.empty())
        out["proof"] = what.proof;
    if (what.acknowledged_at != wall_time{}) {
        add_time(out, "acknowledged_at_ms", what.acknowledged_at);
        out["acknowledged_by"] = what.acknowledged_by;
        out["reason"] = what.acknowledged_why;
    }
    add_time(out, "settled_at_ms", what.settled_at);
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

boost::json::object to_json(const accept::accepted& accepted)
{
    boost::json::object out;
    out["epoch"] = accepted.epoch.to_string();
    out["sequence"] = accepted.sequence;
    out["digest"] = to_hex(accepted.digest);
    out["size_bytes"] = accepted.size_bytes;
    out["accepted_at_ms"] = to_ms(accepted.accepted_at);
    if (!accepted.is_new) {
        out["is_compared"] = accepted.is_compared;
        out["state"] = journal::to_string(accepted.state);
        if (accepted.reason != journal::reason::none)
            out["reason"] = journal::to_string(accepted.reason);
    }
    boost::json::array warnings;
    for (const auto& each : accepted.warnings)
        warnings.emplace_back(each);
    out["warnings"] = std::move(warnings);
    boost::json::array remarks;
    for (const auto& each : accepted.remarks)
        remarks.push_back(to_json(each));
    out["remarks"] = std::move(remarks);
    if (accepted.other) {
        boost::json::object other;
        other["id"] = accepted.other->to_string();
        if (accepted.other_state)
            other["state"] = journal::to_string(*accepted.other_state);
        out["same_nik"] = std::move(other);
    }
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

journal::capacity room_for_copies(const journal::disk_room& disk, const journal::totals& totals)
{
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    for (const auto state :
         {journal::state::waiting, journal::state::relayed, journal::state::delivered,
          journal::state::opened, journal::state::quarantined, journal::state::withdrawn}) {
        records += totals.of(state).records;
        bytes += totals.of(state).bytes;
    }
    return journal::capacity_of(
        {.quota_bytes = std::numeric_limits<std::uint64_t>::max(),
         .live_bytes = bytes,
         .disk = disk,
         .bytes_per_file = records > 0 ? std::max<std::uint64_t>(bytes / records, 1) : 0});
}

boost::json::object status_of(const services& parts, const journal::totals& now,
                              const oldest_records& oldest)
{
    boost::json::object out;
    out["node"] = parts.node;
    out["role"] = parts.role;
    out["time_ms"] = to_ms(wall_now());
    if (!parts.safe_mode.empty()) {
        out["safe_mode"] = parts.safe_mode;
        add_time(out, "safe_mode_since_ms", parts.safe_mode_since);
        out["store_absent"] = parts.is_store_absent;
        return out;
    }
    out["records"] = records_of(now);
    out["held"] = now.of(journal::state::waiting).held;
    if (now.needs_person)
        out["needs_person"] = *now.needs_person;
    add_time(out, "oldest_waiting_ms", oldest.waiting);
    add_time(out, "oldest_relayed_ms", oldest.relayed);
    if (is_overdue(oldest.relayed, wall_now()))
        out["relayed_overdue"] = true;
    if (parts.is_seal_unused)
        out["seal_unused"] = true;
    out["paused"] = now.paused;
    out["epoch"] = parts.store->epoch().to_string();
    boost::json::object store;
    store["id"] = journal::store_id(parts.store->submission_key());
    store["mark_file"] = parts.mark.file;
    store["mark"] = parts.mark.trouble;
    if (!parts.mark.detail.empty())
        store["mark_detail"] = parts.mark.detail;
    if (!parts.fleeting.empty())
        store["fleeting"] = parts.fleeting;
    out["store"] = std::move(store);
    if (parts.replayer)
        out["link"] = to_json(parts.replayer->now());
    if (parts.second_copy)
        out["second_copy"] = to_json(*parts.second_copy, now);
    auto disk = to_json(now.room);
    disk["quota_bytes"] = parts.store->quota_bytes();
    disk["live_bytes"] = now.live_bytes;
    disk["file_bytes"] = now.file_bytes;
    disk["row_bytes"] = now.row_bytes;
    if (const auto days =
            journal::days_to_full(now.room.left_bytes, now.days, now.born, wall_now()))
        disk["days_to_full"] = *days;
    disk["has_room"] = now.has_room;
    const auto waits = parts.store->disk();
    disk["sync_wait_ms"] = waits.now.count();
    disk["slowest_sync_ms"] = waits.slowest.count();
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
    if (parts.verification && parts.verification->standing()) {
        const auto& found = *parts.verification->standing();
        boost::json::object verified;
        add_time(verified, "at_ms", found.at);
        verified["differences"] = found.differences;
        out["verified"] = std::move(verified);
    }
    if (parts.stalled) {
        boost::json::object stalled;
        stalled["count"] = parts.stalled->now().count;
        boost::json::array longest;
        for (const auto& each : parts.stalled->now().oldest)
            longest.push_back(to_json(each));
        stalled["oldest"] = std::move(longest);
        out["stalled_uploads"] = std::move(stalled);
    }
    boost::json::array findings;
    for (const auto& each : now.findings)
        findings.push_back(to_json(each));
    out["findings"] = std::move(findings);
    out["findings_standing"] = now.standing_findings;
    if (parts.store && now.format < journal::store::newest_format)
        out["format_behind"] = now.format;
    add_certificates(out, parts);
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

http::response problem_answer(boost::json::object body)
{
    boost::system::error_code not_one;
    http::response out{.status = body["status"].to_number<unsigned>(not_one)};
    out.fields.add("Content-Type", "application/problem+json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body) + '\n'));
    return out;
}

http::response rejected(const accept::rejection& why, journal::capacity::limit by)
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
        return http::problem(
            409, "a record of this id is here already, and this file has other bytes",
            "nothing was changed, and the record that is here stays as it is. Do not record this "
            "person again: titip show says where the record is. If this file is of somebody else, "
            "the "
            "capture program used one id twice: keep the file and call the administrator");
    case kind::rotten:
        return http::problem(
            409, "a record of this id is here already, and what is here can no longer be read",
            "keep this file, do not record this person again, and call the administrator");
    case kind::full:
        return http::problem(507, "no space for another record",
                             fmt::format("what was accepted is safe; {}",
                                         words::how_to_get_room(journal::to_string(by))));
    case kind::not_sealed:
        return http::problem(500, "the record could not be sealed; nothing was stored", why.detail);
    case kind::failed:
        return http::problem(500, "the store failed: whether this record was kept is unknown",
                             "submit it again under the same id");
    }
    boost::json::object body;
    body["type"] = "about:blank";
    body["status"] = 400;
    body["title"] = "the record has defects; nothing was stored";
    boost::json::array defects;
    for (const auto& each : why.defects)
        defects.push_back(to_json(each));
    body["defects"] = std::move(defects);
    return problem_answer(std::move(body));
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
    return problem_answer(std::move(body));
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
    if (why == vault::errc::already_complete)
        return http::problem(409, "the record is complete here: only an upload that was begun and "
                                  "never ended is discarded");
    if (why == vault::errc::conflict)
        return http::problem(409, "the record here has another digest");
    if (why == vault::errc::contradicts)
        return http::problem(409, "another verdict holds that excludes this one",
                             "see titip show; if this one is meant to replace it, say so: "
                             "titip verdict ID KIND --replace");
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
