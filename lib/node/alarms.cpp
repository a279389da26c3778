#include "node/alarms.hpp"

#include "base/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>

namespace titip::node {

namespace {

/// A change says neither which verdict came nor why a record is set aside: the record does. A later
/// verdict on one that stays set aside says it again.
asio::awaitable<void> say_if_open_failed(journal::store& store, vault::key which)
{
    const auto found = co_await store.show(which.record);
    if (!found)
        co_return;
    for (const auto& each : *found)
        if (each.key == which && each.reason == journal::reason::open_failed)
            log::error("open-failed record={} station={}: the centre cannot open it, and decides",
                       which.record.to_string(), which.station);
}

} // namespace

void alarms::look(const journal::totals& now, const journal::store::disk_waits& disk,
                  const journal::stalled_uploads* stalled)
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
    std::set<journal::place> still;
    if (stalled)
        for (const auto& each : stalled->now().oldest) {
            still.insert(each.place);
            if (!stalled_.contains(each.place))
                log::warn(
                    "upload-stalled record={} station={} number={} bytes={} of={} last_byte={}",
                    each.key.record.to_string(), each.key.station, each.sequence, each.stored_bytes,
                    each.size_bytes, to_rfc3339(each.last_byte_at));
        }
    stalled_ = std::move(still);
    if (had_room_ && !now.has_room)
        log::error("full used_bytes={}: no space for another record; what was accepted is safe, "
                   "free space on the disk, or raise [node] quota",
                   now.live_bytes);
    if (!had_room_ && now.has_room)
        log::info("room-again used_bytes={}", now.live_bytes);
    had_room_ = now.has_room;
    for (const auto& each : now.findings)
        if (std::ranges::find(said_, each) == said_.end())
            log::error("finding kind={} station={} epoch={} first={} last={}: call the centre",
                       to_string(each.what), each.station, each.epoch.to_string(), each.first,
                       each.last);
    said_ = now.findings;
}

void alarms::on_change(const journal::change& what, journal::store& store, asio::any_io_executor on)
{
    if (what.event == "verdict" && what.state == journal::state::quarantined)
        asio::co_spawn(on, say_if_open_failed(store, what.key), asio::detached);
}

} // namespace titip::node
