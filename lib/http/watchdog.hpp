#pragma once

#include "base/time.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <memory>

namespace titip::http {

/// Calls `late` when a step that began has not ended within its limit. One step at a time; `late`
/// is called at most once a step, on the executor, and never after the watchdog is gone.
///
/// Rationale: a transfer is thousands of short steps. Beginning and ending one only notes a time;
/// the timer below sleeps on and looks at the note when it wakes.
class watchdog {
public:
    /// From here on a limit means none: adding it to the present would overflow.
    static constexpr milliseconds unlimited = 24h * 365 * 10;

    watchdog(boost::asio::any_io_executor on, std::function<void()> late);
    ~watchdog();
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;

    void begin(milliseconds limit);
    void end() noexcept;
    /// Gives a step that is under way `limit` from now.
    void extend(milliseconds limit);
    /// Whether a step has ever been late.
    bool is_late() const noexcept;

    /// A step that ends with its scope, also when cancellation throws.
    class step {
    public:
        step(watchdog& by, milliseconds limit) : by_(by) { by_.begin(limit); }
        ~step() { by_.end(); }
        step(const step&) = delete;
        step& operator=(const step&) = delete;

    private:
        watchdog& by_;
    };

private:
    struct watch;
    std::shared_ptr<watch> watch_;
};

} // namespace titip::http
