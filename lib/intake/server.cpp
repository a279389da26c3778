#include "intake/server.hpp"

#include "base/log.hpp"
#include "intake/answers.hpp"
#include "intake/exchange.hpp"

#include <algorithm>

namespace titip::intake {

namespace {

/// Further ones are closed without a word.
constexpr std::size_t most_turned_away = 64;
constexpr http::server_limits for_turned_away{.idle = 5s, .no_progress = 5s};

class counted {
public:
    explicit counted(std::size_t& count) : count_(count) { ++count_; }
    counted(const counted&) = delete;
    ~counted() { --count_; }

private:
    std::size_t& count_;
};

} // namespace

server::server(asio::any_io_executor on, vault::vault& into, accept::gate& gate,
               self_description self, options opts)
    : on_(on), vault_(into), gate_(gate), self_(std::move(self)), opts_(opts),
      turnstile_(on, opts.rules), uploads_(on), reconciling_(on)
{
}

std::string key_of(const trust::peer& peer)
{
    return peer.role == trust::role::relay ? "relay/" + peer.name : peer.name;
}

asio::awaitable<void> server::serve(std::unique_ptr<http::stream> transport)
{
    const auto peer = trust::peer_of(transport->peer_certificate());
    if (!peer) {
        transport
            ->close(); // a certificate of our authority that names no node: nothing to say to it
        co_return;
    }
    const auto since = monotonic::now();
    auto& rules = turnstile_.rules();
    const auto key = key_of(*peer);
    const auto entrance = rules.on_connect(since, key, turnstile_.draw_chance());
    if (entrance.refused) {
        co_await turn_away(std::move(transport), *entrance.refused);
        co_return;
    }
    const auto leave = [&rules, &key, since](void*) {
        rules.on_disconnect(monotonic::now(), key, since);
    };
    const std::unique_ptr<void, decltype(leave)> present{this, leave};
    if (entrance.displaced)
        displace(*entrance.displaced);
    exchange one{*this, std::move(transport), *peer};
    co_await one.run();
}

asio::awaitable<void> server::turn_away(std::unique_ptr<http::stream> transport,
                                        admission::refusal why)
{
    if (turning_away_ >= most_turned_away)
        co_return;
    const counted one{turning_away_};
    http::server_connection connection{std::move(transport), for_turned_away};
    const auto asked = co_await connection.read_request();
    if (asked)
        co_await connection.write(closing(refused(why)));
    co_await connection.transport().shutdown();
}

void server::displace(const admission::displacement& what)
{
    const auto is_theirs = [&what](const exchange* each) {
        return each->peer_key() == what.station && !each->is_dismissed();
    };
    const auto is_idle = [&](const exchange* each) { return is_theirs(each) && each->is_idle(); };
    auto found = std::ranges::find_if(live_, is_idle);
    if (found == live_.end())
        found = std::ranges::find_if(live_, is_theirs);
    if (found != live_.end())
        (*found)->dismiss(what.told);
}

std::vector<std::string> server::road() const
{
    if (self_.road)
        return self_.road();
    return {self_.name};
}

void server::ring_road()
{
    for (auto* each : live_)
        each->look_at_road();
}

void server::ring()
{
    for (auto* each : live_)
        each->look_for_news();
}

void server::look_at_peers()
{
    for (auto* each : live_)
        each->look_at_peer();
}

void server::stop_accepting()
{
    is_stopping_ = true;
    turnstile_.stop();
    for (auto* each : live_)
        each->end_reading();
}

} // namespace titip::intake
