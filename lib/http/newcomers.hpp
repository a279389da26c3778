#pragma once

#include "base/time.hpp"

#include <boost/asio/ip/address.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace titip::http {

/// Decides how long a connection may stay whose peer has not shown a certificate yet: anybody can
/// open one, and those who have a certificate must not wait behind them. Knows no socket and no
/// clock. Where there is room nobody is hurried.
///
/// - A newcomer is silent until its ClientHello is here, whole; from then on it shakes hands.
/// - While at most half of the places are taken, a silent one has `calm`, one that shakes hands has
///   `whole`. From there on both fall in a straight line, to `hurried` and `fair` when all are taken.
///   Rationale: an honest peer says its hello in the segment that opens the connection; its
///   certificate takes round trips, on a satellite link with loss some seconds.
/// - One source may have `most_of_one` silent ones, and as many that shake hands. That counts only
///   while more than half of the places are taken, since the offices behind one address share it.
///   Above it, its longest silent one goes at once; those that shake hands have `hurried`.
///   Rationale: giving up a handshake at once would throw away what was computed for it, and where
///   all come at once, nearly all.
/// - Without a place further ones wait in the kernel's queue, until one is done or its time is over.
///   The longest silent goes first.
class newcomers {
public:
    struct options {
        std::size_t most = 128;
        std::size_t most_of_one = 32;
        milliseconds calm = 10s;
        milliseconds hurried = 2s; ///< a lost segment is sent again within a second
        milliseconds whole = 30s;
        milliseconds fair = 5s; ///< a few round trips by satellite, and some loss
    };
    enum class ticket : std::uint64_t {};

    newcomers() = default;
    explicit newcomers(options opts) : opts_(opts) {}

    bool has_room() const noexcept { return all_.size() < opts_.most; }
    /// Only where there is room. `from`: source_of() its address.
    ticket on_come(instant now, std::string from);
    /// Its ClientHello is here. Nothing if it has been displaced.
    void on_hello(ticket which, instant now);
    /// It has a certificate, or is gone. Nothing if it has been displaced.
    void on_end(ticket which) noexcept;

    /// Those whose time is over: to be closed. They take no place any more.
    std::vector<ticket> take_displaced(instant now);
    /// When the next one's time is over if nobody else comes or goes; the end of time where nobody
    /// is here.
    instant look_again() const;

    std::size_t size() const noexcept { return all_.size(); }
    const options& rules() const noexcept { return opts_; }
    /// What holds between any two calls.
    void check() const;

private:
    struct one {
        std::string from;
        instant since; ///< it came, or said its hello
        bool is_silent = true;
    };
    struct counts {
        std::size_t silent = 0;
        std::size_t shaking = 0;
    };
    using all = std::map<ticket, one>;

    bool is_pressed() const noexcept { return all_.size() > opts_.most / 2; }
    milliseconds patience(const one& with) const;
    instant end_of(const one& which) const { return which.since + patience(which); }
    void remove(all::iterator which) noexcept;

    options opts_;
    all all_; ///< in the order in which they came
    std::map<std::string, counts> sources_;
    std::uint64_t last_ = 0;
};

/// Whose connection it is, as far as an address says: an IPv4 address; of IPv6 the 64 bits that one
/// customer has all addresses of.
std::string source_of(const boost::asio::ip::address& address);

} // namespace titip::http
