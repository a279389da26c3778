#include "journal/scrubber.hpp"

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/pool.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <sstream>

namespace titip::journal {

namespace {

asio::awaitable<void> pause(milliseconds time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    co_await timer.async_wait(asio::use_awaitable);
}

} // namespace

scrubber::scrubber(store& of, asio::thread_pool& pool, options opts)
    : store_(of), pool_(pool), opts_(std::move(opts))
{
    load();
}

asio::awaitable<void> scrubber::run()
{
    auto seen = store_.now().next_entry;
    for (;;) {
        const auto entry = store_.now().next_entry;
        if (entry != seen) {
            seen = entry;
            co_await pause(opts_.when_busy);
            continue;
        }
        const auto next = co_await store_.next_stored(after_);
        if (!next)
            co_return; // the store failed, and has said so
        if (*next) {
            const auto& record = **next;
            view_.oldest_check = std::max(record.accepted_at, previous_began_);
            const auto size = record.stored_bytes;
            co_await look_at(record);
            co_await pause(milliseconds{size * 1000 / opts_.bytes_per_s + 1});
            seen = store_.now().next_entry; // what was noted of this record is no reason to wait
        } else
            co_await end_pass();
    }
}

asio::awaitable<void> scrubber::look_at(const record_view& record)
{
    const auto good = co_await store_.check_intact(record.place);
    if (!good && good.error() == ::titip::vault::errc::rotten) {
        ++view_.rotten_records;
        const bool is_taken = opts_.repair && opts_.repair(record.place);
        // Who watches for errors is to hear of what nobody else holds.
        const bool is_only_here = record.receipt_by.empty() || record.delivered_at == wall_time{};
        log::write(is_only_here && !is_taken ? log::level::error : log::level::warn,
                   fmt::format("rotten record={} place={}", record.key.record.to_string(),
                               static_cast<std::uint64_t>(record.place)));
        if (!is_taken)
            co_await store_.note_rot(record.place);
    }
    after_ = record.place;
    ++view_.checked_records;
    constexpr std::uint64_t often_enough = 64;
    if (view_.checked_records % often_enough == 0)
        co_await save();
}

asio::awaitable<void> scrubber::end_pass()
{
    auto differences = co_await store_.audit();
    if (differences) {
        for (const auto& each : *differences)
            log::error("audit difference=\"{}\"", each);
        view_.differences = std::move(*differences);
    }
    // All that is here was looked at since then.
    view_.oldest_check = after_ == place{} ? wall_time{} : view_.pass_began;
    const auto now = wall_now();
    const auto since = std::clamp(now - view_.pass_began, milliseconds{0}, opts_.between_passes);
    co_await pause(std::max(opts_.between_passes - since, opts_.when_busy));
    previous_began_ = view_.pass_began;
    view_.pass_began = wall_now();
    after_ = place{};
    co_await save();
}

void scrubber::load()
{
    view_.pass_began = wall_now();
    const auto stored = read_file(opts_.progress, 1024);
    if (!stored)
        return;
    std::istringstream in{std::string{as_text(*stored)}};
    std::uint64_t after = 0;
    std::int64_t began = 0;
    std::int64_t previous = 0;
    if (!(in >> after >> began >> previous) || from_ms(began) > view_.pass_began)
        return;
    after_ = place{after};
    view_.pass_began = from_ms(began);
    previous_began_ = from_ms(previous);
}

asio::awaitable<void> scrubber::save()
{
    auto text = fmt::format("{} {} {}\n", static_cast<std::uint64_t>(after_),
                            to_ms(view_.pass_began), to_ms(previous_began_));
    auto job = [path = opts_.progress, text = std::move(text)] {
        return write_file(path, as_bytes(text));
    };
    co_await run_on(pool_, std::move(job));
}

} // namespace titip::journal
