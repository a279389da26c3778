/// Power failures and failing calls, exhaustively over a small workload: every write, sync and
/// reservation of the journal is noted; at each point in between the power fails, and what was not
/// synced is dropped, kept, or both in part; then the store is opened as after a restart. It must
/// open, and hold what was acknowledged until then, and nothing half. Of one in some, one more record
/// is accepted, and salvage has to find them all among what was left behind.
///
///     power_test [--runs N] [--seconds S] [--seed X]      N: images looked at, 0: every one

#include "disk.hpp"
#include "workload.hpp"

#include "journal/salvage.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;
using disk::event;

namespace {

constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t sector_bytes = 512;

/// A write, or the page of one, that may or may not have reached the platter.
using pending = std::vector<event>;

constexpr std::uint64_t salvage_one_in = 16; // the whole test would take twice as long

/// What salvage does not find, or finds too little in; empty: all is there.
std::string missed_by_salvage(const std::filesystem::path& folder)
{
    accept_one(folder);
    const auto listed = snapshot_of(folder);
    std::string saved;
    std::string missed;
    const auto done = journal::salvage(
        folder, {.save = [&saved](const journal::salvaged& each) -> result<void> {
                     saved += fmt::format("{}/{} {} ", each.key.station,
                                          each.key.record.to_string().substr(34), each.sequence);
                     return {};
                 },
                 .save_bare = [](const journal::bare_envelope&) -> result<void> { return {}; },
                 .lose =
                     [&missed](const journal::loss& each) {
                         missed += fmt::format("place {}: {}; ",
                                               static_cast<std::uint64_t>(each.place), each.why);
                     },
                 .progress = {}});
    if (!done)
        return done.error().sentence;
    if (!done->is_all())
        missed += fmt::format("{} vanished; ", done->vanished.value_or(1));
    constexpr std::string_view office{"office-"};
    for (auto at = listed.find(office); at != listed.npos; at = listed.find(office, at + 1)) {
        const auto line = std::string_view{listed}.substr(at, listed.find(';', at) - at);
        const auto name = line.substr(0, line.find(' ', line.find(' ') + 1) + 1);
        if (line.ends_with(" right") && line.find(" arriving") == line.npos &&
            saved.find(name) == saved.npos)
            missed += fmt::format("not saved: {}; ", line);
    }
    return missed;
}

void add_pages(pending& to, const event& write)
{
    for (std::uint64_t done = 0; done < write.data.size();) {
        const auto at = write.offset + done;
        const auto size = std::min(write.data.size() - done, page_bytes - at % page_bytes);
        event page = write;
        page.offset = at;
        page.data = to_bytes(bytes_view{write.data}.subspan(done, size));
        // The same place again: only what was written last may still come.
        std::erase_if(to, [&page](const event& each) {
            return each.file == page.file && each.offset == page.offset &&
                   each.data.size() == page.data.size();
        });
        to.push_back(std::move(page));
        done += size;
    }
}

/// The power fails here: what is on the platter, what may be, and what was acknowledged.
struct moment {
    const disk::image& durable;
    const pending& loose;
    std::size_t acknowledged = 0;
    bool is_under_way = false; ///< the next step had begun
};

class looker {
public:
    looker(const course& expected, std::uint64_t runs, std::uint64_t possible, std::uint64_t seed)
        : expected_(expected), one_in_(runs == 0 ? 1 : std::max<std::uint64_t>(possible / runs, 1)),
          random_(seed)
    {
    }

    /// Every way in which this moment may end.
    void look_at(const moment& now)
    {
        ++points_;
        const auto many = now.loose.size();
        look(now, [](std::size_t) { return whole; });
        look(now, [](std::size_t) { return nothing; });
        for (std::size_t one = 0; one < many; ++one) {
            look(now, [one](std::size_t each) { return each == one ? nothing : whole; });
            look(now, [one](std::size_t each) { return each == one ? whole : nothing; });
            for (auto cut = sector_bytes; cut < now.loose[one].data.size(); cut += sector_bytes)
                look(now, [one, cut](std::size_t each) { return each == one ? cut : whole; });
        }
        constexpr int subsets = 16;
        for (int i = 0; i < subsets; ++i) {
            std::mt19937_64 chance{random_()};
            look(now, [&chance](std::size_t) {
                return chance() % 3 == 0 ? chance() % 8 * sector_bytes
                                         : (chance() % 2 == 0 ? whole : nothing);
            });
        }
    }

    std::uint64_t points() const noexcept { return points_; }
    std::uint64_t images() const noexcept { return images_; }
    std::uint64_t possible() const noexcept { return possible_; }
    std::uint64_t salvaged() const noexcept { return salvaged_; }
    std::uint64_t failures() const noexcept { return failures_; }
    bool is_counting = false;

private:
    static constexpr std::uint64_t whole = ~0ull;
    static constexpr std::uint64_t nothing = 0;

    template <class HowMuch>
    void look(const moment& now, HowMuch how_much)
    {
        ++possible_;
        if (is_counting || random_() % one_in_ != 0)
            return;
        disk::image image = now.durable;
        for (std::size_t i = 0; i < now.loose.size(); ++i) {
            const auto size = std::min<std::uint64_t>(how_much(i), now.loose[i].data.size());
            if (size == 0)
                continue;
            event part = now.loose[i];
            part.data.resize(size);
            image.apply(part);
        }
        ++images_;
        image.save(folder_.path() / "image");
        const auto found = snapshot_of(folder_.path() / "image");
        const bool is_old = found == expected_.after(now.acknowledged);
        const bool is_new = now.is_under_way && found == expected_.after(now.acknowledged + 1);
        if (is_old || is_new) {
            if (images_ % salvage_one_in != 0)
                return;
            ++salvaged_;
            const auto missed = missed_by_salvage(folder_.path() / "image");
            if (!missed.empty()) {
                ++failures_;
                fmt::print("FAILED after {} steps, at point {}, salvage: {}\n", now.acknowledged,
                           points_, missed);
            }
            return;
        }
        ++failures_;
        fmt::print("FAILED after {} steps{}, at point {}:\n  found    {}\n  expected {}\n",
                   now.acknowledged, now.is_under_way ? " and a half" : "", points_, found,
                   expected_.after(now.acknowledged));
    }

    const course& expected_;
    std::uint64_t one_in_;
    std::mt19937_64 random_;
    temporary_folder folder_;
    std::uint64_t points_ = 0;
    std::uint64_t images_ = 0;
    std::uint64_t possible_ = 0;
    std::uint64_t salvaged_ = 0;
    std::uint64_t failures_ = 0;
};

void walk(const std::vector<event>& trace, looker& with)
{
    disk::image durable;
    pending loose;
    std::size_t acknowledged = 0;
    bool is_under_way = false;
    for (const auto& each : trace) {
        if (each.what == event::kind::mark) {
            is_under_way = each.mark % 2 == 0;
            acknowledged = (each.mark + 1) / 2;
        } else if (each.what == event::kind::sync) {
            for (const auto& write : loose)
                if (write.file == each.file)
                    durable.apply(write);
            std::erase_if(loose, [&](const event& write) { return write.file == each.file; });
        } else {
            add_pages(loose, each);
        }
        with.look_at({durable, loose, acknowledged, is_under_way});
        if (each.what == event::kind::write && each.is_durable) {
            pending rest;
            for (auto& write : loose)
                if (write.file == each.file && write.offset >= each.offset &&
                    write.offset < each.offset + each.data.size())
                    durable.apply(write);
                else
                    rest.push_back(std::move(write));
            loose = std::move(rest);
        }
    }
}

/// The workload in a child, with one call that fails; how many steps it saw acknowledged.
/// Exit status: that number, or 255.
std::size_t run_with_a_failing_call(const std::filesystem::path& folder, const course& steps,
                                    std::size_t nth, disk::fault how)
{
    std::fflush(stdout);
    const auto child = ::fork();
    if (child == 0) {
        disk::watch(folder);
        disk::fail(nth, how);
        std::size_t done = 0;
        try {
            done = steps.run(
                folder, [](std::size_t) {}, [](std::size_t, journal::store&) {});
        } catch (...) {
            done = 0;
        }
        ::_exit(static_cast<int>(done));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? static_cast<std::size_t>(WEXITSTATUS(status)) : 255;
}

std::size_t try_failing_calls(const course& steps, std::size_t calls, std::size_t& runs)
{
    temporary_folder room;
    std::size_t failures = 0;
    for (const auto how : {disk::fault::io_error, disk::fault::no_space, disk::fault::short_write})
        for (std::size_t nth = 0; nth < calls; ++nth) {
            const auto folder = room.path() / "store";
            std::filesystem::remove_all(folder);
            std::filesystem::create_directory(folder);
            const auto done = run_with_a_failing_call(folder, steps, nth, how);
            ++runs;
            const auto found = snapshot_of(folder);
            // Nothing was acknowledged if not even the store came to be.
            const bool is_right = found == steps.after(done) || found == steps.after(done + 1) ||
                                  (done == 0 && found.starts_with("refused"));
            if (is_right)
                continue;
            ++failures;
            fmt::print("FAILED with call {} failing ({}), {} steps acknowledged:\n  found    {}\n"
                       "  expected {}\n",
                       nth, static_cast<int>(how), done, found, steps.after(done));
        }
    return failures;
}

} // namespace

int main(int count, char** words)
{
    std::uint64_t runs = 0; // a sample of a tenth misses one birth without a sync in six
    double seconds = 0;
    std::uint64_t seed = std::random_device{}();
    CLI::App app{"power failures and failing calls, over every point of a small workload"};
    app.add_option("--runs", runs, "images to look at; 0: every one");
    app.add_option("--seconds", seconds, "go on with other workloads for so long");
    app.add_option("--seed", seed);
    CLI11_PARSE(app, count, words);
    fmt::print("seed {}\n", seed);
    const auto began = monotonic::now();
    std::uint64_t failures = 0;
    do {
        const course steps{seed};
        temporary_folder folder;
        disk::set_hasty(true);
        disk::watch(folder.path() / "store");
        std::filesystem::create_directory(folder.path() / "store");
        const auto done = steps.run(
            folder.path() / "store", [](std::size_t n) { disk::mark(2 * n); },
            [](std::size_t n, journal::store&) { disk::mark(2 * n + 1); });
        const auto calls = disk::calls();
        const auto trace = disk::stop();
        if (done != steps.size()) {
            fmt::print("FAILED: the workload ended after {} of {} steps\n", done, steps.size());
            return 1;
        }
        looker counting{steps, 0, 1, seed};
        counting.is_counting = true;
        walk(trace, counting);
        looker looking{steps, runs, counting.possible(), seed};
        walk(trace, looking);
        std::size_t failing_runs = 0;
        failures += looking.failures() + try_failing_calls(steps, calls, failing_runs);
        fmt::print(
            "seed {}: {} steps, {} calls, {} points of failure, {} of {} images opened, {} "
            "salvaged; {} "
            "runs with a call that fails; {} wrong; {} s\n",
            seed, steps.size(), calls, looking.points(), looking.images(), looking.possible(),
            looking.salvaged(), failing_runs, failures,
            std::chrono::duration_cast<std::chrono::seconds>(monotonic::now() - began).count());
        std::fflush(stdout);
        ++seed;
    } while (failures == 0 && monotonic::now() - began < std::chrono::duration<double>(seconds));
    return failures == 0 ? 0 : 1;
}
