#include "workload.hpp"

#include "journal/chunks.hpp"

#include <fmt/format.h>

namespace titip::tests {

namespace {

journal::store::options options_for(const std::filesystem::path& folder)
{
    return {.directory = folder,
            .node = "office-1",
            .has_upstream = true,
            .quota_bytes = 1u << 30,
            .group_bytes = 1u << 20,
            .identity = everyone().station};
}

/// An empty one where there is none.
result<std::unique_ptr<journal::store>, journal::open_failure>
open(const std::filesystem::path& folder, asio::thread_pool& pool)
{
    if (const auto there = journal::is_there(folder); there && !*there)
        if (auto made = journal::make_empty(folder, options_for(folder).node); !made)
            return std::move(made.error());
    return journal::store::open(options_for(folder), pool, [](const std::string&) {});
}

/// When the centre took and judged: long enough ago to be erased.
constexpr wall_time long_ago{std::chrono::milliseconds{1'700'000'000'000}};

record_id id_of(std::uint64_t number)
{
    std::array<std::byte, 16> raw{};
    raw[6] = std::byte{0x40};
    raw[8] = std::byte{0x80};
    raw[15] = static_cast<std::byte>(number);
    return record_id::from_bytes(raw).value();
}

std::string text_of(journal::store& open)
{
    const auto all = finish(open.list({}, std::nullopt, 1000));
    if (!all)
        return "refused: list: " + all.error().message();
    std::string out;
    for (const auto& each : *all) {
        std::string bytes_are = "gone";
        if (each.state != journal::state::erased && each.stored_bytes > 0) {
            const auto data = finish(open.read(each.key, 0, each.stored_bytes));
            const bool is_whole = each.stored_bytes == each.size_bytes;
            bytes_are = !data ? "rotten: " + data.error().message()
                        : !is_whole || sha256(*data) == each.digest ? "right"
                                                                    : "WRONG";
        }
        out += fmt::format("{}/{} {} {}{} {}/{} {}; ", each.key.station,
                           each.key.record.to_string().substr(34), each.sequence,
                           journal::to_string(each.state), each.held ? " held" : "",
                           each.stored_bytes, each.size_bytes, bytes_are);
    }
    const auto differences = finish(open.audit());
    if (!differences)
        return "refused: audit: " + differences.error().message();
    for (const auto& each : *differences)
        out += "DIFFERS: " + each + "; ";
    for (const std::string station : {"office-1", "office-2"}) {
        const auto found = finish(open.findings_about(station));
        if (!found)
            return "refused: findings: " + found.error().message();
        for (const auto& each : *found)
            out += fmt::format("finding {} {} of {} {}..{}; ", each.number, to_string(each.what),
                               station, each.first, each.last);
    }
    const auto now = open.now();
    return out + fmt::format("paused {} entries {}", now.paused, now.next_entry);
}

} // namespace

struct course::world {
    journal::store& store;
    std::mt19937_64& random;
    sender from{everyone().neighbour};
    std::optional<vault::offer> half;
    bytes half_bytes;
    std::uint64_t accepted = 0;

    bool accept(std::size_t size_bytes)
    {
        ++accepted;
        return finish(store.accept(submission_of(noise(size_bytes, random), id_of(accepted))))
            .has_value();
    }
    journal::outgoing at(std::uint64_t place)
    {
        return finish(store.outgoing_of(journal::place{place})).value();
    }
    bool settle(std::uint64_t place)
    {
        const auto what = at(place);
        return finish(store.settle(what.view.place, receipt_for(what, long_ago), bytes(600),
                                   everyone().centre->self()))
            .has_value();
    }
    bool judge(std::uint64_t place, envelope::verdict_kind kind)
    {
        const auto said = verdict_on(at(place).view, kind, long_ago);
        return finish(store.take_verdicts({said}, store.epoch(), place)).has_value();
    }
    bool upstream_says(wall_time now)
    {
        return finish(store.take_custody(custody_of_all(store, now), trust::role::centre,
                                         bytes(700), {}, {}))
            .has_value();
    }
    bool keep(std::size_t first, std::size_t size)
    {
        return finish(
                   store.keep(*half, first, to_bytes(bytes_view{half_bytes}.subspan(first, size))))
            .has_value();
    }
};

course::course(std::uint64_t seed)
{
    using envelope::verdict_kind;
    std::mt19937_64 random{seed};
    const auto size = [&random] { return 200 + random() % 24'000; };
    const auto add = [this](step one) { steps_.push_back(std::move(one)); };
    add([n = size()](world& w) { return w.accept(n); });
    add([n = size()](world& w) { return w.accept(n); });
    add([](world& w) { return w.settle(1); });
    add([n = size() + 9'000](world& w) {
        w.half_bytes = noise(n, w.random);
        w.half = w.from.next(w.half_bytes, id_of(101));
        return w.keep(0, 5'000);
    });
    add([](world& w) { return w.keep(5'000, 3'000); });
    add([](world& w) {
        return finish(w.store.complete(*w.half, 8'000,
                                       to_bytes(bytes_view{w.half_bytes}.subspan(8'000))))
            .has_value();
    });
    add([](world& w) { return w.judge(1, verdict_kind::opened); });
    add([](world& w) {
        return finish(w.store.quarantine(journal::place{2}, journal::reason::refused, "422"))
            .has_value();
    });
    add([n = size()](world& w) { return w.accept(n); });
    add([](world& w) { return w.upstream_says(wall_now()); });
    add([](world& w) { return finish(w.store.erase_due(1h)).has_value(); });
    add([n = size()](world& w) { return w.accept(n); }); // into the pages just freed
    add([](world& w) { return finish(w.store.retry({"office-1", id_of(2)})).has_value(); });
    add([](world& w) { return finish(w.store.hold({"office-1", id_of(3)})).has_value(); });
    add([n = size() + 6'000](world& w) {
        w.half_bytes = noise(n, w.random);
        w.half = w.from.next(w.half_bytes, id_of(102));
        return w.keep(0, 4'500);
    });
    add([](world& w) { return finish(w.store.discard(w.half->key())).has_value(); });
    add([](world& w) { return finish(w.store.set_paused(true)).has_value(); });
    add([](world& w) { return finish(w.store.count_failure(journal::place{2})).has_value(); });
    add([](world& w) { return w.settle(2); });
    // In one go, and its last chunk so small that it lies in a leaf, in the newest one only.
    add([n = 2 * journal::chunk_payload_bytes + 1 + random() % 23](world& w) {
        const auto data = noise(n, w.random);
        return finish(w.store.complete(w.from.next(data, id_of(103)), 0, to_bytes(data)))
            .has_value();
    });

    temporary_folder folder;
    after_.push_back(snapshot_of(folder.path() / "new"));
    run(
        folder.path() / "store", [](std::size_t) {},
        [this](std::size_t, journal::store& store) { after_.push_back(text_of(store)); });
}

std::size_t course::run(const std::filesystem::path& folder,
                        std::function<void(std::size_t)> begins,
                        std::function<void(std::size_t, journal::store&)> ended) const
{
    asio::thread_pool pool{1};
    const auto opened = open(folder, pool);
    if (!opened)
        return 0;
    std::mt19937_64 random{1};
    world here{**opened, random};
    const auto is_done = [&here](const step& one) {
        try {
            return one(here);
        } catch (const std::exception&) {
            return false;
        }
    };
    for (std::size_t n = 0; n < steps_.size(); ++n) {
        begins(n);
        const auto accepted = here.accepted;
        const auto from = here.from;
        const auto chance = random;
        if (!is_done(steps_[n])) {
            here.accepted = accepted; // the same once more, as a client does
            here.from = from;
            random = chance;
            if (!is_done(steps_[n]))
                return n;
        }
        ended(n, **opened);
    }
    return steps_.size();
}

std::string snapshot_of(const std::filesystem::path& folder)
{
    asio::thread_pool pool{1};
    const auto opened = open(folder, pool);
    if (!opened)
        return "refused: " + opened.error().sentence;
    return text_of(**opened);
}

void accept_one(const std::filesystem::path& folder)
{
    asio::thread_pool pool{1};
    const auto opened = open(folder, pool);
    std::mt19937_64 random{9};
    if (opened)
        (void)finish((*opened)->accept(submission_of(noise(9'000, random), id_of(200))));
}

} // namespace titip::tests
