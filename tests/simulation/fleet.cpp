#include "simulation/fleet.hpp"

#include "link/monitor.hpp"
#include "simulation/fleet_centre.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

namespace titip::fleet {

namespace {

using purpose = line::purpose;
using intake::admission;
using journal::place;
using replay::connection;

constexpr instant centre_returns{24h * 365}; ///< time zero of all figures
constexpr double keep_open_s = 30;           ///< replayer: the next record may come soon
constexpr std::size_t most_listed = 16;      ///< in a scheduler at once: what waits behind is alike
constexpr std::uint32_t no_line = ~0u;

double seconds_since(instant from, instant now)
{
    return std::chrono::duration_cast<seconds>(now - from).count();
}

/// An even draw from [0, 1) that depends on its place alone, so that each policy meets the same
/// records.
double draw_at(std::uint64_t seed, std::uint64_t a, std::uint64_t b)
{
    auto x = seed * 0x9e3779b97f4a7c15u + a * 0xbf58476d1ce4e5b9u + b * 0x94d049bb133111ebu;
    for (int i = 0; i < 2; ++i) {
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        x ^= x >> 31;
    }
    return static_cast<double>(x >> 11) / 9007199254740992.0;
}

struct sender {
    std::uint32_t line = no_line;
    int failures = 0;          ///< in a row; of those that ask nobody
    std::uint32_t retries = 0; ///< serial of the next one
};

struct office {
    std::string name;
    double link_bytes_per_s = 0;
    double rtt_s = 0;
    std::uint64_t items = 0;  ///< altogether
    std::uint64_t listed = 0; ///< of these, given to the scheduler
    std::uint64_t settled = 0;
    double total_bytes = 0;
    replay::scheduler scheduler;
    std::map<place, double> offsets; ///< what the centre has of records that were cut off
    std::optional<link::monitor> monitor;
    std::uint32_t watches = 0; ///< serial of what the watch waits for
    std::uint32_t prober = no_line;
    std::uint32_t reconciler = no_line;
    bool is_prober_stale = false; ///< the centre has closed it, which shows at the next question
    bool is_reconciled = false;
    instant down_since{};
    bool was_asked = false; ///< to pause, since it went down
    int sending = 0;        ///< connections whose bytes are taken
    std::vector<sender> senders;
    instant ticket_until{};
    std::uint64_t rejected = 0;
    double first_record_s = std::numeric_limits<double>::infinity();
    double finished_s = std::numeric_limits<double>::infinity();
};

class world final : private centre::clients {
public:
    world(const setting& what, policy with);
    figures run();

private:
    void make_offices();
    double item_bytes(std::uint32_t of, std::uint64_t n) const;
    void list_more(std::uint32_t of);
    void begin_outage();
    double tick_after(instant at) const;
    void take(const event& e);
    void take_line_event(const event& e);

    std::uint32_t dial(std::uint32_t of, purpose what, unsigned index);
    void on_open(std::uint32_t id) override;
    void on_closed(std::uint32_t id) override;
    void on_end_of_admitted(std::uint32_t id) override;
    void on_refused(std::uint32_t id, seconds retry_after);
    void displace(const admission::displacement& what);
    void ask_in(std::uint32_t id);
    void look(std::uint32_t id);
    void let_in(std::uint32_t id);
    void end_turn(std::uint32_t id);
    void call();
    void on_gives_up(std::uint32_t id);
    void on_answered(std::uint32_t id);
    void forget_line(std::uint32_t id);
    void count_rejection(const line& which);

    void probe(std::uint32_t of);
    void on_probe_answer(std::uint32_t of);
    void begin_reconcile(std::uint32_t of);
    void on_reconciled(std::uint32_t of);
    void wait_for_news(std::uint32_t of);
    void on_link_failure(std::uint32_t of, link::verdict why, seconds retry_after, bool is_watch);
    void hang_up(std::uint32_t of);
    void plan_watch(std::uint32_t of, happening what, instant at);
    void give_back(std::uint32_t id);
    void settle_unknown(std::uint32_t of);

    void start_senders(std::uint32_t of);
    void start_sender(std::uint32_t of, unsigned index);
    void retry_later(std::uint32_t of, unsigned index);
    void fill(std::uint32_t id);
    void flow(double length_s);
    void carry(std::uint32_t of, double bytes);
    void note_bytes(std::uint32_t id, double bytes);
    void on_record(std::uint32_t id);
    bool is_titip() const { return policy_ == policy::titip; }
    double now_s() const { return seconds_since(centre_returns, now_); }

    setting what_;
    policy policy_;
    std::optional<admission> admission_;
    std::map<admission::ticket, std::uint32_t> tickets_;
    std::mt19937_64 random_;
    std::uniform_real_distribution<double> chance_{0.0, 1.0};
    agenda plans_;
    std::deque<line> lines_;
    centre centre_;
    std::deque<office> offices_;
    std::vector<std::uint32_t> by_link_; ///< slowest first
    std::vector<std::uint32_t> sending_;
    instant now_{};
    double total_bytes_ = 0;
    double delivered_bytes_ = 0;
    std::size_t unfinished_ = 0;
    std::uint64_t attempts_this_second_ = 0;
    std::int64_t second_ = 0;
    figures out_;
};

world::world(const setting& what, policy with)
    : what_(what), policy_(with), random_(what.seed), centre_(what.centre, plans_, lines_, *this)
{
    make_offices();
}

double world::item_bytes(std::uint32_t of, std::uint64_t n) const
{
    const auto& f = what_.fleet;
    double sum = 0;
    for (unsigned i = 0; i < f.records_an_item; ++i)
        sum += f.least_record_bytes + draw_at(what_.seed, of + 1, n * f.records_an_item + i) *
                                          (f.most_record_bytes - f.least_record_bytes);
    return std::floor(sum);
}

void world::make_offices()
{
    const auto& f = what_.fleet;
    const double average = f.records_a_day * f.days / f.offices / f.records_an_item;
    double slowest_s = 0;
    for (std::uint32_t i = 0; i < f.offices; ++i) {
        auto& it = offices_.emplace_back();
        const auto draw = [&](std::uint64_t n) { return draw_at(what_.seed ^ 0x5eed, i, n); };
        it.name = "office-" + std::to_string(i);
        it.link_bytes_per_s = f.slowest_link * std::pow(f.fastest_link / f.slowest_link, draw(1));
        it.rtt_s = 0.04 * std::pow(0.7 / 0.04, draw(2)); // 40 ms over land to 700 ms over VSAT
        const auto share = 1 + f.unevenness * (2 * draw(3) - 1);
        it.items = static_cast<std::uint64_t>(std::max(1.0, std::round(average * share)));
        for (std::uint64_t n = 0; n < it.items; ++n)
            it.total_bytes += item_bytes(i, n);
        it.senders.resize(f.connections);
        total_bytes_ += it.total_bytes;
        slowest_s = std::max(slowest_s, it.total_bytes / it.link_bytes_per_s);
        list_more(i);
    }
    by_link_.resize(f.offices);
    std::iota(by_link_.begin(), by_link_.end(), 0u);
    std::ranges::sort(by_link_, {}, [&](auto i) { return offices_[i].link_bytes_per_s; });
    unfinished_ = f.offices;
    out_.capacity_s = total_bytes_ / what_.centre.bytes_per_s;
    out_.ideal_s = std::max(out_.capacity_s, slowest_s);
}

void world::list_more(std::uint32_t of)
{
    auto& it = offices_[of];
    while (it.listed < it.items && it.scheduler.waiting() < most_listed) {
        const auto n = it.listed++;
        it.scheduler.add(place{n + 1}, envelope::lane::ordinary,
                         static_cast<std::uint64_t>(item_bytes(of, n)));
    }
}

figures world::run()
{
    if (what_.centre.admission)
        admission_.emplace(now_ = centre_returns, *what_.centre.admission);
    begin_outage();
    const auto limit = after(centre_returns, what_.most_ideals * out_.ideal_s);
    auto tick = now_;
    while (unfinished_ > 0 && now_ < limit) {
        const double length_s = tick_after(tick);
        tick = after(tick, length_s);
        while (plans_.has_before(tick))
            take(plans_.next());
        now_ = tick;
        centre_.set_now(now_);
        flow(length_s);
    }
    out_.drained_s = unfinished_ == 0 ? now_s() : std::numeric_limits<double>::infinity();
    out_.delivered_share = delivered_bytes_ / total_bytes_;
    out_.most_connections = centre_.most_taken();
    out_.most_attempts_a_second = std::max(out_.most_attempts_a_second, attempts_this_second_);
    out_.handshakes = centre_.handshakes();
    out_.wasted_handshakes = centre_.wasted();
    std::vector<double> firsts, ends;
    for (const auto& each : offices_) {
        firsts.push_back(each.first_record_s);
        ends.push_back(each.finished_s);
        out_.rejected += each.rejected;
        out_.most_rejected_of_one = std::max(out_.most_rejected_of_one, each.rejected);
    }
    std::ranges::sort(firsts);
    std::ranges::sort(ends);
    const auto at = [](const auto& of, double share) {
        return of[static_cast<std::size_t>(share * static_cast<double>(of.size() - 1))];
    };
    out_.first_record_s = {at(firsts, 0.5), at(firsts, 0.99), firsts.back()};
    out_.median_finish_s = at(ends, 0.5);
    out_.last_finish_s = ends.back();
    return out_;
}

/// Fine where everybody comes, coarse in the long hours afterwards.
double world::tick_after(instant at) const
{
    const auto s = seconds_since(centre_returns, at);
    const bool is_first = s < 1800;
    const auto restart_s = what_.restart_at.count();
    const bool is_again = what_.restart_lasts.count() > 0 && s >= restart_s && s < restart_s + 1800;
    return is_first || is_again ? 1 : what_.tick.count();
}

/// All were sending when the centre went, and notice within a second.
void world::begin_outage()
{
    now_ = centre_returns - std::chrono::duration_cast<instant::duration>(what_.outage);
    for (std::uint32_t i = 0; i < offices_.size(); ++i) {
        auto& it = offices_[i];
        const auto noticed = after(now_, chance_(random_));
        if (is_titip()) {
            it.monitor.emplace(now_ - 1h);
            it.monitor->on_probe_success(now_ - 1h);
            it.down_since = noticed;
            const auto next =
                it.monitor->on_failure(noticed, link::verdict::tcp, 0ms, chance_(random_));
            plan_watch(i, happening::probe_due, next.probe_at);
        } else {
            for (unsigned n = 0; n < it.senders.size(); ++n)
                plans_.plan(noticed, happening::retry_due, i, n << 24);
        }
    }
    plans_.plan(centre_returns, happening::returns, 0, 0);
    if (what_.restart_lasts > seconds{0}) {
        const auto gone = after(centre_returns, what_.restart_at.count());
        plans_.plan(gone, happening::goes, 0, 0);
        plans_.plan(after(gone, what_.restart_lasts.count()), happening::returns, 0, 0);
    }
}

void world::take(const event& e)
{
    now_ = e.at;
    centre_.set_now(now_);
    switch (e.what) {
    case happening::goes:
        centre_.set_up(false);
        for (auto& each : offices_)
            each.ticket_until = {}; // the key of the tickets has gone with it
        return;
    case happening::returns:
        centre_.set_up(true);
        return;
    case happening::probe_due:
        if (offices_[e.subject].watches == e.serial)
            probe(e.subject);
        return;
    case happening::first_send:
        if (offices_[e.subject].watches == e.serial)
            begin_reconcile(e.subject);
        return;
    case happening::retry_due: {
        const auto index = e.serial >> 24;
        auto& one = offices_[e.subject].senders[index];
        if (one.retries == (e.serial & 0xffffff))
            start_sender(e.subject, index);
        return;
    }
    case happening::paid:
        centre_.on_paid(e.subject, e.serial);
        return;
    default:
        if (lines_[e.subject].serial == e.serial)
            take_line_event(e);
    }
}

void world::take_line_event(const event& e)
{
    const auto id = e.subject;
    switch (e.what) {
    case happening::arrives:
        centre_.on_arrival(id);
        return;
    case happening::gives_up:
        if (lines_[id].has_client && lines_[id].state != line::state::open)
            on_gives_up(id);
        return;
    case happening::shaken:
        centre_.on_shaken(id);
        return;
    case happening::handshake_fair:
        centre_.on_handshake_fair(id);
        return;
    case happening::handshake_late:
        centre_.on_handshake_late(id);
        return;
    case happening::answered:
        on_answered(id);
        return;
    case happening::look_again:
        if (lines_[id].ticket && !lines_[id].is_in)
            look(id);
        return;
    case happening::idle_here:
        if (lines_[id].carried.empty() && offices_[lines_[id].office].scheduler.waiting() == 0) {
            forget_line(id);
            centre_.on_client_gone(id);
        }
        return;
    case happening::idle_there: {
        auto& it = offices_[lines_[id].office];
        it.is_prober_stale = true;
        it.prober = no_line;
        lines_[id].has_client = false;
        centre_.drop(id);
        return;
    }
    default:
        return;
    }
}

std::uint32_t world::dial(std::uint32_t of, purpose what, unsigned index)
{
    const auto& it = offices_[of];
    const auto id = centre_.new_line();
    auto& one = lines_[id];
    one.office = of;
    one.wish = what;
    one.index = index;
    one.state = line::state::dialling;
    one.rtt_s = it.rtt_s;
    one.is_resumed = now_ < it.ticket_until;
    one.has_client = true;
    one.began = now_;
    plans_.plan(after(now_, 1.5 * it.rtt_s), happening::arrives, id, one.serial);
    plans_.plan(after(now_, what_.fleet.connect_limit.count()), happening::gives_up, id,
                one.serial);
    if (now_ < centre_returns)
        return id;
    ++out_.attempts;
    const auto second = static_cast<std::int64_t>(now_s());
    if (std::exchange(second_, second) != second) {
        out_.most_attempts_a_second = std::max(out_.most_attempts_a_second, attempts_this_second_);
        attempts_this_second_ = 0;
    }
    ++attempts_this_second_;
    return id;
}

void world::count_rejection(const line& which)
{
    if (which.began >= centre_returns && centre_.is_up())
        ++offices_[which.office].rejected;
}

void world::on_open(std::uint32_t id)
{
    auto& one = lines_[id];
    auto& it = offices_[one.office];
    it.ticket_until = after(now_, what_.centre.ticket_life.count());
    if (admission_) {
        const auto entrance = admission_->on_connect(now_, it.name, chance_(random_));
        if (entrance.refused) {
            centre_.note_waste();
            on_refused(id, entrance.refused->retry_after);
            return;
        }
        if (entrance.displaced)
            displace(*entrance.displaced);
    }
    one.is_admitted = true;
    one.since = now_;
    switch (one.wish) {
    case purpose::probe:
        plans_.plan(after(now_, it.rtt_s / 2), happening::answered, id, one.serial);
        return;
    case purpose::reconcile:
        ask_in(id);
        return;
    case purpose::send:
        fill(id);
    }
}

/// The oldest connection of this office.
void world::displace(const admission::displacement& what)
{
    std::uint32_t oldest = no_line;
    for (std::uint32_t id = 0; id < lines_.size(); ++id)
        if (lines_[id].is_admitted && offices_[lines_[id].office].name == what.station &&
            (oldest == no_line || lines_[id].since < lines_[oldest].since))
            oldest = id;
    if (oldest == no_line)
        return;
    if (what.told)
        on_refused(oldest, what.told->retry_after);
    else
        centre_.drop(oldest);
}

/// Whether what this line asks for first may come in.
void world::ask_in(std::uint32_t id)
{
    auto& one = lines_[id];
    if (!admission_) {
        let_in(id);
        return;
    }
    one.ticket = admission_->on_body(now_, offices_[one.office].name);
    tickets_[*one.ticket] = id;
    look(id);
}

void world::look(std::uint32_t id)
{
    const auto turn = admission_->look(*lines_[id].ticket, now_, chance_(random_));
    if (turn.displaced)
        centre_.drop(tickets_.at(*turn.displaced));
    if (turn.is_in) {
        let_in(id);
    } else if (turn.refused) {
        tickets_.erase(*lines_[id].ticket);
        lines_[id].ticket.reset();
        on_refused(id, turn.refused->retry_after);
    } else {
        plans_.plan(turn.look_again, happening::look_again, id, lines_[id].serial);
    }
}

void world::let_in(std::uint32_t id)
{
    auto& one = lines_[id];
    if (std::exchange(one.is_in, true))
        return;
    if (one.wish == purpose::reconcile)
        plans_.plan(after(now_, one.rtt_s / 2), happening::answered, id, one.serial);
    else
        ++offices_[one.office].sending;
}

/// What came first has ended, whichever way.
void world::end_turn(std::uint32_t id)
{
    auto& one = lines_[id];
    if (std::exchange(one.is_in, false) && one.wish == purpose::send)
        --offices_[one.office].sending;
    if (!one.ticket)
        return;
    tickets_.erase(*one.ticket);
    admission_->on_end(*std::exchange(one.ticket, std::nullopt), now_);
}

void world::call()
{
    if (!admission_)
        return;
    for (const auto each : admission_->take_called())
        if (const auto found = tickets_.find(each); found != tickets_.end())
            let_in(found->second);
}

/// The office no longer knows this line; what it carried is unknown.
void world::forget_line(std::uint32_t id)
{
    auto& one = lines_[id];
    auto& it = offices_[one.office];
    one.has_client = false;
    end_turn(id);
    switch (one.wish) {
    case purpose::probe:
        it.prober = no_line;
        return;
    case purpose::reconcile:
        it.reconciler = no_line;
        return;
    case purpose::send:
        it.senders[one.index].line = no_line;
        if (!one.carried.empty()) {
            const auto& front = one.carried.front();
            it.offsets[front.place] = static_cast<double>(front.size_bytes) - one.front_left;
        }
        one.carried.clear();
        it.scheduler.on_broken(connection{one.index});
    }
}

void world::settle_unknown(std::uint32_t of)
{
    auto& it = offices_[of];
    for (const auto at : it.scheduler.unknown(it.scheduler.waiting() + 64)) {
        const auto has = it.offsets.find(at);
        it.scheduler.on_reconciled(
            at, has == it.offsets.end() ? 0 : static_cast<std::uint64_t>(has->second));
    }
}

void world::on_closed(std::uint32_t id)
{
    const auto [of, what, index] = std::tuple{lines_[id].office, lines_[id].wish, lines_[id].index};
    const bool was_open = lines_[id].state == line::state::open;
    if (!was_open)
        count_rejection(lines_[id]);
    forget_line(id);
    if (is_titip())
        on_link_failure(of, was_open ? link::verdict::tcp : link::verdict::tls, {},
                        what != purpose::send);
    else
        retry_later(of, index);
}

void world::on_end_of_admitted(std::uint32_t id)
{
    end_turn(id);
    if (admission_)
        admission_->on_disconnect(now_, offices_[lines_[id].office].name, lines_[id].since);
}

void world::on_gives_up(std::uint32_t id)
{
    const auto [of, what, index] = std::tuple{lines_[id].office, lines_[id].wish, lines_[id].index};
    const bool is_silent = lines_[id].state == line::state::dialling;
    count_rejection(lines_[id]);
    forget_line(id);
    centre_.on_client_gone(id);
    if (is_titip())
        on_link_failure(of, is_silent ? link::verdict::tcp : link::verdict::tls, {},
                        what != purpose::send);
    else
        retry_later(of, index);
}

void world::on_refused(std::uint32_t id, seconds retry_after)
{
    const auto [of, what, index] = std::tuple{lines_[id].office, lines_[id].wish, lines_[id].index};
    ++out_.refused;
    count_rejection(lines_[id]);
    forget_line(id);
    centre_.drop(id);
    if (is_titip())
        on_link_failure(of, link::verdict::maintenance, retry_after, what != purpose::send);
    else
        retry_later(of, index);
}

// Titip's own: what replayer::watch() and its like do.

void world::plan_watch(std::uint32_t of, happening what, instant at)
{
    plans_.plan(at, what, of, ++offices_[of].watches);
}

void world::probe(std::uint32_t of)
{
    auto& it = offices_[of];
    if (std::exchange(it.is_prober_stale, false)) {
        on_link_failure(of, link::verdict::application, {}, true);
        return;
    }
    if (it.prober == no_line)
        it.prober = dial(of, purpose::probe, 0);
    else
        plans_.plan(after(now_, it.rtt_s), happening::answered, it.prober,
                    lines_[it.prober].serial);
}

void world::on_answered(std::uint32_t id)
{
    const auto of = lines_[id].office;
    if (lines_[id].wish == purpose::probe) {
        on_probe_answer(of);
        return;
    }
    forget_line(id);
    centre_.on_client_gone(id);
    on_reconciled(of);
}

void world::on_probe_answer(std::uint32_t of)
{
    auto& it = offices_[of];
    const bool was_up = it.monitor->current().is_up;
    const auto decided = it.monitor->on_probe_success(now_);
    if (!decided.is_up) {
        plan_watch(of, happening::probe_due, decided.probe_at);
        return;
    }
    if (was_up) {
        begin_reconcile(of);
        return;
    }
    milliseconds spread = admission_ ? admission_->spread(now_) : 0s;
    if (what_.centre.spread)
        spread = *what_.centre.spread;
    if (what_.spreads_by_outage)
        spread =
            it.was_asked
                ? 0ms
                : std::min(spread, std::chrono::duration_cast<milliseconds>(now_ - it.down_since));
    it.was_asked = false;
    const auto first = link::first_send_at(now_, spread, it.name);
    if (!what_.renews_prober && seconds_since(now_, first) > what_.centre.idle_limit.count())
        plans_.plan(after(now_, what_.centre.idle_limit.count()), happening::idle_there, it.prober,
                    lines_[it.prober].serial);
    plan_watch(of, happening::first_send, first);
}

void world::begin_reconcile(std::uint32_t of)
{
    offices_[of].reconciler = dial(of, purpose::reconcile, 0);
}

void world::on_reconciled(std::uint32_t of)
{
    auto& it = offices_[of];
    settle_unknown(of);
    it.is_reconciled = true;
    start_senders(of);
    wait_for_news(of);
}

/// The long poll, on the prober's connection.
void world::wait_for_news(std::uint32_t of)
{
    auto& it = offices_[of];
    if (std::exchange(it.is_prober_stale, false))
        on_link_failure(of, link::verdict::application, {}, true);
}

void world::on_link_failure(std::uint32_t of, link::verdict why, seconds retry_after, bool is_watch)
{
    auto& it = offices_[of];
    const auto asked = std::chrono::duration_cast<milliseconds>(retry_after);
    if (!is_watch && !it.monitor->current().is_up && asked == 0ms)
        return; // one outage, however many connections notice it
    const auto next = it.monitor->on_failure(now_, why, asked, chance_(random_));
    if (next.happened == link::monitor::event::outage_began)
        it.down_since = now_;
    it.was_asked = it.was_asked || asked > 0ms;
    hang_up(of);
    plan_watch(of, happening::probe_due, next.probe_at);
}

void world::hang_up(std::uint32_t of)
{
    auto& it = offices_[of];
    it.is_reconciled = false;
    std::vector<std::uint32_t> open{it.prober, it.reconciler};
    for (const auto& each : it.senders)
        open.push_back(each.line);
    for (const auto id : open)
        if (id != no_line) {
            forget_line(id);
            centre_.on_client_gone(id);
        }
    it.is_prober_stale = false;
}

// Sending.

void world::start_senders(std::uint32_t of)
{
    for (unsigned i = 0; i < offices_[of].senders.size(); ++i)
        start_sender(of, i);
}

void world::start_sender(std::uint32_t of, unsigned index)
{
    auto& it = offices_[of];
    if (it.senders[index].line == no_line && it.scheduler.waiting() > 0)
        it.senders[index].line = dial(of, purpose::send, index);
}

/// Those that ask nobody.
void world::retry_later(std::uint32_t of, unsigned index)
{
    auto& it = offices_[of];
    auto& one = it.senders[index];
    settle_unknown(of);
    const auto cap_s = centre_.is_up() ? 300.0 : 60.0; // as the monitor's above and below TLS
    const auto grown_s = std::min(std::pow(2.0, one.failures++), cap_s);
    double wait_s = 1;
    if (policy_ == policy::exponential)
        wait_s = grown_s;
    if (policy_ == policy::full_jitter)
        wait_s = grown_s * chance_(random_);
    one.retries = (one.retries + 1) & 0xffffff;
    plans_.plan(after(now_, wait_s), happening::retry_due, of, one.retries | index << 24);
}

void world::fill(std::uint32_t id)
{
    auto& one = lines_[id];
    auto& it = offices_[one.office];
    list_more(one.office);
    const bool was_empty = one.carried.empty();
    while (const auto pick = it.scheduler.next(connection{one.index})) {
        if (one.carried.empty())
            one.front_left = static_cast<double>(pick->size_bytes - pick->offset);
        one.carried.push_back(*pick);
        list_more(one.office);
    }
    if (was_empty && !one.carried.empty())
        ask_in(id);
    else if (one.carried.empty())
        plans_.plan(after(now_, keep_open_s), happening::idle_here, id, one.serial);
}

/// The centre's capacity, less what handshakes took of it, goes to all that send in equal shares;
/// what a slow link leaves of its share goes to the others.
void world::flow(double length_s)
{
    const auto& c = what_.centre;
    const double busy = centre_.take_busy_s() / (c.cores * length_s);
    double left = centre_.is_up() ? c.bytes_per_s * std::max(0.0, 1 - busy) : 0;
    sending_.clear();
    for (const auto i : by_link_)
        if (offices_[i].sending > 0)
            sending_.push_back(i);
    auto many = static_cast<double>(sending_.size());
    for (const auto i : sending_) {
        const auto rate = std::min(offices_[i].link_bytes_per_s, left / many--);
        left -= rate;
        carry(i, rate * length_s);
    }
}

void world::carry(std::uint32_t of, double bytes)
{
    auto& it = offices_[of];
    while (it.sending > 0 && bytes > 0) {
        // In equal parts, until the first of them has its record through.
        auto share = bytes / it.sending;
        for (const auto& each : it.senders)
            if (each.line != no_line && lines_[each.line].is_in)
                share = std::min(share, lines_[each.line].front_left);
        for (unsigned n = 0; n < it.senders.size(); ++n) {
            const auto id = it.senders[n].line;
            if (id == no_line || !lines_[id].is_in)
                continue;
            bytes -= share;
            delivered_bytes_ += share;
            note_bytes(id, share);
            if (lines_[id].front_left -= share; lines_[id].front_left < 1)
                on_record(id);
        }
    }
}

/// Memory that is short is given back by committing in pieces, within less than a tick.
void world::note_bytes(std::uint32_t id, double bytes)
{
    if (!lines_[id].ticket)
        return;
    admission_->on_bytes(*lines_[id].ticket, now_, static_cast<std::size_t>(bytes));
    admission_->on_kept(*lines_[id].ticket, now_);
}

void world::on_record(std::uint32_t id)
{
    auto& one = lines_[id];
    auto& it = offices_[one.office];
    const auto done = one.carried.front();
    one.carried.pop_front();
    end_turn(id);
    it.offsets.erase(done.place);
    it.scheduler.on_settled(done.place);
    it.senders[one.index].failures = 0;
    ++it.settled;
    it.first_record_s = std::min(it.first_record_s, now_s());
    if (!one.carried.empty()) {
        const auto& front = one.carried.front();
        one.front_left = static_cast<double>(front.size_bytes - front.offset);
    }
    if (it.settled == it.items) {
        it.finished_s = now_s();
        --unfinished_;
    }
    if (!one.carried.empty())
        ask_in(id);
    if (one.has_client)
        fill(id);
    call();
}

} // namespace

std::string_view to_string(policy with) noexcept
{
    switch (with) {
    case policy::titip:
        return "Titip";
    case policy::fixed:
        return "fixed 1 s";
    case policy::exponential:
        return "exponential";
    case policy::full_jitter:
        return "full jitter";
    }
    return {};
}

figures run(const setting& what, policy with)
{
    return world{what, with}.run();
}

} // namespace titip::fleet
