#pragma once

#include "enrollment/check.hpp"
#include "envelope/seal.hpp"
#include "journal/store.hpp"

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

/// The largest enrollment that fits a sealed envelope, with room for ids and recipients.
inline constexpr std::size_t most_enrollment_bytes = envelope::limit_bytes - (8u << 10);

/// The door for records that are submitted here: check, seal, commit. No step waits for the
/// network. Checking and sealing run on the pool; a record's plaintext is cleansed before the
/// answer. Threads: the socket thread.
class acceptor {
public:
    /// Both outlive it.
    acceptor(journal::store& into, asio::thread_pool& pool, std::string station,
             std::shared_ptr<const envelope::sealer> sealer);

    /// Returns after the commit has been synced. The same id and body give the first answer again.
    asio::awaitable<result<journal::acceptance, rejection>>
    submit(record_id id, std::optional<envelope::lane> lane, bytes body);

    void replace(std::shared_ptr<const envelope::sealer> sealer) { sealer_ = std::move(sealer); }

private:
    journal::store& store_;
    asio::thread_pool& pool_;
    std::string station_;
    std::shared_ptr<const envelope::sealer> sealer_;
};

} // namespace titip::accept
