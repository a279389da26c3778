#pragma once

#include "accept/acceptor.hpp"
#include "base/bell.hpp"
#include "control/roles.hpp"
#include "control/verification.hpp"
#include "http/server.hpp"
#include "journal/scrubber.hpp"
#include "journal/stalled.hpp"
#include "mirror/second_copy.hpp"
#include "replay/replayer.hpp"
#include "trust/chain.hpp"
#include "trust/clock.hpp"
#include "trust/refused_peers.hpp"
#include "trust/revocations.hpp"

#include <functional>
#include <memory>
#include <string>

namespace titip::control {

/// What a relay has signed for and the centre has not confirmed for so long is an alarm. A relay hands on
/// within minutes once its own link is there; outages of some days are common, and heal by themselves.
inline constexpr milliseconds relayed_alarm_after = 7 * 24h;
inline bool is_overdue(wall_time oldest_relayed, wall_time now) noexcept
{
    return oldest_relayed != wall_time{} && now - oldest_relayed > relayed_alarm_after;
}

/// What the local socket speaks for. Null where this node has no such part.
struct services {
    std::string node;
    std::string role; ///< "station", "relay", "centre"
    journal::store* store = nullptr;
    accept::acceptor* acceptor = nullptr;
    replay::replayer* replayer = nullptr;
    const mirror::second_copy* second_copy = nullptr;
    const journal::scrubber* scrubber = nullptr;
    const journal::stalled_uploads* stalled = nullptr; ///< of a node that listens
    std::string safe_mode;        ///< why the store is not open; empty if it is
    bool is_store_absent = false; ///< that is why: nothing is known against it, it is not here
    wall_time safe_mode_since{};
    control::verification* verification = nullptr;
    std::function<void()> start_verification;
    /// In safe mode: the store is trusted again, from the next start on.
    std::function<result<void>()> trust;
    std::function<void()> restart; ///< ends the process, which systemd starts again
    /// Each certificate that this node stands on, and what is known of the time.
    std::function<std::vector<trust::watched>()> certificates;
    std::function<trust::reckoning()> time;
    const trust::refused_peers* refused = nullptr; ///< at a node that listens
    /// Who is shut out: by the files, and for good (store->revoked()).
    const trust::revocations* revocations = nullptr;
    /// That it is kept no longer.
    std::function<void(const digest&)> unrevoked{};
    /// What in the files does not fit together: a sentence each, as --check says it.
    std::vector<std::string> misfits;
    bool is_seal_unused = false; ///< [seal] at a node with [listen]: nothing is submitted here
    /// The store is open, and what is written beside the configuration of it does not fit.
    struct store_mark {
        std::string file;
        std::string trouble = "none"; ///< "absent", "unreadable", "other-store"
        std::string detail;
    } mark;
    std::string fleeting; ///< the file system in memory that the store is on; empty: on a disk
};

/// The local socket: HTTP/1.1 and JSON for submitters, operators, consumers (docs/protocol.md).
/// Roles are checked once per connection, by the peer's groups. Nothing personal leaves through it:
/// the daemon has no personal data to give. Threads: the socket thread.
class server {
public:
    server(asio::any_io_executor on, services parts, role_groups groups);

    /// One connection, until it ends.
    asio::awaitable<void> serve(std::unique_ptr<http::stream> transport);

    /// Something changed: for those who wait at /v1/events.
    void ring() { news_.ring(); }
    void stop_accepting()
    {
        is_stopping_ = true;
        if (copying_)
            copying_->stop = true;
        news_.ring();
        if (parts_.verification)
            parts_.verification->ring();
    }
    services& parts() noexcept { return parts_; }

private:
    class connection;
    asio::any_io_executor on_;
    services parts_;
    roles roles_;
    bell news_;
    std::size_t body_bytes_ = 0; ///< of submissions in memory, over all connections
    bell body_freed_;
    std::size_t strangers_ = 0;                         ///< connections of users without any role
    std::shared_ptr<journal::backup_progress> copying_; ///< null: no backup is under way
    bool is_stopping_ = false;
};

} // namespace titip::control
