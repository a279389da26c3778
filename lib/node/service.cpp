#include "node/service.hpp"

#include "base/last_words.hpp"
#include "base/log.hpp"
#include "base/outlet.hpp"
#include "node/node.hpp"
#include "node/watcher.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

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

asio::awaitable<void> obey_signals(node& which, watcher& manager, asio::signal_set& signals)
{
    for (;;) {
        const auto [failed, number] = co_await signals.async_wait(quiet);
        if (failed)
            co_return;
        if (number == SIGHUP) {
            manager.say("RELOADING=1");
            which.reload();
            manager.say("READY=1");
            continue;
        }
        log::info("stopping signal={}", number);
        manager.say("STOPPING=1");
        which.stop();
    }
}

/// What the watcher sees of this thread and, by a token that passes through it, of the writer.
asio::awaitable<void> beat(node& which, std::shared_ptr<vitals> seen, milliseconds step,
                           asio::steady_timer& timer)
{
    for (;;) {
        ++seen->beats;
        if (!seen->is_token_out.exchange(true))
            which.knock([seen] {
                ++seen->tokens;
                seen->is_token_out = false;
            });
        timer.expires_after(step);
        const auto [cancelled] = co_await timer.async_wait(quiet);
        if (cancelled)
            co_return;
    }
}

asio::awaitable<void> tell_status(node& which, watcher& manager, asio::steady_timer& timer)
{
    std::string told;
    for (;;) {
        which.look_for_alarms();
        auto now = which.summary();
        if (now != told)
            manager.say("STATUS=" + now);
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
    const auto seen = std::make_shared<vitals>();
    seen->socket_thread.begin_thread();
    seen->socket_thread.say(activity::kind::own);
    watcher manager{seen}; // before the node, whose end may take a disk's time too
    asio::io_context io{1};
    auto started = node::start(io.get_executor(), from, seen);
    if (!started) {
        last_words("titipd", started.error().sentence);
        return 1;
    }
    auto& it = **started;
    asio::signal_set signals{io, SIGTERM, SIGINT, SIGHUP};
    asio::steady_timer beat_timer{io};
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
    background(obey_signals(it, manager, signals));
    background(beat(it, seen, manager.step(), beat_timer));
    background(tell_status(it, manager, status_timer));
    bool is_over = false;
    asio::co_spawn(io, it.run(), [&](std::exception_ptr failed) {
        if (failed)
            std::rethrow_exception(failed);
        is_over = true;
    });
    if (!it.listening().empty())
        log::info("listening address={}", it.listening());
    log::info("ready {}", it.summary());
    manager.say("READY=1");
    while (!is_over)
        io.run_one();
    const int code = it.store_failure().empty() ? 0 : 7;
    const bool is_to_begin_again = it.is_to_begin_again();
    if (code != 0)
        last_words("titipd", "the store failed: " + it.store_failure());
    if (!is_to_begin_again)
        log::info("stopped");
    log::flush();
    // Something that does not end is left behind, without running destructors under it: the journal
    // is safe at any instruction.
    if (!it.has_ended()) {
        manager.flush(1s);
        std::_Exit(code);
    }
    // Each time: one that has just been woken waits once more.
    while (behind > 0) {
        signals.cancel();
        beat_timer.cancel();
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
