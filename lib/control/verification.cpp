#include "control/verification.hpp"

#include <array>

namespace titip::control {

namespace {

bool is_progress(const boost::json::object& line)
{
    return line.at("what").as_string() == "progress";
}

} // namespace

std::string_view to_string(verification::outcome how) noexcept
{
    constexpr std::array<std::string_view, 6> names{"none",     "clean", "differs",
                                                    "unopened", "died",  "hung"};
    return names[static_cast<std::size_t>(how)];
}

void verification::begin()
{
    lines_.clear();
    differences_ = 0;
    records_ = 0;
    is_running_ = true;
    is_unopened_ = false;
    outcome_ = outcome::none;
}

void verification::add(std::string_view what, boost::json::object line)
{
    line["number"] = next_++;
    line["what"] = what;
    if (!lines_.empty() && is_progress(lines_.back()))
        lines_.pop_back();
    lines_.push_back(std::move(line));
    news_.ring();
}

void verification::on_remark(const journal::remark& said)
{
    constexpr std::size_t most = 10'000;
    using kind = journal::remark::kind;
    boost::json::object line;
    if (said.what == kind::progress) {
        line["phase"] = said.text;
        line["done"] = said.done;
        line["total"] = said.total;
        if (said.text == "records")
            records_ = said.done;
        return add("progress", std::move(line));
    }
    if (said.what == kind::known) {
        line["sentence"] = said.text;
        if (lines_.size() < most)
            add("known", std::move(line));
        return;
    }
    ++differences_;
    is_unopened_ = is_unopened_ || said.what == kind::unopened;
    line["sentence"] = said.text;
    if (lines_.size() < most)
        add("difference", std::move(line));
}

void verification::end(outcome how, std::string_view why, wall_time now)
{
    outcome_ = how != outcome::none ? how
               : is_unopened_       ? outcome::unopened
               : differences_ > 0   ? outcome::differs
                                    : outcome::clean;
    is_running_ = false;
    if (outcome_ == outcome::clean)
        standing_.reset();
    else if (differences_ > 0)
        standing_ = finding{now, differences_};
    boost::json::object line;
    line["outcome"] = to_string(outcome_);
    line["records"] = records_;
    line["differences"] = differences_;
    if (!why.empty())
        line["why"] = why;
    add("end", std::move(line));
}

std::vector<boost::json::object> verification::lines(std::uint64_t after) const
{
    std::vector<boost::json::object> out;
    for (const auto& each : lines_)
        if (each.at("number").to_number<std::uint64_t>() > after)
            out.push_back(each);
    return out;
}

} // namespace titip::control
