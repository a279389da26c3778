#pragma once

#include "node/pulse.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace titip::node {

/// What the threads of a process say of themselves, for the watcher; it may outlive them.
struct vitals {
    activity socket_thread; ///< which opens the store too, before it has any socket
    std::shared_ptr<activity> writer = std::make_shared<activity>();
    std::atomic<std::uint64_t> beats{0};  ///< of the socket thread
    std::atomic<std::uint64_t> tokens{0}; ///< that have passed through the writer
    std::atomic<bool> is_token_out{false};
};

/// Speaks with systemd (sd_notify(3)) from a thread of its own, so that a manager who does not listen
/// holds up nothing, and tells it what `pulse` decides of the others. Without NOTIFY_SOCKET it does nothing.
/// Threads:  any.
/// Lifetime: one that is held up in telling is left behind.
class watcher {
public:
    explicit watcher(std::shared_ptr<vitals> of);
    ~watcher();

    /// Between two beats.
    milliseconds step() const noexcept;
    /// In order; a STATUS= that has not gone out yet gives way to a later one. READY=1 and STOPPING=1 also
    /// say what is to be expected of the threads.
    void say(std::string word);
    /// What was said has gone out; false after `limit`.
    bool flush(milliseconds limit);

private:
    struct parts;
    std::shared_ptr<parts> parts_;
};

} // namespace titip::node
