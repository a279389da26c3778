// Many stations at one centre, over real sockets and TLS, from one thread: each holds a question at
// /v1/node and reconciles, some hand over records. Beside them, on a thread of its own, one asks
// /v1/node again and again: how long that takes is what the crowd does to everybody else.

#include "base/file.hpp"
#include "envelope/seal.hpp"
#include "envelope/statement.hpp"
#include "link/prober.hpp"
#include "support/pki.hpp"
#include "uplink/session.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include <sys/resource.h>

using namespace titip;

namespace {

using seconds = std::chrono::duration<double>;

constexpr std::size_t most_unanswered = 8; ///< as a station's own
constexpr auto connect_limit = 30s;
constexpr std::size_t most_answer_bytes = 16u << 10;

struct settings {
    std::string folder;
    std::string port;
    std::size_t stations = 2'000;
    std::size_t senders = 200;
    std::size_t records = 20; ///< of each sender
    std::size_t size_bytes = 100'000;
    std::size_t ramp_s = 0;
    std::size_t hold_s = 10;
};

struct figures {
    std::vector<double> connect_ms;
    std::vector<double> node_ms; ///< what the stations see themselves
    std::map<std::string, std::size_t> failures;
    std::vector<std::chrono::seconds> retry_after;
    std::size_t held = 0; ///< connections now
    std::size_t most_held = 0;
    std::size_t delivered = 0;
    std::size_t refused_records = 0;
    std::chrono::seconds widest_spread{};
    instant first_connect = instant::max();
    instant last_connect{};
    instant first_record = instant::max();
    instant last_record{};
};

double in_ms(instant::duration of)
{
    return std::chrono::duration<double, std::milli>{of}.count();
}

double at(std::vector<double>& all, double share)
{
    if (all.empty())
        return 0.0;
    std::ranges::sort(all);
    return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))];
}

std::shared_ptr<const trust::identity> identity_of(const support::credential& from)
{
    return std::make_shared<const trust::identity>(
        trust::identity::load(from.certificate, from.key).value());
}

std::shared_ptr<http::tls_context> context_of(const trust::identity& self,
                                              const trust::authorities& believed)
{
    return http::tls_context::client({.certificate = self.certificate(),
                                      .key = self.key(),
                                      .authorities = believed.store(),
                                      .verify = {}})
        .value();
}

asio::awaitable<void> pause(instant::duration time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    co_await timer.async_wait(asio::use_awaitable);
}

/// What all stations share.
struct world {
    settings with;
    figures seen;
    std::shared_ptr<const trust::authorities> believed;
    bytes sealed;
    digest sealed_digest{};
    std::size_t sending = 0;
    bool is_over = false;
    std::vector<http::stream*> open;

    http::endpoint centre() const { return {.host = "127.0.0.1", .port = with.port}; }
};

class held_connection {
public:
    explicit held_connection(world& in) : in_(in)
    {
        in_.seen.most_held = std::max(in_.seen.most_held, ++in_.seen.held);
    }
    held_connection(const held_connection&) = delete;
    ~held_connection() { --in_.seen.held; }

private:
    world& in_;
};

class station {
public:
    station(world& in, std::string name, const support::credential& own)
        : in_(in), name_(std::move(name)), self_(identity_of(own)),
          context_(context_of(*self_, *in.believed))
    {
    }

    asio::awaitable<void> live(instant begin, bool sends)
    {
        const auto first = begin - monotonic::now();
        co_await pause(first);
        in_.sending += sends ? 1 : 0;
        while (!in_.is_over) {
            const bool is_done = co_await come(sends);
            sends = sends && !is_done;
            const auto wait = std::max<instant::duration>(std::exchange(wait_, {}), 1s);
            co_await pause(wait);
        }
    }

private:
    /// One time up: asks, reconciles, sends what there is, then waits for news. Whether all is sent.
    asio::awaitable<bool> come(bool sends)
    {
        auto transport = co_await connect();
        if (!transport)
            co_return false;
        const held_connection one{in_};
        http::client_connection asking{std::move(transport), "127.0.0.1"};
        if (!co_await ask(asking, "/v1/node"))
            co_return false;
        if (sends) {
            if (!co_await send_all())
                co_return false;
            --in_.sending;
        } else if (!co_await reconcile_once()) {
            co_return false;
        }
        in_.open.push_back(&asking.transport());
        while (!in_.is_over && co_await ask(asking, "/v1/node?after=0")) {
        }
        std::erase(in_.open, &asking.transport());
        co_return true;
    }

    asio::awaitable<std::unique_ptr<http::stream>> connect()
    {
        const auto from = monotonic::now();
        in_.seen.first_connect = std::min(in_.seen.first_connect, from);
        auto to = in_.centre();
        const http::tcp_options usual;
        auto made = co_await http::connect_tls(std::move(to), context_, usual, connect_limit);
        if (!made) {
            ++in_.seen.failures["connect: " + made.error().reason.message()];
            co_return nullptr;
        }
        in_.seen.last_connect = monotonic::now();
        in_.seen.connect_ms.push_back(in_ms(in_.seen.last_connect - from));
        (*made)->set_no_progress_limit(6min);
        co_return std::move(*made);
    }

    asio::awaitable<bool> ask(http::client_connection& over, std::string_view target)
    {
        const auto from = monotonic::now();
        const http::fields none;
        auto sent = co_await over.write_request("GET", target, none, 0);
        if (!sent)
            co_return note("node", sent.error());
        const auto answer = co_await over.read_response(false, most_answer_bytes);
        if (!answer)
            co_return note("node", answer.error());
        if (answer->status != 200)
            co_return note(uplink::classify(*answer, false), answer->status);
        if (target == "/v1/node")
            in_.seen.node_ms.push_back(in_ms(monotonic::now() - from));
        const auto said = boost::json::parse(as_text(answer->body)).as_object();
        const auto spread = std::chrono::seconds{said.at("spread_s").to_number<std::int64_t>()};
        in_.seen.widest_spread = std::max(in_.seen.widest_spread, spread);
        co_return answer->keep_alive;
    }

    asio::awaitable<bool> reconcile_once()
    {
        auto transport = co_await connect();
        if (!transport)
            co_return false;
        const held_connection one{in_};
        http::client_connection over{std::move(transport), "127.0.0.1"};
        vault::question nothing;
        co_await uplink::ask_to_reconcile(over, std::move(nothing));
        const auto told = co_await uplink::take_reconciled(over, in_.believed, name_);
        co_await over.transport().shutdown();
        co_return told ? true : note(told.error(), 0);
    }

    asio::awaitable<bool> send_all()
    {
        auto transport = co_await connect();
        if (!transport)
            co_return false;
        const held_connection one{in_};
        uplink::session over{std::move(transport), "127.0.0.1"};
        in_.seen.first_record = std::min(in_.seen.first_record, monotonic::now());
        std::size_t unanswered = 0;
        std::size_t next = answered_;
        bool is_open = true;
        while (answered_ < in_.with.records) {
            while (is_open && unanswered < most_unanswered && next < in_.with.records) {
                auto what = parcel(next);
                auto sent = co_await over.begin(std::move(what), 0);
                if (sent)
                    sent = co_await over.write(in_.sealed);
                is_open = sent.has_value();
                unanswered += is_open ? 1 : 0;
                next += is_open ? 1 : 0;
            }
            const auto told = co_await over.receive();
            if (!told)
                co_return note("record", told.error());
            if (told->what != uplink::outcome::kind::receipt) {
                ++in_.seen.refused_records;
                co_return note(*told, 0);
            }
            ++answered_;
            ++in_.seen.delivered;
            in_.seen.last_record = monotonic::now();
            unanswered -= unanswered > 0 ? 1 : 0;
            if (told->is_last && answered_ < in_.with.records)
                co_return false;
        }
        co_await over.transport().shutdown();
        co_return true;
    }

    uplink::parcel parcel(std::size_t n)
    {
        while (parcels_.size() <= n) {
            const auto id = record_id::random();
            const envelope::manifest said{.record = id,
                                          .station = name_,
                                          .epoch = epoch_,
                                          .at = envelope::sequence{parcels_.size() + 1},
                                          .taken_at = wall_now(),
                                          .size_bytes = in_.sealed.size(),
                                          .digest = in_.sealed_digest,
                                          .previous = last_hash_};
            const auto statement = envelope::encode(said);
            last_hash_ = envelope::hash_of(statement);
            parcels_.push_back({.key = {name_, id},
                                .manifest_cms = self_->sign(statement),
                                .size_bytes = in_.sealed.size()});
        }
        return parcels_[n];
    }

    bool note(std::string_view where, const error_code& why)
    {
        if (!in_.is_over)
            ++in_.seen.failures[fmt::format("{}: {}", where, why.message())];
        return false;
    }
    bool note(const uplink::outcome& told, unsigned status)
    {
        if (told.what != uplink::outcome::kind::admission) {
            ++in_.seen.failures[fmt::format("answer {}: {}", status, told.note)];
            return false;
        }
        wait_ = told.retry_after;
        in_.seen.retry_after.push_back(std::chrono::round<std::chrono::seconds>(told.retry_after));
        ++in_.seen.failures[fmt::format("refused: {}", told.note)];
        return false;
    }

    world& in_;
    std::string name_;
    std::shared_ptr<const trust::identity> self_;
    std::shared_ptr<http::tls_context> context_;
    epoch_id epoch_ = epoch_id::random();
    digest last_hash_{};
    std::vector<uplink::parcel> parcels_;
    std::size_t answered_ = 0;
    instant::duration wait_{};
};

/// Asks for as long as the load lasts, from a connection and a thread of its own.
class onlooker {
public:
    onlooker(http::endpoint to, const support::credential& own,
             std::shared_ptr<const trust::authorities> believed)
        : to_(std::move(to)), self_(identity_of(own)), believed_(std::move(believed)),
          context_(context_of(*self_, *believed_))
    {
    }
    void start()
    {
        asio::co_spawn(io_, ask_on(), asio::detached);
        thread_ = std::thread{[this] { io_.run(); }};
    }
    void finish()
    {
        is_over_ = true;
        thread_.join();
    }
    std::vector<double> took_ms;
    std::size_t failed = 0;

private:
    asio::awaitable<void> ask_on()
    {
        std::unique_ptr<http::client_connection> over;
        const http::fields none;
        while (!is_over_) {
            const auto from = monotonic::now();
            if (!over) {
                const http::tcp_options usual;
                auto made = co_await http::connect_tls(to_, context_, usual, connect_limit);
                if (!made) {
                    ++failed;
                    co_await pause(100ms);
                    continue;
                }
                over = std::make_unique<http::client_connection>(std::move(*made), to_.host);
                over->transport().set_no_progress_limit(connect_limit);
                continue; // the handshake is not what is measured
            }
            const auto sent = co_await over->write_request("GET", "/v1/node", none, 0);
            bool is_well = sent.has_value();
            if (is_well) {
                const auto answer = co_await over->read_response(false, most_answer_bytes);
                is_well = answer && answer->status == 200 && answer->keep_alive;
            }
            took_ms.push_back(in_ms(monotonic::now() - from));
            if (!is_well) {
                ++failed;
                over.reset();
            }
            co_await pause(10ms);
        }
    }

    http::endpoint to_;
    std::shared_ptr<const trust::identity> self_;
    std::shared_ptr<const trust::authorities> believed_;
    std::shared_ptr<http::tls_context> context_;
    asio::io_context io_{1};
    std::thread thread_;
    std::atomic<bool> is_over_ = false;
};

/// Until every record is delivered, and everybody has been there for a while.
asio::awaitable<void> watch(world& in, asio::io_context& io)
{
    const auto begin = monotonic::now();
    const auto least = std::chrono::seconds{in.with.ramp_s + in.with.hold_s};
    const auto wanted = in.with.senders * in.with.records;
    while (in.seen.delivered < wanted || monotonic::now() - begin < least) {
        co_await pause(100ms);
    }
    in.is_over = true;
    io.stop();
}

bytes sealed_of(std::size_t size_bytes)
{
    std::mt19937_64 random{1};
    bytes plain(size_bytes);
    std::ranges::generate(plain, [&random] { return static_cast<std::byte>(random()); });
    const auto to = [](std::string_view name) {
        return support::recipient(support::key_kind::p256, name).certificate;
    };
    return envelope::sealer::load({to("one"), to("two")})
        .value()
        .seal({.record = record_id::random(), .station = "crowd"}, plain)
        .value();
}

void write(const std::filesystem::path& file, const bytes& what)
{
    if (!write_file(file, what)) {
        fmt::print(stderr, "{}: cannot be written\n", file.string());
        std::exit(1);
    }
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"titip-crowd is many stations at one centre, and prints what it saw"};
    settings with;
    app.add_option("--folder", with.folder,
                   "gets root.pem, centre.pem and centre.key for the centre")
        ->required();
    app.add_option("--port", with.port, "where the centre will listen, on 127.0.0.1")->required();
    app.add_option("--stations", with.stations);
    app.add_option("--senders", with.senders, "how many of them hand over records");
    app.add_option("--records", with.records, "of each sender");
    app.add_option("--size-bytes", with.size_bytes);
    app.add_option("--ramp-s", with.ramp_s, "the time over which they come; 0: all at once");
    app.add_option("--hold-s", with.hold_s);
    CLI11_PARSE(app, argc, argv);

    ::rlimit descriptors{};
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
    descriptors.rlim_cur = descriptors.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &descriptors);
    if (descriptors.rlim_cur < 2 * with.stations + 64) {
        fmt::print(stderr, "{} stations need {} descriptors, the limit is {}\n", with.stations,
                   2 * with.stations + 64, descriptors.rlim_cur);
        return 1;
    }

    const support::pki authority;
    world all{.with = with};
    all.believed = std::make_shared<const trust::authorities>(
        trust::authorities::load(authority.authorities()).value());
    all.sealed = sealed_of(with.size_bytes);
    all.sealed_digest = sha256(all.sealed);
    std::vector<std::unique_ptr<station>> stations;
    for (std::size_t i = 0; i < with.stations; ++i) {
        auto name = fmt::format("office-{:05}", i);
        const auto own = authority.station(name);
        stations.push_back(std::make_unique<station>(all, std::move(name), own));
    }
    onlooker beside{all.centre(), authority.station("onlooker"), all.believed};
    const std::filesystem::path folder{with.folder};
    const auto centre = authority.centre();
    write(folder / "root.pem", authority.authorities());
    write(folder / "centre.pem", centre.certificate);
    write(folder / "centre.key", centre.key);
    fmt::print("ready\n");
    std::fflush(stdout);
    if (std::getchar() == EOF) // the centre runs
        return 1;

    beside.start();
    asio::io_context io{1};
    const auto begin = monotonic::now() + 1s;
    for (std::size_t i = 0; i < stations.size(); ++i) {
        const auto share = static_cast<double>(i) / static_cast<double>(stations.size());
        const auto after = seconds{share * static_cast<double>(with.ramp_s)};
        const bool sends =
            i * with.senders / with.stations != (i + 1) * with.senders / with.stations;
        asio::co_spawn(
            io,
            stations[i]->live(begin + std::chrono::duration_cast<instant::duration>(after), sends),
            asio::detached);
    }
    asio::co_spawn(io, watch(all, io), asio::detached);
    io.run();
    beside.finish();

    auto& seen = all.seen;
    const auto connected_s = seconds{seen.last_connect - seen.first_connect}.count();
    const auto sent_s = seconds{seen.last_record - seen.first_record}.count();
    std::ranges::sort(seen.retry_after);
    fmt::print("{{\"held\":{},\"most_held\":{},\"handshakes\":{},\"handshakes_s\":{:.2f},"
               "\"connect_p50_ms\":{:.1f},\"connect_p99_ms\":{:.1f},",
               seen.held, seen.most_held, seen.connect_ms.size(), connected_s,
               at(seen.connect_ms, 0.5), at(seen.connect_ms, 0.99));
    fmt::print("\"records\":{},\"records_s\":{:.2f},\"bytes\":{},\"spread_s\":{},", seen.delivered,
               sent_s, seen.delivered * all.sealed.size(), seen.widest_spread.count());
    fmt::print("\"node_p50_ms\":{:.2f},\"node_p99_ms\":{:.2f},\"node_max_ms\":{:.2f},"
               "\"node_asked\":{},\"node_failed\":{},\"own_node_p99_ms\":{:.2f},",
               at(beside.took_ms, 0.5), at(beside.took_ms, 0.99), at(beside.took_ms, 1.0),
               beside.took_ms.size(), beside.failed, at(seen.node_ms, 0.99));
    fmt::print("\"refusals\":{}", seen.retry_after.size());
    if (!seen.retry_after.empty())
        fmt::print(",\"retry_after_s\":[{},{},{}]", seen.retry_after.front().count(),
                   seen.retry_after[seen.retry_after.size() / 2].count(),
                   seen.retry_after.back().count());
    fmt::print(",\"failures\":{{");
    std::string_view comma;
    for (const auto& [what, times] : seen.failures) {
        fmt::print("{}\"{}\":{}", comma, what, times);
        comma = ",";
    }
    fmt::print("}}}}\n");
    std::fflush(stdout);
    std::_Exit(0); // thousands of coroutines need not be taken apart
}
