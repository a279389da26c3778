#pragma once

#include "intake/server.hpp"

#include <deque>
#include <optional>

namespace titip::intake {

/// One connection of a node below. Private to this room.
class server::exchange {
public:
    exchange(server& owner, std::unique_ptr<http::stream> transport, trust::peer peer);
    exchange(const exchange&) = delete;
    ~exchange();

    asio::awaitable<void> run();

    /// Whose turns and connections these are: a relay and a station of one name are two.
    const std::string& peer_key() const noexcept { return peer_key_; }
    /// The node stops: what has come is committed, what is known is answered, then it ends.
    void end_reading()
    {
        connection_.transport().end_reading();
        changed_.ring();
    }
    /// Nothing is under way on it, or a question that waits for news.
    bool is_idle() const noexcept { return slots_.size() == polls_; }
    /// Makes room for another connection: a question that waits is answered with what was `told`.
    void dismiss(std::optional<admission::refusal> told);
    bool is_dismissed() const noexcept { return is_dismissed_; }
    /// What certificates are judged by has changed: ends if the peer would not be let in any more. A body
    /// that is arriving is cut, and what came of it kept; a question that waits is answered.
    void look_at_peer();
    void look_for_news();
    void look_at_road()
    {
        if (polls_ > 0)
            changed_.ring();
    }

private:
    /// A place in the order of answers; filled when its answer is known.
    struct slot {
        std::optional<http::response> answer;
        bool is_head = false;
        bool is_last = false; ///< the peer sends no request after it
    };
    using slot_ptr = std::shared_ptr<slot>;

    asio::awaitable<void> read_requests();
    asio::awaitable<void> write_answers();
    asio::awaitable<bool> handle(http::request request);
    /// Fills the slot; false if no further request is to be read.
    bool answer(const slot_ptr& into, http::response with);

    asio::awaitable<bool> handle_upload(slot_ptr into, http::request request, http::target target);
    asio::awaitable<bool> create(slot_ptr into, http::request request, std::string station);
    asio::awaitable<bool> append(slot_ptr into, http::request request, vault::key which);
    asio::awaitable<bool> head(slot_ptr into, vault::key which);
    asio::awaitable<bool> remove(slot_ptr into, vault::key which);
    asio::awaitable<bool> take_body(slot_ptr into, std::shared_ptr<uploads::claim> claim,
                                    turnstile::place place, http::request request,
                                    vault::offer what, std::uint64_t offset, bool is_new);
    asio::awaitable<void> complete(slot_ptr into, std::shared_ptr<uploads::claim> claim,
                                   vault::offer what, arrival came, bool is_new);
    asio::awaitable<bool> describe(slot_ptr into, http::target target);
    asio::awaitable<void> tell_news(slot_ptr into, std::uint64_t known);
    void run_beside(asio::awaitable<void> work);
    asio::awaitable<bool> reconcile(slot_ptr into, http::request request);
    asio::awaitable<result<bytes>> read_whole(const http::request& request,
                                              std::size_t limit_bytes);
    http::response description() const;
    /// A relay's verdicts are none: those of a station that bears its name are not its own.
    std::uint64_t newest_verdict() const;
    bool is_above() const { return owner_.self_.is_above && owner_.self_.is_above(peer_); }
    /// For what must not throw: the connection ends, and with it whoever waits for its answers.
    void note_end(const std::exception_ptr& thrown);
    void note_gone();
    asio::awaitable<result<turnstile::place, admission::refusal>> enter()
    {
        return owner_.turnstile_.enter(peer_key_, connection_.transport());
    }

    server& owner_;
    http::server_connection connection_;
    trust::peer peer_;
    std::string peer_key_;
    std::deque<slot_ptr> slots_;
    bell changed_;
    std::list<exchange*>::iterator mine_; ///< among the server's
    std::size_t beside_ = 0;              ///< commits and long polls whose answers are to come
    std::size_t polls_ = 0;               ///< questions that wait for news
    std::uint64_t known_ = 0;             ///< the newest number that one of them knows
    std::size_t unwritten_bytes_ = 0;     ///< of answers
    std::optional<admission::refusal> told_;
    bool is_dismissed_ = false;
    bool is_shut_out_ = false; ///< its certificate is not believed any more
    bool is_done_reading_ = false;
    bool is_gone_ = false;    ///< the peer sends no more; answers may still reach it
    bool is_broken_ = false;  ///< no answer can be written
    bool is_closing_ = false; ///< the last answer has been written
};

} // namespace titip::intake
