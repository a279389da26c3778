#include "http/newcomers.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace titip::http {

newcomers::ticket newcomers::on_come(instant now, std::string from)
{
    assert(has_room());
    const ticket mine{++last_};
    ++sources_[from].silent;
    all_.emplace_hint(all_.end(), mine, one{.from = std::move(from), .since = now});
    return mine;
}

void newcomers::on_hello(ticket which, instant now)
{
    const auto found = all_.find(which);
    if (found == all_.end() || !found->second.is_silent)
        return;
    auto& theirs = sources_.at(found->second.from);
    --theirs.silent;
    ++theirs.shaking;
    found->second.is_silent = false;
    found->second.since = now;
}

void newcomers::on_end(ticket which) noexcept
{
    if (const auto found = all_.find(which); found != all_.end())
        remove(found);
}

void newcomers::remove(all::iterator which) noexcept
{
    const auto source = sources_.find(which->second.from);
    --(which->second.is_silent ? source->second.silent : source->second.shaking);
    if (source->second.silent + source->second.shaking == 0)
        sources_.erase(source);
    all_.erase(which);
}

milliseconds newcomers::patience(const one& with) const
{
    const auto easy = with.is_silent ? opts_.calm : opts_.whole;
    if (!is_pressed())
        return easy;
    const auto& theirs = sources_.at(with.from);
    if (with.is_silent && theirs.silent > opts_.most_of_one)
        return 0ms;
    if (!with.is_silent && theirs.shaking > opts_.most_of_one)
        return opts_.hurried;
    const auto tight = with.is_silent ? opts_.hurried : opts_.fair;
    const auto half = opts_.most / 2;
    const auto above = static_cast<std::int64_t>(all_.size() - half);
    return easy - (easy - tight) * above / static_cast<std::int64_t>(opts_.most - half);
}

std::vector<newcomers::ticket> newcomers::take_displaced(instant now)
{
    std::vector<ticket> out;
    for (;;) {
        // Anew for each: with every one that goes the others have more time.
        auto worst = all_.end();
        const auto is_worse = [](const one& a, const one& b) {
            return a.is_silent != b.is_silent ? a.is_silent : a.since < b.since;
        };
        for (auto each = all_.begin(); each != all_.end(); ++each)
            if (end_of(each->second) <= now &&
                (worst == all_.end() || is_worse(each->second, worst->second)))
                worst = each;
        if (worst == all_.end())
            return out;
        out.push_back(worst->first);
        remove(worst);
    }
}

instant newcomers::look_again() const
{
    auto out = instant::max();
    for (const auto& [_, each] : all_)
        out = std::min(out, end_of(each));
    return out;
}

void newcomers::check() const
{
    std::map<std::string, counts> counted;
    for (const auto& [_, each] : all_)
        ++(each.is_silent ? counted[each.from].silent : counted[each.from].shaking);
    assert(all_.size() <= opts_.most);
    assert(counted.size() == sources_.size());
    for (const auto& [from, each] : sources_)
        assert(each.silent == counted[from].silent && each.shaking == counted[from].shaking);
}

std::string source_of(const boost::asio::ip::address& address)
{
    namespace ip = boost::asio::ip;
    if (address.is_v4())
        return address.to_string();
    auto number = address.to_v6();
    if (number.is_v4_mapped())
        return ip::make_address_v4(ip::v4_mapped, number).to_string();
    auto prefix = number.to_bytes();
    std::fill(prefix.begin() + prefix.size() / 2, prefix.end(), 0);
    return ip::make_address_v6(prefix).to_string();
}

} // namespace titip::http
