#include "mirror/plan.hpp"

#include <algorithm>

namespace titip::mirror {

namespace {

/// The disk is there and is the same one: what was known of it is still true, or as good as.
bool is_of_this_disk(trouble why)
{
    return why == trouble::full || why == trouble::read_only || why == trouble::forbidden ||
           why == trouble::hangs || why == trouble::failed;
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
    if (may_erase && !erasures_.empty() && (missing_.empty() || why_ == trouble::full))
        return {.what = kind::wait, .until = erase_at_};
    if (is_waiting)
        return {.what = kind::wait, .until = retry_at_};
    if (why_ != trouble::none && (why_ != trouble::full || missing_.empty()))
        return {.what = kind::check};
    if (!missing_.empty())
        return {.what = kind::write, .place = missing_.front().place};
    if (is_stale_ || (is_doubtful_ && now >= listed_at_ + opts_.relist_every))
        return {.what = kind::list};
    if (now >= check_at_)
        return {.what = kind::check};
    return {.what = kind::wait, .until = check_at_};
}

const listed_file* plan::find(name_hash name) const
{
    const auto at = std::ranges::lower_bound(files_, name, {}, &listed_file::name);
    return at != files_.end() && at->name == name ? &*at : nullptr;
}

std::tuple<bool, bool, journal::place> plan::rank(const missing& of)
{
    return {of.has_given_way, !of.is_only_here, of.place};
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

void plan::on_listed(std::vector<listed_file> files, instant now)
{
    forget_listing();
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
    case row::kind::kept:
        if (file == nullptr || file->size_bytes < seen.least_bytes)
            add_missing(found_, {.place = seen.place,
                                 .record = seen.record,
                                 .came_at = seen.accepted_at,
                                 .is_only_here = seen.is_only_here});
        break;
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

void plan::on_scanned(instant now)
{
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
    drop_missing(at);
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
        forget_listing();
        return;
    }
    is_doubtful_ = is_doubtful_ || why != trouble::full;
    if (concerned == journal::place{})
        return;
    suspect_failures_ = suspect_ == concerned ? suspect_failures_ + 1 : 1;
    suspect_ = concerned;
}

void plan::look_again()
{
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
            add_missing(missing_, {.place = each.place,
                                   .record = each.record,
                                   .came_at = each.accepted_at,
                                   .is_only_here = each.is_only_here});
}

plan::report plan::now() const
{
    report out{.why = why_,
               .detail = why_ == trouble::none ? std::string{} : detail_,
               .trouble_since = why_ == trouble::none ? wall_time{} : since_,
               .is_counted = is_counted_,
               .missing = missing_.size() + overflow_,
               .skipped = skipped_};
    journal::place newest{};
    for (const auto& each : missing_) {
        out.only_here += each.is_only_here ? 1 : 0;
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
        missing_.empty() && erasures_.empty() && !is_stale_) {
        told_ = trouble::none;
        return news::good_again;
    }
    return news::none;
}

} // namespace titip::mirror
