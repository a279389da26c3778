#include "control/connection.hpp"

#include "base/log.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include <sys/stat.h>

namespace titip::control {

namespace {

constexpr std::string_view api_version = "1";
constexpr std::size_t most_request_bytes = 64u << 10;
constexpr std::size_t most_skipped_bytes = 64u << 10; // see http::server_connection
constexpr http::server_limits for_users{.idle = 5min, .no_progress = 1min};
/// Who has no role gets his refusal and goes.
constexpr http::server_limits for_strangers{.idle = 2s, .no_progress = 2s};

std::optional<std::uint64_t> number_in(const http::target& target, std::string_view key)
{
    const auto text = target.find(key);
    return text ? http::parse_number(*text) : std::nullopt;
}

/// A refusal if one of these is there and no number: taken for absent, it would give more than was
/// asked for.
std::optional<http::response> not_a_number(const http::target& target,
                                           std::initializer_list<std::string_view> keys)
{
    for (const auto key : keys)
        if (target.find(key) && !number_in(target, key))
            return http::problem(400, fmt::format("{} must be a whole number", key));
    return std::nullopt;
}

/// What a body in JSON says; of one that is none, or no object, nothing.
class said {
public:
    explicit said(bytes_view body)
    {
        boost::system::error_code not_json;
        auto value = boost::json::parse(as_text(body), not_json);
        if (!not_json && value.is_object())
            what_ = std::move(value.get_object());
    }
    std::string text(std::string_view key) const
    {
        const auto* each = what_.if_contains(key);
        return each && each->is_string() ? std::string{each->get_string()} : std::string{};
    }
    bool truth(std::string_view key) const
    {
        const auto* each = what_.if_contains(key);
        return each && each->is_bool() && each->get_bool();
    }

private:
    boost::json::object what_;
};

http::response unread(const error_code& why)
{
    return why == http::errc::body_too_large
               ? http::problem(413, "the body is too large")
               : http::problem(400, "the body ended early", why.message());
}

} // namespace

server::connection::connection(server& owner, std::unique_ptr<http::stream> transport,
                               http::credentials peer, bool is_stranger)
    : owner_(owner), http_(std::move(transport), is_stranger ? for_strangers : for_users),
      peer_(std::move(peer)), is_stranger_(is_stranger)
{
}

std::optional<http::response> server::connection::forbid(role wanted) const
{
    if (owner_.roles_.has(peer_, wanted))
        return std::nullopt;
    const auto& group = owner_.roles_.group_of(wanted);
    boost::json::object body;
    body["type"] = "about:blank";
    body["title"] = "you may not do this";
    body["status"] = 403;
    body["detail"] = fmt::format("it needs membership in the group \"{}\"", group);
    body["group"] = group;
    return problem_answer(std::move(body));
}

asio::awaitable<void> server::connection::run()
{
    for (;;) {
        const auto request = co_await http_.read_request();
        if (!request) {
            const auto status = http::status_for(request.error());
            if (status != 0) {
                auto out = http::problem(status, request.error().message());
                out.keep_alive = false;
                co_await http_.write(std::move(out));
            }
            co_return;
        }
        body_is_read_ = false;
        const auto target = http::parse_target(request->target);
        http::response out = http::problem(400, "the address is malformed");
        if (request->fields.has("Origin") || request->fields.has("Referer"))
            out = http::problem(403, "this socket is not for web pages");
        else if (target) {
            station_ = target->find("station").value_or("");
            out = co_await route(*request, *target);
        }
        out.fields.add("Titip-Version", std::string{api_version});
        out.keep_alive = request->keep_alive && is_skippable(*request) && !is_stranger_;
        out.is_head = request->method == "HEAD";
        const bool ends = !out.keep_alive;
        const auto written = co_await http_.write(std::move(out));
        if (is_last_word_)
            owner_.parts_.restart();
        if (!written || ends)
            break;
    }
    co_await http_.transport().shutdown();
}

bool server::connection::is_skippable(const http::request& request) const
{
    return body_is_read_ ||
           (request.content_length && *request.content_length <= most_skipped_bytes);
}

asio::awaitable<result<bytes>> server::connection::read_body(const http::request& request,
                                                             std::size_t limit_bytes)
{
    if (request.content_length && *request.content_length > limit_bytes)
        co_return http::errc::body_too_large;
    constexpr std::size_t piece = 256u << 10;
    // What ends early may be part of a record, and so may what a growing buffer leaves behind.
    const auto cleanse = [](bytes* all) { ::explicit_bzero(all->data(), all->capacity()); };
    bytes out;
    out.reserve(request.content_length.value_or(limit_bytes + piece));
    std::unique_ptr<bytes, decltype(cleanse)> partial{&out, cleanse};
    for (;;) {
        const auto filled = out.size();
        const auto want = request.content_length
                              ? std::min<std::size_t>(piece, *request.content_length - filled)
                              : piece;
        if (want == 0)
            break;
        out.resize(filled + want);
        const auto got = co_await http_.read_body(std::span{out}.subspan(filled));
        out.resize(filled + (got ? *got : 0));
        if (!got)
            co_return got.error();
        if (*got == 0)
            break;
        if (out.size() > limit_bytes)
            co_return http::errc::body_too_large;
    }
    body_is_read_ = true;
    partial.release();
    co_return out;
}

server::connection::answer server::connection::route(const http::request& request,
                                                     const http::target& target)
{
    const auto& path = target.segments;
    if (path.empty() || path[0] != "v1" || path.size() < 2)
        co_return http::problem(404, "no such resource");
    const bool is_get = request.method == "GET";
    const auto& what = path[1];
    if (what == "status" && is_get) {
        if (auto no = forbid(role::read))
            co_return *std::move(no);
        co_return co_await status();
    }
    if (owner_.parts_.is_store_absent)
        co_return http::problem(503, "there is no store here: is its disk mounted?",
                                owner_.parts_.safe_mode);
    if ((what == "verify" || what == "trust") && path.size() == 2 &&
        (request.method == "POST" || (is_get && what == "verify"))) {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        if (what == "verify")
            co_return co_await verify(request, target);
        co_return co_await trust();
    }
    if (!owner_.parts_.safe_mode.empty())
        co_return http::problem(503, "safe mode: the store cannot be trusted",
                                owner_.parts_.safe_mode);
    if (what == "records" && path.size() >= 3)
        co_return co_await route_record(request, target);
    if (is_get && (what == "records" || what == "events" || what == "metrics")) {
        if (auto no = forbid(role::read))
            co_return *std::move(no);
        if (what == "records")
            co_return co_await list(target);
        if (what == "events")
            co_return co_await events(target);
        const auto relayed = co_await owner_.parts_.store->oldest_relayed();
        co_return metrics_answer(owner_.parts_, owner_.parts_.store->now(),
                                 relayed ? *relayed : wall_time{});
    }
    if (what == "findings" && path.size() == 2 && is_get) {
        if (auto no = forbid(role::read))
            co_return *std::move(no);
        co_return co_await findings();
    }
    if (what == "findings" && path.size() == 4 && path[3] == "acknowledge" &&
        request.method == "POST") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await acknowledge(request, path[2]);
    }
    if (what == "link" && path.size() == 3 && request.method == "POST") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await operate_link(path[2]);
    }
    if (what == "retry" && path.size() == 2 && request.method == "POST") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await retry(target);
    }
    if (what == "revoked" && path.size() == 2 && is_get) {
        if (auto no = forbid(role::read))
            co_return *std::move(no);
        co_return revoked();
    }
    if (what == "unrevoke" && path.size() == 2 && request.method == "POST") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await unrevoke(request);
    }
    if (what == "backup" && request.method == "POST") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await back_up(request);
    }
    if (what == "verdicts" && request.method == "POST") {
        if (auto no = forbid(role::consume))
            co_return *std::move(no);
        co_return co_await judge(request);
    }
    co_return http::problem(404, "no such resource");
}

server::connection::answer server::connection::route_record(const http::request& request,
                                                            const http::target& target)
{
    const auto& path = target.segments;
    const auto id = record_id::parse(path[2]);
    if (!id)
        co_return http::problem(400, "that is not a record id",
                                "a record id is a UUID: 8-4-4-4-12 hexadecimal digits");
    const std::string_view part = path.size() == 4 ? std::string_view{path[3]} : std::string_view{};
    const bool is_get = request.method == "GET";
    if (path.size() == 3 && request.method == "PUT") {
        if (auto no = forbid(role::submit))
            co_return *std::move(no);
        co_return co_await submit(request, target, *id);
    }
    if (is_get && part == "envelope") {
        if (auto no = forbid(role::consume))
            co_return *std::move(no);
        co_return co_await envelope_of(*id);
    }
    if (is_get && (path.size() == 3 || part == "receipt")) {
        if (auto no = forbid(role::read))
            co_return *std::move(no);
        if (part == "receipt")
            co_return co_await receipt(*id);
        co_return co_await show(*id);
    }
    if (request.method == "POST" && (part == "hold" || part == "release" || part == "retry")) {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await operate_record(*id, part);
    }
    if (request.method == "POST" && part == "discard") {
        if (auto no = forbid(role::operate))
            co_return *std::move(no);
        co_return co_await discard(request, *id);
    }
    co_return http::problem(404, "no such resource");
}

server::connection::answer server::connection::submit(const http::request& request,
                                                      const http::target& target, record_id id)
{
    constexpr std::size_t most_in_memory = 3 * accept::most_enrollment_bytes;
    if (owner_.parts_.is_seal_unused)
        co_return http::problem(409, "records are not submitted at this node",
                                "others hand records to it ([listen]), and the centre would refuse "
                                "what is submitted here: submit it at a station");
    if (!owner_.parts_.acceptor)
        co_return http::problem(409, "records are not submitted at this node",
                                "its configuration has no [seal]");
    if (owner_.is_stopping_)
        co_return http::problem(503, "the daemon is stopping: nothing was stored",
                                "submit it again in a moment");
    std::optional<envelope::lane> lane;
    if (const auto text = target.find("lane")) {
        lane = envelope::parse_lane(*text);
        if (!lane)
            co_return http::problem(400, "unknown lane", "a lane is urgent, ordinary or bulk");
    }
    const auto announced = request.content_length.value_or(accept::most_enrollment_bytes);
    if (announced > accept::most_enrollment_bytes)
        co_return http::problem(
            413, "the record is too large",
            fmt::format("a record has at most {} bytes", accept::most_enrollment_bytes));
    // Many submitters at once wait here rather than fill the memory.
    while (owner_.body_bytes_ > 0 && owner_.body_bytes_ + announced > most_in_memory)
        co_await owner_.body_freed_.wait();
    owner_.body_bytes_ += announced;
    const auto give_back = [owner = &owner_, announced](void*) {
        owner->body_bytes_ -= announced;
        owner->body_freed_.ring();
    };
    const std::unique_ptr<void, decltype(give_back)> held{this, give_back};
    auto body = co_await read_body(request, accept::most_enrollment_bytes);
    if (!body && body.error() == http::errc::body_too_large)
        co_return http::problem(413, "the record is too large");
    if (!body)
        co_return http::problem(400, "the body ended early; nothing was stored",
                                body.error().message());
    const auto accepted = co_await owner_.parts_.acceptor->submit(id, lane, std::move(*body));
    if (!accepted)
        co_return rejected(accepted.error(), owner_.parts_.store->now().room.by);
    auto out = to_json(*accepted);
    out["id"] = id.to_string();
    if (lane && !accepted->is_new) { // the first answer counts, so another lane changes nothing
        const auto known = co_await owner_.parts_.store->show(id);
        if (known)
            for (const auto& each : *known)
                if (each.key.station == owner_.parts_.node)
                    out["lane"] = envelope::to_string(each.lane);
    }
    co_return json_answer(accepted->is_new ? 201 : 200, out);
}

server::connection::answer server::connection::status()
{
    if (!owner_.parts_.store)
        co_return json_answer(200, status_of(owner_.parts_, {}, oldest_records{}));
    const auto waiting = co_await owner_.parts_.store->oldest_waiting();
    const auto relayed = co_await owner_.parts_.store->oldest_relayed();
    const oldest_records oldest{.waiting = waiting ? *waiting : wall_time{},
                                .relayed = relayed ? *relayed : wall_time{}};
    auto out = status_of(owner_.parts_, owner_.parts_.store->now(), oldest);
    if (owner_.copying_)
        out["backup"] = to_json(*owner_.copying_);
    co_return json_answer(200, out);
}

server::connection::answer server::connection::list(const http::target& target)
{
    constexpr std::uint64_t most = 1000;
    journal::list_filter filter;
    if (const auto text = target.find("state")) {
        filter.state = journal::parse_state(*text);
        if (!filter.state)
            co_return http::problem(400, "unknown state",
                                    "a state is arriving, waiting, relayed, delivered, opened, "
                                    "erased, quarantined or withdrawn");
    }
    if (const auto text = target.find("lane")) {
        filter.lane = envelope::parse_lane(*text);
        if (!filter.lane)
            co_return http::problem(400, "unknown lane", "a lane is urgent, ordinary or bulk");
    }
    if (const auto text = target.find("held")) {
        if (*text != "true" && *text != "false")
            co_return http::problem(400, "held is true or false");
        filter.held = *text == "true";
    }
    if (const auto text = target.find("needs_person")) {
        if (*text != "true")
            co_return http::problem(400, "needs_person can only be true");
        filter.needs_person = true;
    }
    if (auto wrong = not_a_number(target, {"before_ms", "after", "limit"}))
        co_return *std::move(wrong);
    if (const auto ms = number_in(target, "before_ms"))
        filter.accepted_before = from_ms(static_cast<std::int64_t>(*ms));
    std::optional<journal::place> after;
    if (const auto place = number_in(target, "after"))
        after = journal::place{*place};
    const auto limit = std::min(number_in(target, "limit").value_or(most), most);
    const auto found = co_await owner_.parts_.store->list(filter, after, limit);
    if (!found)
        co_return failed(found.error());
    std::vector<boost::json::object> lines;
    for (const auto& each : *found)
        lines.push_back(to_json(each));
    co_return lines_answer(lines);
}

asio::awaitable<result<journal::record_view, http::response>> server::connection::find(record_id id)
{
    auto found = co_await owner_.parts_.store->show(id);
    if (!found)
        co_return failed(found.error());
    if (!station_.empty())
        std::erase_if(*found, [this](const auto& each) { return each.key.station != station_; });
    if (found->empty())
        co_return http::problem(404, "no such record here");
    if (found->size() > 1)
        co_return ambiguous(*found);
    co_return std::move(found->front());
}

server::connection::answer server::connection::show(record_id id)
{
    const auto record = co_await find(id);
    if (!record)
        co_return record.error();
    auto out = to_json(*record);
    const auto story = co_await owner_.parts_.store->story(id);
    boost::json::array lines;
    if (story)
        for (const auto& each : *story) // of all stations that chose this id
            if (each.station.empty() || each.station == record->key.station)
                lines.push_back(to_json(each));
    out["story"] = std::move(lines);
    out["paused"] = owner_.parts_.store->now().paused;
    if (owner_.parts_.replayer) {
        const auto link = owner_.parts_.replayer->now();
        out["link_up"] = link.is_up;
        if (link.is_upstream_relay && link.upstream_name == record->brought_by)
            out["turned_back"] = true;
        out["link_verdict"] = link::to_string(link.verdict);
        if (!link.is_up)
            out["next_check_ms"] = to_ms(link.next_check);
        if (const auto why = owner_.parts_.replayer->deferral_of(record->place))
            out["deferred"] = to_json(*why);
    }
    co_return json_answer(200, out);
}

server::connection::answer server::connection::receipt(record_id id)
{
    const auto record = co_await find(id);
    if (!record)
        co_return record.error();
    const auto cms = co_await owner_.parts_.store->receipt_of(record->key);
    if (!cms)
        co_return failed(cms.error());
    if (cms->empty())
        co_return http::problem(404, "no receipt yet",
                                "the next custodian has not confirmed this record");
    http::response out;
    out.fields.add("Content-Type", "application/cms");
    out.body = *cms;
    co_return out;
}

server::connection::answer server::connection::envelope_of(record_id id)
{
    const auto record = co_await find(id);
    if (!record)
        co_return record.error();
    const auto sealed = co_await owner_.parts_.store->read(record->key, 0, record->size_bytes);
    if (!sealed)
        co_return failed(sealed.error());
    http::response out;
    out.fields.add("Content-Type", "application/cms");
    out.fields.add("Titip-Station", record->key.station);
    out.fields.add("Titip-Digest", to_hex(record->digest));
    out.body = *sealed;
    co_return out;
}

server::connection::answer server::connection::events(const http::target& target)
{
    constexpr std::size_t most = 1000;
    if (auto wrong = not_a_number(target, {"after", "wait_s"}))
        co_return *std::move(wrong);
    const auto after = number_in(target, "after").value_or(0);
    const auto wait_s = std::min<std::uint64_t>(number_in(target, "wait_s").value_or(0), 60);
    const auto deadline = monotonic::now() + std::chrono::seconds{wait_s};
    while (owner_.parts_.store->now().next_entry <= after + 1 && monotonic::now() < deadline &&
           !owner_.is_stopping_)
        co_await owner_.news_.wait_until(deadline);
    const auto found = co_await owner_.parts_.store->ledger(after, most);
    if (!found)
        co_return failed(found.error());
    std::vector<boost::json::object> lines;
    for (const auto& each : *found)
        lines.push_back(to_json(each));
    co_return lines_answer(lines);
}

server::connection::answer server::connection::operate_record(record_id id, std::string_view action)
{
    const auto record = co_await find(id);
    if (!record)
        co_return record.error();
    auto& store = *owner_.parts_.store;
    result<void> done;
    if (action == "hold")
        done = co_await store.hold(record->key);
    else if (action == "release")
        done = co_await store.release(record->key);
    else
        done = co_await store.retry(record->key);
    if (!done)
        co_return failed(done.error());
    co_return co_await show(id);
}

namespace {

/// Goes to the ledger, and to terminals from there.
bool is_fit_to_show(std::string_view text)
{
    constexpr std::size_t most_bytes = 200;
    const auto is_control = [](char each) {
        return static_cast<unsigned char>(each) < 0x20 || each == 0x7f;
    };
    // 0xc2 0x80 to 0xc2 0x9f: the other control characters. JSON was UTF-8 already.
    for (std::size_t i = 0; i + 1 < text.size(); ++i)
        if (text[i] == '\xc2' && static_cast<unsigned char>(text[i + 1]) < 0xa0)
            return false;
    return !text.empty() && text.size() <= most_bytes && std::ranges::none_of(text, is_control);
}

} // namespace

server::connection::answer server::connection::discard(const http::request& request, record_id id)
{
    const auto body = co_await read_body(request, most_request_bytes);
    if (!body)
        co_return http::problem(400, "the body is too large or ended early");
    const auto reason = said{*body}.text("reason");
    if (station_.empty() || !is_fit_to_show(reason))
        co_return http::problem(400, "a discard needs ?station=NAME and a reason",
                                "{\"reason\": \"at most 200 bytes, without control characters\"}");
    const auto record = co_await find(id);
    if (!record)
        co_return record.error();
    auto by = fmt::format("by uid {}: {}", peer_.uid, reason);
    const auto done = co_await owner_.parts_.store->discard_for(record->key, by);
    if (!done)
        co_return failed(done.error());
    log::warn("discarded record={} station={} number={} bytes={} of={} {}", id.to_string(),
              record->key.station, record->sequence, record->stored_bytes, record->size_bytes, by);
    auto out = to_json(*record);
    out["discarded"] = true;
    co_return json_answer(200, out);
}

http::response server::connection::revoked() const
{
    const auto& parts = owner_.parts_;
    return json_answer(200, to_json(*parts.revocations, parts.store->revoked()));
}

server::connection::answer server::connection::unrevoke(const http::request& request)
{
    const auto body = co_await read_body(request, most_request_bytes);
    if (!body)
        co_return unread(body.error());
    const said asked{*body};
    const auto certificate = trust::parse_fingerprint(asked.text("certificate"));
    const auto reason = asked.text("reason");
    if (!certificate || !is_fit_to_show(reason))
        co_return http::problem(
            400, "this needs a certificate and a reason",
            "{\"certificate\": \"SHA-256, 64 hexadecimal digits\", \"reason\": \"at most "
            "200 bytes, without control characters\"}");
    auto& parts = owner_.parts_;
    if (parts.revocations->is_listed(*certificate))
        co_return http::problem(409, "the files of [identity] revoked still name it",
                                "take it out there, systemctl reload titipd, and ask again");
    auto by = fmt::format("by uid {}: {}", peer_.uid, reason);
    const auto done = co_await parts.store->forget_revoked(*certificate, by);
    if (!done && done.error() == vault::errc::unknown)
        co_return http::problem(404, "no such certificate is shut out here",
                                "titip revoked lists them");
    if (!done)
        co_return failed(done.error());
    parts.unrevoked(*certificate);
    log::warn("unrevoked certificate={} {}", to_hex(*certificate), by);
    boost::json::object out;
    out["certificate"] = to_hex(*certificate);
    out["unrevoked"] = true;
    co_return json_answer(200, out);
}

/// All that is kept about one station: ?station=NAME, else this node.
server::connection::answer server::connection::findings()
{
    auto station = station_.empty() ? owner_.parts_.node : station_;
    const auto found = co_await owner_.parts_.store->findings_about(std::move(station));
    if (!found)
        co_return failed(found.error());
    std::vector<boost::json::object> lines;
    for (const auto& each : *found)
        lines.push_back(to_json(each));
    co_return lines_answer(lines);
}

server::connection::answer server::connection::acknowledge(const http::request& request,
                                                           std::string_view number)
{
    const auto which = http::parse_number(number);
    const auto body = co_await read_body(request, most_request_bytes);
    if (!body)
        co_return unread(body.error());
    auto why = said{*body}.text("reason");
    if (!which || !is_fit_to_show(why))
        co_return http::problem(400, "to acknowledge needs the number of a finding and a reason",
                                "{\"reason\": \"at most 200 bytes, without control characters\"}");
    auto by = fmt::format("uid {}", peer_.uid);
    const auto done =
        co_await owner_.parts_.store->acknowledge(*which, std::move(by), std::move(why));
    if (!done && done.error() == vault::errc::unknown)
        co_return http::problem(404, "there is no finding of this number",
                                "titip status shows their numbers");
    if (!done && done.error() == vault::errc::wrong_state)
        co_return http::problem(409, "the finding has settled: there is nothing to acknowledge");
    if (!done && done.error() == vault::errc::full)
        co_return http::problem(507, "the store has no space to keep that",
                                "free some space on its disk, then systemctl restart titipd");
    if (!done)
        co_return failed(done.error());
    log::info("finding-acknowledged number={} kind={} station={} by=\"{}\" why=\"{}\"",
              done->number, to_string(done->what), done->station, done->acknowledged_by,
              done->acknowledged_why);
    co_return json_answer(200, to_json(*done));
}

/// A bounded part of what is set aside, from a place on; who asks goes on from `next_after`.
server::connection::answer server::connection::retry(const http::target& target)
{
    if (auto wrong = not_a_number(target, {"after"}))
        co_return *std::move(wrong);
    journal::retry_filter which{.why = {}, .station = station_};
    if (const auto text = target.find("reason")) {
        which.why = journal::parse_reason(*text);
        if (!which.why)
            co_return http::problem(400, "unknown reason",
                                    "a reason is rotten, refused, too-large, conflict, not-ours, "
                                    "mismatch, open-failed, not-believed or revoked");
    }
    std::optional<journal::place> after;
    if (const auto place = number_in(target, "after"))
        after = journal::place{*place};
    const auto done = co_await owner_.parts_.store->retry_set_aside(std::move(which), after);
    if (!done)
        co_return failed(done.error());
    co_return json_answer(200, to_json(*done));
}

server::connection::answer server::connection::operate_link(std::string_view action)
{
    auto* replayer = owner_.parts_.replayer;
    if (!replayer)
        co_return http::problem(409, "this node has no upstream");
    if (action == "pause" || action == "resume") {
        const auto done = co_await owner_.parts_.store->set_paused(action == "pause");
        if (!done)
            co_return failed(done.error());
        replayer->set_paused(action == "pause");
    } else if (action == "probe")
        replayer->check_now();
    else
        co_return http::problem(404, "no such resource");
    co_return co_await status();
}

/// POST begins an examination, if none runs; both then answer what it has said after a number.
server::connection::answer server::connection::verify(const http::request& request,
                                                      const http::target& target)
{
    auto& of = *owner_.parts_.verification;
    if (auto wrong = not_a_number(target, {"after", "wait_s"}))
        co_return *std::move(wrong);
    auto after = number_in(target, "after").value_or(0);
    if (request.method == "POST") {
        after = of.is_running() ? 0 : of.newest();
        if (!of.is_running())
            owner_.parts_.start_verification();
    } else if (after > of.newest())
        // Of a daemon before this one: whoever goes on asking would ask for ever.
        co_return http::problem(404, "no such verification here",
                                "the daemon was started again since");
    const auto wait_s = std::min<std::uint64_t>(number_in(target, "wait_s").value_or(0), 60);
    const auto deadline = monotonic::now() + std::chrono::seconds{wait_s};
    while (of.newest() <= after && of.is_running() && monotonic::now() < deadline &&
           !owner_.is_stopping_)
        co_await of.wait_until(deadline);
    co_return lines_answer(of.lines(after));
}

server::connection::answer server::connection::trust()
{
    const auto& parts = owner_.parts_;
    if (parts.safe_mode.empty())
        co_return http::problem(409, "the store is trusted already");
    if (parts.verification->last() != verification::outcome::clean)
        co_return http::problem(409, "the store has not been verified as clean",
                                "titip verify first: it must find nothing");
    const auto done = parts.trust();
    if (!done)
        co_return http::problem(500, "the disk does not take it", done.error().message());
    is_last_word_ = true;
    boost::json::object out;
    out["node"] = parts.node;
    out["trusted"] = true;
    co_return json_answer(200, out);
}

server::connection::answer server::connection::judge(const http::request& request)
{
    const auto body = co_await read_body(request, most_request_bytes);
    if (!body)
        co_return unread(body.error());
    const said asked{*body};
    const auto id = record_id::parse(asked.text("id"));
    const auto kind = envelope::parse_verdict_kind(asked.text("kind"));
    if (!id || !kind)
        co_return http::problem(
            400, "a verdict needs id, digest and kind",
            "kind is opened, print-ready, duplicate, enrollment-failure or open-failed");
    if (owner_.parts_.role != "centre")
        co_return http::problem(403, "only the centre gives verdicts");
    station_ = asked.text("station");
    const auto record = co_await find(*id);
    if (!record)
        co_return record.error();
    if (to_hex(record->digest) != asked.text("digest"))
        co_return http::problem(409, "the record here has another digest");
    const auto signed_verdict = co_await owner_.parts_.store->judge(record->key, record->digest,
                                                                    *kind, asked.truth("replace"));
    if (!signed_verdict)
        co_return failed(signed_verdict.error());
    co_return co_await show(*id);
}

namespace {

/// However the copy ends: the next one may begin.
struct forgotten_at_end {
    std::shared_ptr<journal::backup_progress>& what;
    explicit forgotten_at_end(std::shared_ptr<journal::backup_progress>& w) : what(w) {}
    ~forgotten_at_end() { what.reset(); }
};

std::optional<std::uint64_t> number_of(const boost::json::object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    boost::system::error_code not_one;
    const auto out = value ? value->to_number<std::uint64_t>(not_one) : 0;
    return value && !not_one ? std::optional{out} : std::nullopt;
}

/// Whether this process sees that folder under this name. Asked on a thread of its own, which nobody
/// waits for longer than that: the folder's disk may hang. Then, and where it may not be looked into,
/// yes: making the backup says why it cannot be made.
asio::awaitable<bool> is_seen(std::filesystem::path folder, std::uint64_t device,
                              std::uint64_t inode)
{
    constexpr milliseconds pause = 20ms;
    constexpr milliseconds patience = 10s;
    enum class sight { unknown, same, other };
    const auto seen = std::make_shared<std::atomic<sight>>(sight::unknown);
    try {
        std::thread{[seen, folder, device, inode] {
            struct ::stat found {};
            const bool is_there = ::stat(folder.c_str(), &found) == 0;
            const bool is_hidden = !is_there && errno != ENOENT && errno != ENOTDIR;
            *seen = is_hidden || (is_there && found.st_dev == device && found.st_ino == inode)
                        ? sight::same
                        : sight::other;
        }}.detach();
    } catch (const std::system_error&) {
        co_return true;
    }
    asio::steady_timer timer{co_await asio::this_coro::executor};
    for (const auto until = monotonic::now() + patience;
         *seen == sight::unknown && monotonic::now() < until;) {
        timer.expires_after(pause);
        co_await timer.async_wait(asio::use_awaitable);
    }
    co_return *seen != sight::other;
}

} // namespace

server::connection::answer server::connection::back_up(const http::request& request)
{
    const auto body = co_await read_body(request, most_request_bytes);
    if (!body)
        co_return unread(body.error());
    boost::system::error_code not_json;
    const auto value = boost::json::parse(as_text(*body), not_json);
    const auto* folder = value.is_object() ? value.get_object().if_contains("directory") : nullptr;
    if (not_json || !folder || !folder->is_string() || folder->get_string().empty())
        co_return http::problem(400, "a backup needs a directory", "{\"directory\": \"/path\"}");
    if (owner_.copying_)
        co_return http::problem(409, "a backup is under way already", "wait for its end");
    const forgotten_at_end at_end{owner_.copying_};
    owner_.copying_ = std::make_shared<journal::backup_progress>();
    owner_.copying_->stop = owner_.is_stopping_;
    std::filesystem::path into{std::string_view{folder->get_string()}};
    // Not of a client of an earlier version, which does not say which folder it sees.
    const auto device = number_of(value.get_object(), "device");
    const auto inode = number_of(value.get_object(), "inode");
    if (device && inode && !co_await is_seen(into, *device, *inode))
        co_return http::problem(
            409, "no backup was made",
            fmt::format("{}: the daemon does not see the folder that you see under this name. A "
                        "service may have a /tmp of its own, not see /home (PrivateTmp and "
                        "ProtectHome in its unit), nor a disk that was mounted after its start. "
                        "Take a folder elsewhere, as /srv/titip-backup, or restart it",
                        into.string()));
    const auto done = co_await owner_.parts_.store->back_up(std::move(into), owner_.copying_);
    if (!done)
        co_return failed(done.error());
    log::info("backup file={} bytes={} sha256={}", done->file.string(), done->size_bytes,
              to_hex(done->sha256));
    co_return json_answer(200, to_json(*done));
}

} // namespace titip::control
