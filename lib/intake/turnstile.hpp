#pragma once

#include "base/bell.hpp"
#include "base/result.hpp"
#include "http/stream.hpp"
#include "intake/admission.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <random>
#include <string>
#include <utility>

namespace titip {
namespace asio = boost::asio;
}

namespace titip::intake {

/// Carries out what admission decides about bodies: keeps waiting, wakes, closes the connection of
/// one that is displaced. Threads: the socket thread.
class turnstile {
public:
    turnstile(asio::any_io_executor on, admission::options opts)
        : on_(std::move(on)), admission_(monotonic::now(), opts)
    {
    }

    /// A body that was let in, until it is committed or has failed.
    class place {
    public:
        place(place&& other) noexcept
            : at_(std::exchange(other.at_, nullptr)), ticket_(other.ticket_)
        {
        }
        place& operator=(place&&) = delete;
        ~place();

        /// So many bytes more are in memory.
        void grow(std::size_t by);
        /// What was in memory is committed.
        void clear();
        /// All has come: its peer no longer holds anything up.
        void complete();
        bool is_to_be_kept() const { return at_->admission_.is_to_be_kept(ticket_); }

    private:
        friend turnstile;
        place(turnstile& at, admission::ticket mine) : at_(&at), ticket_(mine) {}

        turnstile* at_;
        admission::ticket ticket_;
    };

    /// Waits for its turn, as admission says. `by`, which outlives the place, is closed if the body
    /// stands still while others wait.
    asio::awaitable<result<place, admission::refusal>> enter(std::string station, http::stream& by);

    /// The node stops: who waits is refused, and so is who comes.
    void stop();

    admission& rules() noexcept { return admission_; }
    const admission& rules() const noexcept { return admission_; }
    /// In [0, 1).
    double draw_chance() { return std::uniform_real_distribution<double>{0.0, 1.0}(random_); }

private:
    struct owner {
        http::stream* by;
        bell* woken; ///< null: it was let in
    };
    void wake_called();

    asio::any_io_executor on_;
    admission admission_;
    std::map<admission::ticket, owner> owners_;
    std::mt19937_64 random_{std::random_device{}()};
    bool is_stopping_ = false;
};

} // namespace titip::intake
