#pragma once

#include "base/bytes.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/transport.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <catch2/catch.hpp>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace titip::http::test {

/// A folder that goes with its owner.
class folder {
public:
    folder();
    ~folder();
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

struct certificate {
    std::shared_ptr<x509_st> x509;
    std::shared_ptr<evp_pkey_st> key;
};

/// What a certificate is made with; dates count from now.
struct wish {
    std::string name;
    std::string alternative; ///< "DNS:centre.test,IP:127.0.0.1"; empty: none
    std::string purpose{};   ///< "clientAuth"; empty: any
    std::chrono::hours since{-1};
    std::chrono::hours until{24};
};

/// An authority made for one test.
class authority {
public:
    explicit authority(std::string name);
    authority(std::string name, std::chrono::hours since, std::chrono::hours until);
    certificate issue(const wish& wanted) const;
    std::shared_ptr<x509_store_st> store() const;

private:
    certificate own_;
};

using verifier = std::function<bool(x509_st*, int)>;
/// A server that runs beside the test in one io_context, and ends with finish().
class running_server {
public:
    running_server(asio::io_context& io, std::unique_ptr<listener> on,
                   std::function<asio::awaitable<void>(std::unique_ptr<stream>)> take);
    ~running_server();
    void finish();
    /// Whether the listener's run() has returned.
    bool has_ended() const noexcept;
    listener& on() noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

/// What the server below has seen.
struct visit {
    request asked;
    bytes body;
};
struct visits {
    std::vector<visit> all;
    error_code end; ///< why the last connection's reading ended
};

inline folder::folder()
{
    std::string pattern = (std::filesystem::temp_directory_path() / "titip-http-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path_ = pattern;
}

inline folder::~folder()
{
    std::filesystem::remove_all(path_);
}

inline std::shared_ptr<EVP_PKEY> new_key()
{
    return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}

inline void extend(X509* to, X509* issuer, int nid, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
    X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    REQUIRE(made);
    X509_add_ext(to, made, -1);
    X509_EXTENSION_free(made);
}

inline std::shared_ptr<X509> new_certificate(const wish& wanted, EVP_PKEY* key)
{
    static long serial{1};
    std::shared_ptr<X509> made{X509_new(), X509_free};
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial++);
    const auto seconds = [](auto d) { return std::chrono::seconds{d}.count(); };
    X509_gmtime_adj(X509_getm_notBefore(made.get()), seconds(wanted.since));
    X509_gmtime_adj(X509_getm_notAfter(made.get()), seconds(wanted.until));
    X509_set_pubkey(made.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wanted.name.c_str()), -1, -1,
                               0);
    return made;
}

inline authority::authority(std::string name)
    : authority(std::move(name), std::chrono::hours{-1}, std::chrono::hours{24})
{
}

inline authority::authority(std::string name, std::chrono::hours since, std::chrono::hours until)
{
    const wish wanted{.name = std::move(name), .alternative = {}, .since = since, .until = until};
    own_.key = new_key();
    own_.x509 = new_certificate(wanted, own_.key.get());
    X509* const x509 = own_.x509.get();
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    extend(x509, x509, NID_basic_constraints, "critical,CA:TRUE");
    extend(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign");
    REQUIRE(X509_sign(x509, own_.key.get(), EVP_sha256()) > 0);
}

inline certificate authority::issue(const wish& wanted) const
{
    certificate made;
    made.key = new_key();
    made.x509 = new_certificate(wanted, made.key.get());
    X509* const x509 = made.x509.get();
    X509_set_issuer_name(x509, X509_get_subject_name(own_.x509.get()));
    extend(x509, own_.x509.get(), NID_basic_constraints, "critical,CA:FALSE");
    extend(x509, own_.x509.get(), NID_key_usage, "critical,digitalSignature");
    if (!wanted.alternative.empty())
        extend(x509, own_.x509.get(), NID_subject_alt_name, wanted.alternative);
    if (!wanted.purpose.empty())
        extend(x509, own_.x509.get(), NID_ext_key_usage, wanted.purpose);
    REQUIRE(X509_sign(x509, own_.key.get(), EVP_sha256()) > 0);
    return made;
}

inline std::shared_ptr<x509_store_st> authority::store() const
{
    std::shared_ptr<X509_STORE> made{X509_STORE_new(), X509_STORE_free};
    REQUIRE(X509_STORE_add_cert(made.get(), own_.x509.get()) == 1);
    return made;
}

inline tls_options options(const certificate& own, const std::shared_ptr<x509_store_st>& trusted,
                           verifier verify = {})
{
    tls_options made;
    made.certificate = own.x509.get();
    made.key = own.key.get();
    made.authorities = trusted.get();
    made.verify = std::move(verify);
    return made;
}

struct running_server::state {
    std::unique_ptr<listener> on;
    asio::cancellation_signal stop;
    bool has_ended = false;
    std::exception_ptr thrown;
};

inline running_server::running_server(
    asio::io_context& io, std::unique_ptr<listener> on,
    std::function<asio::awaitable<void>(std::unique_ptr<stream>)> take)
    : state_(std::make_shared<state>())
{
    state_->on = std::move(on);
    auto ended = [state = state_](std::exception_ptr thrown) {
        state->has_ended = true;
        state->thrown = thrown;
    };
    asio::co_spawn(io, state_->on->run(std::move(take)),
                   asio::bind_cancellation_slot(state_->stop.slot(), std::move(ended)));
}

inline running_server::~running_server() = default;

inline void running_server::finish()
{
    state_->stop.emit(asio::cancellation_type::terminal);
}

inline bool running_server::has_ended() const noexcept
{
    return state_->has_ended;
}

inline listener& running_server::on() noexcept
{
    return *state_->on;
}

inline void run_with(asio::io_context& io, asio::awaitable<void> test, std::function<void()> then)
{
    std::exception_ptr failed;
    io.restart(); // it may have run dry before
    asio::co_spawn(io, std::move(test), [&](std::exception_ptr thrown) {
        failed = thrown;
        then();
    });
    io.run();
    if (failed)
        std::rethrow_exception(failed);
}

/// Runs `test` and then everything else in `io` to its end, finishing `server` in between. What the
/// test throws comes out.
inline void run(asio::io_context& io, running_server& server, asio::awaitable<void> test)
{
    run_with(io, std::move(test), [&] { server.finish(); });
    CHECK(server.has_ended());
}

inline void run(asio::io_context& io, asio::awaitable<void> test)
{
    run_with(io, std::move(test), [] {});
}

inline asio::awaitable<error_code> read_into(server_connection& from, bytes& body)
{
    bytes piece(64u << 10);
    for (;;) {
        const auto got = co_await from.read_body(piece);
        if (!got)
            co_return got.error();
        if (*got == 0)
            co_return error_code{};
        body.insert(body.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*got));
    }
}

inline asio::awaitable<void> serve(std::unique_ptr<stream> with, std::shared_ptr<visits> seen,
                                   server_limits limits)
{
    server_connection connection{std::move(with), limits};
    for (;;) {
        auto next = co_await connection.read_request();
        if (!next) {
            seen->end = next.error();
            if (const unsigned status = status_for(next.error()); status != 0) {
                auto answer = problem(status, "This request cannot be read.");
                answer.keep_alive = false;
                co_await connection.write(std::move(answer));
            }
            break;
        }
        auto& now = seen->all.emplace_back();
        now.asked = std::move(*next);
        seen->end = co_await read_into(connection, now.body);
        if (seen->end)
            break;
        response answer;
        const auto size = std::to_string(now.body.size());
        answer.body = to_bytes(as_bytes(now.asked.method + ' ' + size));
        if (now.asked.target == "/nothing")
            answer.status = 204;
        answer.keep_alive = now.asked.keep_alive;
        const bool goes_on = answer.keep_alive;
        const auto sent = co_await connection.write(std::move(answer));
        if (!sent || !goes_on)
            break;
    }
    co_await connection.transport().shutdown();
}

inline std::function<asio::awaitable<void>(std::unique_ptr<stream>)>
echo(std::shared_ptr<visits> seen, server_limits limits = {})
{
    return [seen, limits](std::unique_ptr<stream> with) {
        return serve(std::move(with), seen, limits);
    };
}

inline std::unique_ptr<listener> listen_at(asio::io_context& io,
                                           const std::filesystem::path& socket)
{
    auto made = listen_unix(io.get_executor(), socket, 64);
    REQUIRE(made.has_value());
    return std::move(*made);
}

inline asio::awaitable<std::unique_ptr<stream>> dial(std::filesystem::path socket)
{
    auto made = co_await connect_unix(std::move(socket));
    REQUIRE(made.has_value());
    co_return std::move(*made);
}

/// All that comes until the peer closes.
inline asio::awaitable<std::string> read_all(stream& from)
{
    std::string all;
    bytes piece(4'096);
    for (;;) {
        const auto got = co_await from.read_some(piece);
        if (!got)
            co_return all;
        all += as_text(std::span{piece}.first(*got));
    }
}

inline asio::awaitable<void> send(stream& to, std::string text)
{
    const auto sent = co_await to.write(as_bytes(text));
    CHECK(sent.has_value());
}

inline bytes pattern(std::size_t size)
{
    bytes made(size);
    for (std::size_t i = 0; i < size; ++i)
        made[i] = static_cast<std::byte>((i * 2'654'435'761u) >> 13);
    return made;
}

} // namespace titip::http::test
