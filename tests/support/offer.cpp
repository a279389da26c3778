#include "base/digest.hpp"
#include "base/file.hpp"
#include "envelope/statement.hpp"
#include "trust/identity.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdlib>

// titip-offer: signs manifests over any file at all, as a station that seals wrongly would, and prints
// each in base64, as Upload-Metadata carries it: in order, each naming the one before it; or with holes.

int main(int argc, char** argv)
{
    using namespace titip;
    CLI::App app{"Signs a manifest over any bytes, for tests", "titip-offer"};
    std::string certificate;
    std::string key;
    std::string station;
    std::string file;
    app.add_option("--certificate", certificate)->required();
    app.add_option("--key", key)->required();
    app.add_option("--station", station)->required();
    std::uint64_t count = 1;
    std::uint64_t step = 1;
    std::uint64_t first = 1;
    app.add_option("--count", count, "So many, of one new epoch");
    app.add_option("--step", step,
                   "From one number to the next; above 1 each names one that nobody has");
    app.add_option("--first", first, "The first number");
    app.add_option("file", file)->required();
    CLI11_PARSE(app, argc, argv);
    const auto self =
        trust::identity::load(read_file(certificate).value(), read_file(key).value()).value();
    const auto data = read_file(file).value();
    const auto hash = sha256(data);
    const auto epoch = epoch_id::random();
    digest previous{};
    for (std::uint64_t i = 0; i < count; ++i) {
        const envelope::manifest said{.record = record_id::random(),
                                      .station = station,
                                      .epoch = epoch,
                                      .at = envelope::sequence{first + i * step},
                                      .taken_at = wall_now(),
                                      .size_bytes = data.size(),
                                      .digest = hash,
                                      .previous = previous};
        const auto statement = envelope::encode(said);
        previous = step == 1 ? envelope::hash_of(statement) : sha256(statement);
        fmt::print("{}\n", to_base64(self.sign(statement)));
    }
}
