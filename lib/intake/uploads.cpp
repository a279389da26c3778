#include "intake/uploads.hpp"

#include <cassert>

namespace titip::intake {

uploads::claim::claim(uploads& all, vault::key which, http::stream& by)
    : all_(all), which_(std::move(which))
{
    const bool is_free = all_.active_.emplace(which_, &by).second;
    assert(is_free);
}

uploads::claim::~claim()
{
    all_.active_.erase(which_);
    all_.changed_.ring();
}

asio::awaitable<std::shared_ptr<uploads::claim>> uploads::take_over(vault::key which,
                                                                    http::stream& by)
{
    co_await settle(which, by);
    co_return std::shared_ptr<claim>{new claim{*this, std::move(which), by}};
}

asio::awaitable<void> uploads::settle(vault::key which, http::stream& by)
{
    for (auto held = active_.find(which); held != active_.end(); held = active_.find(which)) {
        if (held->second != &by)
            held->second->close();
        co_await changed_.wait();
    }
}

} // namespace titip::intake
