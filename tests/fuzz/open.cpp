#include "der_mutator.hpp"

#include "base/file.hpp"
#include "envelope/seal.hpp"

#include <cstdlib>

using namespace titip;

namespace {

struct credential {
    bytes certificate;
    bytes key;
};

credential read(const std::string& name)
{
    const auto at = std::string{TITIP_SOURCE "/tests/unit/envelope/golden/"} + name;
    return {read_file(at + ".pem").value(), read_file(at + ".key").value()};
}

} // namespace

/// An envelope that was changed, and both keys it was made for: nothing is released but what was sealed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const credential known[] = {read("p256"), read("rsa2048")};
    const bytes_view sealed{reinterpret_cast<const std::byte*>(data), size};
    const bool has_form = envelope::check_form(sealed).has_value();
    for (const auto& [certificate, key] : known) {
        const auto got = envelope::open(sealed, certificate, key);
        if (got && (!has_form || got->ids.station != "kab-karimun-03"))
            std::abort();
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    return fuzz::der_mutator{seed}(data, size, most);
}
