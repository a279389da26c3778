#include "http/listening.hpp"

#include "base/log.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <list>

namespace titip::http {

namespace {

/// No descriptor or memory for one more: some connection will end.
constexpr milliseconds after_accept_error = 100ms;

void report(const std::exception_ptr& thrown)
{
    try {
        if (thrown)
            std::rethrow_exception(thrown);
    } catch (const boost::system::system_error& e) {
        if (e.code() != asio::error::operation_aborted)
            log::error("connection_failed reason=\"{}\"", e.what());
    } catch (const std::exception& e) {
        log::error("connection_failed reason=\"{}\"", e.what());
    }
}

/// The connections of one listener.
class crowd : public std::enable_shared_from_this<crowd> {
public:
    explicit crowd(asio::any_io_executor on) : change_(std::move(on), instant::max()) {}

    std::size_t size() const noexcept { return signals_.size(); }

    void start(asio::awaitable<void> connection)
    {
        const auto mine = signals_.emplace(signals_.end());
        auto ended = [self = shared_from_this(), mine](const std::exception_ptr& thrown) {
            report(thrown);
            // Not here and now: the coroutine's own state still lies within the signal.
            asio::post(self->change_.get_executor(), [self, mine] { self->remove(mine); });
        };
        asio::co_spawn(change_.get_executor(), std::move(connection),
                       asio::bind_cancellation_slot(mine->slot(), std::move(ended)));
    }

    void cancel_all()
    {
        for (auto& signal : signals_)
            signal.emit(asio::cancellation_type::terminal);
    }

    /// Until one has ended, or the caller is cancelled.
    asio::awaitable<void> change()
    {
        co_await change_.async_wait(asio::as_tuple(asio::use_awaitable));
    }

private:
    using signals = std::list<asio::cancellation_signal>;

    void remove(signals::iterator mine)
    {
        signals_.erase(mine);
        change_.cancel();
    }

    signals signals_;
    asio::steady_timer change_;
};

asio::awaitable<bool> is_cancelled()
{
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

asio::awaitable<void> pause(milliseconds time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

} // namespace

asio::awaitable<void> accepting_listener::run(taker take)
{
    const auto shared = std::make_shared<const taker>(std::move(take));
    const auto connections = std::make_shared<crowd>(co_await asio::this_coro::executor);
    // Else nothing could be awaited after the cancellation, and there is something to wait for.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);

    bool is_troubled = false;
    while (!co_await is_cancelled()) {
        if (connections->size() >= most_) {
            co_await connections->change();
            continue;
        }
        auto next = co_await accept(shared);
        if (next) {
            is_troubled = false;
            connections->start(std::move(*next));
        } else if (next.error() != asio::error::operation_aborted) {
            if (!std::exchange(is_troubled, true))
                log::warn("accept_failed reason=\"{}\"", next.error().message());
            co_await pause(after_accept_error);
        }
    }

    connections->cancel_all();
    while (connections->size() > 0)
        co_await connections->change();
    co_await asio::this_coro::throw_if_cancelled(throws);
}

} // namespace titip::http
