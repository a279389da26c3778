#include "journal/stalled.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace titip::journal {

namespace {

asio::awaitable<void> pause(milliseconds time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    co_await timer.async_wait(asio::use_awaitable);
}

} // namespace

asio::awaitable<void> stalled_uploads::run()
{
    co_await pause(opts_.first);
    for (;;) {
        const bool goes_on = co_await look();
        if (!goes_on)
            co_return;
        co_await pause(opts_.between);
    }
}

asio::awaitable<bool> stalled_uploads::look()
{
    view seen;
    const auto before = wall_now() - opts_.after;
    std::optional<place> next{place{}};
    while (next && store_.now().of(state::arriving).records > 0) {
        auto page = co_await store_.stalled(*next, before);
        if (!page)
            co_return false; // the store failed, and has said so
        next = page->next;
        seen.count += page->found.size();
        std::ranges::move(page->found, std::back_inserter(seen.oldest));
        std::ranges::sort(seen.oldest, {}, &record_view::last_byte_at);
        seen.oldest.resize(std::min(seen.oldest.size(), most_shown));
        if (next)
            co_await pause(opts_.breath);
    }
    view_ = std::move(seen);
    co_return true;
}

void stalled_uploads::on_change(const change& what)
{
    const auto gone =
        std::erase_if(view_.oldest, [&what](const auto& each) { return each.place == what.place; });
    view_.count -= gone;
}

} // namespace titip::journal
