#include "base/file.hpp"
#include "base/time.hpp"
#include "journal/examine.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstdlib>

/// Stores that an earlier titipd wrote, kept as they were (tests/unit/journal/golden), beside what
/// they hold in words: what a later one reads out of them must be the same, for ever. They were made
/// by the hidden test at the end:
///     TITIP_GOLDEN=DIR journal_test "[make-golden]"      (and "[make-troubles]")
using namespace titip;
using namespace titip::tests;

namespace {

using envelope::lane;
using envelope::verdict_kind;
using journal::place;
using journal::reason;

/// All that a store says of itself, a line each.
class description {
public:
    explicit description(journal::store& of) : store_(of)
    {
        store_.replace_identity(everyone().relay); // who may sign custody
    }

    std::string text()
    {
        totals();
        records();
        numbering();
        verdicts();
        ledger();
        return std::move(out_);
    }

private:
    template <class... Parts>
    void line(fmt::format_string<Parts...> what, Parts&&... parts)
    {
        out_ += fmt::format(what, std::forward<Parts>(parts)...) + '\n';
    }

    static std::string hash(const result<bytes>& data)
    {
        return data ? to_hex(sha256(*data)) : data.error().message();
    }

    void totals()
    {
        const auto now = store_.now();
        line("epoch {}", store_.epoch().to_string());
        line("submission-key {}", hash(to_bytes(store_.submission_key())));
        line("paused {}", now.paused);
        line("newest-signed {}", to_ms(now.newest_signed));
        for (std::size_t i = 1; i < journal::state_count; ++i) {
            const auto s = static_cast<journal::state>(i);
            line("{} records={} bytes={} held={}", to_string(s), now.of(s).records, now.of(s).bytes,
                 now.of(s).held);
        }
        findings();
    }

    void findings()
    {
        std::vector<journal::kept_finding> all;
        for (const std::string station : {"office-1", "office-2"})
            std::ranges::copy(finish(store_.findings_about(station)).value(),
                              std::back_inserter(all));
        std::ranges::sort(all, {}, &journal::kept_finding::number);
        for (const auto& each : all) {
            line("finding {} station={} epoch={} {}..{} at={}", to_string(each.what), each.station,
                 each.epoch.to_string(), each.first, each.last, to_ms(each.noticed_at));
            if (!each.told_by.empty() || !each.proof.empty())
                line("  told-by={} proof={}", each.told_by, each.proof);
            if (each.acknowledged_at != wall_time{})
                line("  acknowledged at={} by={} why={}", to_ms(each.acknowledged_at),
                     each.acknowledged_by, each.acknowledged_why);
            if (each.settled_at != wall_time{})
                line("  settled at={}", to_ms(each.settled_at));
        }
    }

    void records()
    {
        for (const auto& each : finish(store_.list({}, std::nullopt, 1'000)).value()) {
            line("record place={} id={} station={} state={} held={} lane={} epoch={} sequence={} "
                 "size={} stored={} digest={}",
                 static_cast<std::uint64_t>(each.place), each.key.record.to_string(),
                 each.key.station, to_string(each.state), each.held, to_string(each.lane),
                 each.epoch.to_string(), each.sequence, each.size_bytes, each.stored_bytes,
                 to_hex(each.digest));
            line("  times taken={} accepted={} delivered={} opened={} erased={}",
                 to_ms(each.taken_at), to_ms(each.accepted_at), to_ms(each.delivered_at),
                 to_ms(each.opened_at), to_ms(each.erased_at));
            line("  set-aside reason={} note={} failures={} by={}", to_string(each.reason),
                 each.note, each.record_failures, each.receipt_by);
            for (const auto verdict : each.verdicts)
                line("  verdict {}", to_string(verdict));
            for (const auto& warning : each.warnings)
                line("  warning {}", warning);
            const auto what = finish(store_.outgoing_of(each.place)).value();
            line("  manifest {} {}", hash(what.manifest_cms), to_hex(what.manifest_hash));
            line("  receipt {}", hash(finish(store_.receipt_of(each.key))));
            line("  envelope {}", hash(finish(store_.read_at(each.place, 0, each.size_bytes))));
        }
    }

    void numbering()
    {
        for (const auto& each : finish(store_.load_queue()).value())
            line("queued place={} lane={}", static_cast<std::uint64_t>(each.place),
                 to_string(each.lane));
        const auto upstream = finish(store_.upstream()).value();
        for (const auto& each : upstream.heads)
            line("head epoch={} sequence={} hash={}", each.epoch.to_string(), each.sequence,
                 to_hex(each.hash));
        for (const auto& each : upstream.kept)
            line("kept epoch={} {}..{} quarantined={}", each.epoch.to_string(), each.first,
                 each.last, each.is_quarantined);
        line("cursor epoch={} number={}",
             upstream.cursor_epoch ? upstream.cursor_epoch->to_string() : "none",
             upstream.cursor_number);
    }

    void verdicts()
    {
        for (const std::string station : {"office-1", "office-2"}) {
            const auto told = finish(store_.reconcile(station, {})).value();
            for (const auto& each : told.verdicts)
                line("verdict station={} number={} {}", station, each.number, hash(each.cms));
            for (const auto& each : told.findings)
                line("told station={} {} {}..{}", station, to_string(each.what), each.first,
                     each.last);
            const auto custody = said_in<envelope::custody>(told.custody_cms);
            for (const auto& epoch : custody.epochs)
                for (const auto& range : epoch.ranges)
                    line("custody station={} epoch={} {}..{} {}", station, epoch.epoch.to_string(),
                         number(range.first), number(range.last), to_hex(range.last_hash));
        }
    }

    void ledger()
    {
        for (const auto& each : finish(store_.ledger(0, 10'000)).value())
            if (each.event != "format") // of this opening
                line("entry {} at={} {} record={} station={} detail={} ms={}", each.number,
                     to_ms(each.at), each.event, each.record ? each.record->to_string() : "none",
                     each.station, each.detail, each.duration.count());
    }

    journal::store& store_;
    std::string out_;
};

std::filesystem::path golden(std::string_view name)
{
    return std::filesystem::path{TITIP_SOURCE} / "tests/unit/journal/golden" / name;
}

} // namespace

TEST_CASE("a store that an earlier version wrote reads as it did then", "[journal]")
{
    const std::string name = GENERATE("format-1", "format-1-troubles", "format-1-cut", "format-2");
    journal_fixture at;
    std::filesystem::create_directories(at.options.directory);
    const auto unpack = fmt::format("gzip -dc '{}' > '{}'", golden(name + ".mdb.gz").string(),
                                    at.data_file().string());
    REQUIRE(std::system(unpack.c_str()) == 0);
    // Without it a data.mdb is a copy, and begins a new epoch.
    std::filesystem::copy_file(golden(name + ".lock"), at.options.directory / "titipd.lock");
    const auto told = read_file(golden(name + ".txt")).value();
    auto& store = at.open();
    CHECK(description{store}.text() == as_text(told));
    CHECK(finish(store.audit()).value().empty());
    // Asked again, it gives the first answer.
    const auto first = finish(store.outgoing_of(place{1})).value().view;
    auto envelope = finish(store.read_at(place{1}, 0, first.size_bytes)).value();
    const auto again =
        finish(store.accept(submission_of(std::move(envelope), first.key.record))).value();
    CHECK_FALSE(again.is_new);
    CHECK(again.sequence == first.sequence);
    // And it is gone on with.
    REQUIRE(finish(store.accept(submission_of(noise(500, at.random)))).has_value());
    CHECK(finish(at.reopen().audit()).value().empty());
}

TEST_CASE("openings that an earlier version believed in, and circles that it stood in, end",
          "[journal]")
{
    journal_fixture at;
    std::filesystem::create_directories(at.options.directory);
    const auto unpack =
        fmt::format("gzip -dc '{}' > '{}'", golden("format-1-troubles.mdb.gz").string(),
                    at.data_file().string());
    REQUIRE(std::system(unpack.c_str()) == 0);
    std::filesystem::copy_file(golden("format-1-troubles.lock"),
                               at.options.directory / "titipd.lock");
    auto& store = at.open();
    const auto state_of = [&store](std::uint64_t number) {
        return to_string(finish(store.outgoing_of(place{number})).value().view.state);
    };
    const auto is_said_opened = [&store](std::uint64_t number) {
        const auto said = finish(store.outgoing_of(place{number})).value().view.verdicts;
        return std::ranges::count(said, verdict_kind::opened) > 0;
    };
    REQUIRE(state_of(8) == "opened"); // on the receipt of a centre that had not opened it
    REQUIRE(finish(store.drop_unsure_openings()).has_value());
    CHECK(state_of(7) == "waiting");
    CHECK_FALSE(is_said_opened(7));
    CHECK(state_of(8) == "delivered");
    CHECK_FALSE(is_said_opened(8));
    CHECK(state_of(11) == "opened"); // of after the loss
    CHECK_FALSE(finish(store.upstream()).value().cursor_epoch);

    // The centre has 8 to 10 and tells again what it has opened; the relay came as a node below.
    const auto present = epoch_id::random();
    const auto opened = finish(store.outgoing_of(place{11})).value().view;
    REQUIRE(finish(store.note_centre(present)).has_value());
    REQUIRE(finish(store.take_verdicts({verdict_on(opened, verdict_kind::opened)}, present, 1))
                .has_value());
    REQUIRE(finish(store.drop_old_openings()).has_value());
    CHECK(state_of(11) == "opened");
    CHECK(finish(store.take_back("hub-9")).value() == 0);
    CHECK(finish(store.take_back("hub-1")).value() == 2);
    CHECK(state_of(9) == "waiting");
    CHECK(state_of(10) == "waiting");
    CHECK(finish(store.audit()).value().empty());
}

TEST_CASE("records whose rows an earlier version could not read are there again, and are sent",
          "[journal]")
{
    journal_fixture at;
    std::filesystem::create_directories(at.options.directory);
    const auto unpack = fmt::format("gzip -dc '{}' > '{}'", golden("format-1-cut.mdb.gz").string(),
                                    at.data_file().string());
    REQUIRE(std::system(unpack.c_str()) == 0);
    std::filesystem::copy_file(golden("format-1-cut.lock"), at.options.directory / "titipd.lock");
    auto& store = at.open();
    CHECK(finish(store.audit()).value().empty());
    const auto done = finish(store.retry_set_aside({}, std::nullopt)).value();
    CHECK(done.records == 4);
    CHECK(finish(store.load_queue()).value().size() == 5);
    CHECK(store.now().of(journal::state::quarantined).records == 0);
    at.close();
    std::size_t told = 0;
    journal::examine(at.options.directory, at.options.node, [&told](const journal::remark& each) {
        told += each.what == journal::remark::kind::progress ? 0 : 1;
    });
    CHECK(told == 0);
}

namespace {

/// A station that also listens, with a record in every state but withdrawn, which no command makes
/// yet, and a finding of every kind.
class variety {
public:
    explicit variety(journal_fixture& at) : at_(at), store_(at.open()) {}

    void make()
    {
        submitted();
        judged();
        set_aside();
        from_below();
        told();
        REQUIRE(finish(store_.set_paused(true)).has_value());
    }

private:
    place accept(lane in = lane::ordinary, std::size_t size_bytes = 300)
    {
        auto what = submission_of(noise(size_bytes, at_.random));
        what.lane = in;
        if (size_bytes > 8'000)
            what.warnings = {"nik-region-differs", "odd-reason"};
        return finish(store_.accept(std::move(what))).value().place;
    }
    journal::record_view view(place at) { return finish(store_.outgoing_of(at)).value().view; }
    void settle(place at, const trust::peer& by, wall_time held_at = wall_now())
    {
        const auto what = finish(store_.outgoing_of(at)).value();
        const auto said = receipt_for(what, held_at);
        const bytes cms = (by.role == trust::role::centre ? everyone().centre : everyone().relay)
                              ->sign(envelope::encode(said));
        REQUIRE(finish(store_.settle(at, said, cms, by)).has_value());
    }
    void verdict(place at, verdict_kind kind, wall_time when = wall_now())
    {
        REQUIRE(finish(store_.take_verdicts({verdict_on(view(at), kind, when)}, upstream_,
                                            ++verdict_number_))
                    .has_value());
    }
    void told(wall_time when, std::vector<envelope::epoch_custody> epochs = {},
              std::vector<vault::finding> findings = {})
    {
        const envelope::custody said{
            .station = "office-1", .at = when, .epochs = std::move(epochs)};
        REQUIRE(finish(store_.take_custody(said, trust::role::centre,
                                           everyone().centre->sign(envelope::encode(said)),
                                           std::move(findings), {}))
                    .has_value());
    }

    void submitted()
    {
        accept(lane::urgent);
        accept(lane::ordinary, 9'000); // more than two chunks
        accept(lane::bulk);
        const auto held = accept();
        REQUIRE(finish(store_.hold(view(held).key)).has_value());
        const auto released = accept();
        REQUIRE(finish(store_.hold(view(released).key)).has_value());
        REQUIRE(finish(store_.release(view(released).key)).has_value());
        const auto refused = accept();
        REQUIRE(finish(store_.count_failure(refused)).value() == 1);
        settle(accept(), everyone().relay->self());
        settle(accept(), everyone().centre->self());
        const auto lost = accept(); // delivered long ago, and not in the custody statement below
        settle(lost, everyone().centre->self(), wall_now() - 1h);
        lost_ = view(lost).sequence;
    }

    void judged()
    {
        const auto then = wall_now() - 100h;
        const auto erased = accept(lane::ordinary, 5'000);
        settle(erased, everyone().centre->self(), then);
        verdict(erased, verdict_kind::opened, then);
        told(wall_now(), custody_of_all(store_).epochs);
        REQUIRE(finish(store_.erase_due(24h)).value() == 1);
        const auto opened = accept();
        settle(opened, everyone().centre->self());
        verdict(opened, verdict_kind::opened);
        verdict(opened, verdict_kind::print_ready);
        const auto double_one = accept();
        settle(double_one, everyone().centre->self());
        verdict(double_one, verdict_kind::duplicate);
        verdict(double_one, verdict_kind::enrollment_failure);
        const auto judged_here = accept();
        settle(judged_here, everyone().centre->self());
        const auto what = view(judged_here);
        REQUIRE(finish(store_.judge(what.key, what.digest, verdict_kind::print_ready)).has_value());
        REQUIRE(finish(store_.judge(what.key, what.digest, verdict_kind::opened)).has_value());
    }

    void set_aside()
    {
        for (const auto why : {reason::rotten, reason::refused, reason::too_large, reason::conflict,
                               reason::not_ours, reason::mismatch, reason::not_believed})
            REQUIRE(finish(store_.quarantine(accept(), why, "as the upstream said")).has_value());
        const auto not_opened = accept();
        settle(not_opened, everyone().centre->self());
        verdict(not_opened, verdict_kind::open_failed);
        const auto retried = accept();
        REQUIRE(finish(store_.quarantine(retried, reason::refused, "once")).has_value());
        REQUIRE(finish(store_.retry(view(retried).key)).has_value());
    }

    void from_below()
    {
        sender below{everyone().neighbour};
        const auto take = [this](const vault::offer& what, const bytes& data) {
            REQUIRE(finish(store_.complete(what, 0, data)).has_value());
        };
        const auto data = noise(400, at_.random);
        const auto first = below.next(data);
        take(first, data);
        take(below.next(data), data);
        below.next(data); // number 3 never comes
        take(below.next(data), data);
        take(below.offer_at(2, first.hash, data), data);                // a fork
        take(below.offer_at(5, sha256(as_bytes("other")), data), data); // a broken chain
        const auto part = noise(9'000, at_.random);
        REQUIRE(finish(store_.keep(below.offer_at(6, first.hash, part), 0,
                                   bytes(part.begin(), part.begin() + 5'000)))
                    .has_value());
        const auto given_up = below.offer_at(7, first.hash, part);
        REQUIRE(
            finish(store_.keep(given_up, 0, bytes(part.begin(), part.begin() + 100))).has_value());
        REQUIRE(finish(store_.discard(given_up.key())).has_value());
    }

    void told()
    {
        REQUIRE(finish(store_.note_started()).has_value());
        REQUIRE(finish(store_.note_outage(true, "tcp", 0ms)).has_value());
        REQUIRE(finish(store_.note_outage(false, {}, 4h)).has_value());
        const auto before = finish(store_.outgoing_of(place{lost_ - 1})).value();
        const auto end = finish(store_.outgoing_of(place{lost_ + 5})).value();
        told(wall_now(),
             {{.epoch = store_.epoch(),
               .ranges = {{envelope::sequence{1}, envelope::sequence{lost_ - 1},
                           before.manifest_hash},
                          {envelope::sequence{lost_ + 1}, envelope::sequence{lost_ + 5},
                           end.manifest_hash}}},
              {.epoch = epoch_id::random(),
               .ranges = {{envelope::sequence{1}, envelope::sequence{3},
                           sha256(as_bytes("of a store that was lost"))}}}},
             {{.what = vault::finding::kind::gap,
               .station = "office-1",
               .epoch = store_.epoch(),
               .first = 9'001, // no number of ours: it cannot be on its way
               .last = 9'001,
               .noticed_at = wall_now()},
              {.what = vault::finding::kind::later_head,
               .station = "office-1",
               .epoch = epoch_id::random(),
               .first = 6,
               .last = 8,
               .noticed_at = wall_now()},
              {.what = vault::finding::kind::broken_chain,
               .station = "office-1",
               .epoch = store_.epoch(),
               .first = 6,
               .last = 6,
               .noticed_at = wall_now()}});
    }

    journal_fixture& at_;
    journal::store& store_;
    epoch_id upstream_ = epoch_id::random();
    std::uint64_t verdict_number_ = 0;
    std::uint64_t lost_ = 0;
};

/// A station that also listens, with a record in each trouble that the version of format-1-troubles
/// left people in (the numbers are places).
class troubles {
public:
    explicit troubles(journal_fixture& at) : at_(at), store_(at.open()) {}

    void make()
    {
        refused_for_what_is_no_record_s_fault(); // 1 to 6
        opened_before_the_centre_lost_it();      // 7, 8
        relayed();                               // 9, 10
        judged_twice();                          // 11
        never_ends();                            // 12
        put_back();                              // 13
    }

private:
    place accept()
    {
        return finish(store_.accept(submission_of(noise(300, at_.random)))).value().place;
    }
    journal::record_view view(place at) { return finish(store_.outgoing_of(at)).value().view; }
    void settle(place at, const std::shared_ptr<const trust::identity>& by, wall_time held_at)
    {
        const auto said = receipt_for(finish(store_.outgoing_of(at)).value(), held_at);
        REQUIRE(finish(store_.settle(at, said, by->sign(envelope::encode(said)), by->self()))
                    .has_value());
    }
    void verdict(place at, verdict_kind kind, wall_time when)
    {
        REQUIRE(finish(store_.take_verdicts({verdict_on(view(at), kind, when)}, upstream_,
                                            ++verdict_number_))
                    .has_value());
    }

    void refused_for_what_is_no_record_s_fault()
    {
        const std::pair<reason, std::string_view> each[] = {
            {reason::refused, "the manifest is not believed: the certificate has expired"},
            {reason::refused, "the manifest is not believed: the certificate was not issued by one "
                              "of our authorities"},
            {reason::refused, "the bytes are no sealed envelope"},
            {reason::not_ours, "office-1 may not offer records of station office-9"},
            {reason::not_believed, "receipt not believed: the certificate has expired"},
            {reason::too_large, "an envelope has 1 to 100 bytes, this one 300"}};
        for (const auto& [why, note] : each)
            REQUIRE(finish(store_.quarantine(accept(), why, std::string{note})).has_value());
    }

    /// The second one has been sent again: the new receipt alone made it "opened".
    void opened_before_the_centre_lost_it()
    {
        const auto then = wall_now() - 2h;
        const auto waits = accept();
        const auto again = accept();
        for (const auto at : {waits, again}) {
            settle(at, everyone().centre, then);
            verdict(at, verdict_kind::opened, then);
        }
        const envelope::custody said{.station = "office-1", .at = wall_now() - 1h, .epochs = {}};
        REQUIRE(finish(store_.take_custody(said, trust::role::centre,
                                           everyone().centre->sign(envelope::encode(said)), {}, {}))
                    .has_value());
        REQUIRE(view(waits).state == journal::state::waiting);
        settle(again, everyone().centre, wall_now());
        REQUIRE(view(again).state == journal::state::opened);
    }

    /// The first one has been opened at the centre; the second came from the relay that then gave a
    /// receipt for it.
    void relayed()
    {
        const auto opened = accept();
        settle(opened, everyone().relay, wall_now() - 1h);
        verdict(opened, verdict_kind::opened, wall_now());
        const auto data = noise(400, at_.random);
        const auto round = below_.next(data);
        REQUIRE(finish(store_.complete(round, 0, data)).has_value());
        settle(place{static_cast<std::uint64_t>(opened) + 1}, everyone().relay, wall_now());
    }

    void judged_twice()
    {
        const auto at = accept();
        settle(at, everyone().centre, wall_now());
        for (const auto kind :
             {verdict_kind::opened, verdict_kind::print_ready, verdict_kind::duplicate})
            verdict(at, kind, wall_now());
    }

    void never_ends()
    {
        const auto part = noise(9'000, at_.random);
        REQUIRE(finish(store_.keep(below_.next(part), 0, bytes(part.begin(), part.begin() + 5'000)))
                    .has_value());
    }

    /// As `titip restore` does: without the digest of what was submitted.
    void put_back()
    {
        sender lost{everyone().station};
        const auto data = noise(500, at_.random);
        REQUIRE(finish(store_.restore(lost.next(data), data, {})).has_value());
    }

    journal_fixture& at_;
    journal::store& store_;
    sender below_{everyone().neighbour};
    epoch_id upstream_ = epoch_id::random();
    std::uint64_t verdict_number_ = 0;
};

/// Records that were set aside with what an upstream had said, cut at 200 bytes whatever stood there: a
/// version of format 1 could not read their rows again. Made by such a version.
class cut_notes {
public:
    explicit cut_notes(journal_fixture& at) : at_(at), store_(at.open()) {}

    void make()
    {
        set_aside(reason::too_large,
                  "a" + repeated("\xc3\xa9", 150)); // cut within the 100th character
        set_aside(reason::refused, "the envelope is no envelope");
        set_aside(reason::refused,
                  "\xff\x1b[2J\xc2\x9b" + std::string{"1m\n\xe2\x80\xae"} + "over");
        set_aside(reason::too_large, repeated("\xe2\x82\xac", 90));
        REQUIRE(finish(store_.accept(submission_of(noise(300, at_.random)))).has_value());
    }

private:
    static std::string repeated(std::string_view text, int times)
    {
        std::string out;
        for (int i = 0; i < times; ++i)
            out += text;
        return out;
    }
    void set_aside(reason why, std::string note)
    {
        const auto at = finish(store_.accept(submission_of(noise(300, at_.random)))).value().place;
        REQUIRE(finish(store_.quarantine(at, why, std::move(note))).has_value());
    }

    journal_fixture& at_;
    journal::store& store_;
};

/// Of a store that its own version could not describe.
void describe_golden(std::string_view name)
{
    const char* into = std::getenv("TITIP_GOLDEN");
    REQUIRE(into);
    journal_fixture at;
    std::filesystem::create_directories(at.options.directory);
    const auto packed = golden(fmt::format("{}.mdb.gz", name));
    const auto unpack =
        fmt::format("gzip -dc '{}' > '{}'", packed.string(), at.data_file().string());
    REQUIRE(std::system(unpack.c_str()) == 0);
    std::filesystem::copy_file(golden(fmt::format("{}.lock", name)),
                               at.options.directory / "titipd.lock");
    const auto said = description{at.open()}.text();
    REQUIRE(write_file(std::filesystem::path{into} / "store.txt", as_bytes(said)).has_value());
}

template <class Life>
void make_golden()
{
    const char* into = std::getenv("TITIP_GOLDEN");
    REQUIRE(into);
    journal_fixture at;
    Life{at}.make();
    const auto folder = std::filesystem::path{into};
    if (std::getenv("TITIP_UNREAD") == nullptr) { // of a store that its own version cannot read
        const auto said = description{*at.store}.text();
        CHECK(finish(at.store->audit()).value().empty());
        REQUIRE(write_file(folder / "store.txt", as_bytes(said)).has_value());
    }
    at.close();
    REQUIRE(
        write_file(folder / "store.mdb", read_file(at.data_file(), 64u << 20).value()).has_value());
    std::filesystem::copy_file(at.options.directory / "titipd.lock", folder / "store.lock");
    const auto pack = fmt::format("gzip -9n '{}'", (folder / "store.mdb").string());
    REQUIRE(std::system(pack.c_str()) == 0);
}

} // namespace

TEST_CASE("make a store to be kept", "[.][make-golden]")
{
    make_golden<variety>();
}

namespace {

/// What format 1 did not have: findings that were told, proved, acknowledged, and settled.
class variety_2 {
public:
    explicit variety_2(journal_fixture& at) : at_(at), whole_(at) {}

    void make()
    {
        whole_.make();
        auto& store = *at_.store;
        const auto gap = [&store](std::uint64_t first, std::uint64_t last) {
            return vault::finding{.what = vault::finding::kind::gap,
                                  .station = "office-1",
                                  .epoch = store.epoch(),
                                  .first = first,
                                  .last = last,
                                  .noticed_at = wall_now()};
        };
        const auto tell = [&store](const envelope::custody& said, vault::finding what) {
            const std::vector<vault::finding> told{std::move(what)};
            REQUIRE(finish(store.take_custody(said, trust::role::centre,
                                              everyone().centre->sign(envelope::encode(said)), told,
                                              {}, "centre"))
                        .has_value());
        };
        const auto head = finish(store.upstream()).value().heads.back().sequence;
        auto said = custody_of_all(store);
        tell(said, gap(head + 1, head + 2)); // numbers that are given next
        tell(said, gap(9'100, 9'120));
        for (int i = 0; i < 2; ++i)
            REQUIRE(finish(store.accept(submission_of(noise(300, at_.random)))).has_value());
        said = custody_of_all(store);
        tell(said, gap(9'200, 9'200));
        for (const auto& each : finish(store.findings_about("office-1")).value())
            if (each.first == 9'100 || each.what == vault::finding::kind::not_held)
                REQUIRE(finish(store.acknowledge(each.number, "uid 1000", "the office was called"))
                            .has_value());
    }

private:
    journal_fixture& at_;
    variety whole_;
};

} // namespace

TEST_CASE("make a store of format 2 to be kept", "[.][make-golden-2]")
{
    make_golden<variety_2>();
}

TEST_CASE("make a store with every trouble to be kept", "[.][make-troubles]")
{
    make_golden<troubles>();
}

TEST_CASE("make a store with rows that its version cannot read, to be kept", "[.][make-cut]")
{
    make_golden<cut_notes>();
}

TEST_CASE("describe the store with rows that its version could not read", "[.][describe-cut]")
{
    describe_golden("format-1-cut");
}
