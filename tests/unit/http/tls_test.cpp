#include "http/tls.hpp"
#include "support.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <catch2/catch.hpp>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <functional>

#include <netinet/tcp.h>
#include <sys/socket.h>

namespace titip::http::test {

namespace {

const wish at_home{.name = "centre", .alternative = "DNS:localhost,IP:127.0.0.1"};
const wish a_station{.name = "station", .alternative = "URI:titip:station:kab-karimun-03"};

std::shared_ptr<tls_context> server_of(const certificate& own, const authority& trusted,
                                       verifier verify = {})
{
    auto made = tls_context::server(options(own, trusted.store(), std::move(verify)));
    REQUIRE(made.has_value());
    return *made;
}

std::shared_ptr<tls_context> client_of(const certificate& own, const authority& trusted,
                                       verifier verify = {})
{
    auto made = tls_context::client(options(own, trusted.store(), std::move(verify)));
    REQUIRE(made.has_value());
    return *made;
}

struct answered {
    layer at = layer::done;
    error_code reason; ///< of connecting, or else of the first answer
    long verify_result = 0;
    std::string text;
    std::string peer; ///< common name
};

std::string common_name(x509_st* of)
{
    std::array<char, 100> text{};
    if (of)
        X509_NAME_get_text_by_NID(X509_get_subject_name(of), NID_commonName, text.data(),
                                  text.size());
    return text.data();
}

asio::awaitable<void> ask(endpoint to, std::shared_ptr<tls_context> with, answered& seen)
{
    const tcp_options defaults;
    auto ready = co_await connect_tls(to, with, defaults, 20s);
    if (!ready) {
        seen.at = ready.error().at;
        seen.reason = ready.error().reason;
        seen.verify_result = ready.error().verify_result;
        co_return;
    }
    seen.peer = common_name((*ready)->peer_certificate());
    client_connection connection{std::move(*ready), to.host};
    const bytes body = pattern(1'000'000);
    const fields none;
    // Where the server does not accept us, writing may fail before reading tells why.
    if (co_await connection.write_request("PUT", "/x", none, body.size()))
        co_await connection.write_body(body);
    auto answer = co_await connection.read_response(false, 1'000);
    seen.reason = answer ? error_code{} : answer.error();
    if (answer)
        seen.text = as_text(answer->body);
    co_await connection.transport().shutdown();
}

struct fixture {
    asio::io_context io{1};
    std::shared_ptr<visits> seen = std::make_shared<visits>();
    authority ours{"ours"};
    authority foreign{"foreign"};

    std::unique_ptr<listener> listen(std::shared_ptr<tls_context> with, std::size_t most = 8)
    {
        auto made = listen_tls(io.get_executor(), "127.0.0.1:0", std::move(with), most);
        REQUIRE(made.has_value());
        return std::move(*made);
    }

    static endpoint endpoint_of(listener& on, std::string host)
    {
        const auto address = on.address();
        return {std::move(host), address.substr(address.rfind(':') + 1)};
    }

    answered exchange(std::shared_ptr<tls_context> server, std::shared_ptr<tls_context> client,
                      std::string host = "127.0.0.1")
    {
        running_server running{io, listen(std::move(server)), echo(seen)};
        answered outcome;
        run(io, running, ask(endpoint_of(running.on(), host), std::move(client), outcome));
        return outcome;
    }
};

} // namespace

TEST_CASE("two ends with certificates of one authority exchange a megabyte", "[http]")
{
    fixture f;
    const auto* host = GENERATE("127.0.0.1", "localhost");
    const auto outcome = f.exchange(server_of(f.ours.issue(at_home), f.ours),
                                    client_of(f.ours.issue(a_station), f.ours), host);
    CHECK(outcome.at == layer::done);
    CHECK(outcome.text == "PUT 1000000");
    CHECK(outcome.peer == "centre");
    REQUIRE(f.seen->all.size() == 1);
    CHECK((f.seen->all[0].body == pattern(1'000'000)));
    CHECK(f.seen->end == asio::error::eof);
}

TEST_CASE("a server of a foreign authority is refused", "[http]")
{
    fixture f;
    const auto outcome = f.exchange(server_of(f.foreign.issue(at_home), f.ours),
                                    client_of(f.ours.issue(a_station), f.ours));
    CHECK(outcome.at == layer::tls);
    CHECK(outcome.verify_result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    CHECK(!is_refused_certificate(outcome.reason)); // it is we who refused
}

TEST_CASE("a client of a foreign authority, or without a certificate, learns that it was refused",
          "[http]")
{
    fixture f;
    const bool has_one = GENERATE(true, false);
    const auto own = has_one ? f.foreign.issue(a_station) : certificate{};
    const auto outcome =
        f.exchange(server_of(f.ours.issue(at_home), f.ours), client_of(own, f.ours));
    CHECK(outcome.at == layer::done); // TLS 1.3: the handshake went well here
    CHECK(is_refused_certificate(outcome.reason));
    CHECK(f.seen->all.empty());
}

TEST_CASE("a certificate that names another host is refused", "[http]")
{
    fixture f;
    const wish elsewhere{.name = "localhost", .alternative = "DNS:other.test,IP:127.0.0.2"};
    const auto* host = GENERATE("127.0.0.1", "localhost");
    const auto outcome = f.exchange(server_of(f.ours.issue(elsewhere), f.ours),
                                    client_of(f.ours.issue(a_station), f.ours), host);
    CHECK(outcome.at == layer::tls);
    CHECK(outcome.verify_result == (host == std::string_view{"localhost"}
                                        ? X509_V_ERR_HOSTNAME_MISMATCH
                                        : X509_V_ERR_IP_ADDRESS_MISMATCH));
}

namespace {

using std::chrono::hours;

/// Takes note, and accepts what fails by its dates alone.
verifier but_for_dates(std::vector<int>& reasons)
{
    return [&reasons](x509_st* leaf, int reason) {
        REQUIRE(leaf);
        reasons.push_back(reason);
        return reason == X509_V_OK || reason == X509_V_ERR_CERT_HAS_EXPIRED ||
               reason == X509_V_ERR_CERT_NOT_YET_VALID;
    };
}

} // namespace

TEST_CASE("dates are for the caller to judge", "[http]")
{
    fixture f;
    const bool is_late = GENERATE(true, false);
    wish dated = at_home;
    dated.since = is_late ? hours{-48} : hours{24};
    dated.until = is_late ? hours{-24} : hours{48};
    const auto server = server_of(f.ours.issue(dated), f.ours);
    const int reason = is_late ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_CERT_NOT_YET_VALID;

    const auto strict = f.exchange(server, client_of(f.ours.issue(a_station), f.ours));
    CHECK(strict.at == layer::tls);
    CHECK(strict.verify_result == reason);

    std::vector<int> reasons;
    const auto lenient =
        f.exchange(server, client_of(f.ours.issue(a_station), f.ours, but_for_dates(reasons)));
    CHECK(lenient.text == "PUT 1000000");
    CHECK(!reasons.empty()); // by the handshake, and before what is asked
    CHECK(std::ranges::all_of(reasons, [reason](int each) { return each == reason; }));
}

TEST_CASE("the server judges the dates of its clients the same way", "[http]")
{
    fixture f;
    wish old = a_station;
    old.since = hours{-48};
    old.until = hours{-24};
    std::vector<int> reasons;
    const auto outcome =
        f.exchange(server_of(f.ours.issue(at_home), f.ours, but_for_dates(reasons)),
                   client_of(f.ours.issue(old), f.ours));
    CHECK(outcome.text == "PUT 1000000");
    CHECK(reasons == std::vector<int>{X509_V_ERR_CERT_HAS_EXPIRED});
}

TEST_CASE("an authority that has ended counts as its certificate, whose own dates come first",
          "[http]")
{
    fixture f;
    const authority expired{"expired", hours{-48}, hours{-24}};
    wish dated = at_home;
    const bool is_early = GENERATE(false, true);
    if (is_early) {
        dated.since = hours{24};
        dated.until = hours{48};
    }
    const auto server = server_of(expired.issue(dated), f.ours);
    const auto outcome = f.exchange(server, client_of(f.ours.issue(a_station), expired));
    CHECK(outcome.at == layer::tls);
    CHECK(outcome.verify_result ==
          (is_early ? X509_V_ERR_CERT_NOT_YET_VALID : X509_V_ERR_CERT_HAS_EXPIRED));
}

TEST_CASE("dates do not hide what is worse", "[http]")
{
    fixture f;
    wish old = at_home;
    old.since = hours{-48};
    old.until = hours{-24};
    std::vector<int> reasons;
    const auto verify = but_for_dates(reasons);

    SECTION("an expired certificate of another host")
    {
        old.alternative = "DNS:other.test";
        const auto outcome = f.exchange(server_of(f.ours.issue(old), f.ours),
                                        client_of(f.ours.issue(a_station), f.ours, verify));
        CHECK(outcome.at == layer::tls);
        CHECK(outcome.verify_result == X509_V_ERR_IP_ADDRESS_MISMATCH);
    }
    SECTION("a forged certificate below an expired authority of the same name")
    {
        const authority expired{"twin", hours{-48}, hours{-24}};
        const authority forger{"twin", hours{-48}, hours{24}};
        const auto outcome = f.exchange(server_of(forger.issue(at_home), f.ours),
                                        client_of(f.ours.issue(a_station), expired, verify));
        CHECK(outcome.at == layer::tls);
        CHECK(outcome.verify_result == X509_V_ERR_CERT_SIGNATURE_FAILURE);
    }
    REQUIRE(reasons.size() == 1);
    CHECK(reasons[0] != X509_V_ERR_CERT_HAS_EXPIRED);
}

namespace {

int note_server_name(SSL* connection, int*, void* names)
{
    const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
    static_cast<std::vector<std::string>*>(names)->emplace_back(name ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

} // namespace

TEST_CASE("the server is told the name it is called by, but no address", "[http]")
{
    fixture f;
    std::vector<std::string> names;
    const auto server = server_of(f.ours.issue(at_home), f.ours);
    SSL_CTX_set_tlsext_servername_callback(server->native_handle(), note_server_name);
    SSL_CTX_set_tlsext_servername_arg(server->native_handle(), &names);
    const auto client = client_of(f.ours.issue(a_station), f.ours);
    f.exchange(server, client, "localhost");
    f.exchange(server, client, "127.0.0.1");
    CHECK(names == std::vector<std::string>{"localhost", ""});
}

TEST_CASE("a certificate that is right can still be turned down", "[http]")
{
    fixture f;
    auto verify = [](x509_st*, int) { return false; };
    const auto outcome = f.exchange(server_of(f.ours.issue(at_home), f.ours),
                                    client_of(f.ours.issue(a_station), f.ours, verify));
    CHECK(outcome.at == layer::tls);
    CHECK(outcome.verify_result == X509_V_ERR_APPLICATION_VERIFICATION);
}

namespace {

asio::awaitable<void> vanish(endpoint to, std::shared_ptr<tls_context> with,
                             std::shared_ptr<visits> seen)
{
    const tcp_options defaults;
    auto ready = co_await connect_tls(to, with, defaults, 20s);
    REQUIRE(ready.has_value());
    co_await send(**ready, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    bytes piece(1'000);
    const auto got = co_await (*ready)->read_some(piece);
    CHECK(got.has_value());
    ready->reset();
    asio::steady_timer tick{co_await asio::this_coro::executor};
    while (!seen->end) {
        tick.expires_after(1ms);
        co_await tick.async_wait(asio::use_awaitable);
    }
}

} // namespace

TEST_CASE("a peer that goes without a goodbye has closed all the same", "[http]")
{
    fixture f;
    running_server running{f.io, f.listen(server_of(f.ours.issue(at_home), f.ours)), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    run(f.io, running, vanish(to, client_of(f.ours.issue(a_station), f.ours), f.seen));
    CHECK(f.seen->end == asio::error::eof);
}

namespace {

asio::awaitable<void> look_at_segments(endpoint to, std::shared_ptr<tls_context> with,
                                       unsigned most, int& used)
{
    tcp_options wanted;
    wanted.most_segment_bytes = most;
    auto ready = co_await connect_tls(to, with, wanted, 20s);
    REQUIRE(ready.has_value());
    socklen_t size = sizeof used;
    REQUIRE(::getsockopt((*ready)->native_handle(), IPPROTO_TCP, TCP_MAXSEG, &used, &size) == 0);
    ready->reset();
}

} // namespace

TEST_CASE("a connection sends and asks for no larger segments than it is told to", "[http]")
{
    fixture f;
    const auto client = client_of(f.ours.issue(a_station), f.ours);
    const auto server =
        server_of(f.ours.issue({.name = "centre", .alternative = "IP:127.0.0.1,IP:::1"}), f.ours);
    const std::string here = GENERATE("127.0.0.1", "::1");
    for (const unsigned most : {0u, 1'200u, 536u}) {
        auto made =
            listen_tls(f.io.get_executor(), here == "::1" ? "[::1]:0" : "127.0.0.1:0", server, 8);
        REQUIRE(made.has_value());
        running_server running{f.io, std::move(*made), echo(f.seen)};
        int used = 0;
        run(f.io, running,
            look_at_segments(fixture::endpoint_of(running.on(), here), client, most, used));
        CHECK(used > 0);
        // The loopback's own are far larger.
        CHECK((most == 0 ? used > 1'500 : used <= static_cast<int>(most)));
    }
}

namespace {

/// What clients offered to resume: the beginning of each ticket, empty for a whole handshake.
int note_ticket(SSL* connection, int*, void* tickets)
{
    constexpr std::size_t lengths = 4; // of the list, and of its first ticket
    constexpr std::size_t enough = 32; // name of the key, initial vector: differ with each ticket
    const unsigned char* offered = nullptr;
    std::size_t size = 0;
    std::string ticket;
    if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_psk, &offered, &size) == 1 &&
        size > lengths + enough)
        ticket.assign(offered + lengths, offered + lengths + enough);
    static_cast<std::vector<std::string>*>(tickets)->push_back(std::move(ticket));
    return SSL_CLIENT_HELLO_SUCCESS;
}

struct resuming : fixture {
    std::vector<std::string> tickets;
    bool is_client_good = true; ///< to the server
    bool is_server_good = true;
    std::shared_ptr<tls_context> server =
        server_of(ours.issue(at_home), ours,
                  [this](x509_st*, int reason) { return reason == X509_V_OK && is_client_good; });
    std::shared_ptr<tls_context> client =
        client_of(ours.issue(a_station), ours,
                  [this](x509_st*, int reason) { return reason == X509_V_OK && is_server_good; });

    auto whole_handshakes() const { return std::ranges::count(tickets, std::string{}); }
    resuming() { SSL_CTX_set_client_hello_cb(server->native_handle(), note_ticket, &tickets); }
};

asio::awaitable<std::unique_ptr<stream>> open(endpoint to, std::shared_ptr<tls_context> with)
{
    const tcp_options defaults;
    auto ready = co_await connect_tls(to, with, defaults, 20s);
    REQUIRE(ready.has_value());
    co_return std::move(*ready);
}

/// Its answer brings the session tickets.
asio::awaitable<void> converse(stream& over)
{
    co_await send(over, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    bytes piece(1'000);
    const auto got = co_await over.read_some(piece);
    CHECK(got.has_value());
}

asio::awaitable<void> break_after_talks(endpoint to, std::shared_ptr<tls_context> with, int times)
{
    for (int i = 0; i < times; ++i) {
        auto over = co_await open(to, with);
        co_await converse(*over);
        const linger reset{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(over->native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
}

asio::awaitable<void> break_before_an_answer(endpoint to, std::shared_ptr<tls_context> with,
                                             int times)
{
    auto first = co_await open(to, with);
    co_await converse(*first);
    for (int i = 0; i < times; ++i)
        co_await open(to, with);
}

asio::awaitable<void> two_at_once(endpoint to, std::shared_ptr<tls_context> with)
{
    auto first = co_await open(to, with);
    co_await converse(*first);
    using namespace asio::experimental::awaitable_operators;
    auto second = open(to, with);
    auto third = open(to, with);
    co_await (std::move(second) && std::move(third));
}

} // namespace

TEST_CASE("a session is resumed with the same endpoint and no other", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    const auto home = fixture::endpoint_of(running.on(), "127.0.0.1");
    const auto alias = fixture::endpoint_of(running.on(), "localhost");
    std::vector<answered> outcomes(4);
    auto all = [](endpoint a, endpoint b, std::shared_ptr<tls_context> with,
                  std::vector<answered>& out) -> asio::awaitable<void> {
        co_await ask(a, with, out[0]);
        co_await ask(a, with, out[1]);
        co_await ask(b, with, out[2]);
        co_await ask(b, with, out[3]);
    };
    run(f.io, running, all(home, alias, f.client, outcomes));
    for (const auto& outcome : outcomes) {
        CHECK(outcome.text == "PUT 1000000");
        CHECK(outcome.peer == "centre");
    }
    CHECK(f.whole_handshakes() == 2); // once for each name
}

namespace {

asio::awaitable<void> talk_and_ask_again(endpoint to, std::shared_ptr<tls_context> with,
                                         std::function<void()> between, answered& seen)
{
    {
        auto over = co_await open(to, with);
        co_await converse(*over);
    }
    between();
    co_await ask(to, with, seen);
}

asio::awaitable<void> look_twice(endpoint to, std::shared_ptr<tls_context> with,
                                 std::function<void()> between, std::array<bool, 2>& believed,
                                 error_code& failed)
{
    auto over = co_await open(to, with);
    co_await converse(*over);
    believed[0] = over->is_peer_believed();
    between();
    believed[1] = over->is_peer_believed();
    client_connection connection{std::move(over), "x"};
    const fields none;
    const auto asked = co_await connection.write_request("GET", "/", none, 0);
    failed = asked ? error_code{} : asked.error();
}

} // namespace

TEST_CASE("no session is resumed with a client that a whole handshake would refuse", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    answered outcome;
    auto between = [&f] { f.is_client_good = false; };
    run(f.io, running,
        talk_and_ask_again(fixture::endpoint_of(running.on(), "127.0.0.1"), f.client, between,
                           outcome));
    REQUIRE(f.tickets.size() == 2);
    CHECK_FALSE(f.tickets[1].empty()); // it offered one
    CHECK(outcome.text.empty());
    CHECK(ERR_GET_REASON(static_cast<unsigned long>(outcome.reason.value())) ==
          SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE); // of the whole one: its own rule said no
}

TEST_CASE("no session is resumed with a server that a whole handshake would refuse", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    answered outcome;
    auto between = [&f] { f.is_server_good = false; };
    run(f.io, running,
        talk_and_ask_again(fixture::endpoint_of(running.on(), "127.0.0.1"), f.client, between,
                           outcome));
    CHECK(outcome.at == layer::tls); // and the handshake says so
    CHECK(f.whole_handshakes() == 2);
}

TEST_CASE("a peer is believed on a connection that stands as long as a handshake would let it in",
          "[http]")
{
    fixture f;
    const auto server = server_of(f.ours.issue(at_home), f.ours);
    running_server running{f.io, f.listen(server), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    // What changes: the rule's own mind, the context that is in use, or who is revoked.
    const auto what = GENERATE(0, 1, 2, 3);
    CAPTURE(what);
    bool is_good = true;
    bool is_revoked = false;
    std::shared_ptr<tls_context> present;
    const auto trusted = f.ours.store();
    const auto own = f.ours.issue(a_station);
    auto wanted = options(
        own, trusted, [&is_good](x509_st*, int reason) { return reason == X509_V_OK && is_good; });
    wanted.is_revoked = [&is_revoked](x509_st*) { return is_revoked; };
    wanted.present = [&present] { return present; };
    const auto client = tls_context::client(wanted).value();
    auto between = [&] {
        is_good = what != 1;
        is_revoked = what == 3;
        if (what == 2)
            present = client_of(f.ours.issue(a_station), f.foreign);
        if (what == 0)
            present = client_of(f.ours.issue(a_station), f.ours); // SIGHUP, and nothing is new
    };
    std::array<bool, 2> believed{};
    error_code failed;
    run(f.io, running, look_twice(to, client, between, believed, failed));
    CHECK(believed[0]);
    CHECK(believed[1] == (what == 0));
    CHECK(failed == (what == 0 ? error_code{} : make_error_code(errc::peer_not_believed)));
}

TEST_CASE("a certificate for one side only is believed at the other one as long as any", "[http]")
{
    fixture f;
    auto at_server = at_home;
    at_server.purpose = "serverAuth";
    auto at_client = a_station;
    at_client.purpose = "clientAuth";
    std::vector<std::string> tickets;
    std::vector<bool> believed; // at the server
    const auto server = server_of(f.ours.issue(at_server), f.ours);
    SSL_CTX_set_client_hello_cb(server->native_handle(), note_ticket, &tickets);
    auto look = [take = echo(f.seen), &believed](std::unique_ptr<stream> over) {
        believed.push_back(over->is_peer_believed());
        return take(std::move(over));
    };
    running_server running{f.io, f.listen(server), look};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    const auto client = client_of(f.ours.issue(at_client), f.ours);
    std::array<bool, 2> server_believed{};
    error_code failed;
    answered outcome;
    auto all = [](endpoint at, std::shared_ptr<tls_context> with, std::array<bool, 2>& twice,
                  error_code& why, answered& seen) -> asio::awaitable<void> {
        co_await look_twice(
            at, with, [] {}, twice, why);
        co_await ask(at, with, seen);
    };
    run(f.io, running, all(to, client, server_believed, failed, outcome));
    CHECK(server_believed == std::array{true, true});
    CHECK(believed == std::vector{true, true});
    CHECK_FALSE(failed);
    CHECK(outcome.text == "PUT 1000000");
    REQUIRE(tickets.size() == 2);
    CHECK_FALSE(tickets[1].empty()); // a session of it is resumed, too
}

TEST_CASE("a certificate above the peer's that is revoked is told to the rule as that", "[http]")
{
    fixture f;
    int told = 0;
    const auto trusted = f.ours.store();
    const auto own = f.ours.issue(at_home);
    auto wanted = options(own, trusted, [&told](x509_st*, int reason) {
        told = reason;
        return reason == X509_V_OK;
    });
    wanted.is_revoked = [](x509_st* each) { return common_name(each) == "ours"; };
    const auto outcome =
        f.exchange(tls_context::server(wanted).value(), client_of(f.ours.issue(a_station), f.ours));
    CHECK(told == X509_V_ERR_CERT_REVOKED);
    CHECK(is_refused_certificate(outcome.reason));
}

TEST_CASE("a session is resumed also when its connection broke without a goodbye", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    run(f.io, running, break_after_talks(to, f.client, 4));
    CHECK(f.whole_handshakes() == 1);
    CHECK(f.tickets.size() == 4);
}

TEST_CASE("connections that begin together resume with tickets of their own", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    run(f.io, running, two_at_once(to, f.client));
    CHECK(f.whole_handshakes() == 1);
    REQUIRE(f.tickets.size() == 3);
    CHECK(f.tickets[0].empty());
    CHECK(f.tickets[1] != f.tickets[2]);
}

TEST_CASE("sessions whose connections break before an answer are not tried for ever", "[http]")
{
    resuming f;
    running_server running{f.io, f.listen(f.server), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    run(f.io, running, break_before_an_answer(to, f.client, 8));
    CHECK(f.whole_handshakes() > 2); // a session that does harm would do it each time
    CHECK(f.whole_handshakes() < 9);
}

TEST_CASE("a client does not speak anything older than TLS 1.3", "[http]")
{
    const certificate none;
    const auto made = tls_context::client(options(none, nullptr));
    REQUIRE(made.has_value());
    CHECK(SSL_CTX_get_min_proto_version((*made)->native_handle()) == TLS1_3_VERSION);
}

TEST_CASE("a key that is not the certificate's is refused at once", "[http]")
{
    const authority ours{"ours"};
    auto mixed = ours.issue(at_home);
    mixed.key = ours.issue(at_home).key;
    CHECK(!tls_context::server(options(mixed, ours.store())));
}

namespace {

endpoint closed_port()
{
    asio::io_context io{1};
    asio::ip::tcp::acceptor taken{io, {asio::ip::make_address("127.0.0.1"), 0}};
    return {"127.0.0.1", std::to_string(taken.local_endpoint().port())};
}

answered connect_to(endpoint to, milliseconds limit);

asio::awaitable<void> connect_once(endpoint to, milliseconds limit, answered& seen)
{
    const auto with = tls_context::client({});
    const tcp_options defaults;
    const auto ready = co_await connect_tls(to, *with, defaults, limit);
    REQUIRE(!ready);
    seen.at = ready.error().at;
    seen.reason = ready.error().reason;
}

answered connect_to(endpoint to, milliseconds limit)
{
    asio::io_context io{1};
    answered seen;
    run(io, connect_once(std::move(to), limit, seen));
    return seen;
}

} // namespace

TEST_CASE("a failed connection tells the layer", "[http]")
{
    const auto refused = connect_to(closed_port(), 20s);
    CHECK(refused.at == layer::tcp);
    CHECK(refused.reason == boost::system::errc::connection_refused);

    // TCP has no way to everybody, whatever routes this machine has.
    const auto routeless = connect_to({"255.255.255.255", "1"}, 20s);
    CHECK(routeless.at == layer::route);

    // .invalid never resolves (RFC 2606); whether the resolver says so in time does not matter.
    const auto unknown = connect_to({"nobody.invalid", "1"}, 100ms);
    CHECK(unknown.at == layer::resolve);

    const auto no_service = connect_to({"127.0.0.1", "no such port"}, 20s);
    CHECK(no_service.at == layer::resolve);
}

TEST_CASE("a peer that does not accept fails the connection in time", "[http]")
{
    asio::io_context io{1};
    asio::ip::tcp::acceptor full{io, asio::ip::tcp::v4()};
    full.bind({asio::ip::make_address("127.0.0.1"), 0});
    full.listen(0);
    // What does not fit in its queue gets no answer at all.
    std::vector<asio::ip::tcp::socket> queued;
    for (int i = 0; i < 4; ++i) {
        auto& one = queued.emplace_back(io, asio::ip::tcp::v4());
        one.non_blocking(true);
        const auto to = full.local_endpoint();
        ::connect(one.native_handle(), to.data(), static_cast<::socklen_t>(to.size()));
    }
    const auto seen = connect_to({"127.0.0.1", std::to_string(full.local_endpoint().port())}, 50ms);
    CHECK(seen.at == layer::tcp);
    CHECK(seen.reason == boost::system::errc::timed_out);
}

TEST_CASE("a peer that accepts and says nothing fails the handshake in time", "[http]")
{
    asio::io_context io{1};
    asio::ip::tcp::acceptor silent{io, {asio::ip::make_address("127.0.0.1"), 0}};
    const auto seen =
        connect_to({"127.0.0.1", std::to_string(silent.local_endpoint().port())}, 50ms);
    CHECK(seen.at == layer::tls);
    CHECK(seen.reason == boost::system::errc::timed_out);
}

TEST_CASE("a look-up that nobody waits for any more harms nothing", "[http]")
{
    const auto with = tls_context::client({});
    const tcp_options defaults;
    const endpoint to{"nobody.invalid", "1"};

    SECTION("cancelled")
    {
        asio::io_context io{1};
        asio::cancellation_signal stop;
        bool has_ended = false;
        asio::co_spawn(
            io, connect_tls(to, *with, defaults, 1h),
            asio::bind_cancellation_slot(stop.slot(), [&](auto&&...) { has_ended = true; }));
        io.poll();
        stop.emit(asio::cancellation_type::terminal);
        io.run();
        CHECK(has_ended);
    }
    SECTION("its io_context gone")
    {
        asio::io_context io{1};
        asio::co_spawn(io, connect_tls(to, *with, defaults, 1h), asio::detached);
        io.poll();
    }
}

TEST_CASE("a listener takes numeric addresses and tells its own", "[http]")
{
    asio::io_context io{1};
    const auto with = tls_context::server({});
    const auto* bad = GENERATE("", "127.0.0.1", "localhost:1", "::1:0", "[127.0.0.1]:0",
                               "127.0.0.1:65536", "127.0.0.1:", "[::1:0");
    CAPTURE(bad);
    CHECK(!listen_tls(io.get_executor(), bad, *with, 1));
    const auto good = listen_tls(io.get_executor(), "127.0.0.1:0", *with, 1);
    REQUIRE(good.has_value());
    CHECK((*good)->address().starts_with("127.0.0.1:"));
    CHECK(!(*good)->address().ends_with(":0"));
    const auto taken = listen_tls(io.get_executor(), (*good)->address(), *with, 1);
    REQUIRE(!taken);
    CHECK(taken.error() == boost::system::errc::address_in_use);
}

TEST_CASE("a listener takes a new certificate for the connections to come", "[http]")
{
    fixture f;
    wish renewed = at_home;
    renewed.name = "renewed";
    const auto client = client_of(f.ours.issue(a_station), f.ours);
    running_server running{f.io, f.listen(server_of(f.ours.issue(at_home), f.ours)), echo(f.seen)};
    running.on().replace(server_of(f.ours.issue(renewed), f.ours));
    answered outcome;
    run(f.io, running, ask(fixture::endpoint_of(running.on(), "127.0.0.1"), client, outcome));
    CHECK(outcome.peer == "renewed");
}

namespace {

asio::awaitable<void> knock_silently(endpoint to, std::unique_ptr<asio::ip::tcp::socket>& open)
{
    open = std::make_unique<asio::ip::tcp::socket>(co_await asio::this_coro::executor);
    const asio::ip::tcp::endpoint address{asio::ip::make_address(to.host),
                                          static_cast<asio::ip::port_type>(std::stoi(to.port))};
    co_await open->async_connect(address, asio::use_awaitable);
}

} // namespace

TEST_CASE("a silent peer holds up neither others nor the end of the listener", "[http]")
{
    fixture f;
    const auto client = client_of(f.ours.issue(a_station), f.ours);
    running_server running{f.io, f.listen(server_of(f.ours.issue(at_home), f.ours)), echo(f.seen)};
    const auto to = fixture::endpoint_of(running.on(), "127.0.0.1");
    std::unique_ptr<asio::ip::tcp::socket> open;
    answered outcome;
    auto both = [](endpoint at, std::shared_ptr<tls_context> with, answered& out,
                   std::unique_ptr<asio::ip::tcp::socket>& silent) -> asio::awaitable<void> {
        co_await knock_silently(at, silent);
        co_await ask(at, with, out);
    };
    run(f.io, running, both(to, client, outcome, open));
    CHECK(outcome.text == "PUT 1000000");
}

namespace {

/// Many dial and say nothing; the first of them goes on when they are all there.
asio::awaitable<void> dial_many(endpoint to, std::shared_ptr<tls_context> with, error_code& first)
{
    const auto here = co_await asio::this_coro::executor;
    const asio::ip::tcp::endpoint address{asio::ip::make_address(to.host),
                                          static_cast<asio::ip::port_type>(std::stoi(to.port))};
    std::vector<asio::ip::tcp::socket> all;
    for (int i = 0; i < 140; ++i)
        co_await all.emplace_back(here).async_connect(address, asio::use_awaitable);
    for (int i = 0; i < 2'000; ++i) // the listener takes as many as it will
        co_await asio::post(here, asio::use_awaitable);
    tls_stream patient{std::move(all.front()), std::move(with), to};
    first = co_await patient.handshake(asio::ssl::stream_base::client, 20s);
    all.clear();
    co_await patient.shutdown();
}

} // namespace

TEST_CASE("where many come at once, the handshake of none is given up at once for another's",
          "[http]")
{
    fixture f;
    const auto client = client_of(f.ours.issue(a_station), f.ours);
    running_server running{f.io, f.listen(server_of(f.ours.issue(at_home), f.ours), 1'000),
                           echo(f.seen)};
    error_code first;
    run(f.io, running, dial_many(fixture::endpoint_of(running.on(), "127.0.0.1"), client, first));
    CHECK_FALSE(first);
}

namespace {

asio::awaitable<void> write_much(stream& to, std::size_t times, bool& is_done)
{
    const bytes piece = pattern(100'000);
    for (std::size_t i = 0; i < times; ++i) {
        const auto sent = co_await to.write(piece);
        REQUIRE(sent.has_value());
    }
    is_done = true;
}

asio::awaitable<void> read_much(stream& from, std::size_t size)
{
    bytes piece(30'000);
    while (size > 0) {
        const auto got = co_await from.read_some(piece);
        REQUIRE(got.has_value());
        REQUIRE(*got <= size);
        size -= *got;
    }
}

/// Both directions at once: neither end could finish if it had to write before it reads.
asio::awaitable<void> both_ways(stream& with)
{
    bool is_written = false;
    asio::co_spawn(co_await asio::this_coro::executor, write_much(with, 50, is_written),
                   asio::detached);
    co_await read_much(with, 5'000'000);
    asio::steady_timer tick{co_await asio::this_coro::executor};
    while (!is_written) {
        tick.expires_after(1ms);
        co_await tick.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> take_both_ways(std::unique_ptr<stream> with)
{
    co_await both_ways(*with);
    co_await with->shutdown();
}

asio::awaitable<void> give_both_ways(endpoint to, std::shared_ptr<tls_context> with, bool& is_done)
{
    const tcp_options defaults;
    const auto ready = co_await connect_tls(to, with, defaults, 20s);
    REQUIRE(ready.has_value());
    (*ready)->set_no_progress_limit(20s);
    co_await both_ways(**ready);
    co_await (*ready)->shutdown();
    is_done = true;
}

} // namespace

TEST_CASE("one may read from a stream while another writes to it", "[http]")
{
    fixture f;
    running_server running{f.io, f.listen(server_of(f.ours.issue(at_home), f.ours)),
                           take_both_ways};
    bool is_done = false;
    run(f.io, running,
        give_both_ways(fixture::endpoint_of(running.on(), "127.0.0.1"),
                       client_of(f.ours.issue(a_station), f.ours), is_done));
    CHECK(is_done);
}

} // namespace titip::http::test
