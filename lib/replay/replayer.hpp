#pragma once

#include "base/bell.hpp"
#include "journal/store.hpp"
#include "link/monitor.hpp"
#include "link/prober.hpp"
#include "replay/carriers.hpp"
#include "replay/distrust.hpp"
#include "replay/history.hpp"
#include "replay/refusal.hpp"
#include "replay/scheduler.hpp"
#include "trust/judge.hpp"
#include "uplink/session.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace titip::replay {

/// Why records are not offered for now, for people.
struct deferral {
    distrust::doubt what;
    wall_time since{};
    wall_time next_try{}; ///< in the past: it is due, or under way
};

/// What `titip status` says of the link and of sending.
struct report {
    bool is_up = false;
    link::verdict verdict = link::verdict::unknown;
    std::string detail;
    std::string upstream;      ///< host:port
    std::string upstream_name; ///< in its certificate; empty: it was not reached yet
    bool is_upstream_relay = false;
    std::size_t turned_back = 0; ///< records that wait and are not sent: the upstream brought them
    wall_time since{};
    wall_time last_checked{};
    wall_time next_check{}; ///< zero while up, but for the next try where nothing gets through
    wall_time
        nothing_through_since{}; ///< connected, and no byte of a body is acknowledged; or zero
    wall_time last_delivery{};
    std::size_t in_flight = 0;
    std::uint64_t rate_bytes_per_s = 0; ///< what the link has been seen to carry; 0: not known
    std::uint64_t sent_bytes = 0;       ///< by TCP, since the start, for bodies
    std::uint64_t resent_bytes = 0;     ///< of these
    std::uint64_t wasted_bytes = 0;     ///< of bodies: begun again, or not wanted
    std::size_t connections = 0;        ///< that bodies go over now
    bool is_bbr = false;                ///< on those
    bool may_bbr = false;               ///< the system allows it
    std::optional<std::uint64_t> day_budget_bytes;
    std::uint64_t sent_today_bytes = 0;
    bool is_within_budget = true; ///< another record may begin now, if it is not urgent
    unsigned protocol = 0;        ///< that the upstream speaks; 0: not heard yet
    std::vector<deferral> deferrals;
    history::view past;
};

/// Hands the journal's records to the upstream whenever it can be reached, and takes receipts,
/// custody and verdicts in. What to send when is the scheduler's to decide, whether the link is
/// there the monitor's; this carries it out.
///
///     watch      probes, keeps a long poll open while up, notes outages in the ledger
///     reconcile  first thing whenever the link comes up, and when the upstream has news; on the
///                connection of the watch, in the same round trip as the question whether it is up
///     retry_deferred  offers again, now and then, what the upstream refuses for no fault of a record
///     send * N   a connection each: requests are pipelined, answers taken as they come. One more
///                is open for urgent records alone, for which the bodies of others all but pause
///     regulate   how many of them, and how fast each: link::regulator decides
///
/// Threads: the socket thread.
class replayer {
public:
    struct options {
        std::string node;
        bool is_relay = false; ///< nodes below hand records to this one
        unsigned most_connections = 16;
        budget::options limits;           ///< of a metered link
        std::optional<milliseconds> keep; ///< retention after `opened`; nothing: never erased
    };
    struct surroundings {
        journal::store& store;
        link::dialer& upstream;
        std::function<std::shared_ptr<const trust::authorities>()> authorities;
        std::shared_ptr<trust::judge> judge;
        /// Whether someone repairs this record, or sets it aside; null: nobody.
        std::function<bool(journal::place)> repair{};
        /// road() says something else now; null: nobody asks.
        std::function<void()> road_changed{};
    };

    replayer(asio::any_io_executor on, options opts, surroundings around);
    ~replayer();

    /// What waits in the journal; before run(). Changes meanwhile are told by on_change() as ever.
    asio::awaitable<void> load();
    /// Until stop(); comes back when all transfers have ended.
    asio::awaitable<void> run();
    /// Ends transfers now; run() comes back.
    void stop();

    /// A record changed in the journal.
    void on_change(const journal::change& what);
    /// An operator's doing: sending stops after what is under way.
    void set_paused(bool paused);
    /// Look at the link now (an operator, or the system, says so), and offer again what was refused.
    void check_now();
    /// Addresses, interfaces or routes of this machine have changed.
    void on_network_change();
    /// Who the upstream is, by its certificate; before anything is asked.
    void on_upstream(const trust::peer& who);
    bool is_upstream(const trust::peer& who) const noexcept { return above_ == who; }
    /// The names from this node up to the centre; the last "?" if what comes then is not known.
    std::vector<std::string> road() const;

    report now() const;
    /// Nothing: it is offered in its turn.
    std::optional<deferral> deferral_of(journal::place at) const;

private:
    /// How a connection ended; refused: with an answer.
    enum class ending { idle, broken, refused };
    struct transfer; ///< one connection's requests without an answer
    asio::awaitable<void> watch();
    asio::awaitable<void> take_news(const link::node_info& info,
                                    std::optional<vault::question> asked);
    asio::awaitable<link::opened> open(connection on);
    asio::awaitable<void> send(connection on);
    asio::awaitable<void> pump(connection on, uplink::session& over, std::uint64_t number);
    asio::awaitable<bool> send_next(connection on, uplink::session& over, transfer& state,
                                    std::uint64_t number);
    asio::awaitable<bool> write_body(uplink::session& over, transfer& state,
                                     const scheduler::pick& what, bytes body);
    asio::awaitable<void> regulate();
    asio::awaitable<void> keep_history();
    asio::awaitable<void> take_answers(uplink::session& over, transfer& state);
    asio::awaitable<void> take_receipt(journal::place at, bytes cms);
    asio::awaitable<void> take_outcome(journal::place at, uplink::outcome what);
    asio::awaitable<void> take_refusal(journal::place at, refusal what, std::string note);
    /// One that the upstream refused for no fault of the record.
    asio::awaitable<void> take_fault(journal::place at, distrust::fault why, std::string note);
    asio::awaitable<void> retry_deferred();
    asio::awaitable<void> free_set_aside(unsigned protocol);
    asio::awaitable<void> settle(journal::place at, uplink::receipt receipt,
                                 std::uint64_t size_bytes);
    asio::awaitable<std::optional<vault::question>>
    make_question(const std::vector<vault::key>& wanted);
    /// `first`: what was asked already, on the prober's connection.
    asio::awaitable<bool> reconcile(std::optional<vault::question> first);
    /// The answer to `question`; afterwards `wanted` is whom to ask for next, none of `asked`.
    /// Nothing: it failed; else whether there is more to ask, or to hear. `began_again`: the upstream
    /// has told its verdicts from the first on, as one does whose store was set back.
    asio::awaitable<std::optional<bool>> take_reconciled(http::client_connection& over,
                                                         const vault::question& question,
                                                         std::vector<vault::key>& wanted,
                                                         const std::set<vault::key>& asked,
                                                         bool& began_again);
    asio::awaitable<void> take_told(const uplink::reconciled& told,
                                    const std::vector<vault::key>& wanted);
    /// What became of other stations' records, which no reconcile tells. False: it failed.
    asio::awaitable<bool> look_up_others();
    asio::awaitable<bool> take_standing(http::client_connection& over, journal::placed what);
    asio::awaitable<void> sweep();
    asio::awaitable<void> note_outage(bool began, std::string layer, milliseconds lasted);

    static double draw_chance();
    void start(asio::awaitable<void> work);
    /// Records whose outcome is not known, at most `limit`: of our own station, or of all others.
    enum class whose { ours, others };
    std::vector<journal::placed> unsettled(whose, std::size_t limit) const;
    std::vector<vault::key> unsettled() const;
    /// It waits, and is offered to no upstream that brought it.
    void turn_back(journal::place at, const record_id& record, const std::string& brought_by);
    std::string name_of(journal::place at) const; ///< of one that was sent, for the log
    void publish(const link::monitor::decision& decided, std::string detail);
    /// A transfer found the link wanting; the watch looks again when the monitor says so.
    void on_transfer_failure(link::verdict why, milliseconds retry_after, std::string detail);
    void on_transfer_failure(const uplink::outcome& why);
    void ask_again();
    void note_doubts(const std::vector<distrust::doubt>& before);
    void defer(journal::place at);
    void recall(journal::place at);
    deferral to_deferral(distrust::doubt what) const;
    bool may_send() const noexcept;
    /// A connection may be opened: for what may be sent soon.
    bool may_open() const noexcept;
    void on_reached();
    asio::awaitable<void> write_down_sent();
    void note_delivery(std::uint64_t bytes);

    /// A link that moves nothing for so long is dead; one that moves a byte is not (DESIGN: no
    /// progress).
    static constexpr auto no_progress_limit = 60s;

    asio::any_io_executor on_;
    options opts_;
    surroundings around_;
    link::monitor monitor_;
    link::prober prober_;
    scheduler scheduler_;
    distrust distrust_;
    bell changed_;      ///< the queue, the link, a reconcile, pause or stop
    bell link_changed_; ///< wakes watch() early
    bell doubts_changed_;
    std::map<vault::key, journal::place> by_record_; ///< of what is in flight or unknown
    std::optional<std::set<journal::place>> changed_while_loading_;
    carriers carriers_;
    unsigned urgent_bodies_ = 0; ///< being written: others all but pause
    history history_;
    std::uint64_t seen_wasted_bytes_ = 0; ///< by the history
    std::string detail_;
    std::optional<trust::peer> above_;
    std::vector<std::string> road_above_; ///< as the upstream told it
    std::set<journal::place> turned_back_;
    wall_time last_delivery_{};
    instant reconciled_at_{};
    instant outage_began_{};
    std::optional<epoch_id> centre_epoch_; ///< of its store, as of the newest answer
    bool is_centre_new_ = true; ///< its store may be another one than that which opened records
    std::uint64_t newest_verdict_ = 0; ///< the upstream's number that we have taken in
    link::node_info upstream_said_;    ///< no name: it has not been heard yet
    std::size_t running_ = 0;
    bool is_reconciled_ = false;
    bool is_promising_ = false; ///< the link has not failed since it last answered
    bool is_spreading_ = false; ///< the upstream wants us later
    bool is_check_due_ = false; ///< somebody wants to know now: no long poll
    bool is_freeing_ = false;
    bool is_paused_ = false;
    bool is_stopping_ = false;
};

} // namespace titip::replay
