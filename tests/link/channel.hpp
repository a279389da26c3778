#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string_view>

/// One direction of a bad link, without sockets and without a clock of its own.
namespace titip::tests::link {

using std::chrono::nanoseconds;

/// What a direction is like; each may change while packets are under way.
struct quality {
    double rate_bits_per_s = 0;    ///< 0: without limit
    nanoseconds delay{};           ///< after the last bit was sent
    nanoseconds jitter{};          ///< up to so much more; packets stay in order
    std::uint64_t queue_bytes = 0; ///< what waits behind the packet on the wire; 0: without limit
    double loss = 0;               ///< of packets, one by one, after they have used the wire
    /// Losses that come together, besides (Gilbert's model): how often a bad spell begins, by
    /// packets, and how many packets it lasts in the mean, all of them lost.
    double spell_chance = 0;
    double spell_packets = 0;
    /// A black hole: so long from `cut_after` on, and again every `cut_every`; none if it is 0.
    nanoseconds cut_after{};
    nanoseconds cut_for{};
    nanoseconds cut_every{};
    bool is_cut = false; ///< until somebody says otherwise
};

struct tally {
    std::uint64_t packets = 0; ///< that came to be sent
    std::uint64_t bytes = 0;
    std::uint64_t queue_drops = 0;
    std::uint64_t losses = 0;
    std::uint64_t cuts = 0; ///< packets that fell into a black hole
    std::uint64_t delivered = 0;
    std::uint64_t delivered_bytes = 0;
};

/// Drop-tail queue, wire, loss, delay line. Times are since the link came up.
class channel {
public:
    channel(const quality& like, std::uint64_t seed) : like_(like), chance_(seed) {}

    quality& like() noexcept { return like_; }
    const tally& seen() const noexcept { return seen_; }

    /// When the packet comes out at the other end; nothing: it does not.
    std::optional<nanoseconds> send(nanoseconds now, std::uint64_t bytes)
    {
        ++seen_.packets;
        seen_.bytes += bytes;
        while (!waiting_.empty() && waiting_.front().begins <= now) {
            waiting_bytes_ -= waiting_.front().bytes;
            waiting_.pop_front();
        }
        if (like_.queue_bytes > 0 && waiting_bytes_ + bytes > like_.queue_bytes) {
            ++seen_.queue_drops;
            return std::nullopt;
        }
        const auto begins = std::max(now, wire_free_);
        if (begins > now) {
            waiting_.push_back({begins, bytes});
            waiting_bytes_ += bytes;
        }
        wire_free_ = begins + on_wire(bytes);
        const bool is_lost = draw_loss(); // also in a cut: the pattern is the seed's alone
        if (is_in_cut(wire_free_)) {
            ++seen_.cuts;
            return std::nullopt;
        }
        if (is_lost) {
            ++seen_.losses;
            return std::nullopt;
        }
        const auto late = std::chrono::duration_cast<nanoseconds>(like_.jitter * draw());
        out_ = std::max(out_, wire_free_ + like_.delay + late);
        ++seen_.delivered;
        seen_.delivered_bytes += bytes;
        return out_;
    }

    bool is_in_cut(nanoseconds at) const noexcept
    {
        if (like_.is_cut)
            return true;
        if (like_.cut_every <= nanoseconds{0} || at < like_.cut_after)
            return false;
        return (at - like_.cut_after) % like_.cut_every < like_.cut_for;
    }

private:
    nanoseconds on_wire(std::uint64_t bytes) const noexcept
    {
        if (like_.rate_bits_per_s <= 0)
            return nanoseconds{0};
        const auto s = static_cast<double>(bytes) * 8 / like_.rate_bits_per_s;
        return nanoseconds{static_cast<std::int64_t>(s * 1e9)};
    }
    double draw() { return std::uniform_real_distribution<double>{}(chance_); }
    bool draw_loss()
    {
        const bool by_itself = draw() < like_.loss;
        if (is_bad_spell_)
            is_bad_spell_ = draw() >= 1 / std::max(like_.spell_packets, 1.0);
        else
            is_bad_spell_ = draw() < like_.spell_chance;
        return by_itself || is_bad_spell_;
    }

    struct waiting {
        nanoseconds begins; ///< to be sent
        std::uint64_t bytes;
    };
    quality like_;
    std::mt19937_64 chance_;
    std::deque<waiting> waiting_;
    std::uint64_t waiting_bytes_ = 0;
    nanoseconds wire_free_{};
    nanoseconds out_{}; ///< the last one's
    bool is_bad_spell_ = false;
    tally seen_;
};

/// Both directions alike, as satellite and mobile links of island offices are measured to be; the
/// queue is a modem's: a quarter of a second, at least 24 kB.
inline std::optional<quality> profile(std::string_view name)
{
    using namespace std::chrono_literals;
    const auto make = [](double rate, nanoseconds round_trip, double loss) {
        quality out{.rate_bits_per_s = rate, .delay = round_trip / 2};
        out.queue_bytes = std::max<std::uint64_t>(static_cast<std::uint64_t>(rate / 8 / 4), 24'000);
        out.loss = loss;
        return out;
    };
    if (name == "vsat0")
        return make(1e6, 600ms, 0);
    if (name == "vsat2")
        return make(2e6, 600ms, 0.02);
    if (name == "3g3")
        return make(512e3, 200ms, 0.03);
    if (name == "weak")
        return make(256e3, 600ms, 0.02);
    if (name == "cut") {
        auto out = make(1e6, 600ms, 0);
        out.cut_after = 5s;
        out.cut_for = 20s;
        out.cut_every = 60s;
        return out;
    }
    if (name == "burst") { // 2 % in the mean, eight packets at a time
        auto out = make(1e6, 600ms, 0);
        out.spell_packets = 8;
        out.spell_chance = 0.02 / (0.98 * 8);
        return out;
    }
    if (name == "lan")
        return quality{};
    return std::nullopt;
}

} // namespace titip::tests::link
