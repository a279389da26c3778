#pragma once

#include "base/bell.hpp"
#include "base/time.hpp"
#include "journal/examine.hpp"

#include <boost/json/object.hpp>

#include <deque>
#include <optional>

namespace titip::control {

/// The examination of the store that runs, or ran last: what it says, kept for those who ask. One at a
/// time; who asks for another while one runs is shown that one. Threads: the socket thread.
class verification {
public:
    enum class outcome {
        none,     ///< not yet: none was made, or it is still running
        clean,    ///< everything is as it was written
        differs,  ///< each difference was named
        unopened, ///< the store cannot be opened, even to be looked at
        died,     ///< the store ended the process that looked at it
        hung,     ///< that process came no further, and was ended
    };

    /// What the last examination that was not clean found. It stands until one finds nothing, over
    /// restarts too if its owner keeps it.
    struct finding {
        wall_time at{};
        std::uint64_t differences = 0;
    };

    explicit verification(asio::any_io_executor on) : news_(on) {}

    const std::optional<finding>& standing() const noexcept { return standing_; }
    /// From an earlier process.
    void recall(finding of) { standing_ = of; }

    bool is_running() const noexcept { return is_running_; }
    outcome last() const noexcept { return outcome_; }

    void begin();
    void on_remark(const journal::remark& said);
    /// `how` where the examination itself came to no good end, and why.
    void end(outcome how = outcome::none, std::string_view why = {}, wall_time now = wall_now());

    /// Those after that number.
    std::vector<boost::json::object> lines(std::uint64_t after) const;
    asio::awaitable<void> wait_until(instant deadline) { return news_.wait_until(deadline); }
    /// Who waits is to look again.
    void ring() { news_.ring(); }
    std::uint64_t newest() const noexcept { return next_ - 1; }

private:
    void add(std::string_view what, boost::json::object line);

    std::deque<boost::json::object> lines_; ///< of progress only the newest
    std::uint64_t next_ = 1;
    std::uint64_t differences_ = 0;
    std::uint64_t records_ = 0;
    bool is_running_ = false;
    bool is_unopened_ = false;
    outcome outcome_ = outcome::none;
    std::optional<finding> standing_;
    bell news_;
};

std::string_view to_string(verification::outcome) noexcept;

} // namespace titip::control
