#pragma once

#include "base/time.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <vector>

namespace titip {

/// Wakes coroutines that wait for something to change. Who waits looks first and waits then; on one
/// thread nothing can change in between, so no ring is missed. Threads: one.
class bell {
public:
    explicit bell(boost::asio::any_io_executor on);

    void ring();
    /// Comes back at the next ring, at `deadline`, or when the caller is cancelled (whose next wait
    /// then throws). May come back early: look again.
    boost::asio::awaitable<void> wait_until(instant deadline);
    boost::asio::awaitable<void> wait() { return wait_until(instant::max()); }

private:
    class waiting;
    boost::asio::any_io_executor on_;
    std::vector<waiting*> all_;
};

} // namespace titip
