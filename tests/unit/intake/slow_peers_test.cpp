#include "intake/server.hpp"

#include "envelope/seal.hpp"
#include "http/client.hpp"
#include "journal/support.hpp"
#include "uplink/session.hpp"

#include <catch2/catch.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <titip/v1/reconcile.pb.h>

#include <set>

/// Real TLS connections of two stations to one intake: one station is slow in some way, and stays so
/// until the other has got what it came for.
using namespace titip;
using namespace titip::tests;

namespace {

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

/// Its writes wait until it is closed, as those to a peer that reads nothing do in the end.
class clogged_stream final : public http::stream {
public:
    explicit clogged_stream(std::unique_ptr<http::stream> under)
        : under_(std::move(under)), closed_(home().get_executor())
    {
    }
    asio::awaitable<result<std::size_t>> read_some(std::span<std::byte> into) override
    {
        return under_->read_some(into);
    }
    asio::awaitable<result<void>> write(bytes_view) override
    {
        co_await closed_.wait();
        co_return error_code{
            boost::system::errc::make_error_code(boost::system::errc::connection_reset)};
    }
    void set_no_progress_limit(milliseconds limit) override
    {
        under_->set_no_progress_limit(limit);
    }
    asio::awaitable<void> shutdown() override { return under_->shutdown(); }
    void end_reading() noexcept override { under_->end_reading(); }
    void close() noexcept override
    {
        under_->close();
        closed_.ring();
    }
    x509_st* peer_certificate() const noexcept override { return under_->peer_certificate(); }
    int native_handle() noexcept override { return under_->native_handle(); }

private:
    std::unique_ptr<http::stream> under_;
    bell closed_;
};

class centre : public journal_fixture {
public:
    explicit centre(intake::options with)
        : behind(make()), gate(believed()),
          server(home().get_executor(), behind, gate, {.name = "centre"}, with)
    {
        auto door =
            http::listen_tls(home().get_executor(), "127.0.0.1:0",
                             http::tls_context::server(options_of(*everyone().centre)).value(), 64);
        door_ = std::move(*door);
        auto run = door_->run(
            [this](std::unique_ptr<http::stream> each) { return serve(std::move(each)); });
        asio::co_spawn(home(), std::move(run),
                       asio::bind_cancellation_slot(stop_.slot(),
                                                    [this](std::exception_ptr) { ended_ = true; }));
    }
    ~centre()
    {
        asio::post(home(), [this] {
            server.stop_accepting();
            for (auto* each : open_)
                each->close();
            stop_.emit(asio::cancellation_type::terminal);
        });
        run_until([this] { return ended_; });
    }
    asio::awaitable<std::unique_ptr<http::stream>> connect(const trust::identity& who)
    {
        const auto address = door_->address();
        const http::endpoint to{"127.0.0.1", address.substr(address.rfind(':') + 1)};
        auto context = http::tls_context::client(options_of(who)).value();
        const http::tcp_options as_usual;
        auto made = co_await http::connect_tls(to, std::move(context), as_usual, 20s);
        REQUIRE(made.has_value());
        co_return std::move(*made);
    }
    std::uint64_t offset_of(const titip::vault::key& which)
    {
        const auto standing = finish(behind.find(which)).value();
        return standing ? standing->offset : 0;
    }

    journal::store& behind;
    accept::gate gate;
    intake::server server;
    bool are_clogged = false; ///< connections from now on

private:
    journal::store& make()
    {
        options.node = "centre";
        options.has_upstream = false;
        options.identity = everyone().centre;
        return open();
    }
    asio::awaitable<void> serve(std::unique_ptr<http::stream> each)
    {
        if (are_clogged)
            each = std::make_unique<clogged_stream>(std::move(each));
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

/// A station's side of one connection.
class visitor {
public:
    visitor(centre& at, std::shared_ptr<const trust::identity> who)
        : who_(who), transport_(finish(at.connect(*who))), numbered_(who)
    {
        raw_ = transport_.get();
        raw_->set_no_progress_limit(60s); // so that a test that hangs fails
    }

    struct record {
        vault::offer offer;
        bytes sealed;
    };
    record make(std::size_t size_bytes)
    {
        static const auto sealer =
            envelope::sealer::load({support::recipient(support::key_kind::p256).certificate,
                                    support::recipient(support::key_kind::p256).certificate})
                .value();
        std::mt19937_64 random{1};
        const auto id = record_id::random();
        auto sealed =
            sealer.seal({.record = id, .station = who_->self().name}, noise(size_bytes, random))
                .value();
        auto offer = numbered_.next(sealed, id);
        return {.offer = std::move(offer), .sealed = std::move(sealed)};
    }
    /// Any bytes, offered as a record's.
    record disguise(bytes as_sealed)
    {
        auto offer = numbered_.next(as_sealed, record_id::random());
        return {.offer = std::move(offer), .sealed = std::move(as_sealed)};
    }
    /// A record in two requests.
    void begin(const record& what, std::size_t body_bytes)
    {
        send("POST /v1/uploads/" + who_->self().name +
             " HTTP/1.1\r\nHost: centre\r\nTus-Resumable: 1.0.0\r\n"
             "Content-Type: application/offset+octet-stream\r\nUpload-Metadata: manifest " +
             to_base64(what.offer.cms) +
             "\r\nUpload-Length: " + std::to_string(what.sealed.size()) +
             "\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n\r\n");
        send(as_text(bytes_view{what.sealed}.first(body_bytes)));
    }
    void go_on(const record& what, std::size_t offset)
    {
        const auto rest = bytes_view{what.sealed}.subspan(offset);
        send("PATCH /v1/uploads/" + who_->self().name + "/" +
             what.offer.manifest.record.to_string() +
             " HTTP/1.1\r\nHost: centre\r\nTus-Resumable: 1.0.0\r\n"
             "Content-Type: application/offset+octet-stream\r\nUpload-Offset: " +
             std::to_string(offset) + "\r\nContent-Length: " + std::to_string(rest.size()) +
             "\r\n\r\n");
        send(as_text(rest));
    }
    /// The first bytes of a record's request, or all.
    void post(const record& what, std::size_t body_bytes)
    {
        send("POST /v1/uploads/" + who_->self().name +
             " HTTP/1.1\r\nHost: centre\r\nTus-Resumable: 1.0.0\r\n"
             "Content-Type: application/offset+octet-stream\r\nUpload-Metadata: manifest " +
             to_base64(what.offer.cms) +
             "\r\nUpload-Length: " + std::to_string(what.sealed.size()) +
             "\r\nContent-Length: " + std::to_string(what.sealed.size()) + "\r\n\r\n");
        send(as_text(bytes_view{what.sealed}.first(body_bytes)));
    }
    void post(const record& what) { post(what, what.sealed.size()); }
    void ask(std::string_view target = "/v1/node")
    {
        send("GET " + std::string{target} + " HTTP/1.1\r\nHost: centre\r\n\r\n");
    }
    void send(std::string_view text) { REQUIRE(finish(raw_->write(as_bytes(text))).has_value()); }
    http::response answer()
    {
        if (!reading_)
            reading_.emplace(std::move(transport_), "centre");
        auto got = finish(reading_->read_response(false, 1u << 20));
        REQUIRE(got.has_value());
        return std::move(*got);
    }

private:
    std::shared_ptr<const trust::identity> who_;
    std::unique_ptr<http::stream> transport_;
    http::stream* raw_ = nullptr;
    std::optional<http::client_connection> reading_;
    sender numbered_;
};

intake::options rules(intake::admission::options with)
{
    return {.rules = with};
}

void run_until_bodies(centre& at, std::size_t count)
{
    run_until([&] { return at.server.rules().bodies() == count; });
}

std::chrono::seconds retry_after_of(const http::response& answer)
{
    const auto text = answer.fields.find("Retry-After");
    REQUIRE(text.has_value());
    return std::chrono::seconds{http::parse_number(*text).value()};
}

} // namespace

TEST_CASE("a station whose bodies stand still does not keep another from its receipt", "[intake]")
{
    // Standing still needs no time here: it is looked at when another waits.
    centre above{rules({.most_bodies = 2, .stall = 0ms})};
    visitor slow{above, everyone().station};
    visitor slow_too{above, everyone().station};
    const auto first = slow.make(300'000);
    slow.post(first, 100'000);
    run_until([&] { return above.server.rules().memory_bytes() == 100'000; }); // it stands longest
    slow_too.post(slow_too.make(300'000), 100'000);
    run_until_bodies(above, 2);
    run_until([&] { return above.server.rules().memory_bytes() == 200'000; });

    visitor other{above, everyone().neighbour};
    other.post(other.make(50'000));
    CHECK(other.answer().fields.has("Titip-Receipt"));
    // What had come of the one that gave way has been kept.
    CHECK(above.offset_of(first.offer.key()) == 100'000);
}

TEST_CASE("who waits for a place is served when it is free, and nobody is sent away", "[intake]")
{
    centre above{rules({.most_bodies = 1, .turn_idle = 0ms})};
    visitor first{above, everyone().station};
    const auto mine = first.make(50'000);
    first.post(mine, 10'000);
    run_until_bodies(above, 1);
    visitor second{above, everyone().neighbour};
    second.post(second.make(50'000));
    run_until([&] { return above.server.rules().waiting() == 1; });
    first.send(as_text(bytes_view{mine.sealed}.subspan(10'000)));
    CHECK(first.answer().fields.has("Titip-Receipt"));
    CHECK(second.answer().fields.has("Titip-Receipt"));
}

TEST_CASE("who is sent away is told when to come back, after what it asked before is answered",
          "[intake]")
{
    centre above{rules({.most_bodies = 1, .patience = 0ms})};
    visitor first{above, everyone().station};
    const auto mine = first.make(50'000);
    first.post(mine, 10'000);
    run_until_bodies(above, 1);
    visitor second{above, everyone().neighbour};
    second.ask();
    second.post(second.make(50'000), 0);
    CHECK(second.answer().status == 200);
    const auto refused = second.answer();
    CHECK(refused.status == 503);
    CHECK_FALSE(refused.keep_alive);
    CHECK(retry_after_of(refused) >= 1s);
    first.send(as_text(bytes_view{mine.sealed}.subspan(10'000)));
    CHECK(first.answer().fields.has("Titip-Receipt"));
}

TEST_CASE("a reconcile needs a turn like a body, the question whether we are there does not",
          "[intake]")
{
    centre above{rules({.most_bodies = 1, .patience = 0ms})};
    visitor first{above, everyone().station};
    first.post(first.make(50'000), 10'000);
    run_until_bodies(above, 1);
    visitor second{above, everyone().neighbour};
    second.ask();
    second.send("POST /v1/reconcile HTTP/1.1\r\nHost: centre\r\nContent-Length: 0\r\n\r\n");
    CHECK(second.answer().status == 200);
    CHECK(second.answer().status == 503);
}

TEST_CASE("a relay and a station of one name have each their own places", "[intake]")
{
    CHECK(intake::key_of({trust::role::station, "office-1"}) == "office-1");
    CHECK(intake::key_of({trust::role::relay, "office-1"}) == "relay/office-1");
}

TEST_CASE("a relay with a station's name does not end what that station is sending", "[intake]")
{
    centre above{rules({})};
    visitor station{above, everyone().station};
    const auto record = station.make(50'000);
    station.post(record, 20'000);
    run_until_bodies(above, 1);
    v1::ReconcileRequest question;
    question.add_unsettled(std::string{as_text(record.offer.manifest.record.data())});
    const auto body = question.SerializeAsString();
    visitor relay{above, identity_of(everyone().authority.relay("office-1"))};
    relay.send("POST /v1/reconcile HTTP/1.1\r\nHost: centre\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
    CHECK(relay.answer().status == 200);
    station.send(as_text(bytes_view{record.sealed}.subspan(20'000)));
    CHECK(station.answer().fields.has("Titip-Receipt"));
}

TEST_CASE("a peer that reads no answers is not read any further, and others are served", "[intake]")
{
    auto with = rules({});
    with.most_unwritten_bytes = 300; // two descriptions
    centre above{with};
    above.are_clogged = true;
    visitor slow{above, everyone().station};
    for (int i = 0; i < 3; ++i)
        slow.ask();
    // Not read any more: it would take a place.
    slow.post(slow.make(50'000), 10'000);
    above.are_clogged = false;
    visitor other{above, everyone().neighbour};
    other.post(other.make(50'000));
    CHECK(other.answer().fields.has("Titip-Receipt"));
    CHECK(above.server.rules().bodies() == 0);
    CHECK(above.server.rules().connections() == 2);
}

TEST_CASE("connections that say nothing do not keep another station out", "[intake]")
{
    centre above{rules({.most_connections = 4, .most_per_station = 4})};
    std::vector<std::unique_ptr<visitor>> silent;
    for (int i = 0; i < 4; ++i)
        silent.push_back(std::make_unique<visitor>(above, everyone().station));
    run_until([&] { return above.server.rules().connections() == 4; });
    visitor other{above, everyone().neighbour};
    other.post(other.make(50'000));
    CHECK(other.answer().fields.has("Titip-Receipt"));
    run_until([&] { return above.server.rules().connections() == 4; });
}

TEST_CASE("where connections are used up, a newcomer is told when to come back", "[intake]")
{
    centre above{rules({.most_connections = 1, .least_idle = 24h})};
    visitor first{above, everyone().station};
    first.ask();
    CHECK(first.answer().status == 200);
    visitor second{above, everyone().neighbour};
    second.ask();
    const auto refused = second.answer();
    CHECK(refused.status == 503);
    CHECK(retry_after_of(refused) >= 1s);
    first.ask();
    CHECK(first.answer().status == 200);
}

TEST_CASE("a question that waits for news gives way to a newcomer, and is told when to come back",
          "[intake]")
{
    centre above{rules({.most_connections = 1, .least_idle = 0ms})};
    visitor first{above, everyone().station};
    first.ask("/v1/node?after=0");
    run_until([&] { return above.server.rules().connections() == 1; });
    visitor second{above, everyone().neighbour};
    second.ask();
    CHECK(second.answer().status == 200);
    const auto told = first.answer();
    CHECK(told.status == 503);
    CHECK(retry_after_of(told) >= 1s);
}

TEST_CASE("what no sealer makes is refused in one piece and in two, and nothing of it stays",
          "[intake]")
{
    centre above{rules({})};
    const auto size = visitor{above, everyone().neighbour}.make(50'000).sealed.size();
    // Within the recipients, behind them, within the last 18 bytes, at the last byte.
    for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, std::size_t{300},
                                  std::size_t{20'000}, size - 18, size - 7, size - 1}) {
        CAPTURE(cut);
        visitor honest{above, everyone().neighbour};
        const auto good = honest.make(50'000);
        REQUIRE(good.sealed.size() == size);
        auto changed = good.sealed;
        // The wrap of a key: from id-aes256-wrap to the padded one, behind the last byte of its name.
        const auto name = as_text(changed).rfind("\x60\x86\x48\x01\x65\x03\x04\x01\x2d");
        REQUIRE(name != std::string_view::npos);
        changed[name + 8] = std::byte{0x30};
        auto cut_short = good.sealed;
        cut_short[size - 18] = std::byte{0x05}; // no tag where it should be
        for (auto& forged : {changed, cut_short}) {
            visitor hostile{above, everyone().station};
            const auto bad = hostile.disguise(forged);
            if (cut == 0)
                hostile.post(bad);
            else {
                hostile.begin(bad, cut);
                CHECK(hostile.answer().status == 201);
                hostile.go_on(bad, cut);
            }
            const auto refused = hostile.answer();
            CHECK(refused.status == 422);
            CHECK_FALSE(refused.fields.has("Titip-Receipt"));
            CHECK_FALSE(finish(above.behind.find(bad.offer.key())).value().has_value());
        }
        if (cut == 0)
            honest.post(good);
        else {
            honest.begin(good, cut);
            CHECK(honest.answer().status == 201);
            honest.go_on(good, cut);
        }
        CHECK(honest.answer().fields.has("Titip-Receipt"));
    }
}
