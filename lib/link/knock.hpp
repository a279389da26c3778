#pragma once

#include "http/transport.hpp"
#include "link/verdict.hpp"

#include <boost/asio/awaitable.hpp>

#include <optional>

namespace titip {
namespace asio = boost::asio;
}

namespace titip::link {

/// Decides whether to knock before a connection is made, and how long to wait for an answer.
///
/// Rationale: a connection attempt into a black hole has the kernel send SYNs after 0, 1, 3, 7 and
/// 15 s, closest together where they tell least; Linux 6.5 and later send nine within 20 s. Given
/// up before the first repetition it costs 60 bytes, so that for the same bytes we look five times
/// as often, at moments that the monitor has drawn.
///
/// Every fourth knock waits for the answers to two SYNs, and every twelfth attempt is made without
/// one: a link may be slower than the short knock. One that has shown itself slower is waited for
/// from then on.
class knocking {
public:
    static constexpr milliseconds one_syn = 950ms;    ///< the kernel's second comes after 1 s,
    static constexpr milliseconds two_syns = 2'900ms; ///< the third after 3 s

    /// Nothing: the last attempt came through TCP, or there was none yet, or this one has all the time
    /// that a connection may take.
    std::optional<milliseconds> patience() const noexcept;

    /// Nothing is known yet: an attempt without a knock asks for the name once, as a knock does.
    bool is_first() const noexcept { return !is_answered_ && in_vain_ == 0; }

    void on_answer(milliseconds took) noexcept; ///< of a knock
    void on_success() noexcept;                 ///< the upstream answered a question
    void on_failure(verdict why) noexcept;      ///< of an attempt, with or without a knock

private:
    bool is_answered_ = false;
    bool is_slow_ = false;
    unsigned in_vain_ = 0;
};

/// Whether anything accepts connections at the upstream: makes one and closes it at once. Each
/// address is given `patience`; the name is asked for once, without the resolver's repetitions.
asio::awaitable<result<void, http::connect_failure>> knock(http::endpoint at,
                                                           milliseconds patience);

} // namespace titip::link
