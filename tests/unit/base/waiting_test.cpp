#include "base/bell.hpp"
#include "base/pool.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include <stdexcept>
#include <thread>
#include <vector>

using namespace titip;

namespace {

void rethrow(std::exception_ptr failed)
{
    if (failed)
        std::rethrow_exception(failed);
}

asio::awaitable<void> wait_for(bell& rung, const int& value, int wanted, std::vector<int>& done)
{
    while (value < wanted)
        co_await rung.wait();
    done.push_back(wanted);
}

asio::awaitable<void> wait_until(bell& rung, instant deadline, bool& came_back)
{
    co_await rung.wait_until(deadline);
    came_back = true;
}

asio::awaitable<void> run_there(asio::thread_pool& pool, std::thread::id& there,
                                std::thread::id& after, std::string& text)
{
    auto job = [&there] {
        there = std::this_thread::get_id();
        return std::string{"made on the pool"};
    };
    text = co_await run_on(pool, std::move(job));
    after = std::this_thread::get_id();
}

struct only_moves {
    explicit only_moves(int v) : value(std::make_unique<int>(v)) {}
    std::unique_ptr<int> value;
};

asio::awaitable<void> run_many(asio::thread_pool& pool, int count, int& sum)
{
    for (int i = 1; i <= count; ++i) {
        auto job = [i, given = std::make_unique<int>(i)] { return only_moves{*given}; };
        const auto got = co_await run_on(pool, std::move(job));
        sum += *got.value;
    }
}

asio::awaitable<void> run_two(asio::thread_pool& pool, int rounds, int& sum)
{
    for (int i = 0; i < rounds; ++i) {
        auto number = [i] { return i; };
        auto text = [i] { return std::to_string(i); };
        const auto [a, b] = co_await run_both(pool, std::move(number), std::move(text));
        if (b == std::to_string(a))
            sum += a;
    }
}

} // namespace

TEST_CASE("a bell wakes all who wait, and who looks first misses no ring", "[base]")
{
    asio::io_context context;
    bell rung{context.get_executor()};
    int value = 0;
    std::vector<int> done;
    for (const int wanted : {2, 1, 0, 2})
        asio::co_spawn(context, wait_for(rung, value, wanted, done), rethrow);
    context.poll();
    CHECK(done == std::vector<int>{0});
    rung.ring(); // nothing has changed: they look and wait again
    context.poll();
    CHECK(done == std::vector<int>{0});
    value = 1;
    rung.ring();
    context.poll();
    CHECK(done == std::vector<int>{0, 1});
    value = 2;
    rung.ring();
    rung.ring();
    context.poll();
    CHECK(done == std::vector<int>{0, 1, 2, 2});
    rung.ring(); // nobody is left
    CHECK(context.poll() == 0);
}

TEST_CASE("who waits for a bell comes back at the deadline", "[base]")
{
    asio::io_context context;
    bell rung{context.get_executor()};
    bool came_back = false;
    asio::co_spawn(context, wait_until(rung, monotonic::now() - 1s, came_back), rethrow);
    context.run();
    CHECK(came_back);
}

// The caller's next co_await throws.
TEST_CASE("a cancelled caller's wait for a bell ends", "[base]")
{
    asio::io_context context;
    bell rung{context.get_executor()};
    bool came_back = false;
    asio::cancellation_signal cancel;
    asio::co_spawn(context, wait_until(rung, instant::max(), came_back),
                   asio::bind_cancellation_slot(cancel.slot(), [](std::exception_ptr) {}));
    context.poll();
    CHECK_FALSE(came_back);
    cancel.emit(asio::cancellation_type::terminal);
    context.run();
    CHECK(came_back);
}

TEST_CASE("a job runs on the pool and its caller goes on at home", "[base]")
{
    asio::io_context context;
    asio::thread_pool pool{2};
    std::thread::id there, after;
    std::string text;
    asio::co_spawn(context, run_there(pool, there, after, text), rethrow);
    context.run(); // does not come back before the job has: the work is tracked
    CHECK(text == "made on the pool");
    CHECK(there != std::this_thread::get_id());
    CHECK(after == std::this_thread::get_id());
}

TEST_CASE("many jobs at once each come back to who asked, with what can only be moved", "[base]")
{
    asio::io_context context;
    asio::thread_pool pool{3};
    std::vector<int> sums(20);
    for (auto& each : sums)
        asio::co_spawn(context, run_many(pool, 100, each), rethrow);
    context.run();
    CHECK(sums == std::vector<int>(20, 5'050));
}

TEST_CASE("two jobs at the same time come back once, each with its own", "[base]")
{
    asio::io_context context;
    asio::thread_pool pool{3};
    std::vector<int> sums(10);
    for (auto& each : sums)
        asio::co_spawn(context, run_two(pool, 101, each), rethrow);
    context.run();
    CHECK(sums == std::vector<int>(10, 5'050));
}
