#include "intake/exchange.hpp"

#include "base/log.hpp"
#include "envelope/seal.hpp"
#include "intake/answers.hpp"
#include "intake/metadata.hpp"
#include "intake/reconciling.hpp"
#include "vault/limit.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace titip::intake {

namespace {

constexpr std::string_view tus_version = "1.0.0";
constexpr std::string_view upload_type = "application/offset+octet-stream";

http::response options_answer()
{
    http::response out{.status = 204};
    out.fields.add("Tus-Resumable", std::string{tus_version});
    out.fields.add("Tus-Version", std::string{tus_version});
    out.fields.add("Tus-Extension", "creation,creation-with-upload,termination");
    out.fields.add("Tus-Max-Size", std::to_string(envelope::limit_bytes));
    return out;
}

/// A type where the sender has to know whose fault it is: never for what only one manifest is.
http::response refused(const accept::refusal& why)
{
    using kind = accept::refusal::kind;
    switch (why.what) {
    case kind::not_a_manifest:
        return http::problem(400, why.sentence);
    case kind::not_theirs:
        return problem(vault::problem::role, 403, why.sentence);
    case kind::other_station:
        return http::problem(403, why.sentence);
    case kind::too_large:
        return problem(vault::problem::limit, 413, why.sentence);
    case kind::not_believed:
        return problem(vault::problem::not_believed, 422, why.sentence);
    case kind::not_signed:
        return http::problem(422, why.sentence);
    case kind::revoked:
        return problem(vault::problem::revoked, 422, why.sentence);
    }
    return http::problem(400, why.sentence);
}

/// 401, and without a type: it is the connection that is refused, and no record.
http::response not_accepted()
{
    return closing(
        http::problem(401, "your certificate is not accepted any more",
                      "it ended, was revoked, or its authority was removed: connect anew"));
}

http::response circle()
{
    return closing(http::problem(508, "this node hands its records on to you",
                                 "correct [upstream] url at one of the two"));
}

} // namespace

server::exchange::exchange(server& owner, std::unique_ptr<http::stream> transport, trust::peer peer)
    : owner_(owner), connection_(std::move(transport), owner.opts_.limits), peer_(std::move(peer)),
      peer_key_(key_of(peer_)), changed_(owner.on_),
      mine_(owner.live_.insert(owner.live_.end(), this))
{
}

server::exchange::~exchange()
{
    owner_.live_.erase(mine_);
}

asio::awaitable<void> server::exchange::run()
{
    // When the node stops, end_reading() ends each wait for the peer: what has come of an upload is
    // still committed. Being thrown out of it would lose that.
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto& self = owner_.self_;
    if (self.came && !is_above())
        self.came(peer_);
    auto reader = read_requests();
    asio::co_spawn(owner_.on_, std::move(reader), [this](const std::exception_ptr& thrown) {
        note_end(thrown);
        is_done_reading_ = true;
        is_gone_ = is_gone_ || is_broken_;
        changed_.ring();
    });
    try {
        co_await write_answers();
    } catch (...) {
        note_end(std::current_exception());
    }
    if (is_broken_) {
        note_gone();
        connection_.transport().close();
    }
    while (!is_done_reading_ || beside_ > 0)
        co_await changed_.wait();
    if (!is_broken_)
        co_await connection_.transport().shutdown();
    connection_.transport().close();
}

void server::exchange::note_gone()
{
    is_gone_ = true;
    changed_.ring();
}

void server::exchange::dismiss(std::optional<admission::refusal> told)
{
    is_dismissed_ = true;
    told_ = told;
    if (told && polls_ > 0)
        changed_.ring();
    else
        connection_.transport().close();
}

void server::exchange::look_at_peer()
{
    if (is_shut_out_ || connection_.transport().is_peer_believed())
        return;
    is_shut_out_ = true;
    if (polls_ > 0 && is_idle())
        changed_.ring();
    else
        connection_.transport().close();
}

void server::exchange::look_for_news()
{
    if (polls_ > 0 && newest_verdict() > known_)
        changed_.ring();
}

void server::exchange::note_end(const std::exception_ptr& thrown)
{
    if (!thrown)
        return;
    is_broken_ = true;
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
        log::error("exchange-failed peer={} why=\"{}\"", peer_.name, e.what());
    }
}

asio::awaitable<void> server::exchange::read_requests()
{
    for (;;) {
        const auto& opts = owner_.opts_;
        while ((slots_.size() >= opts.most_unanswered ||
                unwritten_bytes_ > opts.most_unwritten_bytes) &&
               !is_broken_ && !is_closing_)
            co_await changed_.wait();
        if (is_broken_ || is_closing_ || owner_.is_stopping_)
            co_return;
        auto request = co_await connection_.read_request();
        if (!request) {
            const auto status = http::status_for(request.error());
            if (status == 0) {
                note_gone();
                co_return;
            }
            auto into = std::make_shared<slot>();
            slots_.push_back(into);
            answer(into, closing(http::problem(status, request.error().message())));
            co_return;
        }
        const bool is_last = !request->keep_alive;
        const bool goes_on = co_await handle(std::move(*request));
        if (!goes_on || is_last)
            co_return;
    }
}

asio::awaitable<void> server::exchange::write_answers()
{
    for (;;) {
        while (slots_.empty() || !slots_.front()->answer) {
            if (is_broken_ || (slots_.empty() && is_done_reading_))
                co_return;
            co_await changed_.wait();
        }
        auto front = slots_.front();
        front->answer->is_head = front->is_head;
        auto out = std::move(*front->answer);
        out.keep_alive = out.keep_alive && !front->is_last;
        const bool closes = !out.keep_alive;
        const auto body_bytes = out.body.size();
        const auto written = co_await connection_.write(std::move(out));
        slots_.pop_front();
        unwritten_bytes_ -= body_bytes;
        changed_.ring();
        if (!written) {
            is_broken_ = true;
            co_return;
        }
        if (closes) {
            is_closing_ = true;
            // Who reads meanwhile may finish, but waits for nobody.
            connection_.transport().set_no_progress_limit(2s);
            co_return;
        }
    }
}

bool server::exchange::answer(const slot_ptr& into, http::response with)
{
    const bool goes_on = with.keep_alive;
    unwritten_bytes_ += with.body.size();
    into->answer = std::move(with);
    changed_.ring();
    return goes_on;
}

asio::awaitable<bool> server::exchange::handle(http::request request)
{
    auto into = std::make_shared<slot>();
    into->is_head = request.method == "HEAD";
    into->is_last = !request.keep_alive;
    slots_.push_back(into);
    if (!connection_.transport().is_peer_believed())
        co_return answer(into, not_accepted());
    if (is_above())
        co_return answer(into, circle());
    const auto target = http::parse_target(request.target);
    const auto is = [&target](std::size_t at, std::string_view word) {
        return target->segments.size() > at && target->segments[at] == word;
    };
    if (!target || !is(0, "v1"))
        co_return answer(into, closing(http::problem(404, "no such resource")));
    if (is(1, "uploads"))
        co_return co_await handle_upload(into, std::move(request), *target);
    if (is(1, "node") && target->segments.size() == 2 && request.method == "GET")
        co_return co_await describe(into, *target);
    if (is(1, "reconcile") && target->segments.size() == 2 && request.method == "POST")
        co_return co_await reconcile(into, std::move(request));
    co_return answer(into, closing(http::problem(404, "no such resource")));
}

asio::awaitable<bool> server::exchange::handle_upload(slot_ptr into, http::request request,
                                                      http::target target)
{
    if (request.method == "OPTIONS")
        co_return answer(into, options_answer());
    if (const auto version = request.fields.find("Tus-Resumable"); version != tus_version) {
        auto out = closing(http::problem(412, "this server speaks tus 1.0.0"));
        out.fields.add("Tus-Version", std::string{tus_version});
        co_return answer(into, std::move(out));
    }
    if (request.method == "POST" && target.segments.size() == 3)
        co_return co_await create(into, std::move(request), target.segments[2]);
    const auto id =
        target.segments.size() == 4 ? record_id::parse(target.segments[3]) : std::nullopt;
    if (!id)
        co_return answer(into, closing(http::problem(404, "no such upload here")));
    vault::key which{target.segments[2], *id};
    // Who has no right to a station's records learns nothing of them.
    if (!owner_.gate_.may_offer(peer_, which.station))
        co_return answer(into, closing(http::problem(404, "no such upload here")));
    if (request.method == "HEAD")
        co_return co_await head(into, which);
    if (request.method == "PATCH")
        co_return co_await append(into, std::move(request), which);
    if (request.method == "DELETE")
        co_return co_await remove(into, which);
    co_return answer(into, closing(http::problem(405, "an upload knows HEAD, PATCH and DELETE")));
}

asio::awaitable<bool> server::exchange::create(slot_ptr into, http::request request,
                                               std::string station)
{
    const auto refuse = [this, &into](unsigned status, std::string_view title,
                                      std::string_view detail) {
        return answer(into, closing(http::problem(status, title, detail)));
    };
    if (owner_.is_stopping_)
        co_return refuse(503, "this node is stopping", "try again later");
    const auto length = request.fields.find("Upload-Length");
    const auto size = length ? http::parse_number(*length) : std::nullopt;
    if (!size)
        co_return refuse(400, "Upload-Length is missing",
                         "tus 1.0.0, creation; its length must be known");
    const auto metadata = request.fields.find("Upload-Metadata");
    const auto cms = metadata ? find_metadata(*metadata, "manifest") : std::nullopt;
    if (!cms)
        co_return refuse(
            400, "Upload-Metadata lacks a manifest",
            "add: Upload-Metadata: manifest BASE64, the station's signed manifest (CMS, DER)");
    const auto body_bytes = request.content_length;
    if (!body_bytes || *body_bytes > *size)
        co_return refuse(400, "the body must have a Content-Length of at most Upload-Length", {});
    if (*body_bytes > 0 && request.fields.find("Content-Type") != upload_type)
        co_return refuse(415, "the body must be application/offset+octet-stream", {});

    // Before the claim: who has one waits for nobody's turn.
    auto place = co_await enter();
    if (!place)
        co_return answer(into, closing(refused(place.error())));
    auto what = owner_.gate_.examine(*cms, peer_, station);
    if (!what)
        co_return answer(into, closing(refused(what.error())));
    if (what->manifest.size_bytes != *size)
        co_return refuse(400, "Upload-Length differs from the manifest's size", {});

    const auto which = what->key();
    auto claim = co_await owner_.uploads_.take_over(which, connection_.transport());
    const auto standing = co_await owner_.vault_.find(which);
    if (!standing)
        co_return answer(into, closing(refused(standing.error())));
    if (*standing) {
        const auto& known = **standing;
        if (known.digest != what->manifest.digest)
            co_return answer(into, closing(refused(vault::errc::conflict)));
        auto out = known.complete ? with_receipt(201, which, known.size_bytes, known.receipt)
                                  : with_offset(201, which, known.offset);
        out.keep_alive =
            *body_bytes == 0; // the body is not wanted: its bytes are here, or go elsewhere
        co_return answer(into, std::move(out));
    }
    if (const auto no = accept::gate::refuse_new(*what))
        co_return answer(into, closing(refused(*no)));
    if (!owner_.vault_.has_room())
        co_return answer(into, closing(refused(vault::errc::full)));
    co_return co_await take_body(into, std::move(claim), std::move(*place), std::move(request),
                                 std::move(*what), 0, true);
}

asio::awaitable<bool> server::exchange::append(slot_ptr into, http::request request,
                                               vault::key which)
{
    if (request.fields.find("Content-Type") != upload_type)
        co_return answer(
            into, closing(http::problem(415, "the body must be application/offset+octet-stream")));
    const auto text = request.fields.find("Upload-Offset");
    const auto offset = text ? http::parse_number(*text) : std::nullopt;
    if (!offset || !request.content_length)
        co_return answer(into,
                         closing(http::problem(400, "Upload-Offset or Content-Length is missing")));
    auto place = co_await enter();
    if (!place)
        co_return answer(into, closing(refused(place.error())));
    auto claim = co_await owner_.uploads_.take_over(which, connection_.transport());
    const auto standing = co_await owner_.vault_.find(which);
    if (!standing || !*standing)
        co_return answer(into,
                         closing(refused(standing ? vault::errc::unknown : standing.error())));
    const auto& known = **standing;
    if (known.complete) {
        auto out = with_receipt(204, which, known.size_bytes, known.receipt);
        out.keep_alive = *request.content_length == 0;
        co_return answer(into, std::move(out));
    }
    if (known.offset != *offset || *request.content_length > known.size_bytes - known.offset) {
        auto out = http::problem(409, "the upload goes on from another offset");
        out.fields.add("Upload-Offset", std::to_string(known.offset));
        co_return answer(into, closing(std::move(out)));
    }
    auto what = owner_.gate_.examine(known.manifest_cms, peer_, which.station);
    if (!what)
        co_return answer(into, closing(refused(what.error())));
    co_return co_await take_body(into, std::move(claim), std::move(*place), std::move(request),
                                 std::move(*what), *offset, false);
}

asio::awaitable<bool> server::exchange::take_body(slot_ptr into,
                                                  std::shared_ptr<uploads::claim> claim,
                                                  turnstile::place place, http::request request,
                                                  vault::offer what, std::uint64_t offset,
                                                  bool is_new)
{
    const auto which = what.key();
    if (*request.content_length == 0) {
        if (is_new) {
            const auto kept = co_await owner_.vault_.keep(what, 0, bytes{});
            if (!kept)
                co_return answer(into, closing(refused(kept.error())));
        }
        co_return answer(into, with_offset(is_new ? 201 : 204, which, offset));
    }
    auto came = co_await receive(owner_.vault_, what, offset, *request.content_length, connection_,
                                 std::move(place));
    if (came.is_mismatch) {
        co_await owner_.vault_.discard(which);
        co_return answer(into, closing(problem(vault::problem::mismatch, 460,
                                               "the bytes do not have the manifest's digest")));
    }
    if (came.failed == vault::errc::rotten) { // what came before is damaged: it begins again
        co_await owner_.vault_.discard(which);
        co_return answer(into, closing(http::problem(460, "the bytes kept so far are damaged")));
    }
    if (!came.is_whole && came.failed) {
        if (came.failed.category() == error_code{vault::errc::full}.category() ||
            vault::is_limit(came.failed))
            co_return answer(into, closing(refused(came.failed)));
        // It gets no answer: what became of it is unknown there. The answers before it may arrive.
        slots_.pop_back();
        note_gone();
        co_return false;
    }
    if (!came.is_whole)
        co_return answer(into, with_offset(is_new ? 201 : 204, which, came.offset));
    if (!came.has_form) {
        if (came.offset > 0) // no byte that is sent would make one of it
            co_await owner_.vault_.discard(which);
        co_return answer(into, closing(http::problem(422, "the bytes are not a sealed envelope")));
    }
    // From here on the next request may be read: the answer takes its place when the commit has
    // been synced.
    run_beside(complete(into, std::move(claim), std::move(what), std::move(came), is_new));
    co_return true;
}

asio::awaitable<void> server::exchange::complete(slot_ptr into,
                                                 std::shared_ptr<uploads::claim> claim,
                                                 vault::offer what, arrival came, bool is_new)
{
    const auto which = what.key();
    const auto size = what.manifest.size_bytes;
    const auto receipt =
        co_await owner_.vault_.complete(std::move(what), came.offset, std::move(came.rest));
    claim.reset();
    if (receipt)
        answer(into, with_receipt(is_new ? 201 : 204, which, size, *receipt));
    else
        answer(into, closing(refused(receipt.error())));
}

asio::awaitable<bool> server::exchange::head(slot_ptr into, vault::key which)
{
    co_await owner_.uploads_.settle(which, connection_.transport());
    const auto standing = co_await owner_.vault_.find(which);
    if (!standing || !*standing)
        co_return answer(into, refused(standing ? vault::errc::unknown : standing.error()));
    const auto& known = **standing;
    auto out = known.complete ? with_receipt(200, which, known.size_bytes, known.receipt)
                              : with_offset(200, which, known.offset);
    out.fields.add("Upload-Length", std::to_string(known.size_bytes));
    out.fields.add("Upload-Metadata", "manifest " + to_base64(known.manifest_cms));
    co_return answer(into, std::move(out));
}

asio::awaitable<bool> server::exchange::remove(slot_ptr into, vault::key which)
{
    const auto claim = co_await owner_.uploads_.take_over(which, connection_.transport());
    const auto gone = co_await owner_.vault_.discard(which);
    if (!gone)
        co_return answer(into, refused(gone.error()));
    http::response out{.status = 204};
    out.fields.add("Tus-Resumable", std::string{tus_version});
    co_return answer(into, std::move(out));
}

std::uint64_t server::exchange::newest_verdict() const
{
    return peer_.role == trust::role::relay ? 0 : owner_.vault_.newest_verdict(peer_.name);
}

http::response server::exchange::description() const
{
    boost::json::object body;
    body["name"] = owner_.self_.name;
    body["time_ms"] = to_ms(wall_now());
    body["accepting"] = owner_.vault_.has_room() && !owner_.is_stopping_;
    body["spread_s"] = owner_.turnstile_.rules().spread(monotonic::now()).count();
    body["most_bytes"] = envelope::limit_bytes;
    boost::json::array road;
    for (const auto& each : owner_.road())
        road.emplace_back(each);
    body["newest_verdict"] = newest_verdict();
    body["protocol"] = vault::protocol_version;
    body["road"] = std::move(road);
    http::response out;
    out.fields.add("Content-Type", "application/json");
    out.body = to_bytes(as_bytes(boost::json::serialize(body)));
    return out;
}

asio::awaitable<bool> server::exchange::describe(slot_ptr into, http::target target)
{
    const auto after = target.find("after");
    const auto known = after ? http::parse_number(*after) : std::nullopt;
    if (!known)
        co_return answer(into, description());
    // Reading goes on meanwhile, which is how a peer that went away is noticed.
    run_beside(tell_news(into, *known));
    co_return true;
}

asio::awaitable<void> server::exchange::tell_news(slot_ptr into, std::uint64_t known)
{
    const auto deadline = monotonic::now() + owner_.opts_.long_poll;
    known_ = polls_++ == 0 ? known : std::min(known_, known);
    const auto road = owner_.road();
    while (newest_verdict() <= known && owner_.road() == road && !is_above() &&
           !owner_.is_stopping_ && !is_gone_ && !is_dismissed_ && !is_shut_out_ &&
           monotonic::now() < deadline)
        co_await changed_.wait_until(deadline);
    --polls_;
    if (told_)
        answer(into, closing(refused(*told_)));
    else if (is_shut_out_)
        answer(into, not_accepted());
    else
        answer(into, is_above() ? circle() : description());
}

void server::exchange::run_beside(asio::awaitable<void> work)
{
    ++beside_;
    asio::co_spawn(owner_.on_, std::move(work), [this](const std::exception_ptr& thrown) {
        note_end(thrown);
        --beside_;
        changed_.ring();
    });
}

asio::awaitable<result<bytes>> server::exchange::read_whole(const http::request& request,
                                                            std::size_t limit_bytes)
{
    if (!request.content_length || *request.content_length > limit_bytes)
        co_return http::errc::body_too_large;
    constexpr std::size_t piece_bytes = 16u << 10; // grows as bytes come, not as announced
    bytes out;
    for (std::size_t filled = 0; filled < *request.content_length; filled = out.size()) {
        out.resize(std::min<std::size_t>(filled + piece_bytes, *request.content_length));
        const auto into_rest = std::span{out}.subspan(filled);
        const auto got = co_await connection_.read_body(into_rest);
        if (!got || *got == 0)
            co_return got ? error_code{http::errc::bad_message} : got.error();
        out.resize(filled + *got);
    }
    co_return out;
}

asio::awaitable<bool> server::exchange::reconcile(slot_ptr into, http::request request)
{
    if (peer_.role == trust::role::centre)
        co_return answer(into,
                         closing(http::problem(403, "the centre has nothing to reconcile here")));
    if (!owner_.gate_.is_known(peer_))
        co_return answer(into, closing(http::problem(403, "this relay has no rights here",
                                                     "[relays] there does not name it")));
    auto place = co_await enter();
    if (!place)
        co_return answer(into, closing(refused(place.error())));
    const auto body = co_await read_whole(request, most_reconcile_bytes);
    place->complete();
    if (!body)
        co_return answer(into, closing(http::problem(400, "the body is not a ReconcileRequest")));
    auto asked = read_question(*body);
    if (!asked)
        co_return answer(into, closing(http::problem(400, asked.error().sentence)));
    auto question = std::move(*asked);
    question.is_of_relay = peer_.role == trust::role::relay;
    if (question.is_of_relay)
        question.unsettled.clear();
    for (const auto& id : question.unsettled) {
        const vault::key which{peer_.name, id};
        co_await owner_.uploads_.settle(which, connection_.transport());
    }
    // Not before its body is here: who stands still must not hold up its own next connection. A
    // station that asks on many connections keeps one of the pool's threads, and not all.
    const auto turn = co_await owner_.reconciling_.enter(peer_key_);
    const auto told = co_await owner_.vault_.reconcile(peer_.name, std::move(question));
    if (!told)
        co_return answer(into, closing(refused(told.error())));
    http::response out;
    out.fields.add("Content-Type", "application/x-protobuf");
    out.body = encode(*told);
    co_return answer(into, std::move(out));
}

} // namespace titip::intake
