/// Joins two network namespaces by a bad link: a TUN device in each, and this program between them.
///
///     titip-link --office NAMESPACE --centre NAMESPACE --profile NAME [--seed N]
///
/// Says "ready" when the devices are there, then takes orders on standard input, a line each:
///
///     up|down|both NAME VALUE   rate (bit/s), delay_ms, jitter_ms, queue_bytes, loss, spell_chance,
///                               spell_packets, cut_after_s, cut_for_s, cut_every_s, cut (0 or 1)
///     profile NAME              both directions, as it begins
///     begin                     cuts are counted from now on, and so is everything
///     seen                      answers with a line of JSON: what was sent, dropped, delivered
///
/// `up` is from the office to the centre. Ends with its input.

#include "channel.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <functional>
#include <iostream>
#include <queue>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace titip::tests::link;
using namespace std::chrono_literals;

namespace {

using clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what)
{
    throw std::runtime_error{what + ": " + std::strerror(errno)};
}

/// A TUN device made in another namespace; the descriptor goes on working from here.
int make_device(const std::string& in)
{
    const int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    const int there = ::open(("/run/netns/" + in).c_str(), O_RDONLY | O_CLOEXEC);
    if (home < 0 || there < 0 || ::setns(there, CLONE_NEWNET) != 0)
        fail("namespace " + in);
    const int device = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ifreq wanted{};
    wanted.ifr_flags = IFF_TUN | IFF_NO_PI;
    std::strncpy(wanted.ifr_name, "wire", IFNAMSIZ - 1);
    if (device < 0 || ::ioctl(device, TUNSETIFF, &wanted) != 0)
        fail("a TUN device in " + in);
    if (::setns(home, CLONE_NEWNET) != 0)
        fail("the way back");
    ::close(there);
    ::close(home);
    return device;
}

struct packet {
    nanoseconds at;
    std::uint64_t number; ///< those of one moment stay in order
    std::vector<char> data;
    bool operator>(const packet& other) const
    {
        return std::tie(at, number) > std::tie(other.at, other.number);
    }
};

class direction {
public:
    direction(int from, int to, const quality& like, std::uint64_t seed)
        : from_(from), to_(to), seed_(seed), channel_(like, seed)
    {
    }

    void take(nanoseconds now)
    {
        std::array<char, 65536> data;
        for (;;) {
            const auto size = ::read(from_, data.data(), data.size());
            if (size <= 0)
                return;
            if (const auto at = channel_.send(now, static_cast<std::uint64_t>(size)))
                flying_.push({*at, number_++, {data.data(), data.data() + size}});
        }
    }

    void give(nanoseconds now)
    {
        for (; !flying_.empty() && flying_.top().at <= now; flying_.pop())
            // A device that takes no more drops it, as a card would.
            [[maybe_unused]] const auto put =
                ::write(to_, flying_.top().data.data(), flying_.top().data.size());
    }

    std::optional<nanoseconds> next() const
    {
        return flying_.empty() ? std::nullopt : std::optional{flying_.top().at};
    }

    int from() const noexcept { return from_; }
    quality& like() noexcept { return channel_.like(); }
    const tally& seen() const noexcept { return channel_.seen(); }

    /// As if the link had come up now; what flies falls.
    void begin()
    {
        channel_ = channel{channel_.like(), seed_};
        flying_ = {};
    }

private:
    int from_;
    int to_;
    std::uint64_t seed_;
    channel channel_;
    std::uint64_t number_ = 0;
    std::priority_queue<packet, std::vector<packet>, std::greater<>> flying_;
};

nanoseconds seconds_of(double s)
{
    return nanoseconds{static_cast<std::int64_t>(s * 1e9)};
}

bool change(quality& what, const std::string& name, double value)
{
    if (name == "rate")
        what.rate_bits_per_s = value;
    else if (name == "delay_ms")
        what.delay = seconds_of(value / 1000);
    else if (name == "jitter_ms")
        what.jitter = seconds_of(value / 1000);
    else if (name == "queue_bytes")
        what.queue_bytes = static_cast<std::uint64_t>(value);
    else if (name == "loss")
        what.loss = value;
    else if (name == "spell_chance")
        what.spell_chance = value;
    else if (name == "spell_packets")
        what.spell_packets = value;
    else if (name == "cut_after_s")
        what.cut_after = seconds_of(value);
    else if (name == "cut_for_s")
        what.cut_for = seconds_of(value);
    else if (name == "cut_every_s")
        what.cut_every = seconds_of(value);
    else if (name == "cut")
        what.is_cut = value != 0;
    else
        return false;
    return true;
}

std::string json_of(const tally& seen)
{
    return fmt::format(
        R"({{"packets":{},"bytes":{},"queue_drops":{},"losses":{},"cuts":{},"delivered":{},"delivered_bytes":{}}})",
        seen.packets, seen.bytes, seen.queue_drops, seen.losses, seen.cuts, seen.delivered,
        seen.delivered_bytes);
}

class joint {
public:
    joint(int office, int centre, const quality& like, std::uint64_t seed)
        : up_(office, centre, like, seed), down_(centre, office, like, seed + 1)
    {
    }

    void run()
    {
        fmt::print("ready\n");
        std::fflush(stdout);
        while (true) {
            std::array<pollfd, 3> wanted{
                {{STDIN_FILENO, POLLIN, 0}, {up_.from(), POLLIN, 0}, {down_.from(), POLLIN, 0}}};
            const auto wait = until_next();
            ::ppoll(wanted.data(), wanted.size(), wait ? &*wait : nullptr, nullptr);
            if (wanted[0].revents != 0 && !obey())
                return;
            for (auto* each : {&up_, &down_}) {
                each->take(now());
                each->give(now());
            }
        }
    }

private:
    nanoseconds now() const { return clock::now() - began_; }

    std::optional<timespec> until_next() const
    {
        std::optional<nanoseconds> soonest;
        for (const auto* each : {&up_, &down_})
            if (const auto next = each->next(); next && (!soonest || *next < *soonest))
                soonest = next;
        if (!soonest)
            return std::nullopt;
        const auto left = std::max(*soonest - now(), 0ns);
        return timespec{.tv_sec = left / 1s, .tv_nsec = (left % 1s).count()};
    }

    /// False: the orders have come to their end.
    bool obey()
    {
        std::array<char, 4096> text;
        const auto size = ::read(STDIN_FILENO, text.data(), text.size());
        if (size <= 0)
            return false;
        orders_.append(text.data(), static_cast<std::size_t>(size));
        for (auto end = orders_.find('\n'); end != std::string::npos; end = orders_.find('\n')) {
            obey(orders_.substr(0, end));
            orders_.erase(0, end + 1);
        }
        return true;
    }

    void obey(const std::string& line)
    {
        std::istringstream words{line};
        std::string what;
        std::string name;
        double value = 0;
        words >> what;
        bool is_good = true;
        if (what == "seen")
            fmt::print("{{\"up\":{},\"down\":{}}}\n", json_of(up_.seen()), json_of(down_.seen()));
        else if (what == "begin") {
            began_ = clock::now();
            up_.begin();
            down_.begin();
        } else if (what == "profile") {
            words >> name;
            const auto like = profile(name);
            is_good = like.has_value();
            if (like)
                up_.like() = down_.like() = *like;
        } else if (what == "up" || what == "down" || what == "both") {
            words >> name >> value;
            is_good = !words.fail();
            if (is_good && what != "down")
                is_good = change(up_.like(), name, value);
            if (is_good && what != "up")
                is_good = change(down_.like(), name, value);
        } else
            is_good = false;
        if (!is_good)
            fmt::print("not understood: {}\n", line);
        else if (what != "seen")
            fmt::print("ok\n");
        std::fflush(stdout);
    }

    clock::time_point began_ = clock::now();
    direction up_;
    direction down_;
    std::string orders_;
};

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"titip-link joins two network namespaces by a bad link"};
    std::string office;
    std::string centre;
    std::string name = "lan";
    std::uint64_t seed = 1;
    app.add_option("--office", office)->required();
    app.add_option("--centre", centre)->required();
    app.add_option("--profile", name)->capture_default_str();
    app.add_option("--seed", seed)->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    const auto like = profile(name);
    if (!like) {
        fmt::print(stderr, "titip-link: no profile \"{}\"\n", name);
        return 2;
    }
    try {
        joint{make_device(office), make_device(centre), *like, seed}.run();
    } catch (const std::exception& failed) {
        fmt::print(stderr, "titip-link: {}\n", failed.what());
        return 1;
    }
    return 0;
}
