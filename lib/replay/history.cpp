#include "replay/history.hpp"

#include <algorithm>

namespace titip::replay {

namespace {

constexpr auto recently = 1min;
constexpr std::size_t slots_of_an_hour = 1h / history::slot;

std::uint64_t per_second(std::uint64_t bytes, instant::duration in)
{
    const auto ms = std::chrono::duration_cast<milliseconds>(in).count();
    return ms > 0 ? bytes * 1000 / static_cast<std::uint64_t>(ms) : 0;
}

} // namespace

void history::advance(instant now)
{
    if (past_.empty()) {
        past_.emplace_back();
        slot_began_ = looked_at_ = now;
    }
    for (; now - slot_began_ >= slot; slot_began_ += slot) {
        past_.push_back({.waiting_bytes = past_.back().waiting_bytes});
        if (past_.size() > slots)
            past_.pop_front();
    }
}

void history::on_sent(instant now, std::uint64_t bytes)
{
    advance(now);
    past_.back().sent_bytes += bytes;
    if (!recent_.empty() && now - recent_.back().first < 1s)
        recent_.back().second += bytes;
    else
        recent_.emplace_back(now, bytes);
    while (recent_.front().first < now - recently)
        recent_.pop_front();
}

void history::on_wasted(instant now, std::uint64_t bytes)
{
    advance(now);
    const auto take_back = [](std::uint64_t& from, std::uint64_t& left) {
        const auto some = std::min(from, left);
        from -= some;
        left -= some;
    };
    auto left = bytes;
    for (auto each = recent_.rbegin(); each != recent_.rend() && left > 0; ++each)
        take_back(each->second, left);
    left = bytes;
    for (auto each = past_.rbegin(); each != past_.rend() && left > 0; ++each)
        take_back(each->sent_bytes, left);
}

void history::on_delivery(instant now, std::uint64_t bytes)
{
    advance(now);
    past_.back().delivered_bytes += bytes;
}

void history::on_backlog(instant now, std::uint64_t waiting_bytes)
{
    advance(now);
    auto& present = past_.back();
    if (std::max(present.waiting_bytes, waiting_bytes) > 0)
        present.busy += std::min<instant::duration>(now - looked_at_, slot);
    present.waiting_bytes = waiting_bytes;
    looked_at_ = now;
}

history::view history::at(instant now) const
{
    view out;
    std::uint64_t sum = 0;
    auto first = now;
    for (const auto& [when, bytes] : recent_)
        if (when >= now - recently) {
            sum += bytes;
            first = std::min(first, when);
        }
    // A moment tells little of the time to come.
    out.minute_bytes_per_s = per_second(sum, std::max<instant::duration>(now - first, 10s));

    std::uint64_t sent = 0;
    instant::duration busy{};
    const auto hour = std::min(past_.size(), slots_of_an_hour);
    for (auto each = past_.end() - static_cast<std::ptrdiff_t>(hour); each != past_.end(); ++each) {
        sent += each->sent_bytes;
        busy += each->busy;
    }
    out.hour_bytes_per_s = per_second(sent, busy);
    for (const auto& each : past_) {
        out.sent_bytes.push_back(each.sent_bytes);
        out.delivered_bytes.push_back(each.delivered_bytes);
        out.waiting_bytes.push_back(each.waiting_bytes);
    }
    return out;
}

} // namespace titip::replay
