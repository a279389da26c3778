#pragma once

#include "simulation/fleet.hpp"
#include "simulation/fleet_agenda.hpp"

#include "replay/scheduler.hpp"

#include <deque>
#include <list>

namespace titip::fleet {

/// A connection, seen from both ends.
struct line {
    enum class purpose { probe, reconcile, send };
    enum class state { free, dialling, queued, unpaid, shaking, open };
    std::uint32_t serial = 0;
    std::uint32_t office = 0;
    purpose wish{};
    unsigned index = 0; ///< of a sender
    line::state state = state::free;
    double rtt_s = 0;
    bool is_resumed = false;
    bool has_client = false;
    bool is_admitted = false;
    instant began{};
    instant since{};                                 ///< admitted
    std::optional<intake::admission::ticket> ticket; ///< of the first that is carried
    bool is_in = false;                              ///< its bytes are taken
    bool is_paid = false;
    bool is_newcomer = false;
    std::list<std::uint32_t>::iterator as_newcomer;
    std::deque<replay::scheduler::pick> carried; ///< sent, without an answer
    double front_left = 0;                       ///< bytes of the first that have not come yet
};

instant after(instant now, double wait_s);

/// What a server does before it knows whose a connection is: places, the kernel's queue behind
/// them, and handshakes that cost CPU in the order of their coming, also of those who have gone.
class centre {
public:
    /// The other end hears of it.
    class clients {
    public:
        virtual void on_open(std::uint32_t id) = 0;
        virtual void on_closed(std::uint32_t id) = 0; ///< the line is free afterwards
        virtual void on_end_of_admitted(std::uint32_t id) = 0;

    protected:
        ~clients() = default;
    };

    centre(const centre_options& opts, agenda& plans, std::deque<line>& lines, clients& others)
        : opts_(opts), plans_(plans), lines_(lines), clients_(others)
    {
    }

    std::uint32_t new_line();
    void set_up(bool is_up);
    bool is_up() const noexcept { return is_up_; }

    void on_arrival(std::uint32_t id);
    void on_paid(std::uint32_t id, std::uint32_t serial);
    void on_shaken(std::uint32_t id);
    void on_handshake_late(std::uint32_t id);
    void on_handshake_fair(std::uint32_t id);
    void on_client_gone(std::uint32_t id);
    /// The centre ends it.
    void drop(std::uint32_t id);

    void set_now(instant now) noexcept { now_ = now; }
    /// Since the last call.
    double take_busy_s() { return std::exchange(busy_s_, 0); }
    std::size_t most_taken() const noexcept { return most_taken_; }
    std::uint64_t handshakes() const noexcept { return handshakes_; }
    std::uint64_t wasted() const noexcept { return wasted_; }
    /// Paid for, and then refused.
    void note_waste() { ++wasted_; }

private:
    bool has_room() const
    {
        return taken_ < opts_.most_connections && newcomers_.size() < opts_.most_newcomers;
    }
    void take(std::uint32_t id);
    void fill_places();
    void pay();
    void release(std::uint32_t id);

    centre_options opts_;
    agenda& plans_;
    std::deque<line>& lines_;
    clients& clients_;
    instant now_{};
    bool is_up_ = false;
    std::vector<std::uint32_t> free_;
    std::deque<std::pair<std::uint32_t, std::uint32_t>> kernel_; ///< line and serial
    std::deque<std::pair<std::uint32_t, std::uint32_t>> unpaid_;
    std::list<std::uint32_t> newcomers_; ///< oldest first
    std::size_t taken_ = 0;
    std::size_t most_taken_ = 0;
    unsigned busy_cores_ = 0;
    double busy_s_ = 0;
    std::uint64_t handshakes_ = 0;
    std::uint64_t wasted_ = 0;
};

} // namespace titip::fleet
