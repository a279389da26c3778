#include "replay/replayer.hpp"

#include "base/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>

namespace titip::replay {

namespace {

constexpr auto sweep_every = 1min;   ///< erasing what is due; sooner for short retentions
constexpr auto reconcile_every = 1h; ///< while connected
constexpr auto regulate_every = 100ms;
constexpr auto history_every = 10s;
/// Looked up at once: each answer has a receipt or a manifest, and the upstream reads 32 requests ahead.
constexpr std::size_t most_looked_up = 16;

wall_time to_wall(instant t)
{
    return wall_now() + std::chrono::duration_cast<milliseconds>(t - monotonic::now());
}

carriers::options carriers_of(const replayer::options& opts, const journal::totals& before)
{
    return {.most_connections = opts.most_connections,
            .sent = {opts.limits, {before.sent_day, before.sent_bytes}}};
}

link::verdict verdict_of(uplink::outcome::kind what)
{
    using kind = uplink::outcome::kind;
    switch (what) {
    case kind::auth:
        return link::verdict::auth;
    case kind::admission:
        return link::verdict::maintenance;
    case kind::portal:
        return link::verdict::portal;
    default:
        return link::verdict::application;
    }
}

} // namespace

replayer::replayer(asio::any_io_executor on, options opts, surroundings around)
    : on_(on), opts_(std::move(opts)), around_(std::move(around)), monitor_(monotonic::now()),
      prober_(around_.upstream, [this] { on_reached(); }), changed_(on), link_changed_(on),
      doubts_changed_(on), carriers_(carriers_of(opts_, around_.store.now()), scheduler_),
      is_paused_(around_.store.now().paused)
{
    around_.upstream.on_silent_handshake([this] {
        carriers_.passage().on_silent_handshake(monotonic::now());
        around_.upstream.use_segments(carriers_.passage().current().most_segment_bytes);
    });
}

replayer::~replayer()
{
    around_.upstream.on_silent_handshake(nullptr);
}

double replayer::draw_chance()
{
    thread_local std::mt19937_64 random{std::random_device{}()};
    return std::uniform_real_distribution<double>{0.0, 1.0}(random);
}

bool replayer::may_send() const noexcept
{
    return monitor_.current().is_up && is_reconciled_ && !is_paused_ && !is_stopping_;
}

bool replayer::may_open() const noexcept
{
    return may_send() || (is_promising_ && !is_spreading_ && !is_paused_ && !is_stopping_);
}

/// The next answer makes the link up: what will be needed then is opened meanwhile.
void replayer::on_reached()
{
    if (!monitor_.is_nearly_up())
        return;
    is_promising_ = true;
    changed_.ring();
}

void replayer::set_paused(bool paused)
{
    is_paused_ = paused;
    changed_.ring();
    if (paused)
        return;
    distrust_.on_hint(monotonic::now());
    doubts_changed_.ring();
}

void replayer::check_now()
{
    carriers_.passage().on_hint();
    distrust_.on_hint(monotonic::now());
    doubts_changed_.ring();
    publish(monitor_.on_hint(monotonic::now()), detail_);
    is_check_due_ = true;
    ask_again();
}

void replayer::on_network_change()
{
    carriers_.passage().on_network_change();
    const auto gone = carriers_.close_gone();
    auto* const asking = prober_.connection();
    const bool is_asked_in_vain =
        asking && http::is_address_gone(asking->transport().native_handle());
    if (gone > 0 || is_asked_in_vain)
        log::info("address-gone connections={}", gone + is_asked_in_vain);
    // A question under way is let go on otherwise: an interface that flaps would keep us from any answer.
    publish(monitor_.on_hint(monotonic::now()), detail_);
    if (is_asked_in_vain)
        ask_again();
    else
        link_changed_.ring();
}

void replayer::stop()
{
    is_stopping_ = true;
    around_.upstream.cancel();
    prober_.interrupt();
    if (auto* asking = prober_.connection())
        asking->transport().close();
    carriers_.close_all();
    doubts_changed_.ring();
    changed_.ring();
    link_changed_.ring();
}

void replayer::on_change(const journal::change& what)
{
    if (changed_while_loading_)
        changed_while_loading_->insert(what.place);
    if (what.state != journal::state::waiting)
        turned_back_.erase(what.place);
    if (what.state == journal::state::waiting && !what.held)
        scheduler_.add(what.place, what.lane, what.size_bytes, what.goes_last);
    else if (what.state != journal::state::arriving) {
        scheduler_.remove(what.place);
        distrust_.on_gone(what.place);
        doubts_changed_.ring(); // of the one that is tried: the next one has its turn
    }
    changed_.ring();
}

void replayer::on_upstream(const trust::peer& who)
{
    if (above_ == who)
        return;
    above_ = who;
    road_above_.clear();
    if (around_.road_changed)
        around_.road_changed();
    if (!turned_back_.empty() && !is_stopping_) {
        turned_back_.clear();
        start(load()); // to this one they may go
    }
}

std::vector<std::string> replayer::road() const
{
    std::vector<std::string> out{opts_.node};
    for (const auto& each : road_above_) {
        if (out.size() == link::node_info::most_names)
            return out;
        out.push_back(each);
        if (each == opts_.node) // a circle, of which once is enough
            return out;
    }
    if (!road_above_.empty())
        return out;
    if (above_)
        out.push_back(above_->name);
    if (!above_ || above_->role != trust::role::centre)
        out.emplace_back("?");
    return out;
}

void replayer::turn_back(journal::place at, const record_id& record, const std::string& brought_by)
{
    scheduler_.on_failed(at, false);
    distrust_.on_gone(at);
    doubts_changed_.ring();
    if (turned_back_.insert(at).second)
        log::warn("turned-back record={} upstream={}: it brought this record here",
                  record.to_string(), brought_by);
}

report replayer::now() const
{
    const auto& decided = monitor_.current();
    report out{.is_up = decided.is_up, .verdict = decided.verdict, .detail = detail_};
    if (const auto& way = carriers_.passage().current(); decided.is_up && way.is_blocked) {
        out.verdict = link::verdict::nothing_through;
        out.nothing_through_since = to_wall(way.blocked_since);
        if (way.next_at > monotonic::now())
            out.next_check = to_wall(way.next_at);
    }
    out.upstream = around_.upstream.upstream().host + ":" + around_.upstream.upstream().port;
    if (above_)
        out.upstream_name = above_->name;
    out.is_upstream_relay = above_ && above_->role == trust::role::relay;
    out.turned_back = turned_back_.size();
    out.since = to_wall(decided.since);
    if (decided.verdict != link::verdict::unknown)
        out.last_checked = to_wall(decided.checked_at);
    if (!decided.is_up)
        out.next_check = to_wall(decided.probe_at);
    out.last_delivery = last_delivery_;
    out.in_flight = scheduler_.in_flight();
    const auto& sent = carriers_.sent();
    const auto carried = carriers_.now();
    out.rate_bytes_per_s = carried.rate_bytes_per_s;
    out.sent_bytes = sent.sent_bytes();
    out.resent_bytes = carried.resent_bytes;
    out.wasted_bytes = scheduler_.wasted_bytes();
    out.connections = carried.connections;
    out.is_bbr = carried.is_bbr;
    out.may_bbr = carried.may_bbr;
    out.day_budget_bytes = sent.limits().day_bytes;
    out.sent_today_bytes = sent.sent_today_bytes();
    out.is_within_budget = sent.allowed().may_begin;
    out.past = history_.at(monotonic::now());
    out.protocol = upstream_said_.name.empty() ? 0 : upstream_said_.protocol;
    for (auto& each : distrust_.doubts())
        out.deferrals.push_back(to_deferral(std::move(each)));
    return out;
}

deferral replayer::to_deferral(distrust::doubt what) const
{
    const auto since = to_wall(what.since);
    const auto next_try = to_wall(what.next_at);
    return {.what = std::move(what), .since = since, .next_try = next_try};
}

std::optional<deferral> replayer::deferral_of(journal::place at) const
{
    auto what = distrust_.of(at);
    if (!what)
        return std::nullopt;
    return to_deferral(*std::move(what));
}

void replayer::note_delivery(std::uint64_t bytes)
{
    last_delivery_ = wall_now();
    history_.on_delivery(monotonic::now(), bytes);
}

void replayer::start(asio::awaitable<void> work)
{
    ++running_;
    asio::co_spawn(on_, std::move(work), [this](std::exception_ptr failed) {
        --running_;
        changed_.ring();
        if (failed)
            std::rethrow_exception(failed); // a bug: the process ends, the journal has everything
    });
}

void replayer::publish(const link::monitor::decision& decided, std::string detail)
{
    using event = link::monitor::event;
    detail_ = std::move(detail);
    if (!decided.is_up)
        is_reconciled_ = false;
    is_promising_ = decided.is_promising;
    changed_.ring();
    if (decided.happened == event::none)
        return;
    const bool began = decided.happened == event::outage_began;
    const std::string layer{link::to_string(decided.verdict)};
    if (began) {
        carriers_.passage().on_outage(); // which explains what nobody acknowledged
        outage_began_ = monotonic::now();
        log::warn("outage-began layer={} detail=\"{}\"", layer, detail_);
        start(note_outage(true, layer, 0ms));
    } else {
        const auto lasted =
            std::chrono::duration_cast<milliseconds>(monotonic::now() - outage_began_);
        log::info("outage-ended lasted_s={}", lasted.count() / 1000);
        start(note_outage(false, {}, lasted));
    }
}

asio::awaitable<void> replayer::note_outage(bool began, std::string layer, milliseconds lasted)
{
    co_await around_.store.note_outage(began, std::move(layer), lasted);
}

void replayer::ask_again()
{
    prober_.interrupt();
    link_changed_.ring();
}

void replayer::on_transfer_failure(link::verdict why, milliseconds retry_after, std::string detail)
{
    if (is_stopping_ || (!monitor_.current().is_up && retry_after == 0ms))
        return; // one outage, however many connections notice it
    publish(monitor_.on_failure(monotonic::now(), why, retry_after, draw_chance()),
            std::move(detail));
    ask_again();
}

void replayer::on_transfer_failure(const uplink::outcome& why)
{
    on_transfer_failure(verdict_of(why.what), why.retry_after, why.note);
}

asio::awaitable<void> replayer::load()
{
    if (changed_while_loading_)
        co_return; // it is being read already
    changed_while_loading_.emplace();
    // The store tells if that fails; then nothing is sent either.
    co_await around_.store.drop_unsure_openings();
    const auto queue = co_await around_.store.load_queue();
    const auto changed = std::exchange(changed_while_loading_, std::nullopt);
    if (!queue)
        co_return; // the store has told that it failed
    for (const auto& each : *queue)
        if (!changed->contains(each.place)) // what the queue said of it may be over
            scheduler_.add(each.place, each.lane, each.size_bytes, each.goes_last);
}

asio::awaitable<void> replayer::run()
{
    co_await asio::this_coro::throw_if_cancelled(false); // stop() ends it, in its own order
    for (unsigned i = 0; i <= opts_.most_connections; ++i)
        start(send(connection{i}));
    start(watch());
    start(retry_deferred());
    start(regulate());
    start(keep_history());
    if (opts_.keep)
        start(sweep());
    while (running_ > 0)
        co_await changed_.wait();
    co_await write_down_sent();
}

asio::awaitable<void> replayer::watch()
{
    while (!is_stopping_) {
        if (!monitor_.current().is_up && monotonic::now() < monitor_.current().probe_at) {
            co_await link_changed_.wait_until(monitor_.current().probe_at);
            continue;
        }
        // While up and idle the question waits at the upstream until it has news; who asked for a
        // check wants an answer now.
        std::optional<std::uint64_t> after;
        const bool is_check = std::exchange(is_check_due_, false);
        if (monitor_.current().is_up && is_reconciled_ && !is_check)
            after = newest_verdict_;
        // What is asked first once the link is up is asked along with whether it is.
        std::optional<vault::question> question;
        if (monitor_.is_nearly_up() || (monitor_.current().is_up && !is_reconciled_))
            question = co_await make_question(unsettled());
        if (is_stopping_) // what interrupts a question does not reach one that has not begun
            break;
        link::prober::further also;
        if (question)
            also = [&question](http::client_connection& over) {
                return uplink::ask_to_reconcile(over, *question);
            };
        const auto info = co_await prober_.ask(after, std::move(also));
        if (is_stopping_)
            break;
        if (info) {
            if (*info)
                co_await take_news(**info, std::move(question));
            continue;
        }
        const auto why = info.error();
        publish(monitor_.on_failure(monotonic::now(), why.verdict, why.retry_after, draw_chance()),
                why.detail);
    }
}

asio::awaitable<void> replayer::take_news(const link::node_info& info,
                                          std::optional<vault::question> asked)
{
    const auto before = monitor_.current();
    const bool is_other_road = std::exchange(road_above_, info.road) != info.road;
    if (is_other_road && around_.road_changed)
        around_.road_changed();
    if (opts_.is_relay && std::ranges::find(info.road, opts_.node) != info.road.end()) {
        prober_.drop_connection();
        publish(monitor_.on_failure(monotonic::now(), link::verdict::loop, 0ms, draw_chance()),
                fmt::format("{}", fmt::join(road(), " > ")));
        co_return;
    }
    if (!info.is_accepting) {
        prober_.drop_connection(); // what else was asked is not waited for
        publish(
            monitor_.on_failure(monotonic::now(), link::verdict::maintenance, 0ms, draw_chance()),
            "the upstream does not accept records now");
        co_return;
    }
    upstream_said_ = info;
    publish(monitor_.on_probe_success(monotonic::now()), {});
    if (!monitor_.current().is_up)
        co_return;
    const bool is_due = monotonic::now() - reconciled_at_ > reconcile_every;
    if (!asked && is_reconciled_ && info.newest_verdict == newest_verdict_ && !is_due)
        co_return;
    const bool done = co_await reconcile(std::move(asked));
    if (is_stopping_ || !monitor_.current().is_up)
        co_return;
    if (!done) {
        // What it said could not be taken in here: asking again without a pause would spin.
        publish(
            monitor_.on_failure(monotonic::now(), link::verdict::application, 0ms, draw_chance()),
            "what the upstream says cannot be taken in here");
        co_return;
    }
    // Who was away for a moment comes back alone, and who was asked to come later has been spread.
    const bool was_asked = before.verdict == link::verdict::maintenance;
    if (!before.is_up && !was_asked && info.spread > 0s) {
        const auto away = std::chrono::duration_cast<milliseconds>(monotonic::now() - before.since);
        const bool is_start = before.verdict == link::verdict::unknown;
        const auto window =
            is_start ? milliseconds{info.spread} : std::min<milliseconds>(info.spread, away);
        const auto first = link::first_send_at(monotonic::now(), window, opts_.node);
        is_spreading_ = true;
        while (monotonic::now() < first && !is_stopping_)
            co_await link_changed_.wait_until(first);
        is_spreading_ = false;
    }
    reconciled_at_ = monotonic::now();
    newest_verdict_ = info.newest_verdict;
    // A connection that broke meanwhile left something to ask for: the watch does so at once.
    is_reconciled_ = !scheduler_.has_unknown();
    changed_.ring();
    if (info.protocol >= 2 && around_.store.now().freed_for < info.protocol && !is_freeing_)
        start(free_set_aside(info.protocol));
}

asio::awaitable<void> replayer::free_set_aside(unsigned protocol)
{
    is_freeing_ = true;
    co_await around_.store.free_set_aside(protocol);
    is_freeing_ = false;
}

/// One of what is deferred together, when its turn comes.
asio::awaitable<void> replayer::retry_deferred()
{
    while (!is_stopping_) {
        for (const auto at : distrust_.due(monotonic::now())) {
            recall(at);
            changed_.ring();
        }
        co_await doubts_changed_.wait_until(distrust_.next_at().value_or(instant::max()));
    }
}

/// Held or set aside while it was on its way, say: then the next one has its turn.
void replayer::defer(journal::place at)
{
    if (!scheduler_.defer(at))
        distrust_.on_gone(at);
}

void replayer::recall(journal::place at)
{
    if (!scheduler_.recall(at))
        distrust_.on_gone(at);
}

/// A line when a doubt begins, and when it ends; none for a try.
void replayer::note_doubts(const std::vector<distrust::doubt>& before)
{
    const auto doubts = distrust_.doubts();
    bool is_new = false;
    for (const auto& each : doubts) {
        if (std::ranges::any_of(before, [&](const auto& was) {
                return was.of == each.of && was.certificate == each.certificate;
            }))
            continue;
        is_new = true;
        log::warn("deferred why={} station={} records={} note=\"{}\"", to_string(each.why),
                  each.station, each.records, each.note);
    }
    if (!is_new && doubts.size() < before.size())
        log::info("not-deferred-any-more doubts={}", doubts.size());
    doubts_changed_.ring();
    changed_.ring();
}

asio::awaitable<void> replayer::sweep()
{
    const auto pause = std::clamp<milliseconds>(*opts_.keep / 10, 1s, sweep_every);
    while (!is_stopping_) {
        const auto erased = co_await around_.store.erase_due(*opts_.keep);
        if (erased && *erased > 0) {
            log::info("erased records={}", *erased);
            continue;
        }
        if (is_stopping_) // the ring came while the store was at work
            break;
        co_await link_changed_.wait_until(monotonic::now() + pause);
    }
}

std::vector<journal::placed> replayer::unsettled(whose of, std::size_t limit) const
{
    std::vector<journal::placed> out;
    for (const auto at : scheduler_.unknown(std::numeric_limits<std::size_t>::max()))
        for (const auto& [key, place] : by_record_)
            if (place == at && (key.station == opts_.node) == (of == whose::ours) &&
                out.size() < limit)
                out.push_back({key, place});
    return out;
}

std::vector<vault::key> replayer::unsettled() const
{
    std::vector<vault::key> out;
    for (auto& each : unsettled(whose::ours, vault::most_unsettled))
        out.push_back(std::move(each.key));
    return out;
}

std::string replayer::name_of(journal::place at) const
{
    const auto found =
        std::ranges::find(by_record_, at, [](const auto& each) { return each.second; });
    return found == by_record_.end() ? std::string{"unknown"} : found->first.record.to_string();
}

asio::awaitable<std::optional<vault::question>>
replayer::make_question(const std::vector<vault::key>& wanted)
{
    const auto known = co_await around_.store.upstream();
    if (!known)
        co_return std::nullopt;
    vault::question question{.heads = known->heads,
                             .cursor_epoch = known->cursor_epoch,
                             .cursor_number = known->cursor_number,
                             .kept = known->kept,
                             .unsettled = {}};
    for (const auto& each :
         wanted) // of our own station: the answerer knows whose we mean by our name
        question.unsettled.push_back(each.record);
    // What waits while later numbers have gone is no gap.
    for (const auto& each : known->waiting)
        if (question.kept.size() < vault::most_kept)
            question.kept.push_back(each);
    co_return question;
}

asio::awaitable<bool> replayer::reconcile(std::optional<vault::question> question)
{
    std::set<vault::key> asked; // each once: what cannot be settled must not keep us asking
    bool began_again = false;   // once: else one that always begins again would keep us
    std::optional<bool> more = true;
    auto wanted = unsettled();
    if (question) {
        wanted.clear();
        for (const auto& id : question->unsettled)
            wanted.push_back({opts_.node, id});
    }
    while (more && *more && !is_stopping_) {
        auto* const over = prober_.connection();
        if (!over) {
            on_transfer_failure(link::verdict::application, 0ms, "the upstream closes each time");
            co_return false;
        }
        if (!question) {
            question = co_await make_question(wanted);
            if (!question)
                co_return false;
            co_await uplink::ask_to_reconcile(*over, *question);
        }
        over->transport().set_no_progress_limit(no_progress_limit);
        asked.insert(wanted.begin(), wanted.end());
        more = co_await take_reconciled(*over, *std::exchange(question, std::nullopt), wanted,
                                        asked, began_again);
        if (more && wanted.empty()) {
            wanted = unsettled();
            std::erase_if(wanted, [&asked](const auto& key) { return asked.contains(key); });
            more = *more || !wanted.empty();
        }
    }
    bool is_told = more.has_value() && !is_stopping_ && co_await look_up_others();
    // All that it has to say of its verdicts was heard.
    if (is_told && above_ && above_->role == trust::role::centre && is_centre_new_) {
        const auto dropped = co_await around_.store.drop_old_openings();
        is_told = dropped.has_value();
        is_centre_new_ = !is_told;
    }
    if (!is_told)
        prober_.drop_connection();
    co_return is_told && !is_stopping_;
}

asio::awaitable<bool> replayer::look_up_others()
{
    for (auto all = unsettled(whose::others, most_looked_up); !all.empty() && !is_stopping_;
         all = unsettled(whose::others, most_looked_up)) {
        auto* const over = prober_.connection();
        if (!over) {
            on_transfer_failure(link::verdict::application, 0ms, "the upstream closes each time");
            co_return false;
        }
        over->transport().set_no_progress_limit(no_progress_limit);
        for (const auto& each : all)
            co_await uplink::ask_for_standing(*over, each.key);
        for (auto& each : all)
            if (const bool is_known = co_await take_standing(*over, std::move(each)); !is_known)
                co_return false;
    }
    co_return true;
}

/// Afterwards it is not unknown any more, whatever was answered: else it would be asked for without end.
asio::awaitable<bool> replayer::take_standing(http::client_connection& over, journal::placed what)
{
    using kind = uplink::outcome::kind;
    auto answer = co_await uplink::take_standing(over);
    if (!answer) {
        const auto why = link::explain_read(answer.error());
        on_transfer_failure(why.verdict, why.retry_after, why.detail);
        co_return false;
    }
    auto& told = answer->what;
    std::uint64_t offset = 0;
    switch (told.what) {
    case kind::receipt:
        distrust_.on_gone(what.place); // an old receipt says nothing of what is believed now
        co_await take_receipt(what.place, std::move(told.receipt_cms));
        co_return true;
    case kind::unknown:
        // Of other bytes under this id nothing is gone on from: the answer to a new offer says so.
        if (const auto ours = co_await around_.store.outgoing_of(what.place);
            ours && answer->metadata == uplink::metadata_of(ours->manifest_cms))
            offset = told.offset.value_or(0);
        break;
    case kind::gone:
    case kind::position_unknown:
    case kind::not_believed:
    case kind::role:
    case kind::revoked:
    case kind::conflict:
    case kind::defect:
    case kind::not_ours:
    case kind::too_large:
    case kind::mismatch:
        break; // what is offered again is told why, with a sentence
    case kind::auth:
    case kind::admission:
    case kind::portal:
    case kind::link:
        on_transfer_failure(told);
        co_return false;
    }
    scheduler_.on_reconciled(what.place, offset);
    changed_.ring();
    co_return true;
}

asio::awaitable<std::optional<bool>> replayer::take_reconciled(http::client_connection& over,
                                                               const vault::question& question,
                                                               std::vector<vault::key>& wanted,
                                                               const std::set<vault::key>& asked,
                                                               bool& began_again)
{
    const auto told = co_await uplink::take_reconciled(over, around_.authorities(), opts_.node);
    if (!told) {
        on_transfer_failure(told.error());
        co_return std::nullopt;
    }
    if (told->by.role == trust::role::centre) {
        if (centre_epoch_ != told->answer.store_epoch)
            is_centre_new_ = true;
        centre_epoch_ = told->answer.store_epoch;
        const auto noted = co_await around_.store.note_centre(told->answer.store_epoch);
        if (!noted)
            co_return std::nullopt;
    }
    co_await take_told(*told, wanted);
    const auto newest = told->answer.verdicts.empty() ? 0 : told->answer.verdicts.back().number;
    // Only verdicts after the cursor come, unless the upstream's store was set back: then from the
    // first on.
    const bool is_from_first = newest > 0 && question.cursor_epoch == told->answer.store_epoch &&
                               told->answer.verdicts.front().number <= question.cursor_number;
    const bool is_news = newest > 0 && (!is_from_first || !std::exchange(began_again, true));
    if (is_news) {
        for (const auto number : told->not_believed)
            log::error("verdict-not-believed number={}", number);
        std::vector<journal::told_verdict> said;
        for (const auto& each : told->verdicts)
            said.emplace_back(each.said, each.number);
        const auto taken = co_await around_.store.take_verdicts(
            std::move(said), told->answer.store_epoch, newest, told->not_believed);
        if (!taken)
            co_return std::nullopt;
    }
    auto covered =
        co_await around_.store.take_custody(told->custody, told->by.role, told->answer.custody_cms,
                                            told->answer.findings, asked, told->by.name);
    if (!covered)
        co_return std::nullopt;
    // Records that it holds though we never saw a receipt: asked for next, once.
    wanted.clear();
    for (const auto& each : *covered) {
        if (scheduler_.is_in_flight(each.place))
            continue;
        by_record_.insert_or_assign(each.key, each.place);
        if (!asked.contains(each.key))
            wanted.push_back(each.key);
    }
    co_return (told->answer.more && is_news) || !wanted.empty();
}

/// Receipts end custody; what is not complete there goes on from where it stands.
asio::awaitable<void> replayer::take_told(const uplink::reconciled& told,
                                          const std::vector<vault::key>& wanted)
{
    if (told.by.role == trust::role::centre)
        around_.judge->on_signed_time(told.custody.at);
    std::set<vault::key> settled;
    for (const auto& each : told.receipts) {
        const vault::key which{each.said.station, each.said.record};
        const auto at = by_record_.find(which);
        if (at == by_record_.end())
            continue;
        settled.insert(which);
        distrust_.on_gone(at->second); // an old receipt says nothing of what is believed now
        co_await settle(at->second, each, each.said.size_bytes);
    }
    for (const auto& which : wanted) {
        const auto found = by_record_.find(which);
        if (found == by_record_.end() || settled.contains(which))
            continue;
        const auto at = found->second;
        const auto partial =
            std::ranges::find(told.answer.partials, which.record, &vault::partial::record);
        std::uint64_t offset = 0;
        if (partial != told.answer.partials.end()) {
            // Of other bytes under this id nothing is gone on from: the answer to a new offer says
            // so.
            const auto ours = co_await around_.store.outgoing_of(at);
            if (ours && ours->view.digest == partial->digest)
                offset = partial->offset;
        }
        scheduler_.on_reconciled(at, offset);
    }
    changed_.ring();
}

asio::awaitable<void> replayer::settle(journal::place at, uplink::receipt receipt,
                                       std::uint64_t size_bytes)
{
    const vault::key which{receipt.said.station, receipt.said.record};
    const auto record = which.record;
    const auto done = co_await around_.store.settle(at, receipt.said, receipt.cms, receipt.by);
    if (!done && done.error() == vault::errc::loop) {
        turn_back(at, record, receipt.by.name);
        co_return;
    }
    if (!done) {
        log::error("receipt-refused record={} why=\"{}\"", record.to_string(),
                   done.error().message());
        scheduler_.on_failed(at, false);
        if (done.error() == vault::errc::conflict)
            co_await around_.store.quarantine(at, journal::reason::conflict,
                                              "the receipt names other bytes");
        co_return;
    }
    log::info("delivered record={} to={} bytes={}", record.to_string(), receipt.by.name,
              size_bytes);
    note_delivery(size_bytes);
    scheduler_.on_settled(at);
    by_record_.erase(which);
    changed_.ring();
}

asio::awaitable<void> replayer::regulate()
{
    while (!is_stopping_) {
        if (carriers_.is_empty() || scheduler_.in_flight() == 0) {
            co_await changed_.wait();
            continue;
        }
        co_await link_changed_.wait_until(monotonic::now() + regulate_every);
        if (carriers_.regulate(monotonic::now()))
            changed_.ring(); // others are wanted
    }
}

/// A restart must not begin the day's budget anew.
asio::awaitable<void> replayer::write_down_sent()
{
    if (const auto day = carriers_.sent().take_unwritten())
        co_await around_.store.note_sent(day->number, day->sent_bytes);
}

asio::awaitable<void> replayer::keep_history()
{
    while (!is_stopping_) {
        history_.on_backlog(monotonic::now(),
                            around_.store.now().of(journal::state::waiting).bytes);
        const auto wasted = scheduler_.wasted_bytes();
        history_.on_wasted(monotonic::now(), wasted - std::exchange(seen_wasted_bytes_, wasted));
        carriers_.look_around();
        changed_.ring();
        co_await write_down_sent();
        if (is_stopping_)
            break;
        co_await link_changed_.wait_until(monotonic::now() + history_every);
    }
}

} // namespace titip::replay
