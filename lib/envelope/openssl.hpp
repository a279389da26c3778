#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>

#include <memory>

/// OpenSSL's objects as owned values. For .cpp files only: its headers are slow to read.
namespace titip::envelope {

template <auto Release>
struct released_by {
    template <class T>
    void operator()(T* object) const noexcept
    {
        Release(object);
    }
};

template <class T, auto Release>
using owned = std::unique_ptr<T, released_by<Release>>;

using owned_bio = owned<BIO, BIO_free_all>;

/// Takes back what OpenSSL adds to this thread's error queue: SSL_get_error() of a connection that
/// the thread serves next would read a stale entry as its own.
class quiet_errors {
public:
    quiet_errors() noexcept { ERR_set_mark(); }
    ~quiet_errors() { ERR_pop_to_mark(); }
    quiet_errors(const quiet_errors&) = delete;
    quiet_errors& operator=(const quiet_errors&) = delete;
};

} // namespace titip::envelope
