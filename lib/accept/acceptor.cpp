#include "accept/acceptor.hpp"

#include <fmt/format.h>

#include <cstring>

namespace titip::accept {

namespace {

using kind = rejection::kind;

/// A submitted body, cleansed when the last that works on it has done so.
class plaintext {
public:
    explicit plaintext(bytes body) : body_(std::move(body)) {}
    plaintext(const plaintext&) = delete;
    ~plaintext()
    {
        if (!body_.empty()) // the data of an empty one may be null
            ::explicit_bzero(body_.data(), body_.size());
    }
    bytes_view view() const noexcept { return body_; }

private:
    bytes body_;
};

/// What the pool makes of a body: all that needs no store.
result<journal::submission, rejection> prepare(const plaintext& body, const record_id& id,
                                               std::optional<envelope::lane> lane,
                                               const std::string& station,
                                               const envelope::sealer& sealer)
{
    auto checked = enrollment::check(body.view());
    if (!checked)
        return rejection{kind::defective, std::move(checked.error()), {}};
    if (checked->id != id)
        return rejection{kind::other_id,
                         {},
                         fmt::format("the record says it is {}, it was submitted as {}",
                                     checked->id.to_string(), id.to_string())};
    auto sealed = sealer.seal({.record = id, .station = station}, body.view());
    if (!sealed)
        return rejection{sealed.error() == envelope::errc::too_large ? kind::too_large
                                                                     : kind::failed,
                         {},
                         sealed.error().message()};
    journal::submission out{
        .record = id, .sealed = std::move(*sealed), .taken_at = checked->taken_at};
    out.digest = sha256(out.sealed);
    if (lane)
        out.lane = *lane;
    else if (checked->lane)
        out.lane = static_cast<envelope::lane>(*checked->lane);
    for (auto& each : checked->warnings)
        out.warnings.push_back(std::move(each.code));
    return out;
}

rejection to_rejection(const error_code& failed)
{
    if (failed == vault::errc::conflict)
        return {kind::conflict, {}, "this id was accepted with another body"};
    if (failed == vault::errc::full)
        return {kind::full, {}, failed.message()};
    return {kind::failed, {}, failed.message()};
}

} // namespace

acceptor::acceptor(journal::store& into, asio::thread_pool& pool, std::string station,
                   std::shared_ptr<const envelope::sealer> sealer)
    : store_(into), pool_(pool), station_(std::move(station)), sealer_(std::move(sealer))
{
}

asio::awaitable<result<journal::acceptance, rejection>>
acceptor::submit(record_id id, std::optional<envelope::lane> lane, bytes body)
{
    if (body.size() > most_enrollment_bytes)
        co_return rejection{kind::too_large,
                            {},
                            fmt::format("a record has at most {} bytes, this one {}",
                                        most_enrollment_bytes, body.size())};
    const auto plain = std::make_shared<const plaintext>(std::move(body));
    auto authenticate = [plain, key = to_bytes(store_.submission_key())] {
        return hmac_sha256(key, plain->view());
    };
    auto work = [plain, id, lane, station = station_, sealer = sealer_] {
        return prepare(*plain, id, lane, station, *sealer);
    };
    // A repetition is sealed again in vain; the store finds that it is one, and gives the first
    // answer.
    auto [mac, prepared] = co_await run_both(pool_, std::move(authenticate), std::move(work));
    if (!prepared)
        co_return prepared.error();
    prepared->mac = mac;
    auto accepted = co_await store_.accept(std::move(*prepared));
    if (!accepted)
        co_return to_rejection(accepted.error());
    co_return *accepted;
}

} // namespace titip::accept
