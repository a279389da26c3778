#include "base/descriptor.hpp"
#include "base/digest.hpp"
#include "bundle/record_file.hpp"

#include <cstdlib>
#include <random>

#include <sys/mman.h>
#include <unistd.h>

using namespace titip;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

constexpr std::size_t digest_bytes = std::tuple_size_v<digest>;

/// In memory: a disk would be slower than all the rest.
int file_of(bytes_view data)
{
    static const int file = ::memfd_create("record", MFD_CLOEXEC);
    if (file < 0 || ::ftruncate(file, 0) != 0 || ::lseek(file, 0, SEEK_SET) != 0 ||
        !write_all(file, data) || ::lseek(file, 0, SEEK_SET) != 0)
        std::abort();
    return file;
}

bytes well_formed()
{
    const bundle::sealed_record what{.manifest_cms = to_bytes(as_bytes("manifest")),
                                     .receipt_cms = to_bytes(as_bytes("receipt")),
                                     .receipt_given_cms = {},
                                     .envelope = to_bytes(as_bytes("envelope"))};
    const int file = file_of({});
    if (!bundle::write_sealed(file, what) || ::lseek(file, 0, SEEK_SET) != 0)
        std::abort();
    return read_all(file, 4'096).value();
}

} // namespace

/// Any bytes in a record's file: an error, or parts of it. What is taken is written again, and gives
/// the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const bytes_view stored{reinterpret_cast<const std::byte*>(data), size};
    const auto got = bundle::read_sealed(file_of(stored));
    if (!got)
        return 0;
    const int file = file_of({});
    if (!bundle::write_sealed(file, *got) || ::lseek(file, 0, SEEK_SET) != 0)
        std::abort();
    const auto again = bundle::read_sealed(file);
    if (!again || *again != *got)
        std::abort();
    return 0;
}

/// Changes all but the digest, which mostly fits again: else nothing behind it is ever reached.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    std::minstd_rand random{seed};
    auto* const begin = reinterpret_cast<std::byte*>(data);
    if (size < digest_bytes || random() % 32 == 0) {
        const auto whole = well_formed();
        if (whole.size() > most)
            return LLVMFuzzerMutate(data, size, most);
        std::copy(whole.begin(), whole.end(), begin);
        size = whole.size();
    }
    if (most < digest_bytes || random() % 8 == 0)
        return LLVMFuzzerMutate(data, size, most);
    const auto room = most - digest_bytes;
    const auto body = LLVMFuzzerMutate(data, size - digest_bytes, room);
    const auto sum = sha256(bytes_view{begin, body});
    std::copy(sum.begin(), sum.end(), begin + body);
    return body + digest_bytes;
}
