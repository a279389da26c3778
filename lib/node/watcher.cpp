#include "node/watcher.hpp"

#include "base/log.hpp"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>

#include <pthread.h>

namespace titip::node {

namespace {

/// How much longer than now: enough for some looks that come late.
constexpr auto extension = "EXTEND_TIMEOUT_USEC=30000000";
/// A start that waits for its disk says so from here on.
constexpr milliseconds worth_a_word = 5s;
constexpr std::size_t most_words = 64; ///< to a manager that does not listen

pulse::options options_for(std::uint64_t interval_us)
{
    pulse::options out;
    if (interval_us == 0) // nobody kills us for silence; a start may still need more time
        return out;
    const auto interval = std::chrono::ceil<milliseconds>(std::chrono::microseconds{interval_us});
    out.step = std::clamp(interval / 15, milliseconds{20}, milliseconds{2s});
    out.patience = interval / 3;
    return out;
}

std::string_view name_of(pulse::who which)
{
    switch (which) {
    case pulse::who::socket_thread:
        return "socket-thread";
    case pulse::who::writer:
        return "writer";
    }
    return "?";
}

} // namespace

struct watcher::parts {
    std::shared_ptr<vitals> of;
    bool is_fed = false; ///< whether the manager waits for WATCHDOG=1
    pulse::options opts;

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> words;
    pulse::phase phase = pulse::phase::starting;
    bool is_telling = false;
    bool is_over = false;

    pulse::sight sight_of(pulse::who which) const
    {
        const bool is_writer = which == pulse::who::writer;
        const auto& thread = is_writer ? *of->writer : of->socket_thread;
        const auto number = thread.thread();
        return {.rounds = is_writer ? of->tokens.load() : of->beats.load(),
                .is_asked = !is_writer || of->is_token_out,
                .says = thread.now().what,
                .at = number == 0 ? whereabouts::unknown : look_at_thread(number),
                .cpu = number == 0 ? 0ms : cpu_time_of(number)};
    }
    void look(pulse& with, pulse::phase in);
    void run();
};

void watcher::parts::look(pulse& with, pulse::phase in)
{
    const auto now = monotonic::now();
    const auto decided =
        with.on_look(now, in, {sight_of(pulse::who::socket_thread), sight_of(pulse::who::writer)});
    if (decided.extends)
        ::sd_notify(0, extension);
    if (decided.feeds && is_fed)
        ::sd_notify(0, "WATCHDOG=1");
    if (decided.hangs)
        log::error("hang who={} for_s={}: it is not at the disk; the service manager ends this "
                   "process if that goes on",
                   name_of(*decided.hangs),
                   std::chrono::duration_cast<std::chrono::seconds>(opts.patience).count());
    const auto said = of->socket_thread.now();
    if (in == pulse::phase::starting && said.what == activity::kind::disk &&
        now - said.since > worth_a_word)
        ::sd_notify(
            0,
            fmt::format("STATUS=opening the store: {} s so far",
                        std::chrono::duration_cast<std::chrono::seconds>(now - said.since).count())
                .c_str());
}

void watcher::parts::run()
{
    pulse with{opts};
    auto next_look = monotonic::now();
    std::unique_lock lock{mutex};
    for (;;) {
        changed.wait_until(lock, next_look, [this] { return is_over || !words.empty(); });
        is_telling = true;
        while (!words.empty()) {
            const auto word = std::move(words.front());
            words.pop_front();
            lock.unlock();
            ::sd_notify(0, word.c_str());
            lock.lock();
        }
        is_telling = false;
        changed.notify_all();
        if (is_over)
            return;
        if (monotonic::now() < next_look)
            continue;
        const auto in = phase;
        lock.unlock();
        look(with, in);
        next_look = monotonic::now() + opts.step;
        lock.lock();
    }
}

watcher::watcher(std::shared_ptr<vitals> of) : parts_(std::make_shared<parts>())
{
    std::uint64_t interval_us = 0;
    parts_->of = std::move(of);
    parts_->is_fed = ::sd_watchdog_enabled(0, &interval_us) > 0;
    parts_->opts = options_for(parts_->is_fed ? interval_us : 0);
    if (std::getenv("NOTIFY_SOCKET") == nullptr) {
        parts_->is_over = true;
        return;
    }
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before); // the process's signals are the socket thread's
    std::thread{[kept = parts_] { kept->run(); }}.detach();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

watcher::~watcher()
{
    {
        const std::lock_guard lock{parts_->mutex};
        parts_->is_over = true;
        parts_->changed.notify_all();
    }
    flush(1s);
}

milliseconds watcher::step() const noexcept
{
    return parts_->opts.step;
}

void watcher::say(std::string word)
{
    auto& p = *parts_;
    const std::lock_guard lock{p.mutex};
    if (p.is_over)
        return;
    if (word == "READY=1" && p.phase == pulse::phase::starting)
        p.phase = pulse::phase::running;
    if (word == "STOPPING=1")
        p.phase = pulse::phase::stopping;
    if (!p.words.empty() && p.words.back().starts_with("STATUS=") && word.starts_with("STATUS="))
        p.words.back() = std::move(word);
    else if (p.words.size() < most_words)
        p.words.push_back(std::move(word));
    p.changed.notify_all();
}

bool watcher::flush(milliseconds limit)
{
    auto& p = *parts_;
    std::unique_lock lock{p.mutex};
    return p.changed.wait_for(lock, limit, [&p] { return p.words.empty() && !p.is_telling; });
}

} // namespace titip::node
