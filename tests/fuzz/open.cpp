#include "der_mutator.hpp"

#include "base/file.hpp"
#include "envelope/seal.hpp"

#include <cstdlib>

using namespace titip;

namespace {

const std::string golden = TITIP_SOURCE "/tests/unit/envelope/golden/";

struct credential {
    bytes certificate;
    bytes key;
};

credential read(const std::string& name)
{
    return {read_file(golden + name + ".pem").value(), read_file(golden + name + ".key").value()};
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

/// Mostly such that it keeps the form, and meets the library.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    static const bytes good = read_file(golden + "1-text-p256+rsa2048.cms").value();
    fuzz::der_mutator mutator{seed};
    if (seed % 4 == 0)
        return mutator(data, size, most);
    auto* const begin = reinterpret_cast<std::byte*>(data);
    if (!envelope::check_form(bytes_view{begin, size}) && good.size() <= most) {
        std::ranges::copy(good, begin);
        size = good.size();
    }
    mutator.change_contents(data, size);
    return size;
}
