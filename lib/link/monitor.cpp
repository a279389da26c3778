#include "link/monitor.hpp"

#include "base/digest.hpp"

#include <algorithm>
#include <cassert>

namespace titip::link {

namespace {

constexpr int enough_good = 2;
constexpr milliseconds most_spread = 1h;

// From 0 to 1.
double position_of(std::string_view node)
{
    const auto hash = sha256(as_bytes(node));
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i)
        number = number << 8 | std::to_integer<std::uint32_t>(hash[i]);
    return static_cast<double>(number) / 4'294'967'296.0;
}

milliseconds times(milliseconds whole, double part)
{
    return std::chrono::duration_cast<milliseconds>(whole * part);
}

} // namespace

monitor::monitor(const options& opts, instant start)
    : opts_(opts), last_(start), asked_until_(start), not_before_(start), fresh_until_(start),
      step_(opts.base)
{
    assert(opts.base > 0ms && opts.fresh_cap >= opts.base && opts.cap_below_tls >= opts.base &&
           opts.cap_below_tls_old >= opts.base && opts.cap_above >= opts.base);
    now_.since = now_.checked_at = now_.probe_at = start;
}

monitor::decision monitor::on_probe_success(instant now)
{
    advance(now);
    now_.checked_at = now;
    now_.is_promising = true;
    asked_until_ = now;
    not_before_ = now + opts_.base;
    if (!now_.is_up && !is_new_ && ++good_ < enough_good) {
        now_.probe_at = not_before_;
        return with(event::none);
    }
    const bool had_outage = !now_.is_up && !is_new_;
    if (!now_.is_up)
        now_.since = now;
    now_.is_up = true;
    now_.verdict = verdict::ok;
    now_.probe_at = now + opts_.idle;
    is_new_ = false;
    return with(had_outage ? event::outage_ended : event::none);
}

monitor::decision monitor::on_failure(instant now, verdict why, milliseconds retry_after,
                                      double chance)
{
    assert(why != verdict::ok && why != verdict::unknown);
    assert(chance >= 0 && chance < 1);
    advance(now);
    const bool begins = now_.is_up || is_new_;
    if (begins)
        turn_down(now);
    now_.verdict = why;
    now_.checked_at = now;
    now_.is_promising = false;
    good_ = 0;
    if (retry_after > 0ms)
        asked_until_ = now + std::min(retry_after, opts_.retry_after_cap);
    not_before_ = std::max(now + opts_.base, asked_until_);
    // Full jitter may draw 0: never sooner than the base, or than we were asked to come back.
    const auto most = ceiling(now);
    const auto least = is_below_tls(why) ? most / 2 : 0ms;
    const auto jittered = least + times(most - least, chance);
    now_.probe_at = std::max(not_before_, std::max(now, asked_until_) + jittered);
    return with(begins ? event::outage_began : event::none);
}

monitor::decision monitor::on_hint(instant now)
{
    advance(now);
    now_.probe_at = std::min(now_.probe_at, std::max(now, not_before_));
    return with(event::none);
}

bool monitor::is_nearly_up() const noexcept
{
    return !now_.is_up && (is_new_ || good_ + 1 >= enough_good);
}

void monitor::advance(instant now)
{
    assert(now >= last_); // the monotonic clock, one caller
    last_ = now;
}

monitor::decision monitor::with(event what) const
{
    auto out = now_;
    out.happened = what;
    return out;
}

// The largest wait that may be drawn now; the next one is twice as large.
milliseconds monitor::ceiling(instant now)
{
    const auto below_tls =
        now < now_.since + opts_.young ? opts_.cap_below_tls : opts_.cap_below_tls_old;
    const auto cap = is_below_tls(now_.verdict) ? below_tls : opts_.cap_above;
    const bool is_fresh = now < fresh_until_;
    step_ = std::min({step_ * 2, cap, is_fresh ? opts_.fresh_cap : cap});
    return step_;
}

void monitor::turn_down(instant now)
{
    if (now_.is_up)
        fresh_until_ = now + opts_.fresh;
    now_.is_up = false;
    now_.since = now;
    is_new_ = false;
    step_ = opts_.base;
}

instant first_send_at(instant now, milliseconds spread, std::string_view node)
{
    return now + times(std::clamp(spread, 0ms, most_spread), position_of(node));
}

} // namespace titip::link
