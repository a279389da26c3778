#include "base/secret.hpp"

#include "base/descriptor.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace titip {

secret::~secret()
{
    OPENSSL_cleanse(data_.data(), data_.size());
}

result<secret> read_secret(const std::filesystem::path& path, std::size_t limit_bytes)
{
    const descriptor file{::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC)};
    if (!file)
        return last_error();
    bytes all(limit_bytes + 1);
    std::size_t filled = 0;
    ::ssize_t got = 0;
    do {
        got = ::read(file.get(), all.data() + filled, all.size() - filled);
        filled += static_cast<std::size_t>(std::max<::ssize_t>(got, 0));
    } while ((got > 0 && filled < all.size()) || (got < 0 && errno == EINTR));
    const auto failed = got < 0 ? last_error()
                        : filled > limit_bytes
                            ? make_error_code(boost::system::errc::file_too_large)
                            : error_code{};
    if (failed) {
        OPENSSL_cleanse(all.data(), filled);
        return failed;
    }
    all.resize(filled); // the rest was never written to; nothing moves
    return secret{std::move(all)};
}

void keep_memory_to_ourselves() noexcept
{
    constexpr ::rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::prctl(PR_SET_DUMPABLE, 0);
}

namespace {

void* take(std::size_t size, const char*, int)
{
    return std::malloc(size);
}

void give_back(void* from, const char*, int)
{
    if (from != nullptr)
        OPENSSL_cleanse(from, ::malloc_usable_size(from));
    std::free(from);
}

void* resize(void* from, std::size_t size, const char*, int)
{
    void* const to = size == 0 ? nullptr : std::malloc(size);
    if (size != 0 && to == nullptr)
        return nullptr;
    if (from != nullptr && to != nullptr)
        std::memcpy(to, from, std::min(size, ::malloc_usable_size(from)));
    give_back(from, nullptr, 0);
    return to;
}

} // namespace

bool cleanse_what_openssl_frees() noexcept
{
    return ::CRYPTO_set_mem_functions(take, resize, give_back) == 1;
}

} // namespace titip
