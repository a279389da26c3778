#include "accept/acceptor.hpp"

#include <fmt/format.h>

#include <algorithm>
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
                                            const reading& read, result<sealing> sealed)
{
    if (!read.checked)
        return rejection{kind::defective, read.checked.error(), {}};
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
    for (const auto& each : read.checked->warnings)
        if (std::ranges::find(out.warnings, each.code) == out.warnings.end()) // ten small fingers
            out.warnings.push_back(each.code);
    return out;
}

enrollment::defect seen_before(record_id other)
{
    return {"nik-seen-before", "biodata.nik",
            fmt::format("A record with this NIK was taken here since the daemon started: {}. If "
                        "the same recording was submitted twice, hold this one and call the "
                        "centre.",
                        other.to_string())};
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
                   std::shared_ptr<const envelope::sealer> sealer,
                   std::function<enrollment::known_time()> time)
    : store_(into), pool_(pool), station_(std::move(station)), sealer_(std::move(sealer)),
      time_(std::move(time))
{
    fill_random(nik_key_);
}

acceptor::~acceptor()
{
    ::explicit_bzero(nik_key_.data(), nik_key_.size());
}

asio::awaitable<std::optional<journal::state>> acceptor::state_of(record_id id)
{
    const auto found = co_await store_.show(id);
    if (found)
        for (const auto& each : *found)
            if (each.key.station == station_)
                co_return each.state;
    co_return std::nullopt;
}

asio::awaitable<result<accepted, rejection>>
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
    const auto now = time_();
    auto read = [plain, now, key = to_bytes(store_.submission_key()), nik_key = &nik_key_] {
        return reading{enrollment::check(plain->view(), now, *nik_key),
                       hmac_sha256(key, plain->view())};
    };
    auto make_envelope = [plain, id, station = station_, sealer = sealer_] {
        return seal(plain->view(), {.record = id, .station = station}, *sealer);
    };
    auto [known, sealed] = co_await run_both(pool_, std::move(read), std::move(make_envelope));
    auto prepared = join(id, lane, known, std::move(sealed));
    if (!prepared)
        co_return prepared.error();
    // Noted before the commit: of two that come at once the second is told of the first.
    const auto& nik_mac = known.checked->nik_mac;
    const auto noted = niks_.note(nik_mac, id);
    auto& remarks = known.checked->warnings;
    if (noted.other) {
        remarks.push_back(seen_before(*noted.other));
        // The row tells that there is another one, and not which: that two records have one NIK is
        // something of a NIK.
        prepared->warnings.push_back(remarks.back().code);
    }
    auto stored = co_await store_.accept(std::move(*prepared));
    if (!stored) {
        if (noted.is_new)
            niks_.forget(nik_mac);
        co_return to_rejection(stored.error());
    }
    niks_.note(nik_mac, id); // one that came meanwhile may have been refused, and was forgotten
    accepted out{std::move(*stored), std::move(remarks), noted.other, std::nullopt};
    // The first answer counts, and what it warned of.
    std::erase_if(out.remarks, [&out](const auto& each) {
        return std::ranges::find(out.warnings, each.code) == out.warnings.end();
    });
    // The row of a repetition may tell of none: it was the first, before the daemon started.
    const auto seen_code = seen_before(id).code;
    if (std::ranges::find(out.warnings, seen_code) == out.warnings.end())
        out.other.reset();
    if (out.other)
        out.other_state = co_await state_of(*out.other);
    co_return out;
}

} // namespace titip::accept
