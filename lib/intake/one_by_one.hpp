#pragma once

#include "base/bell.hpp"

#include <boost/asio/awaitable.hpp>

#include <set>
#include <string>
#include <utility>

namespace titip::intake {

/// Lets one at a time of the same name do what is long. The others wait, however many there are, and
/// hold up no other name. Threads: the socket thread.
class one_by_one {
public:
    explicit one_by_one(boost::asio::any_io_executor on) : left_(std::move(on)) {}

    class turn {
    public:
        turn(turn&& other) noexcept
            : of_(std::exchange(other.of_, nullptr)), name_(std::move(other.name_))
        {
        }
        turn& operator=(turn&&) = delete;
        ~turn()
        {
            if (!of_)
                return;
            of_->busy_.erase(name_);
            of_->left_.ring();
        }

    private:
        friend one_by_one;
        turn(one_by_one& of, std::string name) : of_(&of), name_(std::move(name)) {}
        one_by_one* of_;
        std::string name_;
    };

    /// `name` must not be empty.
    boost::asio::awaitable<turn> enter(std::string name)
    {
        while (!busy_.insert(name).second)
            co_await left_.wait();
        turn mine{*this, std::move(name)};
        co_return std::move(mine);
    }

private:
    std::set<std::string> busy_;
    bell left_;
};

} // namespace titip::intake
