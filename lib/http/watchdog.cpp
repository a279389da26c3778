#include "http/watchdog.hpp"

#include <boost/asio/steady_timer.hpp>

#include <utility>

namespace titip::http {

namespace asio = boost::asio;

/// Outlives the watchdog as long as the timer's handler does.
struct watchdog::watch : std::enable_shared_from_this<watch> {
    static constexpr instant never = instant::max();

    asio::steady_timer timer;
    std::function<void()> late;
    instant deadline = never;
    bool asleep = false; ///< the timer has a handler that will look
    bool was_late = false;

    watch(asio::any_io_executor on, std::function<void()> call)
        : timer(std::move(on)), late(std::move(call))
    {
    }

    void sleep()
    {
        asleep = true;
        timer.expires_at(deadline);
        timer.async_wait([self = shared_from_this()](const auto&) { self->look(); });
    }

    void look()
    {
        asleep = false;
        if (!late || deadline == never)
            return;
        if (monotonic::now() < deadline)
            return sleep();
        deadline = never;
        was_late = true;
        late();
    }
};

watchdog::watchdog(asio::any_io_executor on, std::function<void()> late)
    : watch_(std::make_shared<watch>(std::move(on), std::move(late)))
{
}

watchdog::~watchdog()
{
    watch_->late = nullptr;
    watch_->timer.cancel();
}

void watchdog::begin(milliseconds limit)
{
    watch_->deadline = limit < unlimited ? monotonic::now() + limit : watch::never;
    if (watch_->deadline == watch::never)
        return;
    if (!watch_->asleep)
        watch_->sleep();
    else if (watch_->deadline < watch_->timer.expiry())
        watch_->timer.cancel(); // wakes it, and it goes to sleep again for the shorter time
}

void watchdog::end() noexcept
{
    watch_->deadline = watch::never;
}

void watchdog::extend(milliseconds limit)
{
    if (watch_->deadline != watch::never)
        begin(limit);
}

bool watchdog::is_late() const noexcept
{
    return watch_->was_late;
}

} // namespace titip::http
