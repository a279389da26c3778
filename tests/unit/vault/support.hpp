#pragma once

#include "support/pki.hpp"
#include "trust/authorities.hpp"
#include "trust/identity.hpp"
#include "vault/vault.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <vector>

/// What tests of custodians share: nodes with certificates, numbered offers, and a way to run what
/// a coroutine returns to its end.
namespace titip::tests {

template <class T>
asio::awaitable<void> put_into(std::optional<T>& out, asio::awaitable<T> work)
{
    out.emplace(co_await std::move(work));
}

inline void rethrow(std::exception_ptr failed)
{
    if (failed)
        std::rethrow_exception(failed);
}

/// Where all coroutines of a test run. It outlives every store: the journal's writer keeps what it
/// did last, and with it its caller's executor, until there is more to do. Never without work: another
/// thread that let go of the last would stop what has been started since.
inline asio::io_context& home()
{
    static asio::io_context context;
    static const auto held = asio::make_work_guard(context);
    return context;
}

template <class IsDone>
void run_until(IsDone is_done)
{
    constexpr auto hung_after = std::chrono::minutes{10};
    home().restart();
    while (!is_done())
        if (home().run_one_for(hung_after) == 0)
            throw std::logic_error{"nothing is left to run, and the work is not done"};
}

/// Runs all at once on one thread; what they return, in order.
template <class T>
std::vector<T> finish_all(std::vector<asio::awaitable<T>> work)
{
    std::vector<std::optional<T>> found(work.size());
    for (std::size_t i = 0; i < work.size(); ++i)
        asio::co_spawn(home(), put_into(found[i], std::move(work[i])), rethrow);
    run_until([&found] {
        return std::ranges::all_of(found, [](const auto& each) { return each.has_value(); });
    });
    std::vector<T> out;
    for (auto& each : found)
        out.push_back(std::move(*each));
    return out;
}

template <class T>
T finish(asio::awaitable<T> work)
{
    std::optional<T> out;
    asio::co_spawn(home(), put_into(out, std::move(work)), rethrow);
    run_until([&out] { return out.has_value(); });
    return std::move(*out);
}

inline std::shared_ptr<const trust::identity> identity_of(const support::credential& from)
{
    return std::make_shared<const trust::identity>(
        trust::identity::load(from.certificate, from.key).value());
}

/// Nodes of one authority.
struct people {
    support::pki authority;
    std::shared_ptr<const trust::identity> station = identity_of(authority.station("office-1"));
    std::shared_ptr<const trust::identity> neighbour = identity_of(authority.station("office-2"));
    std::shared_ptr<const trust::identity> relay = identity_of(authority.relay("hub-1"));
    std::shared_ptr<const trust::identity> centre = identity_of(authority.centre());
    trust::authorities believed = trust::authorities::load(authority.authorities()).value();
};

inline const people& everyone()
{
    static const people made;
    return made;
}

inline bytes noise(std::size_t size_bytes, std::mt19937_64& random)
{
    bytes out(size_bytes);
    for (auto& each : out)
        each = static_cast<std::byte>(random());
    return out;
}

/// A station that numbers what it offers.
class sender {
public:
    explicit sender(std::shared_ptr<const trust::identity> who) : who_(std::move(who)) {}

    vault::offer next(bytes_view sealed, record_id id = record_id::random())
    {
        auto out = offer_at(++last_, last_hash_, sealed, id);
        last_hash_ = out.hash;
        return out;
    }

    /// Any number that names any manifest before it.
    vault::offer offer_at(std::uint64_t number, const digest& previous, bytes_view sealed,
                          record_id id = record_id::random()) const
    {
        const envelope::manifest said{.record = id,
                                      .station = who_->self().name,
                                      .epoch = epoch_,
                                      .at = envelope::sequence{number},
                                      .taken_at = from_ms(1'764'000'000'000),
                                      .size_bytes = sealed.size(),
                                      .digest = sha256(sealed),
                                      .previous = previous};
        const auto statement = envelope::encode(said);
        return {
            .cms = who_->sign(statement), .manifest = said, .hash = envelope::hash_of(statement)};
    }

    const epoch_id& epoch() const noexcept { return epoch_; }
    const std::string& station() const noexcept { return who_->self().name; }

private:
    std::shared_ptr<const trust::identity> who_;
    epoch_id epoch_ = epoch_id::random();
    std::uint64_t last_ = 0;
    digest last_hash_{};
};

/// What a CMS that we made ourselves says.
template <class Statement>
Statement said_in(const bytes& cms)
{
    return std::get<Statement>(everyone().believed.verify(cms, wall_now()).value().statement);
}

} // namespace titip::tests
