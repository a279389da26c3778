#include "require.hpp"

#include "base/line.hpp"
#include "journal/findings.hpp"
#include "journal/support.hpp"
#include "uplink/session.hpp"

#include <google/protobuf/stubs/logging.h>
#include <titip/v1/reconcile.pb.h>

#include <algorithm>

using namespace titip;
using fuzz::replace_all;
using fuzz::require;

namespace {

/// The store is made anew after so many answers.
constexpr unsigned answers_a_store = 300;
/// Stands for the epoch of the store here, which no input can know.
const std::string present_epoch(16, 'S');

/// A station with some records that wait, and some that were handed on.
class station {
public:
    journal::store& store()
    {
        if (answers_++ % answers_a_store == 0)
            begin();
        return *at_->store;
    }
    void check()
    {
        if (answers_ % answers_a_store != 0)
            return;
        at_->reopen();
        require(tests::finish(at_->store->audit()).value().empty());
    }

private:
    void begin()
    {
        at_ = std::make_unique<tests::journal_fixture>();
        auto& store = at_->open();
        std::string id = "R000000000000000";
        for (int i = 0; i < 6; ++i) {
            ++id.back();
            const auto record = record_id::from_bytes(as_bytes(id)).value();
            const auto taken =
                tests::finish(store.accept(tests::submission_of(bytes(100), record))).value();
            const auto out = tests::finish(store.outgoing_of(taken.place)).value();
            const auto said = tests::receipt_for(out);
            const auto& by = i % 2 == 0 ? *tests::everyone().relay : *tests::everyone().centre;
            if (i < 4)
                require(tests::finish(store.settle(taken.place, said,
                                                   by.sign(envelope::encode(said)), by.self()))
                            .has_value());
        }
    }

    std::unique_ptr<tests::journal_fixture> at_;
    unsigned answers_ = 0;
};

/// What stands in an input where a signed statement belongs is signed. Its time must be one at which the
/// signer's certificate holds.
std::string with_signature(const std::string& said, const trust::identity& by)
{
    auto statement = envelope::decode(as_bytes(said));
    if (!statement)
        return said; // as it is
    if (auto* custody = std::get_if<envelope::custody>(&*statement))
        custody->at = wall_now();
    if (auto* receipt = std::get_if<envelope::receipt>(&*statement))
        receipt->held_at = wall_now();
    if (auto* verdict = std::get_if<envelope::verdict>(&*statement))
        verdict->at = wall_now();
    return std::string{as_text(by.sign(envelope::encode(*statement)))};
}

/// What of it is not signed, kept as it would be: bounded at each step.
void keep_findings(const std::vector<vault::finding>& told)
{
    journal::station_findings kept{{}};
    std::uint64_t number = 1;
    auto now = wall_now();
    for (std::size_t round = 0; round < 3; ++round)
        for (std::size_t i = 0; i < told.size(); ++i) {
            const auto& each = told[i];
            const auto got = kept.note(
                {.what = each, .told_by = i % 3 == 0 ? "" : "centre", .proof = {}}, number, now);
            if (got.effect == journal::station_findings::effect::added)
                ++number;
            require(kept.check() && kept.rows().size() <= journal::findings_limit{}.all);
            if (i % 7 == 3)
                kept.acknowledge(got.number, "somebody", "known", now);
            if (i % 11 == 5)
                kept.settle([&](const std::string&, std::uint64_t first,
                                std::uint64_t) { return first % 2 == 0; },
                            now);
            require(kept.check());
            now += 5min;
        }
    for (const auto& each : kept.rows()) {
        const auto line = journal::describe(each);
        require(to_line(line, line.size()) == line);
    }
}

} // namespace

/// Whatever an upstream that we believe, or do not, answers to a reconcile: what is taken in is bounded,
/// about this station, and signed by a custodian; and the journal bears it. The first byte says who signs.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    tests::home(); // these two outlive the store
    tests::everyone();
    static station here;
    const auto& everyone = tests::everyone();
    std::string body{reinterpret_cast<const char*>(data) + 1, size - 1};
    const google::protobuf::LogSilencer quiet;
    v1::ReconcileResponse response;
    if (!response.ParseFromString(body))
        return 0;
    auto& store = here.store();
    replace_all(body, present_epoch, as_text(store.epoch().data()));
    if (!response.ParseFromString(body)) // it stood in a text, and is none
        return 0;
    const bool is_relay = (data[0] & 1) != 0;
    const bool is_foreign = (data[0] & 14) == 14;
    const auto& signer = is_foreign ? *everyone.neighbour
                         : is_relay ? *everyone.relay
                                    : *everyone.centre;
    response.set_custody(with_signature(response.custody(), signer));
    constexpr int most_signed = 4; // each takes a millisecond; the others are believed by nobody
    for (int i = 0; i < std::min(most_signed, response.verdicts_size()); ++i)
        response.mutable_verdicts(i)->set_statement(
            with_signature(response.verdicts(i).statement(), signer));
    for (int i = 0; i < std::min(most_signed, response.receipts_size()); ++i)
        response.mutable_receipts(i)->set_statement(
            with_signature(response.receipts(i).statement(), signer));

    http::response answer;
    answer.fields.add("Content-Type", "application/x-protobuf");
    answer.body = to_bytes(as_bytes(response.SerializeAsString()));
    const auto read = uplink::read_reconciled(answer, everyone.believed, "office-1");
    if (!read)
        return 0;
    require(!is_foreign && read->by == signer.self() && read->custody.station == "office-1");
    require(read->answer.partials.size() <= vault::most_unsettled &&
            read->receipts.size() <= vault::most_unsettled &&
            read->answer.verdicts.size() <= vault::most_verdicts &&
            read->verdicts.size() + read->not_believed.size() == read->answer.verdicts.size() &&
            read->answer.findings.size() <= vault::most_findings);
    require(!is_relay || read->verdicts.empty()); // the centre's to say
    const auto about_us = std::ranges::count_if(response.findings(), [](const v1::Finding& each) {
        return each.station() == "office-1" && each.epoch().size() == present_epoch.size() &&
               each.kind() != v1::Finding::KIND_UNSPECIFIED &&
               v1::Finding::Kind_IsValid(each.kind()) && each.first() <= each.last();
    });
    require(read->answer.findings.size() ==
            std::min(vault::most_findings, static_cast<std::size_t>(about_us)));
    for (const auto& each : read->answer.findings)
        require(each.station == "office-1" && each.first <= each.last &&
                to_string(each.what) != "unknown");
    keep_findings(read->answer.findings);

    const auto covered =
        tests::finish(store.take_custody(read->custody, read->by.role, read->answer.custody_cms,
                                         read->answer.findings, {}, read->by.name));
    require(covered.has_value());
    std::vector<journal::told_verdict> said;
    for (const auto& each : read->verdicts)
        said.emplace_back(each.said, each.number);
    require(tests::finish(store.take_verdicts(said, read->answer.store_epoch,
                                              said.empty() ? 0 : said.back().number,
                                              read->not_believed))
                .has_value());
    const auto kept = tests::finish(store.findings_about("office-1"));
    require(kept && kept->size() <= journal::findings_limit{}.all);
    require(store.now().findings.size() <= 8);
    here.check();
    return 0;
}
