#pragma once

#include "base/bytes.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/transport.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

struct evp_pkey_st;
struct x509_st;
struct x509_store_st;

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
tls_options options(const certificate& own, const std::shared_ptr<x509_store_st>& trusted,
                    verifier verify = {});

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

/// Runs `test` and then everything else in `io` to its end, finishing `server` in between. What the
/// test throws comes out.
void run(asio::io_context& io, running_server& server, asio::awaitable<void> test);
void run(asio::io_context& io, asio::awaitable<void> test);

/// What the server below has seen.
struct visit {
    request asked;
    bytes body;
};
struct visits {
    std::vector<visit> all;
    error_code end; ///< why the last connection's reading ended
};

/// Answers each request with its method and the size of its body, in order.
std::function<asio::awaitable<void>(std::unique_ptr<stream>)> echo(std::shared_ptr<visits> seen,
                                                                   server_limits limits = {});

std::unique_ptr<listener> listen_at(asio::io_context& io, const std::filesystem::path& socket);
asio::awaitable<std::unique_ptr<stream>> dial(std::filesystem::path socket);
/// All that comes until the peer closes.
asio::awaitable<std::string> read_all(stream& from);
asio::awaitable<void> send(stream& to, std::string text);
bytes pattern(std::size_t size);

} // namespace titip::http::test
