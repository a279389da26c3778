/// Rot, exhaustively over a small store: bytes flipped, pages zeroed, exchanged or cut away. What comes
/// of it must be the right records, a complaint that names what is wrong, or a refusal to open with
/// the reason; never wrong bytes, a hang, a store begun afresh, or a commit gone without a word. The
/// same after one more record was accepted on top of it.
///
///     rot_test [--runs N] [--seconds S] [--seed X]        N: places that rot, 0: every one
///     rot_test --salvage ...      the same damages, and what salvage gets out: every record of which no
///                                 byte lay in the page that rotted, bit by bit, and the others named

#include "disk.hpp"
#include "workload.hpp"

#include "base/file.hpp"
#include "journal/chunks.hpp"
#include "journal/salvage.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>

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

/// A record whose bytes are all here.
struct whole {
    bytes envelope;
    /// As they lie in the pages: how its row begins, and each of its chunks.
    std::vector<bytes> pieces;
};

std::vector<bytes> pieces_of(const journal::record_view& record, const bytes& envelope)
{
    std::vector<bytes> out;
    auto& row = out.emplace_back(bytes{std::byte{0x0a}, std::byte{0x10}}); // field 1, 16 bytes
    row.insert(row.end(), record.key.record.data().begin(), record.key.record.data().end());
    for (std::size_t at = 0; at < envelope.size(); at += journal::chunk_payload_bytes) {
        auto& chunk = out.emplace_back(journal::chunk_header_bytes);
        const auto size = std::min(journal::chunk_payload_bytes, envelope.size() - at);
        const auto payload = bytes_view{envelope}.subspan(at, size);
        chunk.insert(chunk.end(), payload.begin(), payload.end());
        const auto key = journal::key_builder{}
                             .u64(static_cast<std::uint64_t>(record.place))
                             .u32(static_cast<std::uint32_t>(at / journal::chunk_payload_bytes));
        const std::uint64_t sum =
            journal::checksum(journal::seed::chunk, key, bytes_view{chunk}.subspan(sizeof sum));
        std::memcpy(chunk.data(), &sum, sizeof sum);
    }
    return out;
}

std::map<std::string, whole> whole_records_of(const std::filesystem::path& folder)
{
    journal_fixture at;
    at.options.directory = folder;
    at.options.quota_bytes = 64u << 20;
    std::map<std::string, whole> out;
    auto& store = at.open();
    const journal::list_filter all;
    for (const auto& each : finish(store.list(all, std::nullopt, 1000)).value())
        if (each.state != journal::state::arriving && each.state != journal::state::erased) {
            auto envelope = finish(store.read(each.key, 0, each.size_bytes)).value();
            auto pieces = pieces_of(each, envelope);
            out.emplace(each.key.station + each.key.record.to_string(),
                        whole{std::move(envelope), std::move(pieces)});
        }
    return out;
}

class examination {
public:
    examination(bytes store, bytes lock, std::string truth,
                std::optional<std::map<std::string, whole>> records)
        : store_(std::move(store)), lock_(std::move(lock)), truth_(std::move(truth)),
          records_(std::move(records))
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

    /// Each byte of the smallest chunk, which lies among others in a leaf: a sample seldom meets it.
    std::vector<damage> damages_of_smallest_chunk() const
    {
        const bytes* smallest = nullptr;
        for (const auto& [id, record] : *records_)
            if (!smallest || record.pieces.back().size() < smallest->size())
                smallest = &record.pieces.back();
        std::vector<damage> out;
        for (auto from = store_.begin(); smallest;) {
            const auto found = std::search(from, store_.end(), smallest->begin(), smallest->end());
            if (found == store_.end())
                break;
            const auto at = static_cast<std::size_t>(found - store_.begin());
            for (std::size_t i = 0; i < smallest->size(); ++i)
                out.push_back({damage::kind::flip, at + i, i % 8});
            from = found + 1;
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
        if (records_)
            return judge_salvage(folder, one);
        const auto first = judge(snapshot_of(folder), truth_);
        if (first != outcome::right && first != outcome::named)
            return first;
        accept_one(folder); // may be refused; what was there must not suffer
        const auto second = judge(snapshot_of(folder), truth_);
        // What was right before must not have become wrong, and what was named stays so.
        return second == outcome::right && first == outcome::named ? first : second;
    }

    outcome judge_salvage(const std::filesystem::path& folder, const damage& one) const
    {
        std::set<std::string> missing;
        for (const auto& [id, record] : *records_)
            missing.insert(id);
        std::set<std::string> named;
        std::size_t nameless = 0;
        bool is_right = true;
        const auto found = journal::salvage(
            folder, {.save = [&](const journal::salvaged& what) -> result<void> {
                         const auto id = what.key.station + what.key.record.to_string();
                         const auto known = records_->find(id);
                         is_right = is_right && known != records_->end() &&
                                    known->second.envelope == what.envelope &&
                                    missing.erase(id) == 1;
                         return {};
                     },
                     .save_bare = [](const journal::bare_envelope&) -> result<void> { return {}; },
                     .lose =
                         [&](const journal::loss& what) {
                             if (what.key && !what.key->station.empty())
                                 named.insert(what.key->station + what.key->record.to_string());
                             else
                                 ++nameless;
                         },
                     .progress = {}});
        if (!found || !is_right)
            return outcome::wrong;
        // Nobody looks for a record that is here.
        if (std::ranges::any_of(named, [&](const auto& each) { return !missing.contains(each); }) ||
            named.size() + nameless > missing.size())
            return outcome::wrong;
        if (missing.empty())
            return outcome::right;
        std::size_t unnamed = 0;
        for (const auto& each : missing) {
            unnamed += named.contains(each) ? 0 : 1;
            if (!is_hit(one, each))
                return outcome::wrong;
        }
        const bool too_many = one.what == damage::kind::flip && missing.size() > 1;
        const bool is_said = !found->vanished || unnamed <= nameless + *found->vanished;
        return too_many || !is_said || found->is_all() ? outcome::wrong : outcome::named;
    }

    /// Whether the damage took a page with bytes of this record, or with its row.
    bool is_hit(const damage& one, const std::string& id) const
    {
        if (one.what == damage::kind::swap)
            return false; // both are still there
        auto first = one.what == damage::kind::flip ? one.at / page_bytes : one.at;
        const auto last = one.what == damage::kind::cut ? store_.size() / page_bytes : first + 1;
        const auto& pieces = records_->at(id).pieces;
        for (; first < last; ++first) {
            const auto page = bytes_view{store_}.subspan(first * page_bytes, page_bytes);
            for (const auto& each : pieces)
                if (!std::ranges::search(page, each).empty())
                    return true;
        }
        return false;
    }

    const bytes store_;
    const bytes lock_;
    const std::string truth_;
    const std::optional<std::map<std::string, whole>> records_; ///< if salvage is what is tried
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
    bool is_salvage = false;
    app.add_flag("--salvage", is_salvage, "what can be saved from each of them");
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
        auto data = read_file(folder.path() / "store" / "data.mdb").value();
        auto lock = read_file(folder.path() / "store" / "titipd.lock").value();
        std::optional<std::map<std::string, whole>> records;
        if (is_salvage)
            records = whole_records_of(folder.path() / "store");
        examination of{std::move(data), std::move(lock), life.after(life.size()),
                       std::move(records)};
        auto all = of.every_damage();
        const auto possible = all.size();
        std::mt19937_64 random{seed};
        if (runs > 0 && runs < possible) {
            std::ranges::shuffle(all, random);
            all.resize(runs);
            if (is_salvage)
                for (const auto& each : of.damages_of_smallest_chunk())
                    all.push_back(each);
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
