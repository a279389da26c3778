#include "base/file.hpp"
#include "journal/meddling.hpp"
#include "journal/scrubber.hpp"

#include <catch2/catch.hpp>

/// What becomes of a store that is older than what it once said: restored, copied, or lost.
using namespace titip;
using namespace titip::tests;
using vault::finding;

namespace {

/// office-1 and what a centre holds of it.
class office : public journal_fixture {
public:
    office() { open(); }

    journal::acceptance accept()
    {
        return finish(store->accept(submission_of(noise(500, random)))).value();
    }
    journal::outgoing at(journal::place p) { return finish(store->outgoing_of(p)).value(); }
    envelope::manifest manifest_of(journal::place p)
    {
        return said_in<envelope::manifest>(at(p).manifest_cms);
    }
    void deliver(journal::place p)
    {
        const auto what = at(p);
        REQUIRE(finish(store->settle(p, receipt_for(what, wall_now() - 1h), bytes(1),
                                     everyone().centre->self()))
                    .has_value());
    }

    /// Numbers first..last of an epoch, the last with this manifest hash.
    static envelope::epoch_custody held(const epoch_id& epoch, std::uint64_t first,
                                        std::uint64_t last, const digest& hash)
    {
        return {.epoch = epoch,
                .ranges = {{envelope::sequence{first}, envelope::sequence{last}, hash}}};
    }
    std::vector<record_id> told(std::vector<envelope::epoch_custody> epochs,
                                std::vector<finding> findings = {},
                                const std::set<record_id>& asked = {},
                                trust::role by = trust::role::centre)
    {
        std::set<vault::key> keys;
        for (const auto& each : asked)
            keys.insert({"office-1", each});
        const envelope::custody said{
            .station = "office-1", .at = wall_now(), .epochs = std::move(epochs)};
        return ids_of(
            finish(store->take_custody(said, by, bytes(1), std::move(findings), std::move(keys)))
                .value());
    }
    std::vector<std::string> events()
    {
        std::vector<std::string> out;
        for (const auto& each : finish(store->ledger(0, 1'000)).value())
            out.emplace_back(each.event);
        return out;
    }

    /// The store's folder as a copy in another place; closed before and open again after.
    std::filesystem::path copied()
    {
        const auto to = folder.path() / "copy";
        close();
        std::filesystem::copy(options.directory, to);
        open();
        return to;
    }
    void put_back(const std::filesystem::path& from)
    {
        close();
        std::filesystem::remove_all(options.directory);
        std::filesystem::copy(from, options.directory);
        open();
    }
    journal::backup backed_up()
    {
        const auto to = folder.path() / "backup";
        std::filesystem::create_directories(to);
        const auto done = finish(store->back_up(to, std::make_shared<journal::backup_progress>()));
        if (!done)
            throw std::runtime_error{done.error().sentence};
        return *done;
    }
};

} // namespace

TEST_CASE("a new epoch numbers from 1 and names the last head of the one before", "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    it.accept();
    const auto last = it.accept();
    REQUIRE(finish(it.store->begin_epoch(first, "a test")).has_value());
    const auto second = it.store->epoch();
    CHECK(second != first);
    CHECK(it.events().back() == "epoch-began");
    it.reopen();
    CHECK(it.store->epoch() == second);

    const auto next = it.accept();
    CHECK(next.epoch == second);
    CHECK(next.sequence == 1);
    const auto said = it.manifest_of(next.place);
    REQUIRE(said.previous_epoch);
    CHECK(said.previous_epoch->epoch == first);
    CHECK(said.previous_epoch->at == envelope::sequence{2});
    CHECK((said.previous_epoch->hash == it.at(last.place).manifest_hash));
    CHECK_FALSE(it.manifest_of(it.accept().place).previous_epoch);

    // Both are told of, and what was numbered before goes out as it was signed.
    const auto heads = finish(it.store->upstream()).value().heads;
    REQUIRE(heads.size() == 2);
    CHECK(heads[0].epoch == first);
    CHECK(heads[0].sequence == 2);
    CHECK(heads[1].epoch == second);
    CHECK(heads[1].sequence == 2);
    CHECK(it.manifest_of(last.place).epoch == first);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("an epoch is ended once, whoever asks again, and one without a record is never named",
          "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    REQUIRE(finish(it.store->begin_epoch(first, "a test")).has_value());
    const auto second = it.store->epoch();
    REQUIRE(finish(it.store->begin_epoch(first, "a test")).has_value());
    CHECK(it.store->epoch() == second);
    const auto one = it.accept();
    CHECK_FALSE(it.manifest_of(one.place).previous_epoch); // nothing was numbered before it
    REQUIRE(finish(it.store->begin_epoch(second, "a test")).has_value());
    REQUIRE(finish(it.store->begin_epoch(it.store->epoch(), "a test")).has_value());
    const auto said = it.manifest_of(it.accept().place);
    REQUIRE(said.previous_epoch);
    CHECK(said.previous_epoch->epoch == second);
}

TEST_CASE("a store whose upstream holds later numbers goes on in a new epoch", "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    it.accept();
    SECTION("by its custody")
    {
        CHECK(it.told({it.held(epoch, 1, 3, sha256(as_bytes("lost")))}) ==
              std::vector{it.at(journal::place{1}).view.key.record});
    }
    SECTION("and by what it noticed, which is one")
    {
        it.told({it.held(epoch, 1, 3, sha256(as_bytes("lost")))},
                {{.what = finding::kind::later_head,
                  .station = "office-1",
                  .epoch = epoch,
                  .first = 1,
                  .last = 3}});
    }
    CHECK(it.store->epoch() != epoch);
    const auto findings = it.store->now().findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].what == finding::kind::later_head);
    CHECK(findings[0].epoch == epoch);
    CHECK(findings[0].first == 1);
    CHECK(findings[0].last == 3);
    CHECK(it.events() == std::vector<std::string>{"accepted", "finding", "epoch-began"});

    // Once: what is found about an epoch that has ended ends no other, and a copy that still runs
    // makes the finding larger, not many.
    const auto next = it.store->epoch();
    it.told({it.held(epoch, 1, 5, sha256(as_bytes("lost")))});
    CHECK(it.store->epoch() == next);
    REQUIRE(it.store->now().findings.size() == 1);
    CHECK(it.store->now().findings[0].last == 5);
    it.told({it.held(epoch, 1, 5, sha256(as_bytes("lost")))});
    CHECK(it.events().size() == 3); // that it grows is a line of the ledger an hour
}

TEST_CASE("a store whose upstream holds other records under its numbers goes on in a new epoch",
          "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    const auto one = it.accept();
    const auto two = it.accept();
    it.told({it.held(epoch, 1, 1, it.at(one.place).manifest_hash)});
    it.told({it.held(epoch, 1, 2, it.at(two.place).manifest_hash)});
    CHECK(it.store->epoch() == epoch);
    CHECK(it.store->now().findings.empty());
    it.told({it.held(epoch, 1, 2, sha256(as_bytes("of the clone")))});
    CHECK(it.store->epoch() != epoch);
    REQUIRE(it.store->now().findings.size() == 1);
    CHECK(it.store->now().findings[0].what == finding::kind::fork);
    CHECK(it.store->now().findings[0].first == 2);
}

TEST_CASE("what is accepted and delivered while the answer is made is no rollback", "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    const auto one = it.accept();
    it.deliver(one.place); // asked with head 0, say
    it.told({it.held(epoch, 1, 1, it.at(one.place).manifest_hash)},
            {{.what = finding::kind::later_head,
              .station = "office-1",
              .epoch = epoch,
              .first = 0,
              .last = 1}});
    CHECK(it.store->epoch() == epoch);
    CHECK(it.store->now().findings.empty());
}

TEST_CASE("a row that has rotted is no later number", "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    const auto one = it.accept();
    it.deliver(one.place);
    it.close();
    meddle(it, [&](auto& txn, const auto& t, v1::Meta&) {
        txn.put(t.rows, journal::place_key(one.place), bytes(50));
    });
    it.open();
    it.told({}, {{.what = finding::kind::later_head,
                  .station = "office-1",
                  .epoch = epoch,
                  .first = 0,
                  .last = 1}});
    CHECK(it.store->epoch() == epoch);
    CHECK(it.store->now().findings.empty());
}

TEST_CASE("records of an epoch that this store knows nothing of are a finding with their number",
          "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    const auto lost = epoch_id::random();
    envelope::epoch_custody there = it.held(lost, 2, 4, sha256(as_bytes("4")));
    there.ranges.push_back({envelope::sequence{7}, envelope::sequence{7}, sha256(as_bytes("7"))});
    it.told({there});
    it.told({there});
    CHECK(it.store->epoch() == epoch); // this one is nobody else's
    const auto findings = it.store->now().findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].what == finding::kind::unknown_epoch);
    CHECK(findings[0].epoch == lost);
    CHECK(findings[0].first == 2);
    CHECK(findings[0].last == 7);
    CHECK(findings[0].records == 4);
}

TEST_CASE("custody of epochs past settles what waits, and shows what was lost", "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    const auto waits = it.accept();
    const auto delivered = it.accept();
    it.deliver(delivered.place);
    REQUIRE(finish(it.store->begin_epoch(first, "a test")).has_value());
    it.accept();
    const auto id = it.at(waits.place).view.key.record;
    CHECK(it.told({it.held(first, 1, 1, it.at(waits.place).manifest_hash)}) == std::vector{id});
    CHECK(it.told({it.held(first, 1, 1, it.at(waits.place).manifest_hash)}, {}, {id}).empty());
    const auto findings = it.store->now().findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].what == finding::kind::not_held);
    CHECK(findings[0].epoch == first);
    CHECK(findings[0].first == 2);
}

TEST_CASE("a backup is the store of that moment, and begins a new epoch when it is opened",
          "[journal]")
{
    office it;
    const bool is_empty = GENERATE(true, false);
    const auto first = it.store->epoch();
    REQUIRE(finish(it.store->note_started()).has_value()); // as each daemon does
    if (!is_empty)
        it.accept();
    const auto copy = it.backed_up().file;
    const auto of_then = finish(it.store->list({}, std::nullopt, 10)).value().size();
    it.accept();
    it.accept();
    CHECK(it.store->epoch() == first); // the store itself goes on
    it.close();

    // Over the store, whose lock knows of more commits; and into an empty folder.
    const bool is_fresh = GENERATE(true, false);
    if (is_fresh)
        std::filesystem::remove_all(it.options.directory);
    std::filesystem::create_directories(it.options.directory);
    std::filesystem::copy_file(copy, it.data_file(),
                               std::filesystem::copy_options::overwrite_existing);
    it.open();
    const auto second = it.store->epoch();
    CHECK(second != first);
    CHECK(finish(it.store->list({}, std::nullopt, 10)).value().size() == of_then);
    CHECK(finish(it.store->audit()).value().empty());
    CHECK(it.events().back() == "epoch-began");
    it.reopen();
    CHECK(it.store->epoch() == second); // once
    it.accept();
    CHECK(it.reopen().epoch() == second);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("beside a backup stands what it is", "[journal]")
{
    office it;
    it.accept();
    const auto two = it.accept();
    const auto done = it.backed_up();
    CHECK(done.epoch == it.store->epoch());
    CHECK(done.head_sequence == 2);
    CHECK((done.head_hash == it.at(two.place).manifest_hash));
    CHECK(done.records == 2);
    CHECK((sha256(read_file(done.file).value()) == done.sha256));
    auto beside = done.file;
    const auto text = read_file(beside.replace_extension(".json")).value();
    for (const auto& each : {to_hex(done.sha256), done.epoch.to_string(), std::string{"office-1"}})
        CHECK(as_text(text).find(each) != std::string_view::npos);
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& each :
         std::filesystem::directory_iterator{done.file.parent_path()})
        ++files;
    CHECK(files == 2);
}

TEST_CASE("a backup that cannot be made says why, and leaves nothing behind", "[journal]")
{
    using kind = journal::backup_failure::kind;
    office it;
    it.accept();
    const auto failed = [&it](const std::filesystem::path& to) {
        return finish(it.store->back_up(to, std::make_shared<journal::backup_progress>())).error();
    };
    CHECK(failed(it.folder.path() / "absent").what == kind::refused);
    CHECK(failed("relative").what == kind::refused);
    CHECK(failed(it.data_file()).what == kind::refused); // a file
    CHECK(failed("/proc/self").what == kind::refused);   // nothing can be made there

    auto watched = std::make_shared<journal::backup_progress>();
    watched->stop = true;
    const auto to = it.folder.path() / "backup";
    std::filesystem::create_directories(to);
    CHECK(finish(it.store->back_up(to, watched)).error().what == kind::stopped);
    CHECK(std::filesystem::is_empty(to));

    std::vector<asio::awaitable<result<journal::backup, journal::backup_failure>>> both;
    for (int i = 0; i < 2; ++i)
        both.push_back(it.store->back_up(to, std::make_shared<journal::backup_progress>()));
    const auto ended = finish_all(std::move(both));
    CHECK(ended[0].has_value());
    REQUIRE(ended[1].has_error());
    CHECK(ended[1].error().what == kind::refused);
    // A name of this second is taken now: a second run within it would be refused too.
    CHECK(it.failures.empty());
}

TEST_CASE("an old data.mdb beside a newer lock is refused, until an administrator owns to it",
          "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    it.accept();
    const auto old = it.copied();
    it.accept();
    it.close();
    std::filesystem::copy_file(old / "data.mdb", it.data_file(),
                               std::filesystem::copy_options::overwrite_existing);
    const auto refused = it.try_open();
    REQUIRE(refused.has_error());
    CHECK(refused.error().what == journal::open_failure::kind::untrusted);
    CHECK(refused.error().sentence.find("Back up and restore") != std::string::npos);

    REQUIRE(write_file(it.options.directory / "restored", {}).has_value());
    it.open();
    CHECK(it.store->epoch() != first);
    CHECK_FALSE(std::filesystem::exists(it.options.directory / "restored"));
    it.accept();
    const auto second = it.store->epoch();
    CHECK(it.reopen().epoch() == second);
    CHECK(finish(it.store->audit()).value().empty());
}

TEST_CASE("a node below that is ahead of our verdicts gets them from the first, and that is all",
          "[journal]")
{
    office it; // any store answers
    it.close();
    it.options.has_upstream = false;
    it.options.identity = everyone().centre;
    it.open();
    const auto data = noise(50, it.random);
    const auto offer = sender{everyone().neighbour}.next(data);
    REQUIRE(finish(it.store->complete(offer, 0, data)).has_value());
    const auto judge = [&](envelope::verdict_kind kind) {
        REQUIRE(
            finish(it.store->judge(offer.key(), offer.manifest.digest, kind, true)).has_value());
    };
    judge(envelope::verdict_kind::print_ready);
    const auto old = it.copied();
    judge(envelope::verdict_kind::duplicate);
    judge(envelope::verdict_kind::enrollment_failure);
    const auto first = it.store->epoch();
    const auto ask = [&](const std::string& station, std::uint64_t number) {
        return finish(
                   it.store->reconcile(station, {.cursor_epoch = first, .cursor_number = number}))
            .value();
    };
    CHECK(ask("office-2", 3).verdicts.empty());
    it.put_back(old); // a whole state directory: nothing here shows that it is an old one
    judge(envelope::verdict_kind::opened); // number 2 is another one now
    const auto told = ask("office-2", 3);
    REQUIRE(told.verdicts.size() == 2);
    CHECK(told.verdicts[0].number == 1);

    // A number is no proof, and one station must not make all the others begin again.
    CHECK(ask("office-3", 1'000'000).verdicts.empty());
    CHECK(ask("office-2", 2).verdicts.empty());
    CHECK(it.store->epoch() == first);
    CHECK(told.store_epoch == first);
}

TEST_CASE("a custodian takes records of any epoch of a station", "[journal]")
{
    office it;
    it.close();
    it.options.has_upstream = false;
    it.options.identity = everyone().centre;
    it.open();
    const auto data = noise(50, it.random);
    for (int i = 0; i < 3; ++i) {
        sender from{everyone().station};
        REQUIRE(finish(it.store->complete(from.next(data), 0, data)).has_value());
        REQUIRE(finish(it.store->complete(from.next(data), 0, data)).has_value());
    }
    const auto told = finish(it.store->reconcile("office-1", {})).value();
    CHECK(said_in<envelope::custody>(told.custody_cms).epochs.size() == 3);
    CHECK(told.findings.empty());
    CHECK(it.store->now().findings.empty());
}

TEST_CASE(
    "only an empty file declares a copy, and what else has its name is refused and begins nothing",
    "[journal]")
{
    using kind = journal::open_failure::kind;
    office it;
    const auto first = it.store->epoch();
    it.accept();
    it.close();
    const auto said = it.options.directory / "restored";
    const auto is_refused = [&it](std::string_view advice) {
        const auto opened = it.try_open();
        return opened.has_error() && opened.error().what == kind::unreadable &&
               opened.error().sentence.find(advice) != std::string::npos;
    };

    std::filesystem::create_directories(said / "old"); // for the old files, say
    CHECK(is_refused("is not an empty file"));
    CHECK(is_refused("is not an empty file"));
    std::filesystem::remove_all(said);
    REQUIRE(write_file(said, bytes(1)).has_value());
    CHECK(is_refused("is not an empty file"));
    std::filesystem::remove(said);
    std::filesystem::create_symlink("absent", said);
    CHECK(is_refused("is not an empty file"));
    std::filesystem::remove(said);
    it.open();
    CHECK(it.store->epoch() == first);
    it.close();

    REQUIRE(write_file(said, {}).has_value());
    const auto aside = it.folder.path() / "aside.mdb";
    std::filesystem::rename(it.data_file(), aside);
    CHECK(is_refused("put data.mdb beside it"));
    CHECK_FALSE(std::filesystem::exists(it.data_file()));
    std::filesystem::rename(aside, it.data_file());
    CHECK(it.open().epoch() != first);
}

TEST_CASE("data.mdb alone, without the lock that knows its commits, is a copy", "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    it.accept();
    const auto old = it.copied() / "data.mdb";
    it.accept();
    it.close();
    std::filesystem::remove_all(it.options.directory);
    std::filesystem::create_directories(it.options.directory);
    std::filesystem::copy_file(old, it.data_file());
    it.open();
    const auto second = it.store->epoch();
    CHECK(second != first);
    const auto said = it.manifest_of(it.accept().place);
    REQUIRE(said.previous_epoch);
    CHECK(said.previous_epoch->epoch == first);
    CHECK(it.reopen().epoch() == second);
}

TEST_CASE("how far the bytes were read again is not known of a store that was put back",
          "[journal]")
{
    office it;
    it.accept();
    it.close();
    const auto read_again = it.options.directory / journal::scrubber::progress_name;
    REQUIRE(write_file(read_again, bytes(3)).has_value());
    it.open();
    CHECK(std::filesystem::exists(read_again));
    it.close();
    REQUIRE(write_file(it.options.directory / "restored", {}).has_value());
    it.open();
    CHECK_FALSE(std::filesystem::exists(read_again));
}

TEST_CASE("only what is signed ends an epoch, and at most one a day", "[journal]")
{
    office it;
    const auto first = it.store->epoch();
    for (int i = 0; i < 20; ++i) {
        it.accept();
        for (const auto what : {finding::kind::later_head, finding::kind::fork})
            it.told({}, {{.what = what,
                          .station = "office-1",
                          .epoch = first,
                          .first = 1,
                          .last = 1ull << 60}});
    }
    CHECK(it.store->epoch() == first);
    CHECK_FALSE(it.store->now().findings.empty());

    std::set<std::string> seen;
    for (int i = 0; i < 20; ++i) {
        it.accept();
        seen.insert(it.store->epoch().to_string());
        it.told({it.held(it.store->epoch(), 1, 1'000, sha256(as_bytes("another")))});
    }
    CHECK(seen.size() == 2);
    const auto second = it.store->epoch();
    it.close();
    meddle(it, [](auto&, const auto&, v1::Meta& meta) {
        meta.set_epoch_told_at_ms(to_ms(wall_now() - 25h));
    });
    it.open();
    it.told({it.held(second, 1, 1'000, sha256(as_bytes("another")))});
    CHECK(it.store->epoch() != second);
}

TEST_CASE("what is held or set aside here and is at the upstream is asked for, too", "[journal]")
{
    using journal::reason;
    office it;
    const auto epoch = it.store->epoch();
    const auto held = it.accept();
    const auto refused = it.accept();
    const auto other = it.accept();
    const auto last = it.accept();
    REQUIRE(finish(it.store->hold(it.at(held.place).view.key)).has_value());
    REQUIRE(finish(it.store->quarantine(refused.place, reason::refused, "422")).has_value());
    REQUIRE(finish(it.store->quarantine(other.place, reason::conflict, "409")).has_value());
    auto covered = it.told({it.held(epoch, 1, 3, it.at(other.place).manifest_hash)});
    std::ranges::sort(covered);
    std::vector wanted{it.at(held.place).view.key.record, it.at(refused.place).view.key.record};
    std::ranges::sort(wanted);
    CHECK(covered == wanted); // it holds other bytes under the third one's id: nothing to ask for
    CHECK(it.at(last.place).view.state == journal::state::waiting);
    const std::set<record_id> asked(wanted.begin(), wanted.end());
    CHECK(it.told({it.held(epoch, 1, 3, it.at(other.place).manifest_hash)}, {}, asked).empty());
}

TEST_CASE("a record that its upstream lost waits again, and is not erased meanwhile", "[journal]")
{
    office it;
    const auto epoch = it.store->epoch();
    const auto then = wall_now() - 100h;
    const auto one = it.accept();
    const auto two = it.accept();
    const auto deliver = [&](journal::place p) {
        const auto what = it.at(p);
        REQUIRE(finish(it.store->settle(p, receipt_for(what, then), bytes(1),
                                        everyone().centre->self()))
                    .has_value());
        REQUIRE(finish(it.store->take_verdicts(
                           {verdict_on(what.view, envelope::verdict_kind::opened, then)},
                           epoch_id::random(), 1))
                    .has_value());
    };
    deliver(one.place);
    deliver(two.place);
    // Nothing was said since the start: the upstream may have been set back meanwhile.
    CHECK(finish(it.store->erase_due(24h)).value() == 0);

    SECTION("by its custody")
    {
        it.told({it.held(epoch, 1, 1, it.at(one.place).manifest_hash)});
        REQUIRE(it.store->now().findings.size() == 1);
        CHECK(it.store->now().findings[0].what == finding::kind::not_held);
        CHECK(it.store->now().findings[0].first == 2);
        CHECK(it.at(two.place).view.state == journal::state::waiting);
        CHECK(finish(it.store->load_queue()).value().size() == 1);
        CHECK(it.events().back() == "retry");
        CHECK(finish(it.store->erase_due(24h)).value() == 1); // the first
        CHECK(it.at(one.place).view.state == journal::state::erased);
        CHECK(finish(it.store->audit()).value().empty());

        // Sent once more, it is to be opened once more: what the centre had opened it lost.
        const auto lines = it.events().size();
        it.told({it.held(epoch, 1, 1, it.at(one.place).manifest_hash)});
        CHECK(it.events().size() == lines);
        it.deliver(two.place);
        CHECK(it.at(two.place).view.state == journal::state::delivered);
        it.told({it.held(epoch, 1, 2, it.at(two.place).manifest_hash)});
        CHECK(it.store->now().findings.size() == 1);
        CHECK(finish(it.store->audit()).value().empty());
    }
    SECTION("but not by that of a relay, which need not hold what the centre signed for")
    {
        it.told({it.held(epoch, 1, 1, it.at(one.place).manifest_hash)}, {}, {}, trust::role::relay);
        CHECK(it.at(two.place).view.state == journal::state::opened);
        CHECK(it.store->now().findings.empty());
        CHECK(finish(it.store->erase_due(24h)).value() == 0); // nor does it hold for the centre
        CHECK(it.at(two.place).view.state == journal::state::opened);
    }
}

TEST_CASE("an upstream that lost all gets all again, however many", "[journal]")
{
    office it;
    constexpr std::size_t many = 2'500; // more than are looked at, and written, at once
    const auto then = wall_now() - 1h;
    for (std::size_t i = 0; i < many; ++i) {
        const auto at = it.accept().place;
        const auto what = it.at(at);
        REQUIRE(finish(it.store->settle(at, receipt_for(what, then), bytes(1),
                                        everyone().relay->self()))
                    .has_value());
    }
    it.told({}, {}, {}, trust::role::relay);
    CHECK(it.store->now().of(journal::state::waiting).records == many);
    CHECK(finish(it.store->load_queue()).value().size() == many);
    const auto findings = it.store->now().findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].first == 1);
    CHECK(findings[0].last == many);
    CHECK(finish(it.store->audit()).value().empty());
}
