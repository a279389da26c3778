#include "mirror/plan.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace titip::mirror {

namespace {

constexpr unsigned most_times_ruined = 2; ///< of one record, on one disk

/// The disk is there and is the same one: what was known of it is still true, or as good as.
bool is_of_this_disk(trouble why)
{
    return why == trouble::full || why == trouble::read_only || why == trouble::forbidden ||
           why == trouble::tampered || why == trouble::hangs || why == trouble::failed;
}

} // namespace

plan::step plan::next(instant now) const
{
    using kind = step::kind;
    switch (phase_) {
    case phase::unlisted:
        return now < retry_at_ ? step{.what = kind::wait, .until = retry_at_}
                               : step{.what = kind::list};
    case phase::scanning:
        return {.what = kind::scan, .place = seen_};
    case phase::listed:
        break;
    }
    const bool is_waiting = why_ != trouble::none && now < retry_at_;
    const bool may_erase = why_ == trouble::none || why_ == trouble::full;
    if (!repairs_.empty() && !is_waiting)
        return {.what = kind::repair, .place = repairs_.front()};
    if (may_erase && !erasures_.empty() && now >= erase_at_)
        return {.what = kind::erase, .place = erasures_.front()};
    if (may_erase && !erasures_.empty() && (!has_to_write() || why_ == trouble::full))
        return read_or_wait(now, erase_at_);
    if (is_waiting)
        return read_or_wait(now, retry_at_);
    if (why_ != trouble::none && (why_ != trouble::full || !has_to_write()))
        return {.what = kind::check};
    if (has_to_write())
        return {.what = kind::write, .place = missing_.front().place};
    if (is_stale_ || (is_doubtful_ && now >= listed_at_ + opts_.relist_every))
        return {.what = kind::list};
    if (now >= check_at_)
        return {.what = kind::check};
    return read_or_wait(now, check_at_);
}

bool plan::has_to_write() const
{
    return !missing_.empty() && !missing_.front().is_beyond_help; // those stand last
}

/// Also from a disk that takes nothing more.
plan::step plan::read_or_wait(instant now, instant until) const
{
    using kind = step::kind;
    const bool may_read =
        why_ == trouble::none || why_ == trouble::full || why_ == trouble::read_only;
    if (may_read && now >= read_at_)
        return {.what = kind::read, .place = memory().read_up_to};
    return {.what = kind::wait, .until = may_read ? std::min(until, read_at_) : until};
}

const listed_file* plan::find(name_hash name) const
{
    const auto at = std::ranges::lower_bound(files_, name, {}, &listed_file::name);
    return at != files_.end() && at->name == name ? &*at : nullptr;
}

std::tuple<bool, bool, bool, journal::place> plan::rank(const missing& of)
{
    return {of.is_beyond_help, of.has_given_way, !of.is_only_here, of.place};
}

plan::missing plan::missing_of(const row& which) const
{
    return {.place = which.place,
            .record = which.record,
            .came_at = which.accepted_at,
            .is_only_here = which.is_only_here};
}

void plan::add_missing(queue& to, const missing& what)
{
    const auto at = std::ranges::lower_bound(to, rank(what), {}, rank);
    if (at != to.end() && at->place == what.place)
        return;
    if (to.size() < opts_.most_missing) {
        to.insert(at, what);
        return;
    }
    // The others are found again.
    ++overflow_;
    is_stale_ = true;
    if (at == to.end())
        return;
    const auto index = at - to.begin();
    to.pop_back();
    to.insert(to.begin() + index, what);
}

void plan::add_erasure(journal::place at)
{
    if (std::ranges::find(erasures_, at) != erasures_.end())
        return;
    if (erasures_.size() < opts_.most_erasures)
        erasures_.push_back(at);
    else
        is_stale_ = true;
}

void plan::forget_listing()
{
    phase_ = phase::unlisted;
    files_ = {};
    found_.clear();
    came_.clear();
    erasures_.clear();
}

/// Which disk is there; what is known of the others is kept.
void plan::use(const std::string& disk)
{
    if (memory().disk == disk)
        return;
    ruined_.clear();
    told_lost_ = 0;
    is_fresh_ = true;
    const auto known = std::ranges::find(disks_, disk, &disk_memory::disk);
    auto it = known == disks_.end() ? disk_memory{.disk = disk} : *known;
    if (known != disks_.end())
        disks_.erase(known);
    if (!disks_.empty() && memory().disk.empty())
        disks_.pop_front(); // of no disk
    disks_.push_front(std::move(it));
    if (disks_.size() > opts_.most_disks)
        disks_.pop_back();
}

void plan::recall(std::deque<disk_memory> disks)
{
    if (disks.empty())
        return;
    disks_ = std::move(disks);
    if (disks_.size() > opts_.most_disks)
        disks_.resize(opts_.most_disks);
    for (auto& each : disks_) {
        // From a file, which may have any content.
        constexpr std::uint64_t most = 1u << 30;
        each.lost = std::min(each.lost, most);
        for (auto* at : {&each.lost_since, &each.pass_began, &each.earlier_began})
            *at = std::clamp(*at, wall_time{}, from_ms(253'402'300'799'000)); // the year 9999
    }
    told_lost_ = memory().lost; // by that process
}

void plan::on_listed(std::vector<listed_file> files, instant now, const std::string& disk,
                     wall_time clock)
{
    use(disk);
    forget_listing();
    there_ = 0;
    cut_short_ = 0;
    // A clock that was wrong then, or is now: what was read at a time to come was not.
    if (memory().pass_began > clock || memory().earlier_began > clock) {
        memory().pass_began = memory().earlier_began = wall_time{};
        memory().read_up_to = journal::place{};
    }
    files_ = std::move(files);
    std::ranges::sort(files_, {}, &listed_file::name);
    phase_ = phase::scanning;
    seen_ = {};
    overflow_ = 0;
    is_stale_ = false;
    is_doubtful_ = false;
    skipped_ = 0;
    suspect_ = {};
    listed_at_ = now;
    check_at_ = now + opts_.check_every;
}

void plan::on_row(const row& seen)
{
    seen_ = seen.place;
    const auto* file = find(seen.name);
    switch (seen.what) {
    case row::kind::kept: {
        const auto ruined = ruined_.find(seen.place);
        const bool is_ruined = ruined != ruined_.end() && ruined->second.is_now;
        const bool is_short = file != nullptr && file->size_bytes < seen.least_bytes;
        cut_short_ += is_short && !is_ruined ? 1 : 0;
        there_ += file != nullptr ? 1 : 0;
        if (file == nullptr || is_short || is_ruined) {
            auto what = missing_of(seen);
            what.is_named = file != nullptr;
            what.is_beyond_help = is_ruined && ruined->second.times >= most_times_ruined;
            add_missing(found_, what);
        }
        break;
    }
    case row::kind::rotten:
        if (file != nullptr)
            on_rotten(seen.place);
        break;
    case row::kind::erased:
        if (file != nullptr)
            add_erasure(seen.place);
        break;
    }
}

void plan::on_scanned(instant now, wall_time clock)
{
    constexpr std::uint64_t being_written = 1; // one at a time is
    if (cut_short_ > being_written && !has_lost_too_much())
        add_lost(cut_short_, clock);
    if (has_lost_too_much()) {
        for (auto& each : found_)
            each.is_beyond_help = each.is_beyond_help || each.is_named;
        std::ranges::sort(found_, {}, rank);
    }
    if (std::exchange(is_fresh_, false)) {
        is_soon_ = true;
        soon_came_round_ = false;
        soon_from_ = memory().read_up_to;
        unread_ = there_ - std::min(there_, cut_short_);
        oldest_read_ = {};
        read_at_ = now;
    }
    missing_ = std::move(found_);
    found_.clear();
    for (const auto& each : came_)
        add_missing(missing_, each);
    came_.clear();
    files_ = {};
    phase_ = phase::listed;
    is_counted_ = true;
    check_at_ = now + opts_.check_every;
}

std::optional<plan::missing> plan::drop_missing(journal::place at)
{
    const auto found = !missing_.empty() && missing_.front().place == at
                           ? missing_.begin()
                           : std::ranges::find(missing_, at, &missing::place);
    if (found == missing_.end())
        return std::nullopt;
    const auto out = *found;
    missing_.erase(found);
    return out;
}

void plan::on_written(journal::place at, instant now)
{
    const bool was_missing = drop_missing(at).has_value();
    if (const auto ruined = ruined_.find(at); ruined != ruined_.end())
        ruined->second.is_now = false;
    else
        there_ += was_missing ? 1 : 0;
    why_ = trouble::none;
    failed_ = 0;
    suspect_ = {};
    check_at_ = now + opts_.check_every;
}

void plan::on_skipped(journal::place at)
{
    skipped_ += drop_missing(at) ? 1 : 0;
}

void plan::on_erased(journal::place at, instant now)
{
    std::erase(erasures_, at);
    there_ -= there_ > 0 ? 1 : 0;
    erase_at_ = now + opts_.erase_every;
}

void plan::on_repaired(journal::place at)
{
    std::erase(repairs_, at);
}

std::optional<journal::place> plan::on_checked(instant now)
{
    why_ = trouble::none;
    failed_ = 0;
    check_at_ = now + opts_.check_every;
    if (suspect_ == journal::place{} || suspect_failures_ < 2)
        return std::nullopt;
    const auto at = std::exchange(suspect_, {});
    if (std::erase(erasures_, at) > 0)
        return at;
    auto record = drop_missing(at);
    if (!record)
        return std::nullopt;
    is_doubtful_ = true; // it comes again with the next listing
    if (std::exchange(record->has_given_way, true)) {
        ++skipped_;
        return at;
    }
    add_missing(missing_, *record);
    return std::nullopt;
}

void plan::on_trouble(trouble why, std::string detail, instant now, wall_time clock,
                      journal::place concerned)
{
    if (why_ == trouble::none)
        since_ = clock;
    why_ = why;
    detail_ = std::move(detail);
    const int doublings = static_cast<int>(std::min(failed_++, 20u)); // past any cap
    retry_at_ = now + std::min(opts_.cap, opts_.base * (1 << doublings));
    if (phase_ != phase::listed || !is_of_this_disk(why)) {
        is_fresh_ = true;
        forget_listing();
        return;
    }
    is_doubtful_ = is_doubtful_ || why != trouble::full;
    if (concerned == journal::place{})
        return;
    suspect_failures_ = suspect_ == concerned ? suspect_failures_ + 1 : 1;
    suspect_ = concerned;
}

bool plan::has_lost_too_much() const
{
    constexpr std::uint64_t few = 16; // of a nearly empty disk
    return memory().lost > 2 * there_ + few;
}

void plan::add_lost(std::uint64_t files, wall_time clock)
{
    memory().lost += files;
    if (memory().lost_since == wall_time{})
        memory().lost_since = clock;
}

void plan::pace(std::uint64_t size_bytes, instant now)
{
    const auto rate = is_soon_ ? opts_.read_soon_bytes_per_s : opts_.read_bytes_per_s;
    read_at_ = now + milliseconds{size_bytes * 1'000 / rate};
    unread_ -= unread_ > 0 ? 1 : 0;
}

plan::turn plan::on_next_stored(std::optional<journal::place> next, wall_time accepted_at,
                                instant now, wall_time clock)
{
    auto& of = memory();
    if (of.read_up_to == journal::place{}) { // a pass begins
        of.earlier_began = of.pass_began;
        of.pass_began = clock;
    }
    if (next && is_soon_ && soon_came_round_ && *next > soon_from_)
        is_soon_ = false;
    if (next) {
        oldest_read_ = std::max(accepted_at, of.earlier_began);
        of.read_up_to = *next;
        const bool is_missing =
            std::ranges::find(missing_, *next, &missing::place) != missing_.end();
        return is_missing ? turn::skip : turn::read;
    }
    // All that is there was read since this pass began; a journal without a record has none.
    oldest_read_ = of.read_up_to == journal::place{} ? wall_time{} : of.pass_began;
    of.read_up_to = {};
    if (is_soon_ && !soon_came_round_ && soon_from_ != journal::place{}) {
        soon_came_round_ = true;
        read_at_ = now;
        return turn::over;
    }
    is_soon_ = false;
    const auto since = std::clamp(clock - of.pass_began, milliseconds{0}, opts_.read_every);
    read_at_ = now + (opts_.read_every - since);
    return turn::over;
}

void plan::on_read(std::uint64_t size_bytes, instant now)
{
    pace(size_bytes, now);
}

bool plan::on_ruined(const row& which, instant now, wall_time clock)
{
    if (!has_lost_too_much()) // no news from then on
        add_lost(1, clock);
    const bool is_known = ruined_.contains(which.place);
    // Half of what is kept: the others, which can be written, have their place as well.
    const auto most = opts_.most_missing / 2;
    if (!is_known && ruined_.size() >= most)
        if (const auto well =
                std::ranges::find_if(ruined_, [](const auto& each) { return !each.second.is_now; });
            well != ruined_.end())
            ruined_.erase(well);
    const bool is_kept = is_known || ruined_.size() < most;
    auto what = missing_of(which);
    what.is_named = true;
    what.is_beyond_help = !is_kept || has_lost_too_much();
    if (is_kept) {
        auto& it = ruined_[which.place];
        it.is_now = true;
        what.is_beyond_help |= ++it.times >= most_times_ruined;
    }
    drop_missing(which.place);
    add_missing(missing_, what);
    pace(which.least_bytes, now);
    return !what.is_beyond_help;
}

bool plan::on_gone(const row& which, instant now)
{
    pace(0, now);
    if (overflow_ > 0) // more is missing than is known by name
        return false;
    there_ -= there_ > 0 ? 1 : 0;
    add_missing(missing_, missing_of(which));
    return true;
}

bool plan::take_loss()
{
    constexpr std::uint64_t more = 10;
    const auto lost = memory().lost;
    if (lost == 0 || (told_lost_ > 0 && lost < told_lost_ * more))
        return false;
    told_lost_ = lost;
    return true;
}

void plan::check() const
{
    assert(!disks_.empty() && disks_.size() <= opts_.most_disks);
    assert(std::ranges::is_sorted(missing_, {}, rank));
    assert(missing_.size() <= opts_.most_missing);
    assert(ruined_.size() <= std::max<std::size_t>(opts_.most_missing / 2, 1));
}

void plan::look_again()
{
    is_fresh_ = true;
    forget_listing();
    retry_at_ = {};
}

std::vector<journal::place> plan::take_repairs()
{
    std::vector<journal::place> out{repairs_.begin(), repairs_.end()};
    repairs_.clear();
    return out;
}

void plan::on_accepted(journal::place at, const record_id& record, wall_time clock)
{
    const missing what{.place = at, .record = record, .came_at = clock};
    add_missing(missing_, what);
    if (phase_ == phase::scanning)
        add_missing(came_, what);
}

void plan::on_held_elsewhere(journal::place at)
{
    set_only_here(at, false);
}

void plan::on_lost_elsewhere(journal::place at)
{
    set_only_here(at, true);
}

void plan::set_only_here(journal::place at, bool is)
{
    for (auto* each : {&missing_, &found_, &came_}) {
        const auto found = std::ranges::find(*each, at, &missing::place);
        if (found == each->end() || found->is_only_here == is)
            continue;
        auto record = *found;
        each->erase(found);
        record.is_only_here = is;
        add_missing(*each, record);
    }
}

void plan::on_erased_in_journal(journal::place at)
{
    for (auto* each : {&missing_, &found_, &came_})
        std::erase_if(*each, [at](const missing& one) { return one.place == at; });
    ruined_.erase(at);
    if (phase_ != phase::unlisted)
        add_erasure(at);
}

void plan::on_rotten(journal::place at)
{
    if (std::ranges::find(repairs_, at) == repairs_.end())
        repairs_.push_back(at);
}

void plan::go_on_missing(wall_time since, const std::vector<row>& rows)
{
    why_ = trouble::not_mounted;
    told_ = why_; // by that process
    since_ = since;
    for (const auto& each : rows)
        if (each.what == row::kind::kept)
            add_missing(missing_, missing_of(each));
}

plan::report plan::now() const
{
    report out{.why = why_,
               .detail = why_ == trouble::none ? std::string{} : detail_,
               .trouble_since = why_ == trouble::none ? wall_time{} : since_,
               .is_counted = is_counted_,
               .missing = missing_.size() + overflow_,
               .skipped = skipped_,
               .lost = memory().lost,
               .lost_since = memory().lost_since,
               .unread = is_soon_ ? unread_ : 0,
               .oldest_read = oldest_read_};
    journal::place newest{};
    for (const auto& each : missing_) {
        out.only_here += each.is_only_here ? 1 : 0;
        out.beyond_help += each.is_beyond_help ? 1 : 0;
        if (out.missing_since == wall_time{} || each.came_at < out.missing_since)
            out.missing_since = each.came_at;
        if (each.place >= newest) {
            newest = each.place;
            out.newest_missing = each.record;
        }
    }
    return out;
}

std::optional<journal::place> plan::first_missing() const
{
    if (missing_.empty())
        return std::nullopt;
    return std::ranges::min(missing_, {}, &missing::place).place;
}

plan::news plan::take_news()
{
    if (why_ != trouble::none && why_ != told_) {
        told_ = why_;
        return news::trouble;
    }
    if (why_ == trouble::none && told_ != trouble::none && phase_ == phase::listed &&
        !has_to_write() && erasures_.empty() && !is_stale_) {
        told_ = trouble::none;
        return news::good_again;
    }
    return news::none;
}

} // namespace titip::mirror
