#include "base/outlet.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

namespace titip::log {

namespace {

/// Blocks until somebody reads, or nobody ever will.
void write_line(int file, std::string_view rest) noexcept
{
    while (!rest.empty()) {
        const auto written = ::write(file, rest.data(), rest.size());
        if (written > 0) {
            rest.remove_prefix(static_cast<std::size_t>(written));
            continue;
        }
        if (written == 0)
            return;
        if (errno == EAGAIN || errno == EWOULDBLOCK) { // who shares the description made it so
            pollfd writable{.fd = file, .events = POLLOUT, .revents = 0};
            ::poll(&writable, 1, -1);
        } else if (errno != EINTR)
            return;
    }
}

} // namespace

struct outlet::parts {
    int file = -1;
    std::string lost_prefix;
    limits bounds;

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> waiting;
    std::size_t waiting_bytes = 0;
    std::uint64_t lost = 0;
    bool is_writing = false;
    bool is_over = false;

    void push(std::string line)
    {
        waiting_bytes += line.size();
        waiting.push_back(std::move(line));
    }
    void tell_lost()
    {
        if (lost > 0)
            push(fmt::format("{}log-lost lines={}: nobody took them in time\n", lost_prefix,
                             std::exchange(lost, 0)));
    }
    bool is_idle() const { return waiting.empty() && !is_writing && lost == 0; }
    void run();
};

void outlet::parts::run()
{
    std::unique_lock lock{mutex};
    for (;;) {
        changed.wait(lock, [this] { return is_over || !waiting.empty() || lost > 0; });
        if (waiting.empty())
            tell_lost();
        if (waiting.empty())
            return;
        const auto line = std::move(waiting.front());
        waiting.pop_front();
        waiting_bytes -= line.size();
        is_writing = true;
        lock.unlock();
        write_line(file, line);
        lock.lock();
        is_writing = false;
        changed.notify_all();
    }
}

outlet::outlet(int file, std::string lost_prefix, limits bounds) : parts_(std::make_shared<parts>())
{
    parts_->file = file;
    parts_->lost_prefix = std::move(lost_prefix);
    parts_->bounds = bounds;
    // The thread takes none of the process's signals; SIGPIPE, of a reader that is gone, ends nothing.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread{[kept = parts_] { kept->run(); }}.detach();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

outlet::~outlet()
{
    const std::lock_guard lock{parts_->mutex};
    parts_->is_over = true;
    parts_->changed.notify_all();
}

void outlet::put(std::string line, bool is_urgent)
{
    auto& p = *parts_;
    const std::lock_guard lock{p.mutex};
    const auto room = p.bounds.bytes + (is_urgent ? p.bounds.urgent_bytes : 0);
    if (p.waiting_bytes + line.size() > room) {
        ++p.lost;
        return;
    }
    p.tell_lost(); // here, so that it stands where they are missing
    p.push(std::move(line));
    p.changed.notify_all();
}

bool outlet::flush(milliseconds limit)
{
    std::unique_lock lock{parts_->mutex};
    return parts_->changed.wait_for(lock, limit, [this] { return parts_->is_idle(); });
}

} // namespace titip::log
