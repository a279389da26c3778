#pragma once

#include "http/transport.hpp"
#include "link/passage.hpp"
#include "link/regulator.hpp"
#include "replay/budget.hpp"
#include "replay/scheduler.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

namespace titip::replay {

/// The connections that bodies go over: which of them are wanted now, how fast each may go, and what
/// has gone out over them. How the link is filled link::regulator decides, what to try where nothing
/// gets through link::passage, what may be used of it the budget; this asks TCP for its figures and
/// carries them out.
///
/// Connections 0, 1, ... take all records. The one after the most that are configured is the
/// *express*: for urgent records alone, beside others.
///
/// Threads: the socket thread.
class carriers {
public:
    struct options {
        unsigned most_connections = 16;
        meter sent;
    };
    /// `queue` outlives it.
    carriers(options opts, const scheduler& queue);

    bool is_express(connection on) const noexcept;
    /// The budget lets another record begin on it.
    bool is_affordable(connection on) const noexcept;
    /// There is something to carry for it, if it is not open.
    bool is_wanted(connection on) const noexcept;
    /// It is open, and nothing more should begin on it.
    bool is_surplus(connection on) const noexcept;
    bool is_empty() const noexcept { return open_.empty(); }

    /// From here until its end the connection is being opened: for a record that waits, and that no other
    /// one needs to be opened for.
    class opening {
    public:
        opening(carriers& of, connection on) : of_(of), counts_(!of.is_express(on))
        {
            of_.opening_ += counts_;
        }
        ~opening() { of_.opening_ -= counts_; }
        opening(const opening&) = delete;
        opening& operator=(const opening&) = delete;

    private:
        carriers& of_;
        bool counts_;
    };

    /// Open, and as regulator and budget want it. Until remove() `transport` stays.
    std::uint64_t add(http::stream& transport, connection on);
    void remove(std::uint64_t number);

    /// Takes TCP's figures and makes all go as they are to, some times a second while anything is in flight.
    /// True: others are wanted than before.
    bool regulate(instant now);
    /// The hour may have changed, or what the system allows.
    void look_around();

    void close_all();
    /// Closes those that go out from an address which this machine has no longer. How many.
    std::size_t close_gone();
    /// It was: not the link is to blame, nor the record.
    bool is_given_up(std::uint64_t number) const;

    /// A body is about to be written to it.
    void on_body(std::uint64_t number, instant now);
    /// It broke, and no byte of a body was acknowledged: neither the record nor the answers to small
    /// questions tell why.
    bool is_silence(std::uint64_t number, instant now);
    link::passage& passage() noexcept { return passage_; }
    const link::passage& passage() const noexcept { return passage_; }

    struct figures {
        std::size_t connections = 0; ///< without the express
        bool is_bbr = false;         ///< on one of them at least
        bool may_bbr = false;        ///< the system allows it
        std::uint64_t rate_bytes_per_s = 0;
        std::uint64_t resent_bytes = 0;
    };
    figures now() const;
    meter& sent() noexcept { return sent_; }
    const meter& sent() const noexcept { return sent_; }

private:
    struct carrier {
        http::stream* transport = nullptr;
        connection on{};
        std::uint64_t number = 0;
        unsigned segment_bytes = 0; ///< at most, as it was made
        bool is_bbr = false;
        bool is_given_up = false;
        std::uint64_t probes = 0;               ///< of the regulator, of which this one knows
        std::optional<std::uint64_t> body_from; ///< bytes that were written before the first body
        instant body_at{};
        bool has_progress = false; ///< a byte of a body was acknowledged
        http::tcp_figures seen;    ///< when we last looked
    };
    unsigned most_useful() const noexcept;
    void note_progress(carrier& each, const http::tcp_figures& seen, instant now);
    void choose_control(carrier& each);
    void tune(carrier& each);
    std::size_t busy() const;

    unsigned most_connections_;
    const scheduler& queue_;
    link::regulator regulator_;
    link::passage passage_;
    meter sent_;
    std::map<std::uint64_t, carrier> open_;
    std::uint64_t begun_ = 0;
    std::size_t opening_ = 0;
    std::uint64_t resent_bytes_ = 0;
    bool may_bbr_ = http::may_use_bbr();
};

} // namespace titip::replay
