#include "node/service.hpp"

#include "base/log.hpp"
#include "node/node.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <csignal>
#include <cstdlib>
#include <optional>

#include <malloc.h>
#include <sys/prctl.h>

namespace titip::node {

namespace {

constexpr auto quiet = asio::as_tuple(asio::use_awaitable);

/// A record is plaintext in memory for milliseconds; no dump of this process may hold it. And its
/// buffers of 1 MB come and go: as memory maps each would be 250 page faults (7 µs each, measured).
void prepare_process()
{
    ::prctl(PR_SET_DUMPABLE, 0);
    ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 128 << 20);
    ::mallopt(M_ARENA_MAX, 2);
    std::signal(SIGPIPE, SIG_IGN);
}

asio::awaitable<void> obey_signals(node& which, asio::signal_set& signals)
{
    for (;;) {
        const auto [failed, number] = co_await signals.async_wait(quiet);
        if (failed)
            co_return;
        if (number == SIGHUP) {
            ::sd_notify(0, "RELOADING=1");
            which.reload();
            ::sd_notify(0, "READY=1");
            continue;
        }
        log::info("stopping signal={}", number);
        ::sd_notify(0, "STOPPING=1");
        which.stop();
    }
}

/// The token goes through the writer and this thread: either one hanging stops the feeding.
asio::awaitable<void> feed_watchdog(node& which, asio::steady_timer& timer)
{
    std::uint64_t interval_us = 0;
    if (::sd_watchdog_enabled(0, &interval_us) <= 0)
        co_return;
    for (;;) {
        co_await which.pulse();
        ::sd_notify(0, "WATCHDOG=1");
        timer.expires_after(std::chrono::microseconds{interval_us / 3});
        const auto [cancelled] = co_await timer.async_wait(quiet);
        if (cancelled)
            co_return;
    }
}

asio::awaitable<void> tell_status(node& which, asio::steady_timer& timer)
{
    std::string told;
    for (;;) {
        which.look_for_alarms();
        auto now = which.summary();
        if (now != told)
            ::sd_notify(0, ("STATUS=" + now).c_str());
        told = std::move(now);
        timer.expires_after(2s);
        const auto [cancelled] = co_await timer.async_wait(quiet);
        if (cancelled)
            co_return;
    }
}

/// The exit code; nothing where it is to begin again.
std::optional<int> run_once(const config& from)
{
    asio::io_context io{1};
    auto started = node::start(io.get_executor(), from);
    if (!started) {
        fmt::print(stderr, "titipd: {}\n", started.error().sentence);
        return 1;
    }
    auto& it = **started;
    asio::signal_set signals{io, SIGTERM, SIGINT, SIGHUP};
    asio::steady_timer watchdog_timer{io};
    asio::steady_timer status_timer{io};
    int behind = 0;
    const auto background = [&io, &behind](asio::awaitable<void> work) {
        ++behind;
        asio::co_spawn(io, std::move(work), [&behind](std::exception_ptr failed) {
            --behind;
            if (failed)
                std::rethrow_exception(failed);
        });
    };
    background(obey_signals(it, signals));
    background(feed_watchdog(it, watchdog_timer));
    background(tell_status(it, status_timer));
    bool is_over = false;
    asio::co_spawn(io, it.run(), [&](std::exception_ptr failed) {
        if (failed)
            std::rethrow_exception(failed);
        is_over = true;
    });
    if (!it.listening().empty())
        log::info("listening address={}", it.listening());
    log::info("ready {}", it.summary());
    ::sd_notify(0, "READY=1");
    while (!is_over)
        io.run_one();
    const int code = it.store_failure().empty() ? 0 : 7;
    const bool is_to_begin_again = it.is_to_begin_again();
    if (code != 0)
        fmt::print(stderr, "titipd: the store failed: {}\n", it.store_failure());
    if (!is_to_begin_again)
        log::info("stopped");
    // Something that does not end is left behind, without running destructors under it: the journal
    // is safe at any instruction.
    if (!it.has_ended())
        std::_Exit(code);
    // Each time: one that has just been woken waits once more.
    while (behind > 0) {
        signals.cancel();
        watchdog_timer.cancel();
        status_timer.cancel();
        io.run_one();
    }
    if (is_to_begin_again)
        return std::nullopt;
    return code;
}

} // namespace

int run_service(config from)
{
    prepare_process();
    for (;;)
        if (const auto code = run_once(from))
            return *code;
}

} // namespace titip::node
