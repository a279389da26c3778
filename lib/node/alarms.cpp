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

void alarms::look(const journal::totals& now)
{
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
