#include "base/digest.hpp"
#include "base/file.hpp"
#include "envelope/statement.hpp"
#include "trust/identity.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdlib>

// titip-offer: signs a manifest over any file at all, as a station that seals wrongly would, and
// prints it in base64, as Upload-Metadata carries it.

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
    app.add_option("file", file)->required();
    CLI11_PARSE(app, argc, argv);
    const auto self =
        trust::identity::load(read_file(certificate).value(), read_file(key).value()).value();
    const auto data = read_file(file).value();
    const envelope::manifest said{.record = record_id::random(),
                                  .station = station,
                                  .epoch = epoch_id::random(),
                                  .at = envelope::sequence{1},
                                  .taken_at = wall_now(),
                                  .size_bytes = data.size(),
                                  .digest = sha256(data)};
    fmt::print("{}\n", to_base64(self.sign(envelope::encode(said))));
}
