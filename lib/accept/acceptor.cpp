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

/// What a body says of itself, and what it is known by when it comes again.
struct reading {
    result<enrollment::checked, std::vector<enrollment::defect>> checked;
    digest mac;
};

struct sealing {
    bytes sealed;
    digest hash;
};

result<sealing> seal(bytes_view body, const envelope::inner_ids& ids,
                     const envelope::sealer& sealer)
{
    auto sealed = sealer.seal(ids, body);
    if (!sealed)
        return sealed.error();
    const auto hash = sha256(*sealed);
    return sealing{std::move(*sealed), hash};
}

result<journal::submission, rejection> join(record_id id, std::optional<envelope::lane> lane,
                                            reading read, result<sealing> sealed)
{
    if (!read.checked)
        return rejection{kind::defective, std::move(read.checked.error()), {}};
    if (read.checked->id != id)
        return rejection{kind::other_id,
                         {},
                         fmt::format("the record says it is {}, it was submitted as {}",
                                     read.checked->id.to_string(), id.to_string())};
    if (!sealed)
        return rejection{sealed.error() == envelope::errc::too_large ? kind::too_large
                                                                     : kind::not_sealed,
                         {},
                         sealed.error().message()};
    journal::submission out{.record = id,
                            .mac = read.mac,
                            .sealed = std::move(sealed->sealed),
                            .digest = sealed->hash,
                            .taken_at = read.checked->taken_at};
    if (lane)
        out.lane = *lane;
    else if (read.checked->lane)
        out.lane = static_cast<envelope::lane>(*read.checked->lane);
    for (auto& each : read.checked->warnings)
        out.warnings.push_back(std::move(each.code));
    return out;
}

rejection to_rejection(const error_code& failed)
{
    if (failed == vault::errc::conflict)
        return {kind::conflict, {}, "this id was accepted with another body"};
    if (failed == vault::errc::rotten)
        return {kind::rotten, {}, failed.message()};
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
    // Two jobs of about the same length, so that one submitter has the use of two cores. A defective
    // record is sealed in vain, and so is a repetition: the store finds that it is one, and gives the
    // first answer.
    auto read = [plain, key = to_bytes(store_.submission_key())] {
        return reading{enrollment::check(plain->view()), hmac_sha256(key, plain->view())};
    };
    auto make_envelope = [plain, id, station = station_, sealer = sealer_] {
        return seal(plain->view(), {.record = id, .station = station}, *sealer);
    };
    auto [known, sealed] = co_await run_both(pool_, std::move(read), std::move(make_envelope));
    auto prepared = join(id, lane, std::move(known), std::move(sealed));
    if (!prepared)
        co_return prepared.error();
    auto accepted = co_await store_.accept(std::move(*prepared));
    if (!accepted)
        co_return to_rejection(accepted.error());
    co_return *accepted;
}

} // namespace titip::accept
