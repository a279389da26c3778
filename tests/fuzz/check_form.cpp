#include "der_mutator.hpp"

#include "envelope/seal.hpp"

#include <cstdlib>

using namespace titip;

/// Any bytes: an answer, from the bytes alone, whole or in any two pieces the same; and what passes has
/// room for nothing beside the form: one byte more or less, and it does not pass.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const bytes_view sealed{reinterpret_cast<const std::byte*>(data), size};
    if (!envelope::check_form(sealed))
        return 0;
    auto longer = to_bytes(sealed);
    longer.push_back(std::byte{});
    if (envelope::check_form(longer) || envelope::check_form(sealed.first(size - 1)))
        std::abort();
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    return fuzz::der_mutator{seed}(data, size, most);
}
