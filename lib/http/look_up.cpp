#include "http/look_up.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include <netdb.h>
#include <resolv.h>

namespace titip::http {

namespace asio = boost::asio;

namespace {

using addresses = std::vector<asio::ip::tcp::endpoint>;

/// A dead resolver holds a thread for half a minute; a probe a minute never comes near this.
constexpr int most_threads = 8;
std::atomic<int> threads{0};

error_code meaning_of(int code)
{
    switch (code) {
    case EAI_AGAIN:
        return asio::error::host_not_found_try_again;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return asio::error::host_not_found;
    case EAI_SERVICE:
        return asio::error::service_not_found;
    case EAI_SYSTEM:
        return {errno, boost::system::system_category()};
    default:
        return asio::error::no_recovery;
    }
}

result<addresses> ask(const std::string& host, const std::string& port, int flags)
{
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = flags;
    addrinfo* found = nullptr;
    if (const int code = getaddrinfo(host.c_str(), port.c_str(), &wanted, &found); code != 0)
        return meaning_of(code);
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner{found, freeaddrinfo};
    addresses all;
    for (const addrinfo* one = found; one; one = one->ai_next) {
        asio::ip::tcp::endpoint address;
        if (one->ai_addrlen > address.capacity())
            continue;
        std::memcpy(address.data(), one->ai_addr, one->ai_addrlen);
        address.resize(one->ai_addrlen);
        all.push_back(address);
    }
    return all;
}

/// What the thread and the coroutine share. The thread touches the executor and the timer only
/// while `home` is there, under the lock: the coroutine, whose frame goes before its io_context
/// does, takes it away.
struct question {
    std::mutex guard;
    std::optional<asio::any_io_executor> home;
    asio::steady_timer* alarm = nullptr; ///< on the executor only
    std::optional<result<addresses>> answer;
};

void on_answer(const std::shared_ptr<question>& about, result<addresses> found)
{
    const std::lock_guard held{about->guard};
    about->answer.emplace(std::move(found));
    if (!about->home)
        return;
    asio::post(*about->home, [about] {
        if (about->alarm)
            about->alarm->cancel();
    });
}

class waiter {
public:
    waiter(std::shared_ptr<question> about, asio::steady_timer& alarm) : about_(std::move(about))
    {
        about_->home = alarm.get_executor();
        about_->alarm = &alarm;
    }
    ~waiter()
    {
        const std::lock_guard held{about_->guard};
        about_->home.reset();
        about_->alarm = nullptr;
    }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    std::optional<result<addresses>> answer() const
    {
        const std::lock_guard held{about_->guard};
        return about_->answer;
    }

private:
    std::shared_ptr<question> about_;
};

/// The resolver's state is the thread's own, and so gone with it. One that was changed is not
/// loaded again from its file, which the thread does not live to see change.
void ask_once_only() noexcept
{
    if (::res_init() == 0)
        _res.retry = 1;
}

bool ask_on_thread(std::shared_ptr<question> about, std::string host, std::string port,
                   repetitions how)
{
    if (threads.fetch_add(1) >= most_threads) {
        threads.fetch_sub(1);
        return false;
    }
    try {
        std::thread{[about = std::move(about), host = std::move(host), port = std::move(port),
                     how] {
            if (how == repetitions::none)
                ask_once_only();
            on_answer(about, ask(host, port, 0));
            threads.fetch_sub(1);
        }}.detach();
        return true;
    } catch (const std::system_error&) {
        threads.fetch_sub(1);
        return false;
    }
}

} // namespace

asio::awaitable<result<addresses>> look_up(std::string host, std::string port, instant until,
                                           repetitions how)
{
    auto numeric = ask(host, port, AI_NUMERICHOST);
    if (numeric || numeric.error() != asio::error::host_not_found)
        co_return numeric;

    asio::steady_timer alarm{co_await asio::this_coro::executor, until};
    const auto about = std::make_shared<question>();
    const waiter waiting{about, alarm};
    if (!ask_on_thread(about, std::move(host), std::move(port), how))
        co_return error_code{asio::error::host_not_found_try_again};
    const auto [ended] = co_await alarm.async_wait(asio::as_tuple(asio::use_awaitable));
    if (auto answer = waiting.answer())
        co_return std::move(*answer);
    co_return ended ? ended : error_code{asio::error::timed_out};
}

} // namespace titip::http
