#include "accept/nik_memory.hpp"

#include <algorithm>

namespace titip::accept {

nik_memory::half nik_memory::half_of(const digest& whole) noexcept
{
    half out;
    std::copy_n(whole.begin(), out.size(), out.begin());
    return out;
}

nik_memory::finding nik_memory::note(const digest& nik_mac, record_id id)
{
    const auto [at, is_new] = first_.emplace(half_of(nik_mac), id);
    if (!is_new)
        return {at->second == id ? std::nullopt : std::optional{at->second}, false};
    order_.push_back(at->first);
    if (order_.size() > most) {
        first_.erase(order_.front());
        order_.pop_front();
    }
    return {std::nullopt, true};
}

void nik_memory::forget(const digest& nik_mac)
{
    const auto which = half_of(nik_mac);
    if (first_.erase(which) > 0)
        order_.erase(std::ranges::find(order_, which));
}

} // namespace titip::accept
