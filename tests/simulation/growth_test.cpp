/// Four weeks of an office, in the store as it is: records come, are received and opened upstream in
/// any order, and are erased after a retention. The file must not grow beyond what is alive at once.
#include "crash/disk.hpp"
#include "journal/chunks.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <map>

using namespace titip;
using namespace titip::tests;

namespace {

constexpr int days = 28;
constexpr int records_a_day = 120;
constexpr int days_kept = 4;

bytes envelope_of_any_size(std::mt19937_64& random)
{
    bytes out(20'000 + random() % 80'000); // a tenth of real ones: what counts is how they mix
    for (std::size_t i = 0; i < out.size(); i += 4096)
        out[i] = static_cast<std::byte>(random());
    return out;
}

} // namespace

TEST_CASE("over four weeks of traffic in any order the file stays as large as what is alive",
          "[simulation]")
{
    const std::uint64_t seed = std::random_device{}();
    CAPTURE(seed);
    disk::set_hasty(true);
    journal_fixture f;
    f.random.seed(seed);
    f.open();
    const auto born = from_ms(1'700'000'000'000);
    std::map<int, std::vector<journal::place>> opened_on; // by the day
    std::uint64_t peak_live = 0;
    std::uint64_t records = 0;
    std::vector<journal::place> unopened;
    const auto note_peak = [&] {
        auto alive = f.store->now().row_bytes;
        for (const auto& each : f.store->now().by_state)
            alive += journal::stored_size(each.bytes);
        peak_live = std::max(peak_live, alive);
    };
    for (int day = 0; day < days; ++day) {
        const auto today = born + day * 24h;
        for (int i = 0; i < records_a_day; ++i) {
            const auto taken =
                finish(f.store->accept(submission_of(envelope_of_any_size(f.random))));
            REQUIRE(taken.has_value());
            unopened.push_back(taken->place);
            ++records;
        }
        std::ranges::shuffle(unopened, f.random);
        std::vector<journal::told_verdict> said;
        while (unopened.size() > records_a_day / 2) {
            const auto what = finish(f.store->outgoing_of(unopened.back())).value();
            unopened.pop_back();
            REQUIRE(finish(f.store->settle(what.view.place, receipt_for(what, today), bytes(800),
                                           everyone().centre->self()))
                        .has_value());
            said.emplace_back(verdict_on(what.view, envelope::verdict_kind::opened, today));
        }
        REQUIRE(finish(f.store->take_verdicts(said, f.store->epoch(),
                                              static_cast<std::uint64_t>(day) + 1))
                    .has_value());
        REQUIRE(finish(f.store->take_custody(custody_of_all(*f.store, today), trust::role::centre,
                                             bytes(900), {}, {}))
                    .has_value());
        note_peak(); // before the erasing, when the day's records are here too
        while (finish(f.store->erase_due(days_kept * 24h)).value() > 0)
            ;
    }
    const auto now = f.store->now();
    CHECK(now.of(journal::state::erased).records > records / 2);
    INFO("file " << now.file_bytes << " peak of what is alive " << peak_live << " rows "
                 << now.row_bytes);
    CHECK(static_cast<double>(now.file_bytes) / static_cast<double>(peak_live) <= 1.10);
    CHECK(now.row_bytes / records <= 4'096);
    CHECK(finish(f.store->audit()).value().empty());
    std::printf("%llu records; file / peak alive %.3f; rows and ledger %llu bytes a record; seed "
                "%llu\n",
                static_cast<unsigned long long>(records),
                static_cast<double>(now.file_bytes) / static_cast<double>(peak_live),
                static_cast<unsigned long long>(now.row_bytes / records),
                static_cast<unsigned long long>(seed));
}
