#pragma once

#include "base/digest.hpp"
#include "base/record_id.hpp"

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>

namespace titip::accept {

/// Which NIKs have come since the start, so that who submits one citizen twice, under two ids, is
/// told: the centre would find out in months. Nothing of it is written, in no form: a NIK has so few
/// digits that whoever has a digest of one, and the key, finds it by trying.
///
///     What is kept   the first half of an HMAC under a key that is made at each start, and the id
///     Where          in this memory, cleansed when it is given back; the process is never dumped
///     How many       the newest `most`. An older one is forgotten: then a warning is missing, but
///                    none is ever wrong
///
/// Pure: the key is the caller's. Threads: one.
class nik_memory {
public:
    /// Seven months of an office that records 300 people a day, in 7 MB.
    static constexpr std::size_t most = 65'536;

    struct finding {
        std::optional<record_id> other; ///< the first record with this NIK, if it is another one
        bool is_new = false;            ///< the NIK had not come before
    };
    /// The same id again is nothing to tell of.
    finding note(const digest& nik_mac, record_id id);
    /// What was noted as new is not here after all.
    void forget(const digest& nik_mac);

    std::size_t size() const noexcept { return first_.size(); }

private:
    template <class T>
    struct cleansing {
        using value_type = T;
        cleansing() = default;
        template <class U>
        cleansing(const cleansing<U>&) noexcept
        {
        }
        T* allocate(std::size_t n) { return std::allocator<T>{}.allocate(n); }
        void deallocate(T* p, std::size_t n) noexcept
        {
            ::explicit_bzero(static_cast<void*>(p), n * sizeof(T));
            std::allocator<T>{}.deallocate(p, n);
        }
        friend bool operator==(const cleansing&, const cleansing&) { return true; }
    };
    using half = std::array<std::byte, 16>;
    static half half_of(const digest& whole) noexcept;

    std::map<half, record_id, std::less<>, cleansing<std::pair<const half, record_id>>> first_;
    std::deque<half, cleansing<half>> order_; ///< oldest first
};

} // namespace titip::accept
