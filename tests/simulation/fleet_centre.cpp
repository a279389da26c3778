#include "simulation/fleet_centre.hpp"

#include <utility>

namespace titip::fleet {

instant after(instant now, double wait_s)
{
    return now + std::chrono::duration_cast<instant::duration>(seconds{wait_s});
}

std::uint32_t centre::new_line()
{
    if (free_.empty()) {
        lines_.emplace_back();
        return static_cast<std::uint32_t>(lines_.size() - 1);
    }
    const auto id = free_.back();
    free_.pop_back();
    return id;
}

void centre::release(std::uint32_t id)
{
    auto& it = lines_[id];
    const bool was_taken = it.state == line::state::unpaid || it.state == line::state::shaking ||
                           it.state == line::state::open;
    if (it.is_newcomer)
        newcomers_.erase(it.as_newcomer);
    if (it.is_admitted)
        clients_.on_end_of_admitted(id);
    const auto serial = it.serial + 1;
    it = line{};
    it.serial = serial;
    free_.push_back(id);
    if (was_taken)
        --taken_;
}

void centre::drop(std::uint32_t id)
{
    if (lines_[id].has_client)
        clients_.on_closed(id);
    if (lines_[id].is_paid && lines_[id].state != line::state::open)
        ++wasted_;
    release(id);
    fill_places();
}

void centre::set_up(bool is_up)
{
    is_up_ = is_up;
    if (is_up)
        return;
    for (std::uint32_t id = 0; id < lines_.size(); ++id) {
        auto& it = lines_[id];
        if (it.state == line::state::free || it.state == line::state::dialling)
            continue;
        if (it.has_client)
            clients_.on_closed(id);
        release(id);
    }
    kernel_.clear();
    unpaid_.clear();
    busy_cores_ = 0;
}

void centre::on_arrival(std::uint32_t id)
{
    if (!is_up_)
        return;
    if (has_room()) {
        take(id);
    } else if (kernel_.size() < opts_.most_waiting) {
        lines_[id].state = line::state::queued;
        kernel_.emplace_back(id, lines_[id].serial);
    }
}

void centre::fill_places()
{
    while (is_up_ && has_room() && !kernel_.empty()) {
        const auto [id, serial] = kernel_.front();
        kernel_.pop_front();
        if (lines_[id].serial == serial)
            take(id);
    }
}

void centre::take(std::uint32_t id)
{
    auto& it = lines_[id];
    it.state = line::state::unpaid;
    ++taken_;
    most_taken_ = std::max(most_taken_, taken_);
    it.as_newcomer = newcomers_.insert(newcomers_.end(), id);
    it.is_newcomer = true;
    unpaid_.emplace_back(id, it.serial);
    plans_.plan(after(now_, opts_.handshake_limit.count()), happening::handshake_late, id,
                it.serial);
    plans_.plan(after(now_, opts_.fair_time.count()), happening::handshake_fair, id, it.serial);
    pay();
}

void centre::pay()
{
    while (busy_cores_ < opts_.cores && !unpaid_.empty()) {
        const auto [id, serial] = unpaid_.front();
        unpaid_.pop_front();
        auto& it = lines_[id];
        if (it.serial != serial)
            continue;
        ++busy_cores_;
        ++handshakes_;
        it.is_paid = true;
        const auto cost = it.is_resumed ? opts_.resumed_handshake : opts_.full_handshake;
        busy_s_ += cost.count();
        plans_.plan(after(now_, cost.count()), happening::paid, id, serial);
    }
}

void centre::on_paid(std::uint32_t id, std::uint32_t serial)
{
    if (!is_up_)
        return; // its process has gone
    --busy_cores_;
    auto& it = lines_[id];
    if (it.serial == serial && it.state == line::state::unpaid) {
        if (it.has_client) {
            it.state = line::state::shaking;
            plans_.plan(after(now_, it.rtt_s), happening::shaken, id, it.serial);
        } else {
            drop(id);
        }
    }
    pay();
}

void centre::on_shaken(std::uint32_t id)
{
    auto& it = lines_[id];
    newcomers_.erase(it.as_newcomer);
    it.is_newcomer = false;
    it.state = line::state::open;
    clients_.on_open(id);
    fill_places();
}

void centre::on_handshake_fair(std::uint32_t id)
{
    if (lines_[id].is_newcomer && newcomers_.size() >= opts_.most_newcomers && !kernel_.empty())
        drop(id);
}

void centre::on_handshake_late(std::uint32_t id)
{
    if (lines_[id].state != line::state::open)
        drop(id);
}

void centre::on_client_gone(std::uint32_t id)
{
    auto& it = lines_[id];
    it.has_client = false;
    switch (it.state) {
    case line::state::free:
    case line::state::queued: // taken when its turn comes, as all that is in the kernel
    case line::state::unpaid: // what it sent is read before its end is
        return;
    case line::state::dialling:
        release(id);
        return;
    case line::state::shaking:
    case line::state::open:
        drop(id);
    }
}

} // namespace titip::fleet
