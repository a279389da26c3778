#include "require.hpp"

#include "intake/reconciling.hpp"
#include "journal/support.hpp"
#include "uplink/session.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <utility>

using namespace titip;
using fuzz::replace_all;
using fuzz::require;

namespace {

/// Of the processor, under the sanitizers: a hundred times what the longest honest question takes.
constexpr double most_seconds = 0.2;
/// What an asker of ours reads of an answer.
constexpr std::size_t most_answer_bytes = 4u << 20;
/// Stands for the epoch of the store that answers, which no input can know.
const std::string present_epoch(16, 'S');

double processor_seconds()
{
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

epoch_id epoch_of(char letter)
{
    return epoch_id::from_bytes(as_bytes(std::string(16, letter))).value();
}

record_id record_of(std::string id)
{
    id.resize(16, 'R');
    return record_id::from_bytes(as_bytes(id)).value();
}

/// A centre with records of two stations: whole, with holes, in several epochs, with a chain that is
/// broken, incomplete ones, and more verdicts than an answer has room for.
class centre {
public:
    centre()
    {
        at_.options.node = "centre";
        at_.options.has_upstream = false;
        at_.options.identity = tests::everyone().centre;
        at_.open();
        for (std::uint64_t n = 1; n <= 3; ++n)
            complete(offer(*tests::everyone().station, 'A', n, "A" + std::to_string(n)));
        for (std::uint64_t n = 5; n < 5 + 2 * vault::most_findings; n += 2)
            complete(offer(*tests::everyone().station, 'A', n, "A" + std::to_string(n)));
        for (std::uint64_t n = 1; n <= 9; ++n)
            complete(offer(*tests::everyone().station, 'B', n, "B" + std::to_string(n), false));
        complete(offer(*tests::everyone().neighbour, 'A', 40, "A1"));
        const auto judged = offer(*tests::everyone().station, 'C', 5, {});
        complete(judged);
        for (std::size_t i = 0; i < vault::most_verdicts + 10; ++i)
            require(tests::finish(at_.store->judge(judged.key(), judged.manifest.digest,
                                                   i % 2 == 0 ? envelope::verdict_kind::print_ready
                                                              : envelope::verdict_kind::duplicate,
                                                   true))
                        .has_value());
        auto partial = offer(*tests::everyone().station, 'C', 6, std::string(16, 'P'));
        require(tests::finish(at_.store->keep(partial, 0, bytes(3))).has_value());
    }

    vault::vault& store() { return *at_.store; }
    epoch_id epoch() { return at_.store->epoch(); }

private:
    vault::offer offer(const trust::identity& who, char epoch, std::uint64_t number, std::string id,
                       bool is_chained = true)
    {
        auto& before = heads_[{who.self().name, epoch}];
        const auto previous = number == 1 ? digest{} : is_chained ? before : sha256(as_bytes(id));
        const envelope::manifest said{
            .record = record_of(std::move(id)),
            .station = who.self().name,
            .epoch = epoch_of(epoch),
            .at = envelope::sequence{number},
            .taken_at = from_ms(1'764'000'000'000),
            .size_bytes = sealed_.size(),
            .digest = sha256(sealed_),
            .previous = previous == digest{} && number > 1 ? sha256(sealed_) : previous};
        const auto statement = envelope::encode(said);
        before = envelope::hash_of(statement);
        return {.cms = who.sign(statement), .manifest = said, .hash = before};
    }
    void complete(const vault::offer& what)
    {
        require(tests::finish(at_.store->complete(what, 0, sealed_)).has_value());
    }

    bytes sealed_ = to_bytes(as_bytes("a sealed record"));
    std::map<std::pair<std::string, char>, digest> heads_;
    tests::journal_fixture at_;
};

} // namespace

/// Any body of a reconcile, at a store that has what it may ask about: refused, or answered, in a moment,
/// with no more than an answer may hold, about nobody but who asks, and so that the asker believes it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    tests::home(); // these two outlive the store
    tests::everyone();
    static centre at;
    std::string body{reinterpret_cast<const char*>(data), size};
    replace_all(body, present_epoch, as_text(at.epoch().data()));
    const auto asked = intake::read_question(as_bytes(body));
    if (!asked)
        return 0;
    require(asked->heads.size() <= vault::most_heads && asked->kept.size() <= vault::most_kept &&
            asked->unsettled.size() <= vault::most_unsettled);
    const bool is_neighbour = size % 8 == 7;
    const std::string station = is_neighbour ? "office-2" : "office-1";

    auto used = most_seconds;
    result<vault::answer> told{vault::answer{}};
    // More than once where it took long: a machine with too much to do makes any call slow at times.
    for (int i = 0; i < 4 && used >= most_seconds; ++i) {
        const auto before = processor_seconds();
        told = tests::finish(at.store().reconcile(station, *asked));
        used = processor_seconds() - before;
    }
    if (used >= most_seconds) {
        std::fprintf(stderr, "an answer took %.3f s of the processor\n", used);
        std::abort();
    }
    require(told.has_value());
    require(told->findings.size() <= vault::most_findings &&
            told->verdicts.size() <= vault::most_verdicts &&
            told->partials.size() + told->receipts.size() <= asked->unsettled.size());
    for (const auto& each : told->findings)
        require(each.station == station && each.first <= each.last);

    http::response answer;
    answer.fields.add("Content-Type", "application/x-protobuf");
    answer.body = intake::encode(*told);
    require(answer.body.size() <= most_answer_bytes);
    // Each verdict is a signature to verify: of the few inputs alone that ask for some.
    if (told->verdicts.size() > 4)
        return 0;
    const auto read = uplink::read_reconciled(answer, tests::everyone().believed, station);
    require(read.has_value() && read->not_believed.empty());
    require(read->verdicts.size() == told->verdicts.size() &&
            read->receipts.size() == told->receipts.size() &&
            read->answer.findings.size() == told->findings.size() &&
            read->answer.partials.size() == told->partials.size());
    return 0;
}
