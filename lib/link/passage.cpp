#include "link/passage.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace titip::link {

void passage::advance(instant now)
{
    assert(now >= last_); // the monotonic clock, one caller
    last_ = now;
}

void passage::use(std::size_t size, instant now)
{
    size_ = size;
    used_since_ = now;
    now_.most_segment_bytes = segments[size];
}

bool passage::on_silence(instant now, instant began)
{
    assert(began <= now);
    advance(now);
    if (now - began < opts_.least_silence || (has_progress_ && progress_at_ > began))
        return false;
    if (!now_.is_blocked)
        now_.blocked_since = began;
    now_.is_blocked = true;
    // Others that were opened with the same size end at about the same time: they tell nothing new.
    if (used_since_ > began) {
        check();
        return true;
    }
    if (size_ + 1 < segments.size()) {
        use(size_ + 1, now);
        now_.next_at = now;
    } else {
        use(0, now);
        now_.next_at =
            now + std::min(opts_.first_wait * (1 << std::min(rounds_, 16u)), opts_.most_wait);
        ++rounds_;
    }
    check();
    return true;
}

void passage::on_silent_handshake(instant now)
{
    advance(now);
    use((size_ + 1) % segments.size(), now);
    check();
}

passage::event passage::on_progress(instant now)
{
    advance(now);
    progress_at_ = now;
    has_progress_ = true;
    proven_ = size_;
    rounds_ = 0;
    now_.next_at = instant{};
    const bool was_blocked = std::exchange(now_.is_blocked, false);
    check();
    return was_blocked ? event::through : event::none;
}

void passage::on_outage()
{
    use(proven_, last_);
    rounds_ = 0;
    now_.is_blocked = false;
    now_.next_at = instant{};
    check();
}

void passage::on_network_change()
{
    proven_ = 0;
    on_outage();
}

const passage::decision& passage::at(instant now)
{
    advance(now);
    if (!now_.is_blocked && size_ > 0 && now - used_since_ >= opts_.kept) {
        use(size_ - 1, now);
        check();
    }
    return now_;
}

void passage::check() const
{
    assert(size_ < segments.size() && proven_ < segments.size());
    assert(now_.most_segment_bytes == segments[size_]);
    assert(now_.is_blocked || now_.next_at == instant{});
    assert(!now_.is_blocked || now_.blocked_since <= last_);
}

} // namespace titip::link
