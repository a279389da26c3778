#pragma once

#include "http/transport.hpp"

namespace titip::http {

using taker = std::function<asio::awaitable<void>(std::unique_ptr<stream>)>;

/// What the kinds of listener have in common: accepting again and again, and the connections.
class accepting_listener : public listener {
public:
    explicit accepting_listener(std::size_t most) : most_(most) {}

    asio::awaitable<void> run(taker take) final;

protected:
    /// Waits for a connection, and returns what serves it.
    virtual asio::awaitable<result<asio::awaitable<void>>>
    accept(std::shared_ptr<const taker> take) = 0;

private:
    std::size_t most_;
};

} // namespace titip::http
