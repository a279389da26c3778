#include "replay/replayer.hpp"

#include "envelope/seal.hpp"
#include "intake/server.hpp"
#include "journal/parts.hpp"
#include "journal/rows.hpp"
#include "journal/support.hpp"

#include <catch2/catch.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <map>
#include <set>

#include <sys/wait.h>
#include <unistd.h>

/// The replayer against a real intake over real TLS, in one io_context. In between is what tests
/// meddle with: a vault that says other things than the journal behind it, and connections that
/// break.
using namespace titip;
using namespace titip::tests;
using journal::reason;
using journal::state;

namespace {

class meddling_vault final : public vault::vault {
public:
    explicit meddling_vault(journal::store& behind) : behind_(behind) {}

    std::map<record_id, bytes> receipts; ///< given instead of the true ones, everywhere
    std::function<void(titip::vault::answer&)> on_answer = [](auto&) {};
    std::function<void(std::optional<titip::vault::standing>&, const titip::vault::key&)> on_find =
        [](auto&, auto&) {};
    std::function<void(const titip::vault::key&)> on_complete = [](auto&) {};
    bool keeps_parts = true;
    std::size_t reconciles = 0;

    asio::awaitable<result<std::optional<titip::vault::standing>>>
    find(titip::vault::key which) override
    {
        auto out = co_await behind_.find(which);
        if (out && *out && (*out)->complete)
            (*out)->receipt = given(which.record, std::move((*out)->receipt));
        if (out)
            on_find(*out, which);
        co_return out;
    }
    asio::awaitable<result<void>> keep(titip::vault::offer what, std::uint64_t offset,
                                       bytes data) override
    {
        if (!keeps_parts)
            co_return result<void>{};
        co_return co_await behind_.keep(std::move(what), offset, std::move(data));
    }
    asio::awaitable<result<bytes>> complete(titip::vault::offer what, std::uint64_t offset,
                                            bytes rest) override
    {
        const auto which = what.key();
        auto out = co_await behind_.complete(std::move(what), offset, std::move(rest));
        on_complete(which);
        if (out)
            *out = given(which.record, std::move(*out));
        co_return out;
    }
    asio::awaitable<result<void>> discard(titip::vault::key which) override
    {
        return behind_.discard(std::move(which));
    }
    asio::awaitable<result<bytes>> read(titip::vault::key which, std::uint64_t offset,
                                        std::size_t limit_bytes) override
    {
        return behind_.read(std::move(which), offset, limit_bytes);
    }
    asio::awaitable<result<hasher>> hash(titip::vault::key which, std::uint64_t size) override
    {
        return behind_.hash(std::move(which), size);
    }
    asio::awaitable<result<titip::vault::answer>> reconcile(std::string station,
                                                            titip::vault::question asked) override
    {
        ++reconciles;
        auto out = co_await behind_.reconcile(std::move(station), std::move(asked));
        if (out) {
            for (auto& [record, cms] : out->receipts)
                cms = given(record, std::move(cms));
            on_answer(*out);
        }
        co_return out;
    }
    std::uint64_t newest_verdict(const std::string& station) const override
    {
        return behind_.newest_verdict(station);
    }
    bool has_room() const override { return behind_.has_room(); }

private:
    bytes given(const record_id& record, bytes receipt) const
    {
        const auto found = receipts.find(record);
        return found == receipts.end() ? std::move(receipt) : found->second;
    }
    journal::store& behind_;
};

/// What a test does to the connections of a centre.
struct meddling_wire {
    static constexpr auto never = std::numeric_limits<std::size_t>::max();

    std::size_t breaks_after = never; ///< bytes that came in: of connections from now on
    std::size_t holds_after = never;  ///< the same; nothing more is read from it
    std::size_t held = 0;             ///< so many connections were
    std::size_t let_go = 0;           ///< so many of these, in their order, go on
    std::string answers_only_after;   ///< this came in on the connection
    bool is_refusing = false;         ///< closes connections at once
    std::size_t connections = 0;
    std::uint64_t read_bytes = 0;
    std::size_t offers = 0; ///< of records, whole or in part
    bell changed{home().get_executor()};

    void release(std::size_t count)
    {
        let_go = count;
        changed.ring();
    }
};

class meddling_stream final : public http::stream {
public:
    meddling_stream(std::unique_ptr<http::stream> under, meddling_wire& wire)
        : under_(std::move(under)), wire_(wire), left_(wire.breaks_after)
    {
    }
    asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) override
    {
        if (!turn_ && read_bytes_ > wire_.holds_after)
            turn_ = wire_.held++;
        while (turn_ && *turn_ >= wire_.let_go && !is_closed_)
            co_await wire_.changed.wait();
        const auto got = co_await under_->read_some(into);
        if (got && *got > left_) {
            under_->close();
            co_return error_code{
                boost::system::errc::make_error_code(boost::system::errc::connection_reset)};
        }
        if (got) {
            left_ -= *got;
            read_bytes_ += *got;
            wire_.read_bytes += *got;
            const auto came = as_text(into.first(*got));
            for (auto at = came.find("/v1/uploads/"); at != came.npos;
                 at = came.find("/v1/uploads/", at + 1))
                ++wire_.offers;
            if (asked_.size() < 10'000)
                asked_ += as_text(into.first(*got));
            wire_.changed.ring();
        }
        co_return got;
    }
    asio::awaitable<result<void>> write(bytes_view data) override
    {
        while (asked_.find(wire_.answers_only_after) == std::string::npos && !is_closed_)
            co_await wire_.changed.wait();
        co_return co_await under_->write(data);
    }
    void set_no_progress_limit(milliseconds limit) override
    {
        under_->set_no_progress_limit(limit);
    }
    asio::awaitable<void> shutdown() override { return under_->shutdown(); }
    void end_reading() noexcept override { under_->end_reading(); }
    void close() noexcept override
    {
        is_closed_ = true;
        wire_.changed.ring();
        under_->close();
    }
    x509_st* peer_certificate() const noexcept override { return under_->peer_certificate(); }
    int native_handle() noexcept override { return under_->native_handle(); }

private:
    std::unique_ptr<http::stream> under_;
    meddling_wire& wire_;
    std::size_t left_;
    std::size_t read_bytes_ = 0;
    std::optional<std::size_t> turn_; ///< among those that are held
    std::string asked_;
    bool is_closed_ = false;
};

http::tls_options options_of(const trust::identity& self)
{
    return {.certificate = self.certificate(),
            .key = self.key(),
            .authorities = everyone().believed.store(),
            .verify = {}};
}

std::shared_ptr<const trust::authorities> believed()
{
    static const auto shared = std::make_shared<const trust::authorities>(everyone().believed);
    return shared;
}

class centre_side : public journal_fixture {
public:
    explicit centre_side(intake::options opts = {})
        : behind(make()), vault(behind), gate(believed()),
          server(home().get_executor(), vault, gate, {.name = "centre"}, std::move(opts))
    {
        auto door =
            http::listen_tls(home().get_executor(), "127.0.0.1:0",
                             http::tls_context::server(options_of(*everyone().centre)).value(), 64);
        door_ = std::move(*door);
        auto run = door_->run([this](std::unique_ptr<http::stream> each) {
            ++wire.connections;
            return serve(std::move(each));
        });
        asio::co_spawn(home(), std::move(run),
                       asio::bind_cancellation_slot(stop_.slot(),
                                                    [this](std::exception_ptr) { ended_ = true; }));
    }
    ~centre_side()
    {
        asio::post(home(), [this] {
            server.stop_accepting();
            break_all();
            stop_.emit(asio::cancellation_type::terminal);
        });
        run_until([this] { return ended_; });
    }
    void break_all()
    {
        for (auto* each : open_)
            each->close();
    }
    std::string port() const { return door_->address().substr(door_->address().rfind(':') + 1); }
    record_id judged(const record_id& record, envelope::verdict_kind kind)
    {
        const titip::vault::key which{"office-1", record};
        const auto digest = finish(behind.find(which)).value()->digest;
        REQUIRE(finish(behind.judge(which, digest, kind)).has_value());
        server.ring();
        return record;
    }

    std::shared_ptr<trust::judge> judge =
        std::make_shared<trust::judge>(trust::judge::build_time());
    journal::store& behind;
    meddling_vault vault;
    accept::gate gate;
    intake::server server;
    meddling_wire wire;

private:
    journal::store& make()
    {
        options.node = "centre";
        options.has_upstream = false;
        options.identity = everyone().centre;
        return open();
    }
    asio::awaitable<void> serve(std::unique_ptr<http::stream> under)
    {
        if (wire.is_refusing)
            co_return;
        auto each = std::make_unique<meddling_stream>(std::move(under), wire);
        auto* const raw = each.get();
        open_.insert(raw);
        co_await server.serve(std::move(each));
        open_.erase(raw);
    }
    std::unique_ptr<http::listener> door_;
    asio::cancellation_signal stop_;
    std::set<http::stream*> open_;
    bool ended_ = false;
};

class station_side : public journal_fixture {
public:
    explicit station_side(const centre_side& above, unsigned connections = 1)
        : station_side(above, replay::replayer::options{.most_connections = connections})
    {
    }
    station_side(const centre_side& above, replay::replayer::options opts,
                 const std::shared_ptr<const trust::identity>& self = everyone().station)
        : dialer(home().get_executor(), {"127.0.0.1", above.port()}, [this] { return tls_; }),
          judge_(above.judge), tls_(http::tls_context::client(options_of(*self)).value())
    {
        options.node = self->self().name;
        options.identity = self;
        open();
        make(std::move(opts));
    }
    ~station_side()
    {
        stop();
        store->on_change(home().get_executor(), [](const journal::change&) {});
    }
    /// In the loop, as a node does: Asio 1.26 puts a cancellation from outside off, and a
    /// connection attempt that has ended by then is no longer there to take it.
    void stop()
    {
        if (is_running_)
            asio::post(home(), [this] { replayer->stop(); });
        run_until([this] { return !is_running_; });
    }
    /// As a process that ends and is started again.
    void begin_again(replay::replayer::options opts)
    {
        stop();
        replayer.reset();
        reopen();
        make(std::move(opts));
    }
    template <class Meanwhile>
    void start(Meanwhile meanwhile)
    {
        bool is_loaded = false;
        asio::co_spawn(home(), replayer->load(), [&](std::exception_ptr failed) {
            is_loaded = true;
            rethrow(failed);
        });
        home().restart();
        home().poll();
        meanwhile();
        run_until([&] { return is_loaded; });
        is_running_ = true;
        asio::co_spawn(home(), replayer->run(), [this](std::exception_ptr failed) {
            is_running_ = false;
            rethrow(failed);
        });
    }
    void start()
    {
        start([] {});
    }
    bytes sealed(const titip::vault::key& which, std::size_t size_bytes)
    {
        static const auto sealer =
            envelope::sealer::load({support::recipient(support::key_kind::p256).certificate,
                                    support::recipient(support::key_kind::p256).certificate})
                .value();
        return sealer
            .seal({.record = which.record, .station = which.station}, noise(size_bytes, random))
            .value();
    }
    record_id accept(std::size_t size_bytes = 5'000, envelope::lane lane = envelope::lane::ordinary)
    {
        const auto id = record_id::random();
        auto offered = submission_of(sealed({"office-1", id}, size_bytes), id);
        offered.lane = lane;
        REQUIRE(finish(store->accept(std::move(offered))).has_value());
        return id;
    }
    journal::record_view view(const record_id& record)
    {
        return finish(store->show(record)).value().at(0);
    }
    /// Runs everything until it holds, or for so long.
    template <class IsSo>
    bool comes_true(IsSo is_so, milliseconds limit = 20s)
    {
        const auto deadline = monotonic::now() + limit;
        while (!is_so()) {
            if (monotonic::now() > deadline)
                return false;
            home().restart();
            home().run_for(20ms);
        }
        return true;
    }
    bool all_are(state wanted, std::uint64_t count, milliseconds limit = 20s)
    {
        return comes_true([&] { return store->now().of(wanted).records == count; }, limit);
    }
    /// So many are delivered, or more: for who hopes that they are not, and so gives it a moment.
    bool comes_to(std::uint64_t count)
    {
        return comes_true([&] { return store->now().of(state::delivered).records >= count; },
                          500ms);
    }
    std::size_t entries(std::string_view event, std::string_view detail = {})
    {
        const auto all = finish(store->ledger(0, 10'000)).value();
        return static_cast<std::size_t>(std::ranges::count_if(all, [&](const auto& each) {
            return each.event == event && each.detail.find(detail) != std::string::npos;
        }));
    }

    link::dialer dialer;
    std::unique_ptr<replay::replayer> replayer;

    bool is_running() const noexcept { return is_running_; }

private:
    void make(replay::replayer::options opts)
    {
        opts.node = options.node;
        replayer = std::make_unique<replay::replayer>(
            home().get_executor(), std::move(opts),
            replay::replayer::surroundings{*store, dialer, believed, judge_});
        store->on_change(home().get_executor(),
                         [this](const journal::change& what) { replayer->on_change(what); });
    }
    std::shared_ptr<trust::judge> judge_;
    std::shared_ptr<http::tls_context> tls_;
    bool is_running_ = false;
};

/// hub-1, with records that two stations below it chose the same ids for.
class relay_side : public station_side {
public:
    explicit relay_side(const centre_side& above, unsigned connections = 1)
        : station_side(above, replay::replayer::options{.most_connections = connections},
                       everyone().relay)
    {
    }
    void take_twins(std::size_t size_bytes = 5'000)
    {
        const auto id = record_id::random();
        for (auto* each : {&one_, &other_}) {
            auto data = sealed({each->station(), id}, size_bytes);
            auto what = each->next(data, id);
            REQUIRE(finish(store->complete(std::move(what), 0, std::move(data))).has_value());
        }
    }

private:
    sender one_{everyone().station};
    sender other_{everyone().neighbour};
};

} // namespace

TEST_CASE("what waits is delivered, opened records are told of, and no outage is invented",
          "[replay]")
{
    centre_side centre;
    station_side station{centre, 2};
    for (int i = 0; i < 20; ++i)
        station.accept();
    station.start();
    REQUIRE(station.all_are(state::delivered, 20));
    const auto one = station.accept();
    REQUIRE(station.all_are(state::delivered, 21));
    centre.judged(one, envelope::verdict_kind::opened);
    CHECK(station.all_are(state::opened, 1));
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("a receipt that is not believed is the link's fault, sets nothing aside and lets the "
          "others go on",
          "[replay]")
{
    centre_side centre;
    station_side station{centre};
    const auto bad = station.accept();
    for (int i = 0; i < 5; ++i)
        station.accept();
    centre.vault.receipts[bad] = everyone().neighbour->sign(as_bytes("no receipt"));
    station.start();
    CHECK(station.all_are(state::delivered, 5));
    CHECK(station.entries("outage-began", "auth") == 1);
    CHECK(station.entries("quarantine") == 0);
    CHECK(station.view(bad).state == state::waiting);
    const auto why = station.replayer->deferral_of(station.view(bad).place);
    REQUIRE(why);
    CHECK(why->what.why == replay::distrust::fault::receipt);
    station.accept();
    CHECK(station.all_are(state::delivered, 6));
    centre.vault.receipts.clear(); // the authority of whoever signed it is believed now
    station.replayer->check_now();
    CHECK(station.all_are(state::delivered, 7));
    CHECK(station.replayer->now().deferrals.empty());
}

namespace {

/// The office's other certificate, of an authority that the rest of the world does not know.
struct replaced_authority {
    support::pki authority{"Other Authority"};
    std::shared_ptr<const trust::identity> station = identity_of(authority.station("office-1"));
    std::shared_ptr<const trust::authorities> only = std::make_shared<const trust::authorities>(
        trust::authorities::load(authority.authorities()).value());
    std::shared_ptr<const trust::authorities> both() const
    {
        auto pem = everyone().authority.authorities();
        const auto& mine = authority.authorities();
        pem.insert(pem.end(), mine.begin(), mine.end());
        return std::make_shared<const trust::authorities>(trust::authorities::load(pem).value());
    }
};

} // namespace

TEST_CASE(
    "what one certificate signed waits until it is believed, and the rest is delivered meanwhile",
    "[replay]")
{
    const auto connections = GENERATE(1u, 3u);
    const replaced_authority other;
    centre_side centre;
    station_side station{centre, connections};
    for (int i = 0; i < 20; ++i)
        station.accept();
    const auto one = station.view(station.accept());
    station.store->replace_identity(other.station);
    for (int i = 0; i < 5; ++i)
        station.accept();
    centre.gate.replace(other.only);
    station.start();
    REQUIRE(station.all_are(state::delivered, 5));
    REQUIRE(station.comes_true([&] {
        const auto now = station.replayer->now();
        return now.deferrals.size() == 1 && now.deferrals[0].what.records == 21;
    }));
    const auto why = station.replayer->deferral_of(one.place);
    REQUIRE(why);
    CHECK(why->what.why == replay::distrust::fault::not_believed);
    CHECK(why->what.station == "office-1");
    CHECK(why->what.note.starts_with("the manifest is not believed"));
    CHECK(station.entries("quarantine") == 0);
    CHECK(station.view(one.key.record).record_failures == 0);
    const auto offered = centre.wire.offers;
    CHECK(offered < 5 + 3 + 2 * 32 * connections); // what was on its way before it was noticed
    CHECK_FALSE(station.comes_to(6));
    CHECK(centre.wire.offers == offered); // nothing of it meanwhile
    station.replayer->check_now();        // still not believed: one is offered, and no more
    REQUIRE(station.comes_true([&] { return centre.wire.offers > offered; }));
    CHECK_FALSE(station.comes_to(6));
    CHECK(centre.wire.offers == offered + 1);
    centre.gate.replace(other.both());
    station.replayer->check_now();
    CHECK(station.all_are(state::delivered, 26));
    CHECK(station.replayer->now().deferrals.empty());
    CHECK(station.entries("outage-began") == 0);
}

namespace {

/// The upstream believes no manifest, then takes one record, and its answer is lost on the way: `after` is
/// what it believes from then on. How many it took: with several certificates another try may be on its way.
std::shared_ptr<std::size_t>
take_one_without_an_answer(centre_side& centre, station_side& station,
                           std::shared_ptr<const trust::authorities> meanwhile,
                           std::shared_ptr<const trust::authorities> after)
{
    auto taken = std::make_shared<std::size_t>(0);
    centre.vault.on_complete = [&centre, taken, after](const vault::key&) {
        if ((*taken)++ > 0)
            return;
        centre.gate.replace(after);
        centre.break_all();
    };
    centre.gate.replace(std::move(meanwhile));
    station.replayer->check_now(); // one is tried
    REQUIRE(station.comes_true([&] { return *taken > 0; }));
    return taken;
}

} // namespace

TEST_CASE("a receipt of before says nothing of whether the upstream believes the others now",
          "[replay]")
{
    const replaced_authority other;
    centre_side centre;
    relay_side relay{centre};
    for (int i = 0; i < 5; ++i)
        relay.take_twins(); // of two stations, by a certificate each
    centre.gate.replace(other.only);
    relay.start();
    const auto doubts = [&] {
        std::map<digest, instant> since;
        std::size_t records = 0;
        for (const auto& each : relay.replayer->now().deferrals) {
            since.emplace(each.what.certificate, each.what.since);
            records += each.what.records;
        }
        return std::pair{since, records};
    };
    REQUIRE(relay.comes_true([&] { return doubts().second == 10; }));
    const auto before = doubts();
    REQUIRE(before.first.size() == 2);
    const auto taken = take_one_without_an_answer(centre, relay, other.both(), other.only);
    REQUIRE(relay.comes_true([&] { // it is asked for
        return relay.store->now().of(state::delivered).records == *taken &&
               doubts().second == 10 - *taken;
    }));
    CHECK(doubts().first == before.first);
    centre.gate.replace(other.both());
    CHECK(relay.comes_true([&] {
        relay.replayer->check_now(); // one that is tried just then may be refused as before
        return relay.store->now().of(state::delivered).records == 10;
    }));
}

TEST_CASE("when the answer to the one that is tried is lost, the next one is tried", "[replay]")
{
    const replaced_authority other;
    centre_side centre;
    station_side station{centre};
    for (int i = 0; i < 6; ++i)
        station.accept();
    centre.gate.replace(other.only);
    station.start();
    REQUIRE(station.comes_true([&] {
        const auto now = station.replayer->now();
        return now.deferrals.size() == 1 && now.deferrals[0].what.records == 6;
    }));
    take_one_without_an_answer(centre, station, other.both(), other.both());
    // Nobody asks for a check any more, and nothing new comes.
    CHECK(station.all_are(state::delivered, 6));
    CHECK(station.replayer->now().deferrals.empty());
}

TEST_CASE(
    "what an earlier version set aside is offered once more when the upstream is a later one, last",
    "[replay]")
{
    const auto is_believed = GENERATE(true, false);
    const replaced_authority other;
    centre_side centre;
    station_side station{centre};
    std::vector<record_id> aside;
    for (int i = 0; i < 5; ++i) {
        aside.push_back(station.accept());
        REQUIRE(finish(station.store->quarantine(
                           station.view(aside.back()).place, reason::refused,
                           "the manifest is not believed: the certificate has expired"))
                    .has_value());
    }
    station.store->replace_identity(other.station);
    std::vector<record_id> order;
    centre.vault.on_complete = [&](const vault::key& which) { order.push_back(which.record); };
    for (int i = 0; i < 5; ++i)
        station.accept();
    centre.gate.replace(is_believed ? other.both() : other.only);
    station.start();
    REQUIRE(station.all_are(state::delivered, is_believed ? 10 : 5));
    CHECK(station.comes_true([&] { return station.entries("freed", "5") == 1; }));
    if (is_believed) {
        CHECK(std::vector(order.end() - 5, order.end()) == aside);
        return;
    }
    CHECK(station.all_are(state::quarantined, 5)); // each of them, and no more than once more
    CHECK(station.entries("quarantine") == 10);
    CHECK(station.replayer->now().deferrals.empty());
    station.replayer->check_now();
    CHECK_FALSE(station.comes_to(6));
    CHECK(station.entries("freed") == 1);
}

TEST_CASE("a verdict that is not believed is passed over, and told in the ledger", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    std::vector<record_id> all;
    for (int i = 0; i < 3; ++i)
        all.push_back(station.accept());
    centre.vault.on_answer = [](vault::answer& answer) {
        for (auto& each : answer.verdicts)
            if (each.number == 2)
                each.cms = bytes(100);
    };
    station.start();
    REQUIRE(station.all_are(state::delivered, 3));
    for (const auto& each : all)
        centre.judged(each, envelope::verdict_kind::opened);
    CHECK(station.all_are(state::opened, 2));
    CHECK(station.comes_true(
        [&] { return finish(station.store->upstream()).value().cursor_number == 3; }));
    CHECK(station.entries("verdict", "not believed") == 1);
    station.accept();
    CHECK(station.all_are(state::delivered, 2));
}

TEST_CASE("what changes while the queue is read stays as it changed", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    const auto held = station.accept();
    const auto sent = station.accept();
    const auto before = station.view(held);
    station.start([&] {
        station.replayer->on_change(
            {.place = before.place, .key = {}, .state = state::waiting, .held = true});
    });
    REQUIRE(station.all_are(state::delivered, 1));
    CHECK(station.view(sent).state == state::delivered);
}

TEST_CASE("a queue that has the size of a record wrong does not harm the record", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    const auto record = station.accept();
    const auto what = station.view(record);
    const auto wrong = GENERATE(10u, 1'000'000u);
    for (const bool held : {true, false})
        station.replayer->on_change({.place = what.place,
                                     .key = {},
                                     .state = state::waiting,
                                     .held = held,
                                     .size_bytes = wrong});
    station.start();
    REQUIRE(station.all_are(state::delivered, 1));
    CHECK(station.entries("quarantine") == 0);
}

TEST_CASE("an upstream that always has more to say, and says nothing, does not stop the sending",
          "[replay]")
{
    centre_side centre;
    station_side station{centre};
    centre.vault.on_answer = [](vault::answer& answer) { answer.more = true; };
    station.accept();
    station.start();
    CHECK(station.all_are(state::delivered, 1));
}

TEST_CASE("what cannot be taken in here is asked for again after a pause", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    station.accept();
    const auto child = ::fork(); // LMDB must not be open twice in one process
    if (child == 0) {
        const journal::environment env{station.options.directory, 2ull << 30};
        journal::transaction txn{env.get(), journal::transaction::mode::write};
        journal::table numbering;
        journal::check(mdb_dbi_open(txn.native_handle(), "numbering", 0, &numbering.handle));
        txn.put(numbering, journal::numbering_key("office-1", station.store->epoch()), bytes(9));
        txn.commit();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    station.start();
    station.comes_true([] { return false; }, 2s);
    CHECK(centre.wire.connections >= 2);
    CHECK(centre.wire.connections < 10);
    // It comes up for as long as a reconcile takes, again and again.
    CHECK(station.comes_true([&] { return !station.replayer->now().is_up; }));
}

TEST_CASE("records that the upstream holds and gives no good receipt for end no sending",
          "[replay]")
{
    centre_side centre;
    station_side station{centre};
    const auto unknown = station.accept();
    centre.vault.receipts[unknown] = bytes(3);
    bool is_cut = false;
    centre.vault.on_complete = [&](const vault::key&) {
        if (!std::exchange(is_cut, true))
            centre.break_all(); // what became of it is unknown to the station
    };
    station.start();
    REQUIRE(station.comes_true([&] { return is_cut; }));
    // Another comes there some other way: covered, and never asked about here.
    const auto covered = station.accept();
    const auto what = finish(station.store->manifest_of({"office-1", covered})).value();
    const auto said = said_in<envelope::manifest>(what.manifest_cms);
    auto data = finish(station.store->read({"office-1", covered}, 0, 99'999)).value();
    centre.vault.receipts[covered] = bytes(3);
    REQUIRE(finish(centre.behind.complete({what.manifest_cms, said, what.manifest_hash}, 0,
                                          std::move(data)))
                .has_value());
    station.accept();
    CHECK(station.all_are(state::delivered, 1));
    CHECK(station.comes_true([&] {
        const auto now = station.replayer->now();
        return now.deferrals.size() == 1 && now.deferrals[0].what.records == 2;
    }));
    CHECK(station.entries("quarantine") == 0);
}

TEST_CASE("stations behind a relay may have chosen the same ids, also where answers are lost",
          "[replay]")
{
    centre_side centre;
    relay_side relay{centre};
    for (int i = 0; i < 4; ++i)
        relay.take_twins();
    std::size_t completed = 0;
    centre.vault.on_complete = [&](const vault::key&) {
        if (++completed % 3 == 1)
            centre.break_all();
    };
    relay.start();
    REQUIRE(relay.all_are(state::delivered, 8));
    CHECK(relay.entries("delivered") == 8);
    CHECK(centre.behind.now().of(state::delivered).records == 8);
    CHECK(centre.vault.reconciles < 20); // it asks when something is to be asked
    CHECK(relay.entries("quarantine") == 0);
}

TEST_CASE("what a relay had handed on in part goes on from there", "[replay]")
{
    centre_side centre;
    relay_side relay{centre};
    relay.take_twins(400'000);
    centre.wire.breaks_after = 300'000;
    relay.start();
    REQUIRE(relay.comes_true([&] { return centre.wire.read_bytes > 200'000; }));
    REQUIRE(relay.comes_true([&] { return centre.behind.now().of(state::arriving).records == 1; }));
    centre.wire.breaks_after = meddling_wire::never;
    REQUIRE(relay.all_are(state::delivered, 2));
    // The first 290 kB of the one that was cut are kept; the rest was written in vain.
    CHECK(relay.replayer->now().wasted_bytes < 200'000);
}

TEST_CASE("asking again between two questions is no outage", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    centre.vault.on_answer = [&](auto&) { station.replayer->check_now(); };
    station.accept();
    station.start();
    CHECK(station.all_are(state::delivered, 1));
    CHECK_FALSE(station.comes_true([&] { return station.entries("outage-began") > 0; }, 1s));
}

TEST_CASE("asking again while a question waits at the upstream is no outage", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    station.accept();
    station.start();
    REQUIRE(station.all_are(state::delivered, 1));
    const auto before = station.replayer->now().last_checked;
    // Whether a question waits just then cannot be seen from here, and asking again too soon only
    // interrupts the one before: each time there is more patience.
    bool is_answered = false;
    for (auto patience = 100ms; !is_answered && patience < 20s; patience *= 2) {
        station.replayer->check_now();
        is_answered = station.comes_true(
            [&] { return station.replayer->now().last_checked > before; }, patience);
    }
    CHECK(is_answered);
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("a part of other bytes, or of more than there are, is not gone on from", "[replay]")
{
    const auto offset = GENERATE(1'000ull, 5'000'000'000ull);
    const bool has_our_digest = GENERATE(false, true);
    if (offset == 1'000 && has_our_digest)
        return; // then it is ours
    centre_side centre;
    station_side station{centre};
    const auto id = station.accept(50'000);
    const auto ours = station.view(id).digest;
    bool is_cut = false;
    centre.vault.keeps_parts = false;
    centre.wire.breaks_after = 20'000;
    centre.vault.on_answer = [&](vault::answer& answer) {
        if (centre.wire.breaks_after == 20'000 && centre.wire.connections > 2) {
            is_cut = true;
            centre.wire.breaks_after = 1u << 30;
        }
        if (is_cut && centre.behind.now().of(state::delivered).records == 0)
            answer.partials = {{.record = id,
                                .digest = has_our_digest ? ours : sha256(as_bytes("other")),
                                .offset = offset}};
    };
    station.start();
    CHECK(station.all_are(state::delivered, 1));
    CHECK(is_cut);
}

TEST_CASE("a record of which the upstream never takes a byte is set aside, the others go on",
          "[replay]")
{
    centre_side centre;
    station_side station{centre};
    const auto stuck = station.accept();
    centre.vault.on_find = [stuck, digest = station.view(stuck).digest](auto& found,
                                                                        const auto& which) {
        if (which.record == stuck)
            found = vault::standing{.digest = digest};
    };
    for (int i = 0; i < 3; ++i)
        station.accept();
    station.start();
    CHECK(station.all_are(state::delivered, 3));
    CHECK(station.all_are(state::quarantined, 1));
    CHECK(station.view(stuck).reason == reason::refused);
}

TEST_CASE("a record in whose middle the connection always breaks lets the others go on", "[replay]")
{
    centre_side centre;
    centre.wire.breaks_after = 100'000;
    centre.vault.keeps_parts = false;
    station_side station{centre};
    const auto breaking = station.accept(200'000);
    for (int i = 0; i < 3; ++i)
        station.accept();
    station.start();
    CHECK(station.all_are(state::delivered, 3, 120s));
    CHECK(station.all_are(state::quarantined, 1, 120s));
    CHECK(station.view(breaking).reason == reason::refused);
}

namespace {

using envelope::lane;

constexpr std::size_t large_bytes = 3'000'000; ///< more than the system's buffers of a connection

std::int64_t today()
{
    return replay::to_local(wall_now()).day;
}

} // namespace

TEST_CASE("an urgent record is delivered while a large one is held up in its middle", "[replay]")
{
    centre_side centre;
    centre.wire.holds_after = 200'000;
    station_side station{centre};
    const auto large = station.accept(large_bytes);
    station.start();
    REQUIRE(station.comes_true([&] { return centre.wire.held == 1; }));
    const auto urgent = station.accept(5'000, lane::urgent);
    REQUIRE(station.all_are(state::delivered, 1));
    CHECK(station.view(urgent).state == state::delivered);
    CHECK(station.view(large).state == state::waiting);
    centre.wire.release(1);
    CHECK(station.all_are(state::delivered, 2));
    CHECK(station.replayer->now().wasted_bytes == 0);
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("while an urgent body goes, those of others pause", "[replay]")
{
    centre_side centre;
    centre.wire.holds_after = 200'000;
    station_side station{centre};
    const auto large = station.accept(large_bytes);
    station.start();
    REQUIRE(station.comes_true([&] { return centre.wire.held == 1; }));
    const auto urgent = station.accept(large_bytes, lane::urgent);
    REQUIRE(station.comes_true([&] { return centre.wire.held == 2; }));
    centre.wire.release(1);
    CHECK_FALSE(station.comes_to(1));
    CHECK(station.view(large).state == state::waiting);
    centre.wire.release(2);
    CHECK(station.all_are(state::delivered, 2));
    CHECK(station.view(urgent).state == state::delivered);
    CHECK(station.replayer->now().wasted_bytes == 0);
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("a kept connection that the upstream closed while nothing was asked is no outage",
          "[replay]")
{
    centre_side centre;
    station_side station{centre};
    station.accept();
    station.start();
    REQUIRE(station.all_are(state::delivered, 1)); // so that it is asked for news by now
    const auto before = centre.wire.connections;
    const auto checked = station.replayer->now().last_checked;
    centre.break_all();
    REQUIRE(station.comes_true([&] { return centre.wire.connections > before; }));
    station.replayer->check_now();
    CHECK(station.comes_true([&] { return station.replayer->now().last_checked > checked; }));
    CHECK(station.replayer->now().is_up);
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("what is asked first goes along with the question whether the upstream is there",
          "[replay]")
{
    centre_side centre;
    centre.wire.answers_only_after = "POST /v1/reconcile";
    station_side station{centre};
    station.start();
    CHECK(station.comes_true([&] { return centre.vault.reconciles > 0; }));
    CHECK(station.comes_true([&] { return station.replayer->now().is_up; }));
    centre.wire.answers_only_after.clear(); // those that carry records are asked something else
    centre.wire.changed.ring();
    station.accept();
    CHECK(station.all_are(state::delivered, 1));
    CHECK(centre.vault.reconciles == 1);
}

TEST_CASE("with a day's bytes used up nothing begins, and what has begun ends", "[replay]")
{
    centre_side centre;
    centre.wire.holds_after = 100'000;
    station_side station{centre, {.most_connections = 1, .limits = {.day_bytes = 50'000}}};
    station.accept(large_bytes);
    station.accept(large_bytes);
    station.start();
    REQUIRE(station.comes_true([&] { return !station.replayer->now().is_within_budget; }));
    centre.wire.release(1);
    REQUIRE(station.all_are(state::delivered, 1));
    station.accept(5'000, lane::urgent); // bound, if nothing else was said
    CHECK_FALSE(station.comes_to(2));
    CHECK(centre.wire.held == 1);
    CHECK(station.replayer->now().in_flight == 0);
    CHECK(station.replayer->now().sent_today_bytes >= large_bytes);
    CHECK(station.entries("outage-began") == 0);
}

TEST_CASE("where the budget does not bind them urgent records go when it is used up", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    REQUIRE(finish(station.store->note_sent(today(), 50'000)).has_value());
    const bool is_bound = GENERATE(false, true);
    station.begin_again(
        {.most_connections = 1, .limits = {.day_bytes = 50'000, .binds_urgent = is_bound}});
    const auto ordinary = station.accept();
    station.accept(5'000, lane::urgent);
    station.start();
    if (is_bound) {
        REQUIRE(station.comes_true([&] { return station.replayer->now().is_up; }));
        CHECK_FALSE(station.comes_to(1));
        return;
    }
    REQUIRE(station.all_are(state::delivered, 1));
    station.accept(5'000, lane::urgent); // also when there was one before
    REQUIRE(station.all_are(state::delivered, 2));
    CHECK_FALSE(station.comes_to(3));
    CHECK(station.view(ordinary).state == state::waiting);
}

TEST_CASE("what was sent today is not forgotten when the program is started again", "[replay]")
{
    centre_side centre;
    const replay::replayer::options metered{.most_connections = 1,
                                            .limits = {.day_bytes = 50'000'000}};
    station_side station{centre, metered};
    for (std::uint64_t times = 1; times <= 2; ++times) {
        station.accept(300'000);
        station.start();
        REQUIRE(station.comes_true(
            [&] { return station.replayer->now().sent_today_bytes > times * 300'000; }));
        REQUIRE(station.all_are(state::delivered, times));
        station.begin_again(metered);
        CHECK(station.store->now().sent_day == today());
        CHECK(station.store->now().sent_bytes > times * 300'000);
        CHECK(station.replayer->now().sent_today_bytes == station.store->now().sent_bytes);
    }
    CHECK(station.store->now().sent_bytes < 700'000); // not counted twice
}

TEST_CASE("after a restart a day's bytes that were used up are used up", "[replay]")
{
    centre_side centre;
    station_side station{centre};
    REQUIRE(finish(station.store->note_sent(today() - 1, 900'000)).has_value());
    REQUIRE(finish(station.store->note_sent(today(), 100'000)).has_value());
    station.begin_again({.most_connections = 1, .limits = {.day_bytes = 100'000}});
    CHECK(station.replayer->now().sent_today_bytes == 100'000);
    CHECK_FALSE(station.replayer->now().is_within_budget);
    station.begin_again({.most_connections = 1, .limits = {.day_bytes = 100'001}});
    CHECK(station.replayer->now().is_within_budget);
    station.accept();
    station.start();
    CHECK(station.all_are(state::delivered, 1));
}

TEST_CASE("who was away for a moment does not wait as long as the upstream asks of all at a start",
          "[replay]")
{
    intake::options opts;
    opts.rules.first_spread = 1h;
    centre_side centre{opts};
    station_side station{centre};
    station.accept();
    const bool was_away = GENERATE(false, true);
    centre.wire.is_refusing = was_away;
    station.start();
    if (was_away) {
        REQUIRE(station.comes_true([&] { return station.entries("outage-began") == 1; }));
        centre.wire.is_refusing = false;
        CHECK(station.all_are(state::delivered, 1));
    } else {
        REQUIRE(station.comes_true([&] { return station.replayer->now().is_up; }));
        CHECK_FALSE(station.comes_to(1)); // minutes, for this name
    }
}

TEST_CASE("a pause in the middle of a body lets it end, and nothing else begins", "[replay]")
{
    centre_side centre;
    centre.wire.holds_after = 200'000;
    station_side station{centre};
    station.accept(large_bytes);
    station.accept();
    station.start();
    REQUIRE(station.comes_true([&] { return centre.wire.held == 1; }));
    station.replayer->set_paused(true);
    centre.wire.release(1);
    REQUIRE(station.all_are(state::delivered, 1));
    CHECK_FALSE(station.comes_to(2));
    station.replayer->set_paused(false);
    CHECK(station.all_are(state::delivered, 2));
    CHECK(station.entries("outage-began") == 0);
    CHECK(centre.wire.read_bytes < large_bytes + 100'000);
}

TEST_CASE("a body that a stop cut off goes on from what came", "[replay]")
{
    centre_side centre;
    centre.wire.holds_after = large_bytes / 2;
    station_side station{centre};
    station.accept(large_bytes);
    station.start();
    REQUIRE(station.comes_true([&] { return centre.wire.held == 1; }));
    station.begin_again({.most_connections = 1});
    centre.wire.holds_after = meddling_wire::never;
    centre.wire.release(1);
    station.start();
    REQUIRE(station.all_are(state::delivered, 1));
    CHECK(centre.wire.read_bytes < large_bytes + large_bytes / 10);
    CHECK(station.replayer->now().wasted_bytes == 0);
}

TEST_CASE("a stop ends the sending, whatever is under way just then", "[replay]")
{
    centre_side centre;
    for (int steps = 0; steps < 60; ++steps) {
        CAPTURE(steps);
        station_side station{
            centre, {.most_connections = 1, .limits = {.day_bytes = 1'000'000'000}, .keep = 24h}};
        station.accept();
        station.start();
        for (int step = 0; step < steps; ++step)
            home().run_one_for(20ms);
        asio::post(home(), [&] { station.replayer->stop(); });
        REQUIRE(station.comes_true([&] { return !station.is_running(); }, 8s));
    }
}
