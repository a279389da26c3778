#include "journal/findings.hpp"

#include "base/line.hpp"
#include "base/name.hpp"
#include "journal/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace titip::journal {

namespace {

constexpr std::size_t epoch_bytes = 16;
constexpr milliseconds quiet_after_growth = 1h;
constexpr milliseconds quiet_after_settling = 24h;
constexpr std::size_t most_proof_bytes = 64; // two SHA-256
constexpr std::size_t most_by_bytes = 64;
constexpr std::size_t most_why_bytes = 200;

bool is_open(const v1::FindingRow& row)
{
    return row.settled_at_ms() == 0;
}

bool is_same_matter(const v1::FindingRow& row, const vault::finding& what)
{
    return row.kind() == static_cast<v1::Finding::Kind>(what.what) &&
           row.epoch() == as_text(what.epoch.data());
}

bool contains(const v1::FindingRow& row, const vault::finding& what)
{
    return row.first() <= what.first && what.last <= row.last();
}

/// Overlaps, or lies beside. The ends are anybody's: no sum of them is made that may wrap.
bool touches(const v1::FindingRow& row, const vault::finding& what)
{
    const bool is_before = row.last() < what.first && what.first - row.last() > 1;
    const bool is_behind = what.last < row.first() && row.first() - what.last > 1;
    return !is_before && !is_behind;
}

std::uint64_t distance(const v1::FindingRow& row, const vault::finding& what)
{
    return row.last() < what.first   ? what.first - row.last()
           : what.last < row.first() ? row.first() - what.last
                                     : 0;
}

bool is_one_an_epoch(vault::finding::kind what)
{
    return what == vault::finding::kind::later_head || what == vault::finding::kind::unknown_epoch;
}

bool grows_by_touching(vault::finding::kind what)
{
    return what == vault::finding::kind::gap || what == vault::finding::kind::not_held;
}

bool is_bare(const v1::FindingRow& row)
{
    return !row.told_by().empty() && row.proof().empty();
}

} // namespace

station_findings::station_findings(std::vector<v1::FindingRow> kept, findings_limit limit)
    : rows_(std::move(kept)), limit_(limit)
{
}

std::size_t station_findings::bare_of(std::string_view peer) const
{
    return static_cast<std::size_t>(std::ranges::count_if(
        rows_, [peer](const auto& each) { return is_bare(each) && each.told_by() == peer; }));
}

station_findings::iterator station_findings::place_of(const notice& one)
{
    const auto& what = one.what;
    const auto fits = [&what](const v1::FindingRow& each) {
        if (!is_same_matter(each, what))
            return false;
        if (!is_open(each))
            return contains(each, what);
        return is_one_an_epoch(what.what)     ? true
               : grows_by_touching(what.what) ? touches(each, what)
                                              : contains(each, what);
    };
    const auto open =
        std::ranges::find_if(rows_, [&](const auto& each) { return is_open(each) && fits(each); });
    return open != rows_.end() ? open : std::ranges::find_if(rows_, fits);
}

station_findings::iterator station_findings::nearest(const notice& one, bool among_bare)
{
    auto out = rows_.end();
    for (auto each = rows_.begin(); each != rows_.end(); ++each)
        if (is_open(*each) && is_same_matter(*each, one.what) &&
            (!among_bare || (is_bare(*each) && each->told_by() == one.told_by)) &&
            (out == rows_.end() || distance(*each, one.what) < distance(*out, one.what)))
            out = each;
    return out;
}

station_findings::outcome station_findings::grow(v1::FindingRow& row, const notice& one,
                                                 wall_time now)
{
    const auto& what = one.what;
    const auto first = std::min(row.first(), what.first);
    const auto last = std::max(row.last(), what.last);
    const auto records = std::max(row.records(), what.records);
    if (first == row.first() && last == row.last() && records == row.records())
        return {effect::known, row.number()};
    row.set_first(first);
    row.set_last(last);
    row.set_records(records);
    if (!one.proof.empty())
        row.set_proof(text(one.proof));
    const bool was_alarm = is_alarm(row);
    row.clear_acknowledged_at_ms();
    row.clear_acknowledged_by();
    row.clear_acknowledged_why();
    changed_.push_back(row.number());
    const milliseconds since{to_ms(now) - row.raised_at_ms()};
    if (was_alarm && since >= 0ms && since < quiet_after_growth)
        return {effect::grew, row.number()};
    row.set_raised_at_ms(to_ms(now));
    return {effect::raised, row.number()};
}

bool station_findings::make_room(const notice& one, bool is_bare_one, wall_time now)
{
    const bool is_share_full = is_bare_one && bare_of(one.told_by) >= limit_.told;
    if (!is_share_full && rows_.size() < limit_.all)
        return true;
    const auto may_go = [&](const v1::FindingRow& each) {
        if (is_share_full && !(is_bare(each) && each.told_by() == one.told_by))
            return false;
        if (is_bare_one && !is_bare(each))
            return false;
        const milliseconds since{to_ms(now) - each.settled_at_ms()};
        return is_open(each) || !is_bare_one || since < 0ms || since >= quiet_after_settling;
    };
    const auto find = [&](auto wanted) {
        return std::ranges::find_if(rows_,
                                    [&](const auto& each) { return may_go(each) && wanted(each); });
    };
    auto gone = find([](const auto& each) { return !is_open(each); });
    if (gone == rows_.end())
        gone = find([](const auto& each) { return is_open(each) && !is_alarm(each); });
    if (gone == rows_.end() && !is_bare_one)
        gone = find([](const auto& each) { return is_bare(each); });
    if (gone == rows_.end())
        return false;
    std::erase(changed_, gone->number());
    removed_.push_back(gone->number());
    rows_.erase(gone);
    return true;
}

station_findings::outcome station_findings::note(const notice& one, std::uint64_t number,
                                                 wall_time now)
{
    const bool is_bare_one = !one.told_by.empty() && one.proof.empty();
    if (const auto known = place_of(one); known != rows_.end()) {
        if (is_open(*known))
            return grow(*known, one, now);
        const milliseconds since{to_ms(now) - known->settled_at_ms()};
        if (since >= 0ms && since < quiet_after_settling)
            return {effect::known, known->number()};
        known->clear_settled_at_ms();
        known->clear_acknowledged_at_ms();
        known->clear_acknowledged_by();
        known->clear_acknowledged_why();
        known->set_raised_at_ms(to_ms(now));
        changed_.push_back(known->number());
        return {effect::raised, known->number()};
    }
    const bool is_share_full = is_bare_one && bare_of(one.told_by) >= limit_.told;
    if (is_share_full || is_full())
        if (const auto wider = nearest(one, is_share_full); wider != rows_.end())
            return grow(*wider, one, now);
    if (!make_room(one, is_bare_one, now))
        return {effect::full, 0};
    v1::FindingRow row;
    row.set_number(number);
    row.set_station(one.what.station);
    row.set_kind(static_cast<v1::Finding::Kind>(one.what.what));
    row.set_epoch(text(one.what.epoch.data()));
    row.set_first(one.what.first);
    row.set_last(one.what.last);
    row.set_records(one.what.records);
    row.set_proof(text(bytes_view{one.proof}.first(std::min(one.proof.size(), most_proof_bytes))));
    row.set_noticed_at_ms(to_ms(one.what.noticed_at == wall_time{} ? now : one.what.noticed_at));
    row.set_told_by(to_line(one.told_by, most_by_bytes));
    row.set_raised_at_ms(to_ms(now));
    rows_.push_back(std::move(row));
    changed_.push_back(number);
    return {effect::added, number};
}

const v1::FindingRow* station_findings::acknowledge(std::uint64_t number, std::string_view by,
                                                    std::string_view why, wall_time now)
{
    const auto found = std::ranges::find(rows_, number, &v1::FindingRow::number);
    if (found == rows_.end() || !is_open(*found))
        return nullptr;
    if (is_alarm(*found)) {
        found->set_acknowledged_at_ms(to_ms(now));
        found->set_acknowledged_by(to_line(by, most_by_bytes));
        found->set_acknowledged_why(to_line(why, most_why_bytes));
        changed_.push_back(number);
    }
    return &*found;
}

std::vector<v1::FindingRow> station_findings::changed() const
{
    std::vector<v1::FindingRow> out;
    for (const auto& each : rows_)
        if (std::ranges::find(changed_, each.number()) != changed_.end())
            out.push_back(each);
    return out;
}

bool station_findings::check() const
{
    std::map<std::string, std::size_t> bare;
    std::map<std::uint64_t, std::size_t> numbers;
    for (const auto& each : rows_) {
        if (each.first() > each.last() || each.number() == 0 || numbers[each.number()]++ > 0)
            return false;
        if (is_bare(each) && ++bare[each.told_by()] > limit_.told)
            return false;
    }
    return rows_.size() <= limit_.all;
}

kept_finding to_kept(const v1::FindingRow& row)
{
    kept_finding out;
    out.what = static_cast<vault::finding::kind>(row.kind());
    out.station = row.station();
    out.epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{});
    out.first = row.first();
    out.last = row.last();
    out.noticed_at = from_ms(row.noticed_at_ms());
    out.records = row.records();
    out.number = row.number();
    out.told_by = row.told_by();
    out.proof = to_hex(as_bytes(row.proof()));
    out.acknowledged_at = from_ms(row.acknowledged_at_ms());
    out.acknowledged_by = row.acknowledged_by();
    out.acknowledged_why = row.acknowledged_why();
    out.settled_at = from_ms(row.settled_at_ms());
    return out;
}

std::string describe(const v1::FindingRow& row)
{
    const auto it = to_kept(row);
    return fmt::format("{}: {} of {} at {}..{} in {}", it.number, to_string(it.what), it.station,
                       it.first, it.last, it.epoch.to_string());
}

std::vector<v1::FindingRow> findings_about(const transaction& txn, const tables& t,
                                           const v1::Meta& meta, std::string_view station)
{
    std::vector<v1::FindingRow> out;
    if (!t.findings) {
        for (const auto& each : meta.unplaced())
            if (each.station() == station)
                out.push_back(each);
        return out;
    }
    station_cursor walk{txn, *t.findings, station, sizeof(std::uint64_t)};
    for (auto each = walk.first(); each; each = walk.next())
        open_row(seed::finding, each->key, each->value, out.emplace_back());
    return out;
}

standing_findings find_standing(const transaction& txn, const tables& t, const v1::Meta& meta)
{
    constexpr std::size_t most = 256; // a status is read by people, and asked for each second
    constexpr std::size_t most_a_station = 8; // so that one station does not hide the others
    constexpr int most_of_format_1 = 64;
    standing_findings out;
    std::string station;
    std::size_t of_station = 0;
    const auto take = [&](kept_finding each) {
        ++out.count;
        of_station = each.station == station ? of_station + 1 : 1;
        station = each.station;
        if (of_station <= most_a_station && out.some.size() < most)
            out.some.push_back(std::move(each));
    };
    if (t.findings) {
        cursor walk{txn, *t.findings};
        v1::FindingRow row;
        for (auto each = walk.first(); each; each = walk.next()) {
            open_row(seed::finding, each->key, each->value, row);
            if (is_alarm(row))
                take(to_kept(row));
        }
        return out;
    }
    // Of a store that could not be brought to format 2 yet: whatever its Meta has.
    for (int i = 0; i < std::min(meta.findings_size(), most_of_format_1); ++i) {
        const auto& each = meta.findings(i);
        if (!is_node_name(each.station()))
            continue;
        kept_finding one;
        static_cast<vault::finding&>(one) = to_finding(each);
        take(std::move(one));
    }
    for (const auto& each : meta.unplaced())
        if (is_alarm(each))
            take(to_kept(each));
    return out;
}

namespace {

bool is_known(v1::Finding::Kind kind)
{
    return kind >= v1::Finding::GAP && kind <= v1::Finding::UNKNOWN_EPOCH;
}

/// The findings of Meta, by station, as rows.
class moving {
public:
    moving(const transaction& txn, const tables& t, const v1::Meta& meta, wall_time now)
        : txn_(txn), t_(t), meta_(meta), now_(now),
          next_(std::max<std::uint64_t>(meta.next_finding(), 1))
    {
        for (const auto& each : meta.unplaced()) // first: they have their numbers
            if (is_ours(each.station()))
                waiting_[each.station()].push_back(each);
    }

    migrated run()
    {
        for (const auto& each : meta_.findings())
            take(each);
        return done_;
    }
    std::map<std::string, station_findings>& stations()
    {
        for (auto& [name, rows] : waiting_)
            (void)about(name);
        return stations_;
    }
    std::uint64_t next() const { return next_; }

private:
    void take(const v1::Finding& said)
    {
        auto what = to_finding(said);
        const bool fits = is_known(said.kind()) && said.epoch().size() == epoch_bytes &&
                          what.first <= what.last && is_ours(said.station());
        if (!fits) {
            ++done_.left_out;
            return;
        }
        // Who told it was not kept.
        const notice one{.what = std::move(what), .told_by = {}, .proof = {}};
        const auto done = about(said.station()).note(one, next_, now_);
        using effect = station_findings::effect;
        if (done.effect == effect::added)
            ++next_;
        ++(done.effect == effect::full ? done_.left_out : done_.kept);
    }

    /// A record of it is here, or it is this node.
    bool is_ours(const std::string& station)
    {
        if (station == meta_.node())
            return true;
        if (!is_node_name(station))
            return false;
        const auto [known, is_new] = ours_.try_emplace(station, false);
        if (is_new) {
            station_cursor walk{txn_, t_.numbering, station, epoch_bytes};
            known->second = walk.first().has_value();
        }
        return known->second;
    }

    station_findings& about(const std::string& station)
    {
        const auto known = stations_.find(station);
        if (known != stations_.end())
            return known->second;
        auto rows = std::move(waiting_[station]);
        return stations_.emplace(station, station_findings{std::move(rows)}).first->second;
    }

    const transaction& txn_;
    const tables& t_;
    const v1::Meta& meta_;
    const wall_time now_;
    std::uint64_t next_;
    migrated done_;
    std::map<std::string, bool> ours_;
    std::map<std::string, std::vector<v1::FindingRow>> waiting_;
    std::map<std::string, station_findings> stations_;
};

} // namespace

migrated migrate(transaction& txn, tables& t, v1::Meta& meta, wall_time now)
{
    moving all{txn, t, meta, now};
    const auto done = all.run();
    t.findings = make_findings_table(txn);
    for (const auto& [station, about] : all.stations())
        for (const auto& each : about.rows()) {
            const auto key = finding_key(station, each.number());
            txn.put(*t.findings, key, seal_row(seed::finding, key, each));
        }
    meta.set_next_finding(all.next());
    meta.clear_findings();
    meta.clear_unplaced();
    bound_custody(meta);
    meta.set_format(2);
    return done;
}

} // namespace titip::journal
