#pragma once

#include "accept/nik_memory.hpp"
#include "enrollment/check.hpp"
#include "envelope/seal.hpp"
#include "journal/store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace titip::accept {

/// Why a submission was refused; nothing of it was stored.
struct rejection {
    enum class kind {
        defective,  ///< 400: `defects` has everything that is wrong, not only the first
        other_id,   ///< 400: the record's own id is not the one it was submitted under
        too_large,  ///< 413
        conflict,   ///< 409: this id was accepted with other bytes
        rotten,     ///< 409: this id is here, and its row can no longer be read
        full,       ///< 507
        not_sealed, ///< 500: nothing was stored
        failed,     ///< 500: the store failed; unknown, not "not accepted"
    };
    rejection::kind what{};
    std::vector<enrollment::defect> defects;
    std::string detail;
};

/// What was accepted, and for whoever submitted it the sentences of its warnings, which are in this
/// answer only: the row keeps their codes.
struct accepted : journal::acceptance {
    std::vector<enrollment::defect> remarks;
    /// The other record of this NIK that was taken since the start, and its state now.
    std::optional<record_id> other;
    std::optional<journal::state> other_state; ///< nothing: it is being taken at this moment
};

/// The largest enrollment that fits a sealed envelope, with room for ids and recipients.
inline constexpr std::size_t most_enrollment_bytes = envelope::limit_bytes - (8u << 10);

/// The door for records that are submitted here: check, seal, commit. No step waits for the
/// network. Checking and sealing run on the pool; a record's plaintext is cleansed before the
/// answer. Threads: the socket thread.
class acceptor {
public:
    /// Both outlive it. `time`: what is known of it now.
    acceptor(journal::store& into, asio::thread_pool& pool, std::string station,
             std::shared_ptr<const envelope::sealer> sealer,
             std::function<enrollment::known_time()> time);
    acceptor(const acceptor&) = delete;
    ~acceptor();

    /// Returns after the commit has been synced. The same id and body give the first answer again,
    /// with the sentences of today.
    asio::awaitable<result<accepted, rejection>>
    submit(record_id id, std::optional<envelope::lane> lane, bytes body);

    void replace(std::shared_ptr<const envelope::sealer> sealer) { sealer_ = std::move(sealer); }

private:
    asio::awaitable<std::optional<journal::state>> state_of(record_id id);

    journal::store& store_;
    asio::thread_pool& pool_;
    std::string station_;
    std::shared_ptr<const envelope::sealer> sealer_;
    std::function<enrollment::known_time()> time_;
    digest nik_key_; ///< of this process only
    nik_memory niks_;
};

} // namespace titip::accept
