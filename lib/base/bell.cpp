#include "base/bell.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace titip {

namespace asio = boost::asio;

class bell::waiting {
public:
    waiting(bell& from, instant deadline) : from_(from), timer_(from.on_, deadline)
    {
        from_.all_.push_back(this);
    }
    waiting(const waiting&) = delete;
    ~waiting() { std::erase(from_.all_, this); }
    asio::steady_timer& timer() noexcept { return timer_; }

private:
    bell& from_;
    asio::steady_timer timer_;
};

bell::bell(asio::any_io_executor on) : on_(std::move(on)) {}

void bell::ring()
{
    for (auto* each : all_)
        each->timer().cancel();
}

asio::awaitable<void> bell::wait_until(instant deadline)
{
    waiting here{*this, deadline};
    co_await here.timer().async_wait(asio::as_tuple(asio::use_awaitable));
}

} // namespace titip
