#pragma once

#include "base/result.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

namespace titip {

namespace asio = boost::asio;

/// Starts work elsewhere and comes back: `start` is given a callable that may be called once, from
/// any thread, with a value; the coroutine goes on with it on its own executor. Not cancellable:
/// what was started is waited for.
template <class T, class Start>
asio::awaitable<T> elsewhere(Start start)
{
    const auto home =
        asio::prefer(co_await asio::this_coro::executor, asio::execution::outstanding_work.tracked);
    auto landed = std::make_shared<std::optional<T>>();
    auto initiate = [&start, &home, &landed](auto handler) {
        auto kept = std::make_shared<decltype(handler)>(std::move(handler));
        start([home, kept, landed](T value) mutable {
            asio::post(home, [kept, landed, value = std::move(value)]() mutable {
                landed->emplace(std::move(value));
                std::move (*kept)();
            });
        });
    };
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate),
                                                                         asio::use_awaitable);
    co_return std::move(**landed);
}

/// Runs `job` on a pool of threads (sealing, hashing, reading) and comes back with what it returns.
template <class Job>
asio::awaitable<std::invoke_result_t<Job>> run_on(asio::thread_pool& pool, Job job)
{
    using T = std::invoke_result_t<Job>;
    auto start = [&pool, &job](auto done) {
        asio::post(pool, [done = std::move(done), job = std::move(job)]() mutable { done(job()); });
    };
    co_return co_await elsewhere<T>(std::move(start));
}

/// Runs two jobs on the pool at the same time and comes back when both are done.
template <class First, class Second>
asio::awaitable<std::pair<std::invoke_result_t<First>, std::invoke_result_t<Second>>>
run_both(asio::thread_pool& pool, First first, Second second)
{
    using A = std::invoke_result_t<First>;
    using B = std::invoke_result_t<Second>;
    struct shared {
        std::optional<A> a;
        std::optional<B> b;
        std::atomic<int> left = 2;
    };
    auto start = [&pool, &first, &second](auto done) {
        auto state = std::make_shared<shared>();
        auto finish = [state, done](auto& slot, auto value) mutable {
            slot.emplace(std::move(value));
            if (--state->left == 0)
                done(std::pair<A, B>{std::move(*state->a), std::move(*state->b)});
        };
        asio::post(pool,
                   [state, finish, job = std::move(first)]() mutable { finish(state->a, job()); });
        asio::post(pool,
                   [state, finish, job = std::move(second)]() mutable { finish(state->b, job()); });
    };
    co_return co_await elsewhere<std::pair<A, B>>(std::move(start));
}

} // namespace titip
