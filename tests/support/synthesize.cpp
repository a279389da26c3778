#include "base/units.hpp"
#include "support/synthetic.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

// titip-synthesize: writes invented enrollments to files named <uuid>.enrollment, as a capture
// program would hand them to `titip submit`. Not synced: what is lost is made again.

namespace {

namespace support = titip::support;

struct settings {
    std::uint64_t records = 1;
    std::filesystem::path out;
    std::uint64_t seed = 1;
    std::size_t min_bytes = 300'000;
    std::size_t max_bytes = 2'000'000;
    bool is_plain = false;
    /// To the day, so that the same seed gives the same files all day long.
    titip::wall_time taken_at = std::chrono::floor<std::chrono::days>(titip::wall_now());
};

void write(const std::filesystem::path& path, titip::bytes_view data)
{
    std::ofstream file{path, std::ios::binary};
    file.write(titip::as_text(data).data(), static_cast<std::streamsize>(data.size()));
    if (!file.flush())
        throw std::runtime_error("cannot write " + path.string());
}

std::uint64_t synthesize(const settings& wanted)
{
    std::filesystem::create_directories(wanted.out);
    std::mt19937_64 random{wanted.seed};
    std::uint64_t total_bytes = 0;
    for (std::uint64_t i = 0; i < wanted.records; ++i) {
        support::enrollment_options options;
        options.id = support::random_id(random);
        options.size_bytes =
            wanted.min_bytes + random() % (wanted.max_bytes - wanted.min_bytes + 1);
        options.is_plain = wanted.is_plain;
        options.taken_at = wanted.taken_at;
        const auto record = support::enrollment(random, options);
        write(wanted.out / (options.id->to_string() + ".enrollment"), record);
        total_bytes += record.size();
    }
    return total_bytes;
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app{"Writes invented enrollments, for tests and demonstrations", "titip-synthesize"};
    settings wanted;
    std::size_t size_bytes = 0;
    app.add_option("--records", wanted.records, "how many")->required();
    app.add_option("--out", wanted.out, "the folder for <uuid>.enrollment; made if need be")
        ->required();
    app.add_option("--seed", wanted.seed, "the same seed gives the same files, on the same day")
        ->capture_default_str();
    app.add_option("--min-bytes", wanted.min_bytes, "the smallest record")->capture_default_str();
    app.add_option("--max-bytes", wanted.max_bytes, "the largest record")->capture_default_str();
    app.add_option("--size-bytes", size_bytes, "all records about this large")
        ->excludes("--min-bytes")
        ->excludes("--max-bytes");
    app.add_flag("--plain", wanted.is_plain, "nothing missing, nobody has moved");
    CLI11_PARSE(app, argc, argv);
    if (size_bytes != 0)
        wanted.min_bytes = wanted.max_bytes = size_bytes;
    if (wanted.min_bytes > wanted.max_bytes) {
        fmt::print(stderr, "titip-synthesize: --min-bytes is larger than --max-bytes\n");
        return 2;
    }
    try {
        const auto total_bytes = synthesize(wanted);
        fmt::print("synthesized records={} size={} out={}\n", wanted.records,
                   titip::show_size(total_bytes), wanted.out.string());
    } catch (const std::exception& trouble) {
        fmt::print(stderr, "titip-synthesize: {}\n", trouble.what());
        return EXIT_FAILURE;
    }
}
