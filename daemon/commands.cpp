#include "commands.hpp"

#include "base/digest.hpp"
#include "base/explain.hpp"
#include "base/file.hpp"
#include "base/secret.hpp"
#include "base/units.hpp"
#include "control/words.hpp"
#include "envelope/library.hpp"
#include "envelope/seal.hpp"

#include <boost/asio/error.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <future>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include "files.hpp"
#include "output.hpp"

namespace titip::cli {

namespace {

namespace words = control::words;
using boost::json::object;

object to_object(bytes_view body)
{
    boost::system::error_code failed;
    auto value = boost::json::parse(as_text(body), failed);
    return !failed && value.is_object() ? value.get_object() : object{};
}

std::vector<object> to_objects(bytes_view body)
{
    std::vector<object> out;
    auto text = as_text(body);
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        if (end > 0)
            out.push_back(to_object(as_bytes(text.substr(0, end))));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

void print(const std::vector<std::string>& lines)
{
    for (const auto& each : lines)
        put("{}\n", each);
}

int code_of(unsigned status)
{
    switch (status) {
    case 200:
    case 201:
        return done;
    case 403:
        return not_allowed;
    case 404:
        return no_such_record;
    case 400:
        return usage;
    case 503:
        return untrusted;
    default:
        return refused;
    }
}

void complain(const session& with, const object& problem)
{
    if (with.json)
        put("{}\n", boost::json::serialize(problem));
    else
        for (const auto& each : words::problem(problem))
            fmt::print(stderr, "titip: {}\n", each);
}

int complain(const session& with, const http::response& answer)
{
    const auto problem = to_object(answer.body);
    complain(with, problem);
    const auto group = std::string{words::group_of(problem)};
    if (!group.empty() && !with.json)
        fmt::print(stderr, "titip: {}\n",
                   words::about_group(group, control::own_membership(group), own_user()));
    return code_of(answer.status);
}

/// It was there, and went away or said nothing; whether it runs now nobody has looked.
bool has_vanished(const error_code& why)
{
    namespace errc = boost::system::errc;
    return why == boost::asio::error::eof || why == errc::connection_reset ||
           why == errc::broken_pipe || why == errc::timed_out;
}

int unreached(const session& with, const error_code& why, bool is_submission = false)
{
    const bool vanished = has_vanished(why);
    if (with.json) {
        object said;
        said["title"] = vanished ? "titipd did not answer" : "titipd is not reachable";
        said["detail"] = why.message();
        said["socket"] = with.socket;
        put("{}\n", boost::json::serialize(said));
    } else
        fmt::print(stderr, "titip: {}\n",
                   vanished ? words::no_answer(why.message(), is_submission)
                            : words::not_reachable(with.socket, why));
    return unreachable;
}

std::string record_target(const session& with, const std::string& id, std::string_view part = {})
{
    auto out = "/v1/records/" + id;
    if (!part.empty())
        out += fmt::format("/{}", part);
    if (!with.station.empty())
        out += "?station=" + with.station;
    return out;
}

std::string_view text_of(const object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    return value && value->is_string() ? std::string_view{value->get_string()} : std::string_view{};
}

std::uint64_t number_of(const object& from, std::string_view key)
{
    const auto* value = from.if_contains(key);
    boost::system::error_code not_one;
    return value ? value->to_number<std::uint64_t>(not_one) : 0;
}

void say(const session& with, const http::response& answer,
         std::vector<std::string> (*in_words)(const object&))
{
    if (with.json)
        put_text(as_text(answer.body));
    else
        print(in_words(to_object(answer.body)));
}

int ask(session& with, std::string_view method, const std::string& target,
        std::vector<std::string> (*in_words)(const object&))
{
    const auto answer = with.client.exchange(method, target);
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    say(with, *answer, in_words);
    return done;
}

/// A POST whose body says why, as whoever reads the ledger will ask.
int post(session& with, const std::string& target, const object& why,
         std::vector<std::string> (*in_words)(const object&))
{
    const auto body = boost::json::serialize(why);
    const auto answer = with.client.exchange("POST", target, as_bytes(body));
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    say(with, *answer, in_words);
    return done;
}

} // namespace

int submit(session& with, const std::vector<std::string>& files, const std::string& lane)
{
    // A disk that is dying, or flooded, takes minutes for a sync, and who goes away learns nothing.
    static constexpr auto limit = std::chrono::hours{1};
    keep_memory_to_ourselves();
    int worst = done;
    for (const auto& file : files) {
        const auto body = read_file(file);
        const auto id = body ? id_of_enrollment(*body) : std::nullopt;
        if (!id) {
            fmt::print(stderr, "titip: {}: {}\n", file,
                       body ? "not an enrollment: it carries no record id"
                            : body.error().message());
            worst = std::max<int>(worst, refused);
            continue;
        }
        auto target = "/v1/records/" + id->to_string();
        if (!lane.empty())
            target += "?lane=" + lane;
        const auto answer = with.client.exchange("PUT", target, *body, limit);
        if (!answer)
            return unreached(with, answer.error(), true);
        if (answer->status != 200 && answer->status != 201) {
            fmt::print(stderr, "titip: {}:\n", file);
            const int code = complain(with, *answer);
            worst = std::max<int>(worst, code == usage ? refused : code);
            continue;
        }
        if (with.json)
            put_text(as_text(answer->body));
        else
            put("{}\n", words::accepted(to_object(answer->body), answer->status == 201, lane));
    }
    return worst;
}

int status(session& with, bool watch, std::chrono::milliseconds every)
{
    for (;;) {
        const auto answer = with.client.exchange("GET", "/v1/status");
        if (!answer) {
            const int code = unreached(with, answer.error());
            if (!watch)
                return code;
        } else {
            if (answer->status != 200)
                return complain(with, *answer);
            if (watch && !with.json && ::isatty(STDOUT_FILENO) != 0)
                put("\x1b[H\x1b[2J");
            say(with, *answer, watch ? words::watched : words::status);
            if (!watch)
                return to_object(answer->body).contains("safe_mode") ? untrusted : done;
        }
        if (!flush())
            return output_lost;
        std::this_thread::sleep_for(every);
    }
}

int list(session& with, const list_options& options)
{
    std::string filter;
    if (!options.state.empty())
        filter += "&state=" + options.state;
    if (!options.lane.empty())
        filter += "&lane=" + options.lane;
    if (options.held)
        filter += "&held=true";
    if (options.needs_person)
        filter += "&needs_person=true";
    if (!options.older.empty()) {
        const auto age = parse_duration(options.older);
        if (!age) {
            fmt::print(stderr, "titip: --older {}: write a number and a unit, \"3 days\"\n",
                       options.older);
            return usage;
        }
        filter += fmt::format("&before_ms={}", to_ms(wall_now() - *age));
    }
    std::uint64_t after = 0;
    bool is_first = true;
    for (;;) {
        const auto answer =
            with.client.exchange("GET", fmt::format("/v1/records?after={}{}", after, filter));
        if (!answer)
            return unreached(with, answer.error());
        if (answer->status != 200)
            return complain(with, *answer);
        const auto page = to_objects(answer->body);
        if (page.empty())
            return done;
        if (with.json)
            put_text(as_text(answer->body));
        else {
            if (std::exchange(is_first, false))
                put("{}\n", words::list_header());
            for (const auto& each : page)
                put("{}\n", words::list_line(each));
        }
        if (!flush())
            return output_lost;
        after = number_of(page.back(), "place");
    }
}

int show(session& with, const std::string& id)
{
    return ask(with, "GET", record_target(with, id), words::record);
}

int act_on_record(session& with, const std::string& id, const std::string& action)
{
    return ask(with, "POST", record_target(with, id, action), words::record);
}

int discard(session& with, const std::string& id, const std::string& reason)
{
    return post(with, record_target(with, id, "discard"), {{"reason", reason}}, words::discarded);
}

int revoked(session& with)
{
    return ask(with, "GET", "/v1/revoked", words::revoked);
}

int unrevoke(session& with, const std::string& certificate, const std::string& reason)
{
    return post(with, "/v1/unrevoke", {{"certificate", certificate}, {"reason", reason}},
                words::unrevoked);
}

int findings(session& with)
{
    const auto target =
        with.station.empty() ? std::string{"/v1/findings"} : "/v1/findings?station=" + with.station;
    const auto answer = with.client.exchange("GET", target);
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    if (with.json) {
        put_text(as_text(answer->body));
        return done;
    }
    const auto all = to_objects(answer->body);
    if (all.empty())
        put("Nothing was noticed: no gap, no fork, no loss.\n");
    for (const auto& each : all)
        put("{}\n", words::finding_line(each));
    return done;
}

int acknowledge(session& with, std::uint64_t number, const std::string& reason)
{
    return post(with, fmt::format("/v1/findings/{}/acknowledge", number), {{"reason", reason}},
                words::acknowledged);
}

int retry(session& with, const retry_options& which)
{
    const int ways = !which.ids.empty() + !which.reason.empty() + which.all;
    if (ways != 1) {
        fmt::print(stderr, "titip: retry takes ids, --reason R or --all: one of these\n");
        return usage;
    }
    int worst = done;
    for (const auto& id : which.ids) {
        const auto answer = with.client.exchange("POST", record_target(with, id, "retry"));
        if (!answer)
            return unreached(with, answer.error());
        if (answer->status == 200)
            say(with, *answer, words::record);
        else {
            if (which.ids.size() > 1 && !with.json)
                fmt::print(stderr, "titip: {}:\n", id);
            worst = std::max(worst, complain(with, *answer));
        }
    }
    if (!which.ids.empty())
        return worst;
    object sum;
    std::uint64_t retried = 0;
    std::uint64_t open_failed = 0;
    for (std::string after;;) {
        const auto answer = with.client.exchange(
            "POST",
            fmt::format("/v1/retry?{}{}{}",
                        which.reason.empty() ? "" : "reason=" + which.reason + "&",
                        with.station.empty() ? "" : "station=" + with.station + "&", after));
        if (!answer || answer->status != 200) {
            if (retried > 0 && !with.json) // what is done is done
                fmt::print(stderr, "titip: {} records wait again; then it ended:\n", retried);
            return answer ? complain(with, *answer) : unreached(with, answer.error());
        }
        const auto part = to_object(answer->body);
        retried += number_of(part, "retried");
        open_failed += number_of(part, "open_failed");
        if (!part.contains("next_after"))
            break;
        after = fmt::format("after={}", number_of(part, "next_after"));
    }
    sum["retried"] = retried;
    sum["open_failed"] = open_failed;
    if (with.json)
        put("{}\n", boost::json::serialize(sum));
    else
        print(words::retried(sum));
    return retried == 0 && open_failed > 0 ? refused : done;
}

int act_on_link(session& with, const std::string& action)
{
    return ask(with, "POST", "/v1/link/" + action, words::status);
}

int backup(session& with, const std::string& folder)
{
    static constexpr auto limit = std::chrono::hours{24}; // a slow disk, many records
    object asked;
    const auto whole = std::filesystem::absolute(folder).lexically_normal().string();
    asked["directory"] = whole;
    // Which one that is here: a service may see another under this name.
    struct ::stat found {};
    if (::stat(whole.c_str(), &found) == 0) {
        asked["device"] = std::uint64_t{found.st_dev};
        asked["inode"] = std::uint64_t{found.st_ino};
    }
    const auto body = boost::json::serialize(asked);
    auto done = std::async(std::launch::async, [&with, &body] {
        return with.client.exchange("POST", "/v1/backup", as_bytes(body), limit);
    });
    control::client beside{with.socket};
    const bool is_watched = !with.json && ::isatty(STDERR_FILENO) != 0;
    while (done.wait_for(500ms) != std::future_status::ready) {
        const auto now = is_watched ? beside.exchange("GET", "/v1/status") : http::response{};
        const auto line = now ? words::backup_progress(to_object(now->body)) : std::string{};
        if (!line.empty())
            fmt::print(stderr, "\r\x1b[K{}", line);
    }
    if (is_watched)
        fmt::print(stderr, "\r\x1b[K");
    const auto answer = done.get();
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    say(with, *answer, words::backed_up);
    return cli::done;
}

int receipt(session& with, const std::string& id, const std::string& out)
{
    const auto answer = with.client.exchange("GET", record_target(with, id, "receipt"));
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    if (with.json && out.empty()) {
        object said;
        said["receipt"] = to_base64(answer->body);
        put("{}\n", boost::json::serialize(said));
        return done;
    }
    return put_out(answer->body, out) ? done : output_lost;
}

int events(session& with, std::uint64_t after, bool follow)
{
    for (;;) {
        const auto answer = with.client.exchange(
            "GET", fmt::format("/v1/events?after={}&wait_s={}", after, follow ? 30 : 0));
        if (!answer)
            return unreached(with, answer.error());
        if (answer->status != 200)
            return complain(with, *answer);
        const auto page = to_objects(answer->body);
        for (const auto& each : page)
            put("{}\n", with.json ? boost::json::serialize(each) : words::event(each));
        if (!flush())
            return output_lost;
        if (page.empty() && !follow)
            return done;
        if (!page.empty())
            after = number_of(page.back(), "number");
    }
}

namespace {

/// Whether the condition holds now; an exit code if it cannot be told.
result<bool, int> holds(session& with, const std::string& until)
{
    using answer_is = result<bool, int>;
    const auto is_about_record = until.starts_with("delivered=");
    const auto answer = with.client.exchange(
        "GET", is_about_record ? record_target(with, until.substr(10)) : std::string{"/v1/status"});
    if (!answer)
        return answer_is{boost::system::in_place_error, unreached(with, answer.error())};
    if (answer->status != 200)
        return answer_is{boost::system::in_place_error, complain(with, *answer)};
    const auto body = to_object(answer->body);
    if (body.contains("safe_mode")) {
        say(with, *answer, words::status);
        return answer_is{boost::system::in_place_error, untrusted};
    }
    bool out = false;
    if (is_about_record) {
        const auto state = text_of(body, "state");
        out = state == "delivered" || state == "opened" || state == "erased";
    } else if (until == "online") {
        const auto* link = body.if_contains("link");
        if (!link) {
            complain(with, words::no_upstream());
            return answer_is{boost::system::in_place_error, refused};
        }
        out = link->is_object() && link->get_object().contains("up") &&
              link->get_object().at("up").as_bool();
    } else {
        out = number_of(body.at("records").as_object().at("waiting").as_object(), "records") == 0;
    }
    return answer_is{boost::system::in_place_value, out};
}

/// For a program: whether it holds, and what was waited for.
void say_whether(const session& with, const std::string& until, bool it_holds)
{
    if (!with.json) {
        if (!it_holds)
            fmt::print(stderr, "titip: not yet: {}\n", until);
        return;
    }
    object said;
    said["until"] = until;
    said["holds"] = it_holds;
    put("{}\n", boost::json::serialize(said));
}

} // namespace

int wait(session& with, const std::string& until, const std::string& timeout)
{
    constexpr std::string_view delivered = "delivered=";
    if (until != "empty" && until != "online" &&
        !(until.starts_with(delivered) && record_id::parse(until.substr(delivered.size())))) {
        fmt::print(stderr, "titip: --until {}: can be empty, online, or delivered=ID\n", until);
        return usage;
    }
    const auto limit = timeout.empty() ? std::optional{milliseconds{0}} : parse_duration(timeout);
    if (!limit) {
        fmt::print(stderr, "titip: --timeout {}: write a number and a unit, \"10 min\"\n", timeout);
        return usage;
    }
    const auto deadline = timeout.empty() ? instant::max() : monotonic::now() + *limit;
    for (;;) {
        const auto now = holds(with, until);
        if (!now)
            return now.error();
        if (*now) {
            say_whether(with, until, true);
            return done;
        }
        if (monotonic::now() >= deadline) {
            say_whether(with, until, false);
            return no;
        }
        std::this_thread::sleep_for(200ms);
    }
}

int open(session& with, const std::string& id, const std::string& key,
         const std::string& certificate, const std::string& out)
{
    constexpr std::size_t most_key_bytes = 64u << 10; // RSA of 16,384 bits has 13 kB
    keep_memory_to_ourselves();
    if (const auto flaw = envelope::flaw_of_library(); !flaw.empty())
        fmt::print(stderr, "titip: warning: {}\n", flaw);
    auto key_pem = read_secret(key, most_key_bytes);
    const auto certificate_pem = read_file(certificate);
    if (!key_pem || !certificate_pem) {
        fmt::print(stderr, "titip: {}: {}\n", key_pem ? certificate : key,
                   (key_pem ? certificate_pem.error() : key_pem.error()).message());
        return refused;
    }
    const auto sealed = with.client.exchange("GET", record_target(with, id, "envelope"));
    if (!sealed)
        return unreached(with, sealed.error());
    if (sealed->status != 200)
        return complain(with, *sealed);
    const auto station = std::string{sealed->fields.find("Titip-Station").value_or("")};
    const auto digest = sealed->fields.find("Titip-Digest").value_or("");
    if (to_hex(sha256(sealed->body)) != digest) { // cut short on the way, say: no verdict
        fmt::print(stderr, "titip: {}: these bytes do not have the record's digest\n", id);
        return refused;
    }
    auto opened = envelope::open(sealed->body, *certificate_pem, key_pem->view());
    *key_pem = secret{}; // no longer here than it is needed
    const bool fits =
        opened && opened->ids.record == record_id::parse(id) && opened->ids.station == station;
    if (!opened) // a wrong key is ours to mend, not the record's fault: no verdict
        fmt::print(stderr, "titip: {} cannot be opened with this key: {}\n", id,
                   opened.error().message());
    else if (!fits)
        fmt::print(stderr, "titip: {} carries other ids inside: {} of {}\n", id,
                   opened->ids.record.to_string(), opened->ids.station);
    if (opened && !out.empty() && !put_out(opened->enrollment.view(), out))
        return output_lost;
    if (!opened)
        return no;
    opened->enrollment = secret{};
    object said;
    said["id"] = id;
    said["station"] = station;
    said["digest"] = digest;
    said["kind"] = fits ? "opened" : "open-failed";
    said["replace"] = true; // it was seen, whatever was said before
    const auto body = boost::json::serialize(said);
    const auto told = with.client.exchange("POST", "/v1/verdicts", as_bytes(body));
    if (!told)
        return unreached(with, told.error());
    if (told->status != 200)
        return complain(with, *told);
    if (with.json)
        put_text(as_text(told->body));
    else if (fits)
        put("{} of station {} was opened; its station will know.\n", id, station);
    return fits ? done : no;
}

int verify_store(session& with)
{
    std::string method = "POST";
    std::uint64_t after = 0;
    // Progress is for who looks on; a file or a program gets what was found.
    const bool shows_progress = !with.json && ::isatty(STDOUT_FILENO) != 0;
    for (;;) {
        const auto answer =
            with.client.exchange(method, fmt::format("/v1/verify?after={}&wait_s=30", after));
        const bool is_other = answer && answer->status == 404; // a daemon that was started since
        if (!answer || is_other) {
            if (method == "GET" && !with.json) // a store may end its daemon while it is looked at
                fmt::print(stderr, "titip: {}\n", words::verification_lost());
            if (!is_other)
                return unreached(with, answer.error());
            complain(with, *answer);
            return unreachable;
        }
        if (answer->status != 200)
            return complain(with, *answer);
        method = "GET";
        for (const auto& each : to_objects(answer->body)) {
            after = number_of(each, "number");
            const auto what = text_of(each, "what");
            if (with.json)
                put("{}\n", boost::json::serialize(each));
            else if (what != "progress" || shows_progress)
                put("{}{}{}", shows_progress ? "\r\x1b[K" : "", words::verification(each),
                    what == "progress" ? "" : "\n");
            if (!flush())
                return output_lost;
            if (what != "end")
                continue;
            const auto outcome = text_of(each, "outcome");
            return outcome == "clean" ? done : outcome == "differs" ? no : untrusted;
        }
    }
}

int trust(session& with)
{
    const auto answer = with.client.exchange("POST", "/v1/trust");
    if (!answer)
        return unreached(with, answer.error());
    if (answer->status != 200)
        return complain(with, *answer);
    if (with.json)
        put_text(as_text(answer->body));
    else
        put("{}\n", words::trusted_again());
    return done;
}

int verdict(session& with, const std::string& id, const std::string& kind, bool replaces)
{
    const auto shown = with.client.exchange("GET", record_target(with, id));
    if (!shown)
        return unreached(with, shown.error());
    if (shown->status != 200)
        return complain(with, *shown);
    const auto record = to_object(shown->body);
    object said;
    said["id"] = id;
    said["station"] = text_of(record, "station");
    said["digest"] = text_of(record, "digest");
    said["kind"] = kind;
    if (replaces)
        said["replace"] = true;
    const auto body = boost::json::serialize(said);
    const auto told = with.client.exchange("POST", "/v1/verdicts", as_bytes(body));
    if (!told)
        return unreached(with, told.error());
    if (told->status != 200)
        return complain(with, *told);
    say(with, *told, words::record);
    return done;
}

} // namespace titip::cli
