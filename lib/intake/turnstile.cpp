#include "intake/turnstile.hpp"

namespace titip::intake {

turnstile::place::~place()
{
    if (!at_)
        return;
    at_->owners_.erase(ticket_);
    at_->admission_.on_end(ticket_, monotonic::now());
    at_->wake_called();
}

void turnstile::place::grow(std::size_t by)
{
    at_->admission_.on_bytes(ticket_, monotonic::now(), by);
}

void turnstile::place::clear()
{
    at_->admission_.on_kept(ticket_, monotonic::now());
    at_->wake_called();
}

void turnstile::place::complete()
{
    at_->admission_.on_whole(ticket_);
}

asio::awaitable<result<turnstile::place, admission::refusal>> turnstile::enter(std::string station,
                                                                               http::stream& by)
{
    const auto began = monotonic::now();
    const auto mine = admission_.on_body(began, station);
    place held{*this, mine};
    bell woken{on_};
    auto& me = owners_[mine] = {.by = &by, .woken = &woken};
    for (auto now = began;; now = monotonic::now()) {
        const auto seen = admission_.look(mine, now, draw_chance());
        wake_called();
        if (seen.displaced)
            owners_.at(*seen.displaced).by->close();
        if (seen.is_in)
            break;
        if (seen.refused) {
            held.at_ = nullptr;
            owners_.erase(mine);
            co_return *seen.refused;
        }
        if (is_stopping_)
            co_return admission::refusal{.retry_after = 1s};
        co_await woken.wait_until(seen.look_again);
    }
    me.woken = nullptr;
    co_return std::move(held);
}

void turnstile::stop()
{
    is_stopping_ = true;
    for (auto& [_, each] : owners_)
        if (each.woken)
            each.woken->ring();
}

void turnstile::wake_called()
{
    for (const auto each : admission_.take_called())
        if (const auto found = owners_.find(each); found != owners_.end() && found->second.woken)
            found->second.woken->ring();
}

} // namespace titip::intake
