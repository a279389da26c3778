#include "node/pulse.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace titip;
using node::pulse;
using kind = activity::kind;

namespace {

constexpr pulse::sight idle{.is_asked = false, .says = kind::idle, .at = whereabouts::lock};
constexpr pulse::sight at_disk{.says = kind::disk, .at = whereabouts::disk};

struct watched {
    pulse under{pulse::options{}};
    instant now = instant{} + 1h;
    std::uint64_t beats = 0;
    milliseconds computed{};
    unsigned share = 1; ///< of a processor, that one who runs gets: one in so many
    pulse::phase in = pulse::phase::running;

    /// The socket thread is well.
    pulse::decision look(pulse::sight writer, milliseconds after = 2s)
    {
        now += after;
        computed += writer.at == whereabouts::runs ? after / share : 0ms;
        writer.cpu = computed;
        return under.on_look(now, in, {pulse::sight{.rounds = ++beats}, writer});
    }
    /// How long it takes until nothing is fed any more; nothing within an hour.
    std::optional<milliseconds> until_starved(const pulse::sight& writer)
    {
        for (auto time = 0ms; time < 1h; time += 2s)
            if (!look(writer).feeds)
                return time;
        return std::nullopt;
    }
};

} // namespace

TEST_CASE("a writer that waits for its disk is well for as long as that takes", "[pulse]")
{
    watched process;
    CHECK_FALSE(process.until_starved(at_disk));
    CHECK_FALSE(process.until_starved({.says = kind::disk, .at = whereabouts::call})); // FUSE, NFS
    // A page of the store that the disk does not give, while it computes.
    CHECK_FALSE(process.until_starved({.says = kind::own, .at = whereabouts::disk}));
    CHECK_FALSE(process.until_starved({.says = kind::disk, .at = whereabouts::unknown}));
    CHECK(process.look(idle).feeds);
}

TEST_CASE("a hang of our own is not fed, also where it says that it is the disk's", "[pulse]")
{
    for (const auto says : {kind::idle, kind::own, kind::disk})
        for (const auto at : {whereabouts::runs, whereabouts::lock}) {
            watched process;
            CHECK(process.look({.says = says, .at = at}).feeds);
            const auto hung = process.until_starved({.says = says, .at = at});
            REQUIRE(hung);
            CHECK(*hung <= pulse::options{}.patience);
            CHECK(process.look({.rounds = 1, .says = says, .at = at}).feeds); // it came round
        }
    watched process;
    CHECK(process.until_starved({.says = kind::own, .at = whereabouts::call}));
    CHECK(process.until_starved({.says = kind::own, .at = whereabouts::unknown}));
}

TEST_CASE("one that waits for a processor, beside a slow disk or not, does not hang, and one that "
          "computes does",
          "[pulse]")
{
    const pulse::sight runs{.says = kind::disk, .at = whereabouts::runs};
    watched crawling{.share = 50};
    for (int i = 0; i < 60; ++i) // two minutes, in which it computed for two seconds
        CHECK(crawling.look(i % 3 == 0 ? at_disk : runs).feeds);
    crawling.share = 4;
    const auto hung = crawling.until_starved(runs);
    REQUIRE(hung);
    CHECK(*hung > 20s);
    CHECK(*hung <= 4 * pulse::options{}.patience);
}

TEST_CASE("one that spins is not saved by a page that it reads now and then", "[pulse]")
{
    watched process;
    unsigned looks = 0;
    bool is_fed = true;
    for (; is_fed && looks < 1'000; ++looks)
        is_fed =
            process
                .look(looks % 2 == 0 ? at_disk
                                     : pulse::sight{.says = kind::own, .at = whereabouts::runs})
                .feeds;
    CHECK_FALSE(is_fed);
}

TEST_CASE("who was suspended, or frozen, finds nobody to have hung meanwhile", "[pulse]")
{
    watched process;
    const pulse::sight computing{.says = kind::own, .at = whereabouts::runs};
    process.look(computing);
    for (int i = 0; i < 2; ++i)
        CHECK(process.look(computing, 24h).feeds);
    CHECK(process.look({.rounds = 1, .says = kind::own, .at = whereabouts::runs}).feeds);
}

TEST_CASE("a socket thread that hangs is not fed, whatever the writer does", "[pulse]")
{
    watched process;
    bool is_fed = true;
    std::optional<pulse::who> told;
    unsigned times = 0;
    for (int i = 0; i < 100; ++i) {
        process.now += 2s;
        const auto decided = process.under.on_look(
            process.now, pulse::phase::running,
            {pulse::sight{.says = kind::own, .at = whereabouts::lock}, at_disk});
        is_fed = decided.feeds;
        if (decided.hangs) {
            told = decided.hangs;
            ++times;
        }
    }
    CHECK_FALSE(is_fed);
    CHECK(told == pulse::who::socket_thread);
    CHECK(times == 1); // a line in the log, not one a look
}

TEST_CASE("a start has the time that its disk takes, and no more for itself", "[pulse]")
{
    const auto starting = [](whereabouts at) { return pulse::sight{.says = kind::disk, .at = at}; };
    pulse under{pulse::options{}};
    instant now{};
    for (; now < instant{} + 2h; now += 2s)
        REQUIRE(under.on_look(now, pulse::phase::starting, {starting(whereabouts::disk), idle})
                    .extends);
    pulse::decision last;
    for (const auto end = now + 1min; now < end; now += 2s)
        last = under.on_look(now, pulse::phase::starting, {starting(whereabouts::lock), idle});
    CHECK_FALSE(last.extends);
}

TEST_CASE("a stop has the time that its disk takes, and not for ever", "[pulse]")
{
    watched process;
    process.in = pulse::phase::stopping;
    CHECK_FALSE(process.look(idle).extends);
    const auto began = process.now;
    while (process.now - began < pulse::options{}.most_stopping - 2s)
        REQUIRE(process.look(at_disk).extends);
    process.look(at_disk);
    CHECK_FALSE(process.look(at_disk).extends);
}

TEST_CASE("what is fed is what a plain sum of each thread's own time would feed", "[pulse]")
{
    const auto seed = GENERATE(range(1u, 33u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    const auto draw = [&random](unsigned below) {
        return std::uniform_int_distribution<unsigned>{0, below - 1}(random);
    };
    const pulse::options opts;
    pulse under{opts};
    instant now{};
    std::array<pulse::sight, pulse::watched> seen;
    std::array<milliseconds, pulse::watched> own{};
    for (int i = 0; i < 2'000; ++i) {
        const milliseconds passed{draw(10) == 0 ? draw(10'000'000) : draw(3'000)};
        now += passed;
        bool is_well = true;
        for (std::size_t one = 0; one < seen.size(); ++one) {
            auto& it = seen[one];
            const bool came_round = draw(20) == 0;
            it.rounds += came_round;
            it.is_asked = draw(30) != 0;
            it.says = static_cast<kind>(draw(3));
            it.at = static_cast<whereabouts>(draw(5));
            const milliseconds computed{draw(2'000)};
            it.cpu += computed;
            const auto counts = std::min(passed, 2 * opts.step);
            if (came_round || !it.is_asked)
                own[one] = 0ms;
            else if (i > 0 && !pulse::is_at_disk(it))
                own[one] += it.at == whereabouts::runs ? std::min(computed, counts) : counts;
            is_well = is_well && own[one] < opts.patience;
        }
        REQUIRE(under.on_look(now, pulse::phase::running, seen).feeds == is_well);
    }
}
