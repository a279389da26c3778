// Submits synthetic records over the local socket, from a number of submitters at once: what a busy
// counter does, without pauses.

#include "control/client.hpp"
#include "figures.hpp"
#include "support/synthetic.hpp"

#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>

using namespace titip;

namespace {

/// The id stands first in what support::enrollment() makes: field 1, sixteen bytes.
void set_id(bytes& enrollment, const record_id& id)
{
    std::ranges::copy(id.data(), enrollment.begin() + 2);
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"titip-load submits synthetic records and prints rate and latencies"};
    std::string socket;
    std::size_t records = 200;
    std::size_t submitters = 1;
    std::size_t size_bytes = 1'000'000;
    app.add_option("--socket", socket)->required();
    app.add_option("--records", records);
    app.add_option("--submitters", submitters);
    app.add_option("--size-bytes", size_bytes);
    CLI11_PARSE(app, argc, argv);

    std::mt19937_64 random{1};
    support::enrollment_options options;
    options.taken_at = wall_now();
    options.size_bytes = size_bytes;
    options.is_plain = true;
    const auto body = support::enrollment(random, options);

    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::vector<double> latencies;
    const auto submit = [&] {
        control::client client{socket};
        auto mine = body;
        std::vector<double> own;
        while (next++ < records) {
            const auto id = record_id::random();
            set_id(mine, id);
            const auto from = std::chrono::steady_clock::now();
            const auto answer = client.exchange("PUT", "/v1/records/" + id.to_string(), mine);
            if (!answer || answer->status != 201) {
                fmt::print(stderr, "refused: {}\n",
                           answer ? as_text(answer->body) : answer.error().message());
                std::exit(1);
            }
            own.push_back(bench::seconds{std::chrono::steady_clock::now() - from}.count() * 1e3);
        }
        const std::lock_guard lock{mutex};
        latencies.insert(latencies.end(), own.begin(), own.end());
    };
    const auto from = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < submitters; ++i)
        threads.emplace_back(submit);
    for (auto& each : threads)
        each.join();
    bench::print(std::move(latencies), std::chrono::steady_clock::now() - from,
                 records * body.size());
}
