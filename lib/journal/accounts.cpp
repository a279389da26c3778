#include "journal/writing.hpp"

#include <algorithm>

/// What a station may make grow here, so that one cannot fill the node for all.
namespace titip::journal {

namespace {

/// Incomplete records of one station. It has at most 32 connections, on each of which one body comes
/// at a time: twice as many, for those that an epoch past or another machine has left.
constexpr std::size_t most_arriving = 64;
/// Of them together, when another one begins. Sixteen connections that break with nearly whole records
/// of the largest size are within it.
constexpr std::uint64_t most_arriving_bytes = 128u << 20;
/// At these bounds the one that has stood still for longest is given up for a new one, if nothing of
/// it has come for so long. Its sender has it, and begins it again.
constexpr milliseconds gives_way_after = 1h;

/// Above so many tenths of the quota a station that has a large share of it takes no more: what is
/// left is for the others.
constexpr std::uint64_t pressed_tenths = 9;
/// A large share is so many times an equal one, or half of all. A busy office has a few times what a
/// quiet one has.
constexpr std::uint64_t large_share = 4;

} // namespace

bool writing::make_way_for_arriving(const std::string& station)
{
    const auto arriving = read_account(txn_, t_, station).arriving();
    std::uint64_t stored = 0;
    for (const auto& each : arriving)
        stored += each.stored_bytes();
    if (static_cast<std::size_t>(arriving.size()) < most_arriving && stored < most_arriving_bytes)
        return true;
    const auto stalest = std::ranges::min_element(
        arriving, {}, [](const v1::Account::Arriving& each) { return each.last_byte_at_ms(); });
    // From a clock that was ahead, too: then nothing of it can have moved since.
    if (std::chrono::abs(milliseconds{to_ms(now_) - stalest->last_byte_at_ms()}) < gives_way_after)
        return false;
    const place at{stalest->place()};
    const auto row = find_good_row(txn_, t_, at);
    if (row && row->state() == v1::ARRIVING && row->station() == station)
        give_up(at, *row, "stood still, and its station has begun too many others");
    else
        note_arrived(station, at); // the account says what is not so, or its row is rotten
    return true;
}

void writing::note_arriving(const std::string& station, place at, std::uint64_t stored_bytes)
{
    auto account = read_account(txn_, t_, station);
    auto& all = *account.mutable_arriving();
    const auto number = static_cast<std::uint64_t>(at);
    auto found = std::ranges::find(all, number, [](const auto& each) { return each.place(); });
    if (found == all.end()) {
        if (static_cast<std::size_t>(all.size()) >= most_arriving)
            return; // begun before there were accounts
        all.Add()->set_place(number);
        found = std::prev(all.end());
    }
    found->set_stored_bytes(stored_bytes);
    found->set_last_byte_at_ms(to_ms(now_));
    write_account(txn_, t_, station, account);
}

void writing::note_arrived(const std::string& station, place at)
{
    auto account = read_account(txn_, t_, station);
    auto& all = *account.mutable_arriving();
    const auto number = static_cast<std::uint64_t>(at);
    const auto found =
        std::ranges::find(all, number, [](const auto& each) { return each.place(); });
    if (found == all.end())
        return;
    all.erase(found);
    write_account(txn_, t_, station, account);
}

bool writing::is_over_share(const std::string& station) const
{
    const auto pressed = space_.quota_bytes() / 10 * pressed_tenths;
    const auto& below = meta_.below();
    if (live_bytes(meta_) < pressed || below.stations() < 2)
        return false;
    // Of a store of before only what came since is counted: of the quota then, not of little.
    const auto all = std::max(below.bytes(), pressed);
    return read_account(txn_, t_, station).live_bytes() >
           std::min(all / below.stations() * large_share, all / 2);
}

std::uint64_t writing::weight_of(const v1::Row& row) noexcept
{
    return counted_bytes(row) + row_weight_bytes;
}

void writing::weigh(const std::string& station, std::uint64_t more, std::uint64_t less)
{
    if (more == less || station == around_.node)
        return;
    auto account = read_account(txn_, t_, station);
    const auto before = account.live_bytes();
    // What a version of before took in goes without ever having been counted.
    const auto after = before + more - std::min(before + more, less);
    account.set_live_bytes(after);
    auto& below = *meta_.mutable_below();
    below.set_bytes(below.bytes() + after - before);
    below.set_stations(below.stations() + (before == 0 ? 1 : 0) - (after == 0 ? 1 : 0));
    write_account(txn_, t_, station, account);
}

} // namespace titip::journal
