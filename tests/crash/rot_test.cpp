/// Rot, exhaustively over a small store: bytes flipped, pages zeroed, exchanged or cut away. What comes
/// of it must be the right records, a complaint that names what is wrong, or a refusal to open with
/// the reason; never wrong bytes, a hang, a store begun afresh, or a commit gone without a word. The
/// same after one more record was accepted on top of it.
///
///     rot_test [--runs N] [--seconds S] [--seed X]        N: places that rot, 0: every one

#include "disk.hpp"
#include "workload.hpp"

#include "base/file.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <sys/wait.h>
#include <unistd.h>

using namespace titip;
using namespace titip::tests;

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr unsigned patience_s = 20; // for one damaged store; only a hang takes as long

struct damage {
    enum class kind { flip, zero, swap, cut };
    kind what{};
    std::size_t at = 0;    ///< a byte, or a page
    std::size_t other = 0; ///< a bit, or a page
};

std::string to_string(const damage& it)
{
    constexpr std::array names{"flip", "zero", "swap", "cut"};
    return fmt::format("{} {} {}", names[static_cast<std::size_t>(it.what)], it.at, it.other);
}

void apply(const damage& it, bytes& store)
{
    const auto page = [&store](std::size_t n) {
        return std::span{store}.subspan(n * page_bytes, page_bytes);
    };
    switch (it.what) {
    case damage::kind::flip:
        store[it.at] ^= std::byte{1} << static_cast<int>(it.other);
        break;
    case damage::kind::zero:
        std::ranges::fill(page(it.at), std::byte{});
        break;
    case damage::kind::swap:
        std::ranges::swap_ranges(page(it.at), page(it.other));
        break;
    case damage::kind::cut:
        store.resize(it.at * page_bytes);
        break;
    }
}

/// How a damaged store was found.
enum class outcome : char {
    right = 'r',   ///< nothing of it shows: the damage lay where nothing is
    named = 'n',   ///< opened, and says what is wrong
    refused = 'x', ///< not opened, with the reason
    died = 'd',    ///< the process ended, and would say so
    wrong = 'W',   ///< something is not as it was, and nobody says so
    hanging = 'H',
};

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> out;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find("; ", at), text.size());
        out.push_back(text.substr(at, end - at));
        at = end + 2;
    }
    return out;
}

outcome judge(const std::string& found, const std::string& truth)
{
    if (found.starts_with("refused"))
        return outcome::refused;
    if (found.find("WRONG") != found.npos)
        return outcome::wrong;
    const auto here = lines_of(found);
    const bool is_named = std::ranges::any_of(here, [](const std::string& each) {
        return each.starts_with("DIFFERS") || each.find("rotten") != each.npos;
    });
    for (const auto& each : lines_of(truth))
        if (each.starts_with("office-") && std::ranges::find(here, each) == here.end())
            return is_named ? outcome::named : outcome::wrong;
    return is_named ? outcome::named : outcome::right;
}

class examination {
public:
    examination(bytes store, bytes lock, std::string truth)
        : store_(std::move(store)), lock_(std::move(lock)), truth_(std::move(truth))
    {
    }

    std::vector<damage> every_damage() const
    {
        std::vector<damage> out;
        const auto pages = store_.size() / page_bytes;
        for (std::size_t at = 0; at < store_.size(); ++at)
            out.push_back({damage::kind::flip, at, (at * 7 + 3) % 8});
        for (std::size_t page = 0; page < pages; ++page) {
            out.push_back({damage::kind::zero, page, 0});
            out.push_back({damage::kind::cut, page, 0});
            for (auto other = page + 1; other < pages; ++other)
                out.push_back({damage::kind::swap, page, other});
        }
        return out;
    }

    /// Children look, since what rots may take its process down; one goes on where the last ended.
    std::vector<outcome> look_at(const std::vector<damage>& all)
    {
        std::vector<outcome> out;
        while (out.size() < all.size()) {
            std::array<int, 2> told{};
            if (::pipe(told.data()) != 0)
                throw std::runtime_error{"no pipe"};
            std::fflush(stdout);
            const auto child = ::fork();
            if (child == 0) {
                ::close(told[0]);
                look(std::span{all}.subspan(out.size()), told[1]);
                ::_exit(0);
            }
            ::close(told[1]);
            char letter = 0;
            while (::read(told[0], &letter, 1) == 1)
                out.push_back(static_cast<outcome>(letter));
            ::close(told[0]);
            int status = 0;
            ::waitpid(child, &status, 0);
            if (out.size() < all.size())
                out.push_back(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? outcome::hanging
                                                                                 : outcome::died);
        }
        return out;
    }

private:
    void look(std::span<const damage> all, int tell)
    {
        if (!std::freopen("/dev/null", "w", stderr))
            ::_exit(1);
        for (const auto& each : all) {
            ::alarm(patience_s);
            const auto letter = static_cast<char>(look(each));
            if (::write(tell, &letter, 1) != 1)
                ::_exit(1);
        }
    }

    outcome look(const damage& one)
    {
        auto rotten = store_;
        apply(one, rotten);
        const auto folder = folder_.path() / "store";
        disk::image image;
        image.apply({.file = "data.mdb", .data = std::move(rotten)});
        image.apply({.file = "titipd.lock", .data = lock_});
        image.save(folder);
        const auto first = judge(snapshot_of(folder), truth_);
        if (first != outcome::right && first != outcome::named)
            return first;
        accept_one(folder); // may be refused; what was there must not suffer
        const auto second = judge(snapshot_of(folder), truth_);
        // What was right before must not have become wrong, and what was named stays so.
        return second == outcome::right && first == outcome::named ? first : second;
    }

    const bytes store_;
    const bytes lock_;
    const std::string truth_;
    temporary_folder folder_;
};

} // namespace

int main(int count, char** words)
{
    std::uint64_t runs = 3000;
    double seconds = 0;
    std::uint64_t seed = std::random_device{}();
    CLI::App app{"rot, over every byte and page of a small store"};
    app.add_option("--runs", runs, "places to look at; 0: every one");
    app.add_option("--seconds", seconds, "go on with other stores for so long");
    app.add_option("--seed", seed);
    CLI11_PARSE(app, count, words);
    fmt::print("seed {}\n", seed);
    const auto began = monotonic::now();
    disk::set_hasty(true);
    bool is_good = true;
    do {
        const course life{seed};
        temporary_folder folder;
        std::filesystem::create_directory(folder.path() / "store");
        life.run(
            folder.path() / "store", [](std::size_t) {}, [](std::size_t, journal::store&) {});
        examination of{read_file(folder.path() / "store" / "data.mdb").value(),
                       read_file(folder.path() / "store" / "titipd.lock").value(),
                       life.after(life.size())};
        auto all = of.every_damage();
        const auto possible = all.size();
        std::mt19937_64 random{seed};
        if (runs > 0 && runs < possible) {
            std::ranges::shuffle(all, random);
            all.resize(runs);
        }
        const auto found = of.look_at(all);
        const auto many = [&found](outcome which) { return std::ranges::count(found, which); };
        for (std::size_t i = 0; i < all.size(); ++i)
            if (found[i] == outcome::wrong || found[i] == outcome::hanging)
                fmt::print("FAILED: {}: {}\n", to_string(all[i]),
                           found[i] == outcome::wrong ? "wrong, and nobody says so" : "hangs");
        is_good = many(outcome::wrong) + many(outcome::hanging) == 0;
        fmt::print(
            "seed {}: {} of {} damages: {} right, {} named, {} refused, {} ended the "
            "process, {} wrong, {} hanging; {} s\n",
            seed, all.size(), possible, many(outcome::right), many(outcome::named),
            many(outcome::refused), many(outcome::died), many(outcome::wrong),
            many(outcome::hanging),
            std::chrono::duration_cast<std::chrono::seconds>(monotonic::now() - began).count());
        std::fflush(stdout);
        ++seed;
    } while (is_good && monotonic::now() - began < std::chrono::duration<double>(seconds));
    return is_good ? 0 : 1;
}
