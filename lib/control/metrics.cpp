#include "control/bodies.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace titip::control {

namespace {

prometheus::MetricFamily gauge(std::string name, std::string help)
{
    prometheus::MetricFamily out;
    out.name = std::move(name);
    out.help = std::move(help);
    out.type = prometheus::MetricType::Gauge;
    return out;
}

void add(prometheus::MetricFamily& to, double value,
         std::vector<prometheus::ClientMetric::Label> labels = {})
{
    prometheus::ClientMetric metric;
    metric.gauge.value = value;
    metric.label = std::move(labels);
    to.metric.push_back(std::move(metric));
}

prometheus::MetricFamily single(std::string name, std::string help, double value)
{
    auto out = gauge(std::move(name), std::move(help));
    add(out, value);
    return out;
}

} // namespace

http::response metrics_answer(const services& parts, const journal::totals& now,
                              wall_time oldest_relayed)
{
    std::vector<prometheus::MetricFamily> all;
    auto records = gauge("titip_records", "Records by state.");
    auto sizes = gauge("titip_record_bytes", "Envelope bytes by state.");
    for (std::size_t i = 1; i < journal::state_count; ++i) {
        const auto s = static_cast<journal::state>(i);
        add(records, static_cast<double>(now.of(s).records),
            {{"state", std::string{journal::to_string(s)}}});
        add(sizes, static_cast<double>(now.of(s).bytes),
            {{"state", std::string{journal::to_string(s)}}});
    }
    all.push_back(std::move(records));
    all.push_back(std::move(sizes));
    all.push_back(single("titip_held_records", "Waiting records that an operator holds.",
                         static_cast<double>(now.of(journal::state::waiting).held)));
    if (now.needs_person)
        all.push_back(single("titip_needs_person_records",
                             "Records on which a verdict holds that needs a person.",
                             static_cast<double>(*now.needs_person)));
    const auto behind_relay = oldest_relayed == wall_time{}
                                  ? 0ms
                                  : std::max(wall_now() - oldest_relayed, milliseconds{0});
    all.push_back(single("titip_relayed_oldest_seconds",
                         "Since the oldest record was handed on that only a relay has confirmed.",
                         static_cast<double>(behind_relay.count()) / 1000));
    all.push_back(
        single("titip_store_live_bytes", "Pages in use.", static_cast<double>(now.live_bytes)));
    all.push_back(single("titip_store_file_bytes", "Size of the data file.",
                         static_cast<double>(now.file_bytes)));
    all.push_back(
        single("titip_store_has_room", "1 while new records are accepted.", now.has_room ? 1 : 0));
    all.push_back(single("titip_store_total_bytes",
                         "What records can take, in use or not: the smaller of quota and disk.",
                         static_cast<double>(now.room.total_bytes())));
    all.push_back(single("titip_store_left_bytes", "Of these, not in use.",
                         static_cast<double>(now.room.left_bytes)));
    if (now.room.files)
        all.push_back(single("titip_store_files_left", "Files that the store's disk still takes.",
                             static_cast<double>(*now.room.files)));
    all.push_back(single("titip_store_row_bytes", "Pages of rows, ledger and indexes.",
                         static_cast<double>(now.row_bytes)));
    const auto waits = parts.store->disk();
    all.push_back(single("titip_disk_sync_wait_seconds",
                         "How long the disk has had the writer wait for a commit, now.",
                         static_cast<double>(waits.now.count()) / 1000));
    all.push_back(single("titip_disk_slowest_sync_seconds", "The longest wait of the last hour.",
                         static_cast<double>(waits.slowest.count()) / 1000));
    if (parts.stalled)
        all.push_back(single("titip_stalled_uploads",
                             "Begun uploads that have got no byte for a week.",
                             static_cast<double>(parts.stalled->now().count)));
    if (parts.scrubber) {
        const auto& scrubbed = parts.scrubber->now();
        if (scrubbed.oldest_check != wall_time{})
            all.push_back(single("titip_scrub_oldest_seconds",
                                 "Since the bytes not re-read for longest were.",
                                 static_cast<double>((wall_now() - scrubbed.oldest_check) / 1s)));
        all.push_back(single("titip_scrub_rotten_records", "Found by this process.",
                             static_cast<double>(scrubbed.rotten_records)));
        all.push_back(single("titip_audit_differences", "Named by the newest audit.",
                             static_cast<double>(scrubbed.differences.size())));
    }
    const auto& verified = parts.verification ? parts.verification->standing() : std::nullopt;
    all.push_back(single("titip_verify_differences",
                         "Found by titip verify, and not looked at again since.",
                         verified ? static_cast<double>(verified->differences) : 0));
    all.push_back(single("titip_findings", "Gaps, forks, losses: neither acknowledged nor settled.",
                         static_cast<double>(now.standing_findings)));
    if (parts.replayer) {
        const auto link = parts.replayer->now();
        all.push_back(
            single("titip_link_up", "1 while the upstream can be reached.", link.is_up ? 1 : 0));
        all.push_back(single("titip_link_blocked",
                             "1 while the upstream answers and no byte of a body gets through.",
                             link.nothing_through_since != wall_time{} ? 1 : 0));
        all.push_back(single("titip_turned_back_records",
                             "Waiting, and not sent because the upstream brought them.",
                             static_cast<double>(link.turned_back)));
        all.push_back(single("titip_goodput_bytes_per_second",
                             "Bytes of records sent a second and not again, last minute.",
                             static_cast<double>(link.past.minute_bytes_per_s)));
        std::size_t deferred = 0;
        for (const auto& each : link.deferrals)
            deferred += each.what.records;
        all.push_back(
            single("titip_deferred_records",
                   "Not offered, because the upstream refuses them for no fault of theirs.",
                   static_cast<double>(deferred)));
    }
    if (parts.second_copy) {
        const auto copy = parts.second_copy->now();
        all.push_back(single("titip_second_copy_up", "1 while the second copy can be written.",
                             copy.why == mirror::trouble::none ? 1 : 0));
        all.push_back(single("titip_second_copy_missing_records",
                             "Records that are not on the second copy, as far as is known.",
                             static_cast<double>(copy.missing)));
        all.push_back(single("titip_second_copy_only_here_records",
                             "Of these, records that no custodian further up holds.",
                             static_cast<double>(copy.only_here)));
        const auto behind =
            copy.missing_since == wall_time{} ? 0ms : wall_now() - copy.missing_since;
        all.push_back(single("titip_second_copy_behind_seconds",
                             "Age of the oldest record that is not on the second copy.",
                             static_cast<double>(behind.count()) / 1000));
        all.push_back(single("titip_second_copy_lost_files",
                             "Files that the second disk did not keep as they were written.",
                             static_cast<double>(copy.lost)));
        all.push_back(single("titip_second_copy_unread_files",
                             "Files not read back since the second disk was looked through.",
                             static_cast<double>(copy.unread)));
        if (copy.oldest_read != wall_time{})
            all.push_back(single("titip_second_copy_oldest_read_seconds",
                                 "Since the file not read back for longest was.",
                                 static_cast<double>((wall_now() - copy.oldest_read) / 1s)));
    }
    if (parts.certificates) {
        auto ends = gauge("titip_certificate_expires_timestamp_seconds",
                          "When a certificate that this node stands on runs out.");
        for (const auto& each : parts.certificates())
            add(ends, static_cast<double>(to_ms(each.certificate.until)) / 1000,
                {{"subject", each.certificate.subject},
                 {"is", each.is_authority ? "authority" : "own"},
                 {"serves", each.serves_node       ? "node"
                            : each.serves_upstream ? "upstream"
                                                   : "recipient"}});
        all.push_back(std::move(ends));
    }
    if (parts.time) {
        const auto known = parts.time();
        all.push_back(single(
            "titip_clock_wrong", "1 while the clock of this machine must be wrong.",
            known.clock == trust::clock_state::behind || known.clock == trust::clock_state::ahead
                ? 1
                : 0));
    }
    if (parts.refused) {
        auto refused = gauge("titip_refused_peers",
                             "Peers refused for a certificate in the last day, by reason.");
        for (std::size_t i = 0; i < trust::refused_for_count; ++i) {
            const auto why = static_cast<trust::refused_for>(i);
            add(refused, static_cast<double>(parts.refused->of(why, monotonic::now()).peers),
                {{"why", std::string{trust::to_string(why)}}});
        }
        all.push_back(std::move(refused));
    }
    http::response out;
    out.fields.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    out.body = to_bytes(as_bytes(prometheus::TextSerializer{}.Serialize(all)));
    return out;
}

} // namespace titip::control
