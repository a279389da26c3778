#include "http/listening.hpp"
#include "http/timed_stream.hpp"

#include <boost/asio/local/stream_protocol.hpp>

#include <cerrno>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::http {

namespace {

using local = asio::local::stream_protocol;

error_code last_error()
{
    return {errno, boost::system::system_category()};
}

result<local::endpoint> to_endpoint(const std::filesystem::path& socket)
{
    try {
        return local::endpoint{socket.string()};
    } catch (const boost::system::system_error& too_long) {
        return too_long.code();
    }
}

class unix_stream final : public timed_stream<local::socket> {
public:
    explicit unix_stream(local::socket socket) : timed_stream(std::move(socket)) {}

    asio::awaitable<void> shutdown() override
    {
        const watchdog::step running{reading_, goodbye};
        co_await linger(next_);
        close();
    }
};

asio::awaitable<void> serve(local::socket socket, std::shared_ptr<const taker> take)
{
    auto ready = std::make_unique<unix_stream>(std::move(socket));
    co_await (*take)(std::move(ready));
}

class unix_listener final : public accepting_listener {
public:
    unix_listener(local::acceptor acceptor, std::filesystem::path path, std::size_t most)
        : accepting_listener(most), acceptor_(std::move(acceptor)), path_(std::move(path))
    {
    }
    ~unix_listener() override { ::unlink(path_.c_str()); }

    std::string address() const override { return path_.string(); }

private:
    asio::awaitable<result<asio::awaitable<void>>>
    accept(std::shared_ptr<const taker> take) override
    {
        auto [ec, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (ec)
            co_return ec;
        co_return serve(std::move(socket), std::move(take));
    }

    local::acceptor acceptor_;
    std::filesystem::path path_;
};

/// Dials before it removes: another process may be alive behind the file.
error_code remove_stale(const asio::any_io_executor& on, const local::endpoint& at)
{
    struct ::stat file {};
    if (::lstat(at.path().c_str(), &file) != 0)
        return errno == ENOENT ? error_code{} : last_error();
    if (!S_ISSOCK(file.st_mode))
        return asio::error::address_in_use;
    error_code ec;
    local::socket dial{on};
    dial.open(at.protocol(), ec);
    if (!ec)
        dial.non_blocking(true, ec); // its queue may be full, and that is an answer too
    if (ec)
        return ec;
    // Not dial.connect(), which would wait for room in a full queue.
    const auto size = static_cast<::socklen_t>(at.size());
    if (::connect(dial.native_handle(), at.data(), size) == 0 || errno != ECONNREFUSED)
        return asio::error::address_in_use;
    return ::unlink(at.path().c_str()) == 0 ? error_code{} : last_error();
}

} // namespace

result<credentials> peer_credentials(int native_handle)
{
    ::ucred peer{};
    ::socklen_t size = sizeof peer;
    if (::getsockopt(native_handle, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return last_error();
    std::vector<gid_t> groups(32);
    for (;;) {
        size = static_cast<::socklen_t>(groups.size() * sizeof(gid_t));
        if (::getsockopt(native_handle, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0)
            break;
        if (errno != ERANGE || size <= groups.size() * sizeof(gid_t))
            return last_error();
        groups.resize(size / sizeof(gid_t));
    }
    groups.resize(size / sizeof(gid_t));
    groups.insert(groups.begin(), peer.gid);
    return credentials{peer.uid, std::move(groups)};
}

asio::awaitable<result<std::unique_ptr<stream>>> connect_unix(std::filesystem::path socket)
{
    const auto to = to_endpoint(socket);
    if (!to)
        co_return to.error();
    local::socket dialled{co_await asio::this_coro::executor};
    const auto [ec] = co_await dialled.async_connect(*to, asio::as_tuple(asio::use_awaitable));
    if (ec)
        co_return ec;
    std::unique_ptr<stream> ready = std::make_unique<unix_stream>(std::move(dialled));
    co_return ready;
}

result<std::unique_ptr<listener>> listen_unix(asio::any_io_executor on,
                                              std::filesystem::path socket, std::size_t most)
{
    const auto at = to_endpoint(socket);
    if (!at)
        return at.error();
    error_code ec = remove_stale(on, *at);
    local::acceptor acceptor{on};
    if (!ec)
        acceptor.open(at->protocol(), ec);
    if (!ec)
        acceptor.bind(*at, ec);
    if (ec)
        return ec;
    if (::chmod(socket.c_str(), 0666) != 0) // what bind() gave it depends on the umask
        return last_error();
    acceptor.listen(local::acceptor::max_listen_connections, ec);
    if (ec)
        return ec;
    return std::unique_ptr<listener>{
        std::make_unique<unix_listener>(std::move(acceptor), std::move(socket), most)};
}

} // namespace titip::http
