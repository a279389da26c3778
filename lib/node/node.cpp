#include "node/node.hpp"

#include "base/explain.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/units.hpp"
#include "envelope/pem.hpp"
#include "http/refusals.hpp"
#include "journal/birth.hpp"
#include "node/birth.hpp"
#include "node/child.hpp"
#include "node/fit.hpp"
#include "node/newcomer.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstdlib>
#include <sstream>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>

namespace titip::node {

namespace {

constexpr auto stop_limit = 4s;        ///< systemd gives five, and more to who waits for the disk
constexpr std::size_t most_local = 64; ///< connections on the local socket
constexpr std::size_t station_group = 8u << 20;
constexpr std::size_t centre_group = 32u << 20;

result<bytes, start_failure> read(const std::filesystem::path& file, std::string_view key)
{
    auto data = read_file(file, 1u << 20);
    if (!data)
        return start_failure{fmt::format("{} ({})", explain(file, data.error()), key)};
    return *std::move(data);
}

/// What cannot be read or understood shuts nobody out, and is no reason not to start.
void read_revoked(const config& from, materials& into)
{
    constexpr std::size_t most_bytes = 16u << 20; // a list of some 400,000 certificates
    auto list = std::make_shared<trust::revocation_list>();
    bool are_read = true;
    for (const auto& file : from.identity.revoked) {
        const auto data = read_file(file, most_bytes);
        if (!data) {
            are_read = false;
            into.not_understood.push_back(
                fmt::format("[identity] revoked: {}", explain(file, data.error())));
            continue;
        }
        std::vector<std::string> told;
        list->read(*data, *into.authorities, told);
        for (const auto& each : told)
            into.not_understood.push_back(fmt::format(
                "[identity] revoked: \"{}\": {}: it counts for nothing; correct the file",
                file.string(), each));
    }
    into.revoked = std::move(list);
    into.are_revoked_read = are_read;
}

std::string_view why_not_listening(const error_code& said) noexcept
{
    namespace sys = boost::system::errc;
    if (said == sys::address_in_use)
        return ": another program has it: stop that one, or use another port";
    if (said == sys::permission_denied)
        return ": this user may not open a port below 1024: use a higher one";
    if (said == sys::address_not_available)
        return ": this machine has no such address";
    return "";
}

/// Connections from below: as configured, if the system gives as many descriptors beside those of
/// the local socket, the store and the way up.
std::size_t most_connections(std::size_t configured)
{
    constexpr ::rlim_t others = intake::server::most_beside + most_local + 128;
    ::rlimit descriptors{};
    if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0 || descriptors.rlim_cur == RLIM_INFINITY)
        return configured;
    const auto left = descriptors.rlim_cur > 2 * others ? descriptors.rlim_cur - others
                                                        : descriptors.rlim_cur / 2;
    if (left < configured)
        log::warn("few-descriptors connections={} wanted={} limit={}", left, configured,
                  descriptors.rlim_cur);
    return std::min<std::size_t>(configured, left);
}

std::string_view role_of(const config& from)
{
    return !from.upstream ? "centre" : from.listen ? "relay" : "station";
}

} // namespace

mirror::disk::whereabouts second_disk_of(const config& from)
{
    // Before the first start: where the store is going to be.
    std::error_code ignored;
    auto store = from.state.lexically_normal();
    while (!std::filesystem::exists(store, ignored) && store.has_relative_path())
        store = store.parent_path();
    return {.folder = from.mirror->path,
            .store = store.empty() ? std::filesystem::path{"."} : store,
            .station = from.name};
}

result<materials, start_failure> load_materials(const config& from)
{
    const auto certificate = read(from.identity.certificate, "[identity] certificate");
    if (!certificate)
        return certificate.error();
    const auto key = read(from.identity.key, "[identity] key");
    if (!key)
        return key.error();
    const auto roots = read(from.identity.authorities, "[identity] authorities");
    if (!roots)
        return roots.error();
    auto identity = trust::identity::load(*certificate, *key);
    if (!identity)
        return start_failure{fmt::format("{}: {} ([identity] certificate and key)",
                                         from.identity.certificate.string(),
                                         identity.error().message())};
    const auto& self = identity->self();
    if (self.name != from.name || trust::to_string(self.role) != role_of(from))
        return start_failure{
            fmt::format("{}: the certificate is for {} \"{}\", the configuration describes {} "
                        "\"{}\": set [node] name, or ask for another certificate",
                        from.identity.certificate.string(), trust::to_string(self.role), self.name,
                        role_of(from), from.name)};
    std::vector<std::string> told;
    auto authorities = trust::authorities::load(*roots, &told);
    if (!authorities)
        return start_failure{fmt::format("{}: {} ([identity] authorities)",
                                         from.identity.authorities.string(),
                                         authorities.error().message())};
    materials out{.identity = std::make_shared<const trust::identity>(std::move(*identity)),
                  .authorities =
                      std::make_shared<const trust::authorities>(std::move(*authorities)),
                  .sealer = nullptr,
                  .recipients = {},
                  .revoked = nullptr,
                  .not_understood = {}};
    for (const auto& each : told)
        out.not_understood.push_back(fmt::format(
            "[identity] authorities: \"{}\": {}: it counts for nothing; correct the file",
            from.identity.authorities.string(), each));
    read_revoked(from, out);
    if (!from.seal || from.listen) // see services(): nothing is submitted there
        return out;
    std::vector<bytes> recipients;
    for (const auto& file : from.seal->recipients) {
        auto pem = read(file, "[seal] recipients");
        if (!pem)
            return pem.error();
        for (auto& each : envelope::read_certificates(*pem))
            if (std::ranges::none_of(out.recipients, [&each](const auto& other) {
                    return X509_cmp(other.get(), each.get()) == 0;
                }))
                out.recipients.push_back(std::move(each));
        recipients.push_back(std::move(*pem));
    }
    auto sealer = envelope::sealer::load(recipients);
    if (!sealer)
        return start_failure{
            fmt::format("[seal] recipients: {}: each file needs a certificate with a P-256 or "
                        "RSA key",
                        sealer.error().message())};
    out.sealer = std::make_shared<const envelope::sealer>(std::move(*sealer));
    return out;
}

node::node(asio::any_io_executor on, config from, materials m, std::shared_ptr<vitals> watched)
    : on_(on), config_(std::move(from)), materials_(std::move(m)), watched_(std::move(watched)),
      judge_(std::make_shared<trust::judge>(trust::judge::build_time())),
      // It may be another thread, and what it is made for may outlive this.
      revocations_(std::make_shared<trust::revocations>(
          [this, on, alive = std::weak_ptr{tls_}](const trust::revocations::sighting& what) {
              asio::post(on, [this, alive, what] {
                  if (!alive.expired())
                      note_revoked(what);
              });
          })),
      changed_(on)
{
    revocations_->replace(materials_.revoked);
}

node::~node()
{
    pool_.join(); // what runs there speaks of the store
}

result<std::unique_ptr<node>, start_failure> node::start(asio::any_io_executor on, config from,
                                                         std::shared_ptr<vitals> watched)
{
    auto m = load_materials(from);
    if (!m)
        return m.error();
    std::unique_ptr<node> out{new node{on, std::move(from), std::move(*m), std::move(watched)}};
    if (auto opened = out->open_store(); !opened)
        return opened.error();
    out->take_revoked();
    out->look_at_files(); // the store has told the newest time that was signed
    if (auto opened = out->open_doors(); !opened) {
        if (out->marker_)
            out->marker_->end_opening(); // a port that is taken says nothing against the store
        return opened.error();
    }
    return out;
}

void node::enter_safe_mode(std::string why, wall_time since)
{
    safe_mode_ = std::move(why);
    safe_mode_since_ = since;
    log::error("{} since={} why=\"{}\"", is_store_absent_ ? "no-store" : "safe-mode",
               to_rfc3339(since), safe_mode_);
}

void node::look_at_mark()
{
    if (const auto found = config_.may_be_fleeting ? std::nullopt : fleeting_of(config_))
        fleeting_ = fmt::format("{} ({})",
                                found->what == fleeting::kind::memory ? "in memory"
                                                                      : "in a container's layer",
                                found->name);
    if (!fleeting_.empty())
        log::error("store-not-on-a-disk state=\"{}\" is={}", config_.state.string(), fleeting_);
    if (config_.mark_file.empty())
        return;
    const mark here{.node = config_.name, .store = journal::store_id(store_->submission_key())};
    const auto found = read_mark(config_.mark_file);
    auto trouble = judge(found, here);
    mark_.file = config_.mark_file.string();
    mark_.detail = found.why;
    if (trouble == mark_trouble::other_store)
        mark_.detail =
            fmt::format("{} of {}; here is {}", found.said.store, found.said.node, here.store);
    if (trouble == mark_trouble::absent) {
        const auto put = write_mark(config_.mark_file, here, existing::stays);
        if (put) {
            log::info("store-marked file=\"{}\" store={}", mark_.file, here.store);
            trouble = mark_trouble::none;
        } else
            mark_.detail = fmt::format("{}: {}", mark_.file, put.error().message());
    }
    mark_.trouble = to_string(trouble);
    if (trouble != mark_trouble::none)
        log::error("store-mark trouble={} file=\"{}\" why=\"{}\"", mark_.trouble, mark_.file,
                   mark_.detail);
}

namespace {

/// Differs while it is being written. Empty: it cannot be seen.
std::string look_of(const std::filesystem::path& file)
{
    struct ::stat found {};
    if (::stat(file.c_str(), &found) != 0)
        return {};
    return fmt::format("{} {} {} {}.{}", found.st_dev, found.st_ino, found.st_size,
                       found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
}

} // namespace

asio::awaitable<void> node::await_store()
{
    constexpr auto now_and_then = 1s;
    struct seen {
        bool is_something_there = false;
        std::string data;
        std::string mounts;
    };
    newcomer store;
    asio::steady_timer timer{on_};
    const auto mounts = mounts_over(config_.state);
    for (;;) {
        timer.expires_after(now_and_then);
        co_await timer.async_wait(asio::use_awaitable);
        // On the pool: what is mounted there may hang.
        auto look = [state = config_.state] {
            const auto there = journal::is_there(state);
            return seen{!there || *there, look_of(state / "data.mdb"), mounts_over(state)};
        };
        const auto now = co_await run_on(pool_, std::move(look));
        if (is_stopping_)
            co_return;
        if (store.on_look(now.is_something_there, now.data)) {
            log::info("store-is-there state=\"{}\"", config_.state.string());
            stop();
            is_to_begin_again_ = true;
            co_return;
        }
        // A service has mounts of its own, under which a disk that came later stays hidden: only
        // another process sees it, which the service manager starts.
        if (!now.is_something_there && now.mounts != mounts &&
            std::getenv("NOTIFY_SOCKET") != nullptr) {
            log::info("mounts-changed state=\"{}\"", config_.state.string());
            stop();
            co_return;
        }
    }
}

result<void, start_failure> node::open_store()
{
    using kind = journal::open_failure::kind;
    // All of it: what computes here is the little between one call to the disk and the next.
    const activity::at_disk opening{watched_->socket_thread};
    const auto there = journal::is_there(config_.state);
    if (!there)
        return start_failure{there.error().sentence};
    if (!*there) { // nothing is made or written there: it may be the folder below a disk
        is_store_absent_ = true;
        enter_safe_mode(absence(config_, read_mark(config_.mark_file)), wall_now());
        return {};
    }
    try {
        marker_ = std::make_unique<journal::marker>(config_.state);
    } catch (journal::open_failure& failure) {
        if (failure.what != kind::untrusted)
            return start_failure{failure.sentence};
        enter_safe_mode(failure.sentence, wall_now());
        return {};
    }
    const auto doubt = marker_->standing();
    const bool is_over = doubt && marker_->is_of_another_store(*doubt) && marker_->trust();
    if (doubt && !is_over) {
        enter_safe_mode(doubt->why, doubt->since);
        return {};
    }
    marker_->begin_opening();
    guard_ = std::make_unique<journal::guard>(*marker_);
    const auto open = [this] {
        return journal::store::open(
            {.directory = config_.state,
             .node = config_.name,
             .has_upstream = config_.upstream.has_value(),
             .quota_bytes = config_.quota_bytes,
             .group_bytes = config_.listen
                                ? std::min<std::uint64_t>(
                                      centre_group,
                                      std::max<std::uint64_t>(config_.quota_bytes / 16, 1u << 20))
                                : std::min<std::uint64_t>(
                                      station_group,
                                      std::max<std::uint64_t>(config_.quota_bytes / 16, 1u << 20)),
             .identity = materials_.identity,
             .writer = watched_->writer},
            pool_, [this](std::string why) {
                // At once: what comes after may hang on the same disk.
                if (!marker_->distrust(why))
                    log::error("store-failed the marker `untrusted` cannot be written");
                asio::post(on_, [this, why = std::move(why)] {
                    log::error("store-failed why=\"{}\"", why);
                    store_failure_ = why;
                    stop();
                });
            });
    };
    auto opened = open();
    // Not by another daemon, which would have the marker: by titipd --create or titip restore, which
    // have just made it, or by --check.
    constexpr int most_tries = 100;
    for (int n = 0; n < most_tries && !opened && opened.error().what == kind::in_use; ++n) {
        std::this_thread::sleep_for(50ms);
        opened = open();
    }
    if (opened) {
        store_ = std::move(*opened);
        look_at_mark();
        judge_->on_signed_time(store_->now().newest_signed);
        clock_.on_signed_time(store_->now().newest_signed);
        if (config_.mirror)
            second_copy_ = std::make_unique<mirror::second_copy>(
                on_,
                mirror::second_copy::options{.where = second_disk_of(config_),
                                             .memory = config_.state / "second-copy",
                                             .disks = config_.state / "second-copy-disks"},
                *store_, pool_);
        if (config_.listen)
            stalled_ = std::make_unique<journal::stalled_uploads>(*store_);
        scrubber_ = std::make_unique<journal::scrubber>(
            *store_, pool_,
            journal::scrubber::options{
                .progress = config_.state / journal::scrubber::progress_name,
                .repair = [this](journal::place at) { return repairs(at); }});
        return {};
    }
    guard_.reset();
    if (opened.error().what != kind::untrusted) {
        if (is_over)
            marker_->put_back(*doubt);
        else
            marker_->end_opening();
        return start_failure{opened.error().sentence};
    }
    if (!marker_->distrust(opened.error().sentence))
        log::error("store-failed the marker `untrusted` cannot be written");
    enter_safe_mode(opened.error().sentence, wall_now());
    return {};
}

namespace {

/// The one rule by which a peer is believed, at a handshake, a resumption, a request and SIGHUP. Dates
/// alone are judged by the judge's time, which a dead clock battery does not move.
result<void> believe(x509_st* leaf, int reason, const trust::authorities& authorities,
                     const trust::judge& judge)
{
    if (reason == X509_V_ERR_CERT_REVOKED)
        return trust::errc::revoked;
    if (reason == X509_V_OK)
        return {};
    if (reason != X509_V_ERR_CERT_HAS_EXPIRED && reason != X509_V_ERR_CERT_NOT_YET_VALID)
        return trust::errc::foreign;
    const auto judged = authorities.check(leaf, judge.judged(wall_now()));
    return judged ? result<void>{} : result<void>{judged.error()};
}

/// For the status; and once a day for each in the log.
void note_refused(trust::refused_peers& into, x509_st* leaf, const std::optional<trust::peer>& peer,
                  const error_code& why)
{
    using trust::refused_for;
    const auto kind = why == trust::errc::expired         ? refused_for::expired
                      : why == trust::errc::not_yet_valid ? refused_for::not_yet_valid
                      : why == trust::errc::revoked       ? refused_for::revoked
                                                          : refused_for::foreign;
    const auto name = peer ? intake::key_of(*peer) : std::string{};
    auto who = kind == refused_for::foreign || name.empty()
                   ? to_hex(trust::link_of(leaf).fingerprint)
                   : name;
    if (into.note(kind, std::move(who), name, monotonic::now()))
        log::warn("peer-refused why={} says={} certificate={}", to_string(kind),
                  name.empty() ? "-" : name, to_hex(trust::link_of(leaf).fingerprint));
}

} // namespace

http::tls_options node::tls_options_of(bool is_client) const
{
    http::tls_options out{.certificate = materials_.identity->certificate(),
                          .key = materials_.identity->key(),
                          .authorities = materials_.authorities->store()};
    out.is_revoked = [revoked = revocations_](x509_st* each) {
        return revoked->find(each).has_value();
    };
    // The contexts hold this, and are held by what it leads to.
    out.present = [tls = std::weak_ptr{tls_}, is_client]() -> std::shared_ptr<http::tls_context> {
        const auto all = tls.lock();
        return !all ? nullptr : is_client ? all->client : all->server;
    };
    if (is_client)
        out.verify = [seen = seen_, judge = judge_,
                      authorities = materials_.authorities](x509_st* leaf, int reason) {
            const auto peer = trust::peer_of(leaf);
            if (!peer || peer->role == trust::role::station)
                return false; // a station's certificate does not make an upstream
            const auto believed = believe(leaf, reason, *authorities, *judge);
            if (believed || believed.error() != trust::errc::foreign)
                seen->upstream = trust::chain_of(leaf, authorities->store(), wall_now());
            return believed.has_value();
        };
    else
        out.verify = [seen = seen_, judge = judge_,
                      authorities = materials_.authorities](x509_st* leaf, int reason) {
            const auto peer = trust::peer_of(leaf);
            const auto believed = believe(leaf, reason, *authorities, *judge);
            if (!believed)
                note_refused(seen->refused, leaf, peer, believed.error());
            else if (peer)
                seen->refused.forget(intake::key_of(*peer));
            return believed.has_value();
        };
    return out;
}

void node::take_revoked()
{
    revocations_->replace(materials_.revoked);
    if (!store_)
        return;
    for (const auto& each : store_->revoked())
        revocations_->keep(each.certificate);
}

/// What the files say of fingerprints is kept at once, of a list when a certificate is seen. One after the
/// other: a file may name more than there is room for.
void node::keep_listed()
{
    is_revoked_full_ = false;
    if (!store_)
        return;
    auto fresh = materials_.revoked->fingerprints();
    for (const auto& each : store_->revoked())
        fresh.erase(each.certificate);
    if (!fresh.empty())
        asio::co_spawn(on_, keep_all({fresh.begin(), fresh.end()}), asio::detached);
}

asio::awaitable<void> node::keep_all(std::vector<digest> certificates)
{
    for (const auto& each : certificates) {
        if (is_stopping_ || is_revoked_full_)
            co_return;
        journal::revoked_certificate which{
            .certificate = each,
            .name = {},
            .why = std::string{trust::to_string(trust::revoked_by::fingerprint)},
            .at = wall_now()};
        co_await keep_revoked(std::move(which));
    }
}

void node::note_revoked(const trust::revocations::sighting& what)
{
    constexpr std::size_t most_at_once = 64; // others are told again
    if (!store_ || is_revoked_full_ || is_stopping_ || being_kept_.size() >= most_at_once ||
        !being_kept_.insert(what.certificate).second)
        return;
    journal::revoked_certificate which{.certificate = what.certificate,
                                       .name = what.name,
                                       .why = std::string{trust::to_string(what.why)},
                                       .at = wall_now()};
    asio::co_spawn(on_, keep_revoked(std::move(which)), asio::detached);
}

asio::awaitable<void> node::keep_revoked(journal::revoked_certificate which)
{
    const auto done = co_await store_->keep_revoked(which);
    being_kept_.erase(which.certificate);
    if (done) {
        revocations_->keep(which.certificate);
        co_return;
    }
    if (done.error() != vault::errc::full || std::exchange(is_revoked_full_, true))
        co_return;
    misfits_.push_back(
        fmt::format("[identity] revoked: {} certificates are shut out for good already, and no "
                    "more are kept: further ones are shut out only as long as its files say "
                    "so: let those in again that have expired (titip revoked, titip unrevoke)",
                    journal::most_revoked));
    log::error("misfit {}", misfits_.back());
    control_->parts().misfits = misfits_;
}

/// An operator said so.
void node::on_unrevoked(const digest& certificate)
{
    revocations_->forget(certificate);
    is_revoked_full_ = false;
}

trust::reckoning node::reckon() const
{
    return clock_.reckon(wall_now(), monotonic::now());
}

std::vector<trust::watched> node::certificates() const
{
    auto all = chains_;
    all.upstream = seen_->upstream;
    return trust::all_of(all);
}

void node::look_at_files()
{
    const auto now = reckon();
    chains_ = chains_of(materials_, now.likely);
    misfits_.clear();
    look_at_relays();
    for (const auto& each : find_misfits(config_, materials_, now)) {
        if (each.is_of_dates)
            continue; // looked at again and again
        if (each.is_wrong) {
            log::error("misfit {}", each.sentence);
            misfits_.push_back(each.sentence);
        } else
            log::warn("misfit {}", each.sentence);
    }
}

/// Without a table each relay may do all: as before there was one.
void node::look_at_relays()
{
    if (config_.listen && !config_.relays && !relays_below_.empty())
        misfits_.push_back(no_rights(relays_below_));
}

void node::look_for_alarms()
{
    if (store_) {
        const auto now = store_->now();
        alarms_.look(now, store_->disk(), stalled_.get());
        // A newer one than before has been signed and taken in within the last moments.
        if (now.newest_signed > clock_.newest_signed())
            clock_.on_fresh_time(now.newest_signed, wall_now(), monotonic::now());
    }
    alarms_.look(certificates(), reckon());
    constexpr auto relayed_every = 1min;
    if (!store_ || is_stopping_ || monotonic::now() - relayed_looked_at_ < relayed_every)
        return;
    relayed_looked_at_ = monotonic::now();
    asio::co_spawn(on_, look_at_relayed(), asio::detached);
}

namespace {

constexpr auto verified_name =
    "verified"; ///< what the last titip verify found, if it was not clean

/// Looked at once more: what was read wrong, and is right on the disk, is not set aside for that.
asio::awaitable<void> set_aside(journal::store& store, journal::place at)
{
    const auto intact = co_await store.check_intact(at);
    if (!intact && intact.error() == vault::errc::rotten)
        co_await store.note_rot(at);
}

} // namespace

asio::awaitable<void> node::verify()
{
    using control::verification;
    auto tell = [this](const journal::remark& said) {
        verification_->on_remark(said);
        if (said.what != journal::remark::kind::difference)
            return;
        log::error("verify difference=\"{}\"", said.text);
        if (said.rotten != journal::place{} && !repairs(said.rotten))
            asio::co_spawn(on_, set_aside(*store_, said.rotten), asio::detached);
    };
    if (store_) {
        co_await store_->examine(tell);
        verification_->end();
    } else {
        const auto ended = co_await examine_in_child(on_, config_.state, config_.name, tell);
        verification_->end(ended.how, ended.why);
    }
    auto job = [file = config_.state / verified_name, found = verification_->standing()] {
        if (found)
            return write_file(
                file, as_bytes(fmt::format("{} {}\n", to_ms(found->at), found->differences)));
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
        return result<void>{};
    };
    if (const auto kept = co_await run_on(pool_, std::move(job)); !kept)
        log::warn("verify-not-kept why=\"{}\"", kept.error().message()); // until the next start
}

void node::recall_verification()
{
    const auto stored = read_file(config_.state / verified_name, 64);
    if (!stored)
        return;
    std::istringstream in{std::string{as_text(*stored)}};
    std::int64_t at = 0;
    control::verification::finding found;
    if (in >> at >> found.differences && at >= 0 && found.differences > 0) {
        found.at = from_ms(at);
        verification_->recall(found);
    }
}

control::services node::services()
{
    control::services out{.node = config_.name,
                          .role = std::string{role_of(config_)},
                          .store = store_.get(),
                          .acceptor = acceptor_.get(),
                          .replayer = replayer_.get(),
                          .second_copy = second_copy_.get(),
                          .scrubber = scrubber_.get(),
                          .stalled = stalled_.get(),
                          .safe_mode = safe_mode_,
                          .is_store_absent = is_store_absent_,
                          .safe_mode_since = safe_mode_since_,
                          .verification = verification_.get(),
                          .start_verification =
                              [this] {
                                  verification_->begin();
                                  start_part(verify());
                              },
                          .trust = [this]() -> result<void> {
                              // Without one nothing is written against it: the next start
                              // sees whether the disk can be written again.
                              return marker_ ? marker_->trust() : result<void>{};
                          },
                          .restart = [this] { stop(); },
                          .certificates = [this] { return certificates(); },
                          .time = [this] { return reckon(); },
                          .refused = config_.listen ? &seen_->refused : nullptr,
                          .revocations = revocations_.get(),
                          .unrevoked = [this](const digest& each) { on_unrevoked(each); },
                          .misfits = misfits_,
                          .is_seal_unused = config_.seal && config_.listen,
                          .mark = mark_,
                          .fleeting = fleeting_};
    return out;
}

result<void, start_failure> node::open_doors()
{
    if (store_ && materials_.sealer)
        acceptor_ = std::make_unique<accept::acceptor>(
            *store_, pool_, config_.name, materials_.sealer, [this] {
                const auto now = reckon();
                return enrollment::known_time{
                    .from = now.floor, .until = now.until, .is_clock = now.is_by_clock};
            });
    if (store_ && config_.upstream) {
        auto context = http::tls_context::client(tls_options_of(true));
        if (!context)
            return start_failure{
                fmt::format("[identity]: TLS refuses it: {}", context.error().message())};
        tls_->client = *context;
        dialer_ = std::make_unique<link::dialer>(
            on_, http::endpoint{config_.upstream->host, config_.upstream->port},
            [tls = tls_] { return tls->client; },
            [this](x509_st* certificate) {
                const auto who = trust::peer_of(certificate);
                if (who && replayer_)
                    replayer_->on_upstream(*who);
                return who && *who == materials_.identity->self();
            });
        replay::replayer::options opts{.node = config_.name,
                                       .is_relay = config_.listen.has_value(),
                                       .most_connections = config_.upstream->connections,
                                       .limits = config_.upstream->budget};
        if (config_.retention)
            opts.keep = config_.retention->keep;
        replayer_ = std::make_unique<replay::replayer>(
            on_, std::move(opts),
            replay::replayer::surroundings{*store_, *dialer_,
                                           [this] { return materials_.authorities; }, judge_,
                                           [this](journal::place at) { return repairs(at); },
                                           [this] {
                                               if (intake_)
                                                   intake_->ring_road();
                                           }});
    }
    if (store_ && config_.listen) {
        auto context = http::tls_context::server(tls_options_of(false));
        if (!context)
            return start_failure{
                fmt::format("[identity]: TLS refuses it: {}", context.error().message())};
        tls_->server = *context;
        intake::options opts;
        opts.rules.most_connections = most_connections(config_.listen->connections);
        opts.rules.most_bodies = opts.rules.most_connections / 2; // each has its probe's beside
        opts.rules.memory_bytes = config_.listen->memory_bytes;
        opts.rules.first_spread = config_.listen->spread;
        auto door = http::listen_tls(on_, config_.listen->address, *context,
                                     opts.rules.most_connections + intake::server::most_beside);
        if (!door)
            return start_failure{fmt::format("[listen] address: \"{}\": {}{}",
                                             config_.listen->address, door.error().message(),
                                             why_not_listening(door.error()))};
        upper_door_ = std::move(*door);
        http::tell_of_refusals(*upper_door_, [seen = seen_](const std::string& address) {
            if (seen->refused.note(trust::refused_for::not_accepted, address, {}, monotonic::now()))
                log::warn("peer-refused why=not-accepted from={}: it does not accept our "
                          "certificate",
                          address);
        });
        gate_ = std::make_unique<accept::gate>(materials_.authorities, revocations_,
                                               accept::rights{config_.relays});
        intake_ = std::make_unique<intake::server>(on_, *store_, *gate_, description(), opts);
    }
    auto door = http::listen_unix(on_, config_.control.socket, most_local);
    if (!door)
        return start_failure{
            fmt::format("[control] socket: {}", explain(config_.control.socket, door.error()))};
    local_door_ = std::move(*door);
    const auto& groups = config_.control;
    verification_ = std::make_unique<control::verification>(on_);
    recall_verification();
    control_ = std::make_unique<control::server>(
        on_, services(),
        control::role_groups{groups.submit, groups.read, groups.operate, groups.consume});
    if (store_)
        store_->on_change(on_, [this](const journal::change& what) {
            if (replayer_)
                replayer_->on_change(what);
            if (intake_ && what.event == "verdict")
                intake_->ring();
            if (second_copy_)
                second_copy_->on_change(what);
            if (stalled_)
                stalled_->on_change(what);
            alarms_.on_change(what, *store_, on_);
            control_->ring();
        });
    return {};
}

intake::self_description node::description()
{
    intake::self_description out{.name = config_.name};
    out.came = [this](const trust::peer& peer) {
        if (peer.role != trust::role::relay || !relays_below_.insert(peer.name).second)
            return;
        if (replayer_)
            start_part(take_back(peer.name));
        if (!config_.relays) {
            std::erase_if(misfits_, [](const std::string& each) { return is_of_rights(each); });
            look_at_relays();
            control_->parts().misfits = misfits_;
        }
    };
    if (!replayer_)
        return out;
    out.is_above = [this](const trust::peer& peer) {
        return peer == materials_.identity->self() ||
               (peer.role == trust::role::relay && replayer_->is_upstream(peer));
    };
    out.road = [this] { return replayer_->road(); };
    return out;
}

/// It may have been our upstream once: then each of us thinks that the other hands those records on.
asio::awaitable<void> node::take_back(std::string relay)
{
    const auto taken = co_await store_->take_back(relay);
    if (taken && *taken > 0)
        log::warn("taken-back records={} from={}: it hands its own on to this node", *taken, relay);
}

asio::awaitable<void> node::look_at_relayed()
{
    const auto oldest = co_await store_->oldest_relayed();
    if (oldest)
        alarms_.on_relayed(*oldest, wall_now());
}

void node::start_part(asio::awaitable<void> work)
{
    running_.push_back(std::make_unique<asio::cancellation_signal>());
    ++running_count_;
    auto done = [this](std::exception_ptr failed) {
        --running_count_;
        changed_.ring();
        if (failed && !is_stopping_)
            std::rethrow_exception(failed); // a bug: the process ends, the journal has everything
    };
    asio::co_spawn(on_, std::move(work),
                   asio::bind_cancellation_slot(running_.back()->slot(), std::move(done)));
}

asio::awaitable<void> node::run()
{
    if (store_) {
        co_await store_->note_started();
        keep_listed();
        start_part(scrubber_->run());
        start_part(watch_room());
        if (config_.upstream) // the centre's verdicts are for those below
            start_part(count_needs_person());
        if (stalled_)
            start_part(stalled_->run());
        // It has been opened, and written to. What faults from here on is looked at by where it lies.
        guard_->end_opening();
        marker_->end_opening();
        if (replayer_)
            start_part(replay());
        if (second_copy_) {
            start_part(second_copy_->run());
            start_part(second_copy_->watch());
        }
    }
    if (is_store_absent_)
        start_part(await_store());
    start_part(local_door_->run(
        [this](std::unique_ptr<http::stream> each) { return control_->serve(std::move(each)); }));
    if (upper_door_)
        start_part(upper_door_->run([this](std::unique_ptr<http::stream> each) {
            return intake_->serve(std::move(each));
        }));
    while (!is_stopping_)
        co_await changed_.wait();

    if (hints_)
        hints_->stop();
    if (replayer_)
        replayer_->stop();
    if (intake_)
        intake_->stop_accepting();
    control_->stop_accepting();
    for (const auto& each : running_)
        each->emit(asio::cancellation_type::terminal);
    auto deadline = monotonic::now() + stop_limit;
    const auto latest = deadline + pulse::options{}.most_stopping;
    while (running_count_ > 0 && monotonic::now() < deadline) {
        const auto before = monotonic::now();
        co_await changed_.wait_until(std::min<instant>(deadline, before + 200ms));
        if (watched_->writer->now().what == activity::kind::disk)
            deadline = std::min(latest, deadline + (monotonic::now() - before));
    }
    if (running_count_ > 0)
        log::warn("stop left={} parts behind", running_count_);
}

/// Others fill and empty the disk too.
asio::awaitable<void> node::watch_room()
{
    constexpr auto now_and_then = 10s;
    asio::steady_timer timer{on_};
    for (;;) {
        timer.expires_after(now_and_then);
        co_await timer.async_wait(asio::use_awaitable);
        store_->knock([] {}); // the writer looks as it comes round
    }
}

asio::awaitable<void> node::count_needs_person()
{
    co_await store_->count_needs_person(); // failing, the store has said so
}

asio::awaitable<void> node::replay()
{
    co_await replayer_->load(); // accepting does not wait for it: a cold disk takes its time
    hints_.emplace(on_, [this] { replayer_->on_network_change(); });
    if (const auto failed = is_stopping_ ? error_code{} : hints_->start())
        log::warn("no-hints of changes of the network why=\"{}\"", failed.message());
    co_await replayer_->run();
}

void node::stop()
{
    is_to_begin_again_ = false;
    is_stopping_ = true;
    changed_.ring();
}

void node::reload()
{
    auto fresh = load_materials(config_);
    if (!fresh) {
        log::error("reload refused why=\"{}\"", fresh.error().sentence);
        return;
    }
    if (!fresh->are_revoked_read) // what was shut out stays so
        fresh->revoked = materials_.revoked;
    materials_ = std::move(*fresh);
    take_revoked();
    look_at_files();
    keep_listed();
    if (store_)
        store_->replace_identity(materials_.identity);
    if (acceptor_)
        acceptor_->replace(materials_.sealer);
    if (gate_)
        gate_->replace(materials_.authorities);
    if (tls_->client)
        if (auto context = http::tls_context::client(tls_options_of(true)))
            tls_->client = *context;
    if (upper_door_)
        if (auto context = http::tls_context::server(tls_options_of(false))) {
            tls_->server = *context;
            upper_door_->replace(*context);
        }
    if (intake_)
        intake_->look_at_peers();
    control_->parts() = services();
    if (replayer_)
        replayer_->check_now();
    log::info("reloaded");
}

std::string node::summary() const
{
    if (is_store_absent_)
        return "NO STORE HERE: " + safe_mode_;
    if (!store_)
        return "SAFE MODE: " + safe_mode_;
    const auto now = store_->now();
    const auto& waiting = now.of(journal::state::waiting);
    if (!replayer_)
        return fmt::format("{} records here, {} opened",
                           now.of(journal::state::delivered).records +
                               now.of(journal::state::opened).records,
                           now.of(journal::state::opened).records);
    const auto link = replayer_->now();
    const auto relayed = now.of(journal::state::relayed).records;
    return fmt::format("{} waiting ({}){}; link {}{}", waiting.records, show_size(waiting.bytes),
                       relayed > 0 ? fmt::format(", {} at a relay", relayed) : std::string{},
                       link::to_string(link.verdict), now.paused ? "; paused" : "");
}

void node::knock(std::function<void()> passed)
{
    if (store_)
        store_->knock(std::move(passed));
    else
        passed();
}

std::string node::listening() const
{
    return upper_door_ ? upper_door_->address() : std::string{};
}

} // namespace titip::node
