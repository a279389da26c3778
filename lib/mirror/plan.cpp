#include "mirror/plan.hpp"

#include <algorithm>

namespace titip::mirror {

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
    if (!repairs_.empty())
        return {.what = kind::repair, .place = repairs_.front()};
    if (!erasures_.empty() && now >= erase_at_)
        return {.what = kind::erase, .place = erasures_.front()};
    if (!erasures_.empty() && (missing_.empty() || why_ == trouble::full))
        return {.what = kind::wait, .until = erase_at_};
    if (!missing_.empty())
        return {.what = kind::write, .place = missing_.front().place};
    if (is_stale_)
        return {.what = kind::list};
    if (now >= check_at_)
        return {.what = kind::check};
    return {.what = kind::wait, .until = check_at_};
}

bool plan::has(name_hash name) const
{
    return std::ranges::binary_search(names_, name);
}

void plan::add_missing(std::deque<missing>& to, const missing& what)
{
    const auto at = std::ranges::lower_bound(to, what.place, {}, &missing::place);
    if (at != to.end() && at->place == what.place)
        return;
    if (to.size() < opts_.most_missing) {
        to.insert(at, what);
        return;
    }
    // The newest is kept for people to see, the others are found again.
    ++overflow_;
    is_stale_ = true;
    if (at == to.end())
        to.back() = what;
}

void plan::add_erasure(journal::place at)
{
    if (erasures_.size() < opts_.most_erasures)
        erasures_.push_back(at);
    else
        is_stale_ = true;
}

void plan::on_listed(std::vector<name_hash> names, instant now)
{
    names_ = std::move(names);
    std::ranges::sort(names_);
    phase_ = phase::scanning;
    seen_ = {};
    found_.clear();
    came_.clear();
    erasures_.clear();
    overflow_ = 0;
    is_stale_ = false;
    skipped_ = 0;
    check_at_ = now + opts_.check_every;
}

void plan::on_row(const row& seen)
{
    seen_ = seen.place;
    const bool is_there = has(seen.name);
    switch (seen.what) {
    case row::kind::kept:
        if (!is_there)
            add_missing(found_, {seen.place, seen.record, seen.accepted_at});
        break;
    case row::kind::rotten:
        if (is_there)
            repairs_.push_back(seen.place);
        break;
    case row::kind::erased:
        if (is_there)
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
    names_ = {};
    phase_ = phase::listed;
    is_counted_ = true;
    check_at_ = now + opts_.check_every;
    if (missing_.empty()) {
        why_ = trouble::none;
        failed_ = 0;
    }
}

bool plan::drop_missing(journal::place at)
{
    if (!missing_.empty() && missing_.front().place == at) {
        missing_.pop_front();
        return true;
    }
    return std::erase_if(missing_, [at](const missing& each) { return each.place == at; }) > 0;
}

void plan::on_written(journal::place at, instant now)
{
    drop_missing(at);
    why_ = trouble::none;
    failed_ = 0;
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

void plan::on_checked(instant now)
{
    why_ = trouble::none;
    failed_ = 0;
    check_at_ = now + opts_.check_every;
}

void plan::on_trouble(trouble why, std::string detail, instant now, wall_time clock)
{
    if (why_ == trouble::none)
        since_ = clock;
    why_ = why;
    detail_ = std::move(detail);
    const int doublings = static_cast<int>(std::min(failed_++, 20u)); // past any cap
    retry_at_ = now + std::min(opts_.cap, opts_.base * (1 << doublings));
    phase_ = phase::unlisted;
    names_ = {};
    found_.clear();
    came_.clear();
    erasures_.clear();
}

std::vector<journal::place> plan::take_repairs()
{
    std::vector<journal::place> out{repairs_.begin(), repairs_.end()};
    repairs_.clear();
    return out;
}

void plan::on_accepted(journal::place at, const record_id& record, wall_time clock)
{
    const missing what{at, record, clock};
    add_missing(missing_, what);
    if (phase_ == phase::scanning)
        add_missing(came_, what);
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

plan::report plan::now() const
{
    report out{.why = why_,
               .detail = why_ == trouble::none ? std::string{} : detail_,
               .trouble_since = why_ == trouble::none ? wall_time{} : since_,
               .is_counted = is_counted_,
               .missing = missing_.size() + (missing_.empty() ? 0 : overflow_),
               .skipped = skipped_};
    if (!missing_.empty()) {
        out.missing_since = missing_.front().came_at;
        out.newest_missing = missing_.back().record;
    }
    return out;
}

plan::news plan::take_news()
{
    if (why_ != trouble::none && why_ != told_) {
        told_ = why_;
        return news::trouble;
    }
    if (why_ == trouble::none && told_ != trouble::none && phase_ == phase::listed &&
        missing_.empty()) {
        told_ = trouble::none;
        return news::good_again;
    }
    return news::none;
}

} // namespace titip::mirror
