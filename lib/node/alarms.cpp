#include "node/alarms.hpp"

#include "base/log.hpp"
#include "control/server.hpp"
#include "control/words.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace titip::node {

namespace {

/// A change does not say which verdict came: the record does. A later one, while this one holds, says
/// it again.
asio::awaitable<void> say_if_person_needed(journal::store& store, vault::key which)
{
    const auto found = co_await store.show(which.record);
    if (!found)
        co_return;
    for (const auto& each : *found)
        if (each.key == which && each.reason == journal::reason::open_failed)
            log::error("open-failed record={} station={}: the centre cannot open it, and decides",
                       which.record.to_string(), which.station);
        else if (const auto verdict = journal::person_needed(each.standing);
                 each.key == which && verdict)
            log::warn("needs-person record={} station={} verdict={}", which.record.to_string(),
                      which.station, to_string(*verdict));
}

} // namespace

void alarms::look_at_disk(const journal::store::disk_waits& disk)
{
    using std::chrono::duration_cast;
    using std::chrono::seconds;
    const bool is_slow = disk.slowest >= journal::slow_disk;
    if (is_slow && !is_disk_slow_)
        log::warn(
            "disk-slow wait_s={}: what was accepted is safe; accepting takes as long as the disk",
            duration_cast<seconds>(disk.slowest).count());
    if (!is_slow && is_disk_slow_)
        log::info("disk-well: no wait as long for an hour");
    is_disk_slow_ = is_slow;
}

void alarms::look_at_uploads(const journal::stalled_uploads& stalled)
{
    std::set<journal::place> still;
    for (const auto& each : stalled.now().oldest) {
        still.insert(each.place);
        if (!stalled_.contains(each.place))
            log::warn("upload-stalled record={} station={} number={} bytes={} of={} last_byte={}",
                      each.key.record.to_string(), each.key.station, each.sequence,
                      each.stored_bytes, each.size_bytes, to_rfc3339(each.last_byte_at));
    }
    stalled_ = std::move(still);
}

void alarms::look_at_room(const journal::totals& now)
{
    const auto limit = journal::to_string(now.room.by);
    if (had_room_ && !now.has_room)
        log::error("full used_bytes={} limit={}: no space for another record; what was accepted is "
                   "safe; {}",
                   now.live_bytes, limit, control::words::how_to_get_room(limit));
    if (!had_room_ && now.has_room)
        log::info("room-again used_bytes={}", now.live_bytes);
    had_room_ = now.has_room;
    constexpr unsigned some = 80;
    constexpr unsigned much = 90;
    constexpr unsigned less = 5; // erasing and accepting by turns is no news each time
    const auto percent = now.room.used_percent();
    if (percent + less < said_percent_)
        said_percent_ = percent >= some ? some : 0;
    const auto step = percent >= much ? much : percent >= some ? some : 0;
    if (now.has_room && step > said_percent_)
        log::write(step == much ? log::level::error : log::level::warn,
                   fmt::format("filling used_percent={} used_bytes={} left_bytes={} limit={}",
                               percent, now.room.used_bytes, now.room.left_bytes, limit));
    said_percent_ = std::max(said_percent_, step);
}

void alarms::look(const journal::totals& now, const journal::store::disk_waits& disk,
                  const journal::stalled_uploads* stalled)
{
    look_at_room(now);
    look_at_disk(disk);
    if (stalled)
        look_at_uploads(*stalled);
    for (const auto& each : now.findings)
        if (std::ranges::find(said_, each) == said_.end())
            log::error("finding kind={} number={} station={} epoch={} first={} last={}: call the "
                       "centre",
                       to_string(each.what), each.number, each.station, each.epoch.to_string(),
                       each.first, each.last);
    said_ = now.findings;
}

void alarms::on_relayed(wall_time oldest, wall_time now)
{
    const bool is_overdue = control::is_overdue(oldest, now);
    if (is_overdue && !was_overdue_)
        log::error(
            "relayed-overdue since={}: the centre has confirmed nothing of it, call who runs the "
            "relay",
            to_rfc3339(oldest));
    was_overdue_ = is_overdue;
}

void alarms::look(const std::vector<trust::watched>& certificates, const trust::reckoning& now)
{
    using trust::clock_state;
    const bool is_wrong = now.clock == clock_state::behind || now.clock == clock_state::ahead;
    if (is_wrong && !was_clock_wrong_)
        log::error("clock-wrong is={} not-before={}: set the clock of this machine",
                   to_string(now.clock), to_rfc3339(now.floor));
    if (!is_wrong && was_clock_wrong_)
        log::info("clock-right");
    was_clock_wrong_ = is_wrong;

    std::map<digest, end> present;
    for (const auto& each : certificates) {
        const auto& it = each.certificate;
        const bool is_doubtful = now.clock == clock_state::unconfirmed;
        const auto is = trust::has_ended(it, now.floor) ? end::over
                        : trust::has_ended(it, now.likely)
                            ? (is_doubtful ? end::doubtful : end::over)
                        : trust::ends_soon(it, now.likely) ? end::soon
                                                           : end::far;
        const auto known = ends_.find(it.fingerprint);
        present[it.fingerprint] = is;
        if (is == (known == ends_.end() ? end::far : known->second) || is == end::far)
            continue;
        const auto what = fmt::format("subject=\"{}\" is={} until={}", it.subject,
                                      each.is_authority      ? "authority"
                                      : each.serves_node     ? "own"
                                      : each.serves_upstream ? "upstream"
                                                             : "recipient",
                                      to_rfc3339(it.until));
        if (is == end::soon)
            log::warn("certificate-expires {}", what);
        else if (is == end::over)
            log::error("certificate-expired {}", what);
        else
            log::error("certificate-expired {} by a clock that nothing has confirmed since {}",
                       what, to_rfc3339(now.floor));
    }
    ends_ = std::move(present);
}

void alarms::on_change(const journal::change& what, journal::store& store, asio::any_io_executor on)
{
    if (what.event == "verdict" && what.needs_person)
        asio::co_spawn(on, say_if_person_needed(store, what.key), asio::detached);
}

} // namespace titip::node
