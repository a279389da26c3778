#include "link/prober.hpp"

#include "base/name.hpp"
#include "vault/problem.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/json/parse.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

namespace titip::link {

namespace {

constexpr auto connect_limit = 20s;
constexpr auto answer_limit = 20s;
/// The kept connection: of an idle one TCP asks every 150 s whether it is still there. Every half
/// minute, as on one in use, would be 12 kB an hour, more than all else while nothing happens.
constexpr http::tcp_options kept_options{.user_timeout = 5min};
constexpr auto long_poll_limit = 5min + 30s;
constexpr std::size_t most_answer_bytes = 16u << 10;
/// In place of a code of OpenSSL's, all of which are positive: the certificate is in order, and ours.
constexpr long own_name = -1;

probe_failure failed(verdict what, std::string detail)
{
    return {.verdict = what, .detail = std::move(detail)};
}

milliseconds retry_after_of(const http::response& answer)
{
    const auto text = answer.fields.find("Retry-After");
    const auto seconds = text ? http::parse_number(*text) : std::nullopt;
    return seconds ? std::chrono::seconds{std::min<std::uint64_t>(*seconds, 3600)} : milliseconds{};
}

} // namespace

std::optional<node_info> parse_node_info(std::string_view json)
{
    boost::system::error_code failed_to;
    const auto value = boost::json::parse(json, failed_to);
    if (failed_to || !value.is_object())
        return std::nullopt;
    const auto& object = value.get_object();
    const auto* name = object.if_contains("name");
    if (!name || !name->is_string() || !is_node_name(name->get_string()))
        return std::nullopt;
    node_info out{.name = std::string{name->get_string()}};
    const auto number = [&object](std::string_view key) -> std::uint64_t {
        const auto* each = object.if_contains(key);
        boost::system::error_code not_one;
        return each ? each->to_number<std::uint64_t>(not_one) : 0;
    };
    if (const auto* accepting = object.if_contains("accepting"); accepting && accepting->is_bool())
        out.is_accepting = accepting->get_bool();
    constexpr std::chrono::seconds longest_spread = 1h; // no more is heeded, and more may not fit
    out.spread =
        std::chrono::seconds{std::min<std::uint64_t>(number("spread_s"), longest_spread.count())};
    out.newest_verdict = number("newest_verdict");
    constexpr std::uint64_t largest = 1'000'000; // whatever it says
    out.protocol = static_cast<unsigned>(std::clamp<std::uint64_t>(number("protocol"), 1, largest));
    out.most_bytes = number("most_bytes");
    if (const auto* road = object.if_contains("road"); road && road->is_array())
        for (const auto& each : road->get_array())
            if (each.is_string() && out.road.size() < node_info::most_names &&
                (is_node_name(each.get_string()) || each.get_string() == "?"))
                out.road.emplace_back(each.get_string());
    return out;
}

result<node_info, probe_failure> judge(const http::response& answer)
{
    const auto type = answer.fields.find("Content-Type").value_or("");
    if (boost::beast::iequals(type.substr(0, 9), "text/html") ||
        (answer.status >= 300 && answer.status < 400))
        return failed(verdict::portal, fmt::format("a web page answered ({})", answer.status));
    if (answer.status == 401 || answer.status == 403)
        return failed(verdict::auth,
                      fmt::format("the upstream does not accept this node ({})", answer.status));
    if (answer.status == 503 || answer.status == 429) {
        auto out = failed(verdict::maintenance,
                          fmt::format("the upstream asked for a pause ({})", answer.status));
        out.retry_after = retry_after_of(answer);
        return out;
    }
    if (answer.status == 508)
        return failed(verdict::loop, "the upstream hands its own records on to this node (508)");
    if (answer.status != 200)
        return failed(verdict::application, fmt::format("the upstream answered {}", answer.status));
    auto info = parse_node_info(as_text(answer.body));
    if (!info)
        return failed(verdict::portal, "the answer is not that of a titip node");
    return *std::move(info);
}

probe_failure explain(const http::connect_failure& failure)
{
    auto text = failure.reason.message();
    switch (failure.at) {
    case http::layer::resolve:
        return failed(verdict::dns, std::move(text));
    case http::layer::route:
        return failed(verdict::no_route, std::move(text));
    case http::layer::tcp:
        return failed(verdict::tcp, std::move(text));
    case http::layer::tls:
    case http::layer::done:
        break;
    }
    const auto reason = failure.verify_result;
    if (reason == own_name)
        return failed(verdict::loop, "the upstream's certificate bears this node's own name");
    // Dates that only our clock finds wrong have been forgiven by the judge before they come here.
    if (reason == X509_V_ERR_CERT_HAS_EXPIRED)
        return failed(verdict::expired, X509_verify_cert_error_string(reason));
    if (reason == X509_V_ERR_CERT_NOT_YET_VALID)
        return failed(verdict::clock, X509_verify_cert_error_string(reason));
    if (reason != X509_V_OK)
        return failed(verdict::tls, X509_verify_cert_error_string(reason));
    return failed(verdict::tls, std::move(text));
}

probe_failure explain_read(const error_code& ec)
{
    // TLS 1.3: that our certificate is refused arrives as an alert at the first read.
    if (http::is_refused_certificate(ec))
        return failed(verdict::auth, ec.message());
    return failed(ec == boost::system::errc::timed_out ? verdict::tcp : verdict::application,
                  ec.message());
}

namespace {

bool is_closing(const error_code& ec)
{
    return ec == asio::error::eof || ec == boost::system::errc::connection_reset ||
           ec == boost::system::errc::broken_pipe || ec == http::errc::peer_not_believed;
}

} // namespace

template <class Outcome>
asio::awaitable<Outcome> dialer::attempt(asio::awaitable<Outcome> work)
{
    asio::cancellation_signal signal;
    attempts_.push_back(&signal);
    Outcome out{http::connect_failure{http::layer::tcp, asio::error::operation_aborted}};
    try {
        out = co_await asio::co_spawn(
            on_, std::move(work), asio::bind_cancellation_slot(signal.slot(), asio::use_awaitable));
    } catch (const boost::system::system_error&) {
        // Cancelled: `out` says so already.
    }
    std::erase(attempts_, &signal);
    co_return out;
}

asio::awaitable<opened> dialer::open(http::tcp_options options, std::function<void()> reached)
{
    options.most_segment_bytes = most_segment_bytes_;
    auto work =
        http::connect_tls(upstream_, context_(), options, connect_limit, std::move(reached));
    auto out = co_await attempt(std::move(work));
    if (!out && out.error().at == http::layer::tls &&
        out.error().reason == boost::system::errc::timed_out)
        note_silence();
    if (out && is_self_ && is_self_((*out)->peer_certificate()))
        co_return http::connect_failure{http::layer::tls, error_code{}, own_name};
    co_return out;
}

asio::awaitable<knocked> dialer::knock(milliseconds patience)
{
    return attempt(link::knock(upstream_, patience));
}

void dialer::cancel()
{
    const auto all = attempts_;
    for (auto* each : all)
        each->emit(asio::cancellation_type::terminal);
}

asio::awaitable<result<std::optional<node_info>, probe_failure>>
prober::ask(std::optional<std::uint64_t> after, further also)
{
    is_asking_ = true;
    is_interrupted_ = false;
    auto out = co_await connect_and_exchange(after, std::move(also));
    is_asking_ = false;
    if (out) {
        knocking_.on_success();
        co_return *std::move(out);
    }
    connection_.reset();
    if (is_interrupted_)
        co_return std::nullopt;
    knocking_.on_failure(out.error().verdict);
    co_return std::move(out).error();
}

void prober::interrupt() noexcept
{
    is_interrupted_ = is_asking_;
    if (is_asking_ && connection_)
        connection_->transport().close();
}

asio::awaitable<result<node_info, probe_failure>>
prober::connect_and_exchange(std::optional<std::uint64_t> after, further also)
{
    const bool is_kept = connection_ != nullptr;
    result<node_info, probe_failure> out{probe_failure{}};
    if (is_kept)
        out = co_await exchange(after, also);
    else
        out = co_await connect(after, also);
    // The upstream may have closed it long ago, while nothing was asked: that says nothing of the link.
    if (!out && is_kept && was_closed_ && !is_interrupted_)
        out = co_await connect(after, also);
    co_return out;
}

asio::awaitable<result<node_info, probe_failure>>
prober::connect(std::optional<std::uint64_t> after, const further& also)
{
    connection_.reset();
    if (const auto heard = co_await knock_if_useful(); !heard)
        co_return explain(heard.error());
    auto options = kept_options;
    options.asks_once = knocking_.is_first();
    auto transport = co_await dialer_.open(options, reached_);
    if (!transport)
        co_return explain(transport.error());
    connection_ =
        std::make_unique<http::client_connection>(std::move(*transport), dialer_.upstream().host);
    if (is_interrupted_) // while there was nothing to close yet
        connection_->transport().close();
    auto out = co_await exchange(after, also);
    if (!out && was_silent_)
        dialer_.note_silence();
    co_return out;
}

asio::awaitable<knocked> prober::knock_if_useful()
{
    const auto patience = knocking_.patience();
    if (!patience)
        co_return knocked{};
    const auto began = monotonic::now();
    const auto heard = co_await dialer_.knock(*patience);
    if (heard)
        knocking_.on_answer(std::chrono::ceil<milliseconds>(monotonic::now() - began));
    co_return heard;
}

asio::awaitable<result<node_info, probe_failure>>
prober::exchange(std::optional<std::uint64_t> after, const further& also)
{
    was_closed_ = false;
    was_silent_ = false;
    auto& connection = *connection_;
    connection.transport().set_no_progress_limit(after ? milliseconds{long_poll_limit}
                                                       : answer_limit);
    const auto target = after ? fmt::format("/v1/node?after={}", *after) : std::string{"/v1/node"};
    http::fields fields;
    fields.add("Titip-Protocol", std::to_string(vault::protocol_version));
    const auto sent = co_await connection.write_request("GET", target, fields, 0);
    if (!sent) {
        was_closed_ = is_closing(sent.error());
        co_return explain_read(sent.error());
    }
    if (also)
        co_await also(connection);
    const auto answer = co_await connection.read_response(false, most_answer_bytes);
    if (!answer) {
        was_closed_ = is_closing(answer.error());
        was_silent_ = answer.error() == boost::system::errc::timed_out;
        co_return explain_read(answer.error());
    }
    auto out = judge(*answer);
    if (out && !answer->keep_alive)
        connection_.reset();
    co_return out;
}

} // namespace titip::link
