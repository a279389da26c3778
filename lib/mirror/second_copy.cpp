#include "mirror/second_copy.hpp"

#include "base/log.hpp"

#include <cerrno>
#include <functional>

#include <sys/stat.h>
#include <unistd.h>

namespace titip::mirror {

namespace {

constexpr std::size_t page_rows = 256;
constexpr std::size_t slice_bytes = 256u << 10; // of one read transaction

name_hash hash_of(const std::filesystem::path& file)
{
    return name_hash{std::hash<std::string>{}(file.native())};
}

bundle::label label_of(const journal::record_view& of)
{
    return {.epoch = of.epoch, .at = envelope::sequence{of.sequence}, .record = of.key.record};
}

bool is_rotten(const journal::record_view& of)
{
    return of.rotten_at != wall_time{} ||
           (of.state == journal::state::quarantined && of.reason == journal::reason::rotten);
}

/// One record's trouble, where others may well be written.
bool concerns_one_record(const error_code& why)
{
    return why == bundle::errc::name_taken || why == bundle::errc::newer_format;
}

result<void> write_copy(const std::filesystem::path& folder, const std::filesystem::path& store,
                        const bundle::label& of, const bundle::sealed_record& what)
{
    if (auto mounted = check_mounted(folder, store); !mounted)
        return mounted;
    return bundle::write_record(folder, of, what);
}

} // namespace

result<void> check_mounted(const std::filesystem::path& folder, const std::filesystem::path& store)
{
    struct ::stat second {};
    struct ::stat first {};
    if (::stat(folder.c_str(), &second) != 0 || ::stat(store.c_str(), &first) != 0) {
        const error_code why{errno, boost::system::system_category()};
        return why == boost::system::errc::no_such_file_or_directory
                   ? make_error_code(bundle::errc::folder_missing)
                   : why;
    }
    if (!S_ISDIR(second.st_mode) || second.st_dev == first.st_dev)
        return bundle::errc::folder_missing;
    return {};
}

second_copy::second_copy(asio::any_io_executor on, options opts, journal::store& store)
    : on_(on), opts_(std::move(opts)), store_(store), plan_(opts_.pace), changed_(on)
{
}

void second_copy::on_change(const journal::change& what)
{
    if (what.event == "accepted")
        plan_.on_accepted(what.place, what.key.record, wall_now());
    else if (what.event == "erase")
        plan_.on_erased_in_journal(what.place);
    else if ((what.event == "quarantine" || what.event == "rotten") && plan_.is_listed() &&
             what.place != noting_)
        plan_.on_rotten(what.place); // or set aside for another reason: repair() looks
    changed_.ring();
}

bool second_copy::take_rotten(journal::place at)
{
    if (!plan_.is_listed())
        return false;
    plan_.on_rotten(at);
    changed_.ring();
    return true;
}

asio::awaitable<void> second_copy::run()
{
    for (;;) {
        const auto next = plan_.next(monotonic::now());
        co_await carry_out(next);
        tell_news();
    }
}

asio::awaitable<void> second_copy::carry_out(plan::step what)
{
    using kind = plan::step::kind;
    switch (what.what) {
    case kind::wait:
        co_await changed_.wait_until(what.until);
        break;
    case kind::list:
        co_await list();
        break;
    case kind::scan:
        co_await scan(what.place);
        break;
    case kind::write:
        co_await write(what.place);
        break;
    case kind::erase:
        co_await erase(what.place);
        break;
    case kind::repair:
        co_await repair(what.place);
        break;
    case kind::check:
        co_await check();
        break;
    }
    co_await give_up_repairs();
}

void second_copy::note_trouble(const error_code& why)
{
    plan_.on_trouble(trouble_of(why), why.message(), monotonic::now(), wall_now());
}

void second_copy::tell_news()
{
    const auto now = plan_.now();
    switch (plan_.take_news()) {
    case plan::news::none:
        break;
    case plan::news::trouble:
        log::warn("second-copy-trouble path=\"{}\" why={} detail=\"{}\" missing={}",
                  opts_.folder.string(), to_string(now.why), now.detail, now.missing);
        break;
    case plan::news::good_again:
        log::info("second-copy-good path=\"{}\" skipped={}", opts_.folder.string(), now.skipped);
        break;
    }
}

asio::awaitable<void> second_copy::list()
{
    using names = std::vector<name_hash>;
    auto job = [folder = opts_.folder, store = opts_.store]() -> result<names> {
        if (auto mounted = check_mounted(folder, store); !mounted)
            return mounted.error();
        names out;
        const auto listed = bundle::list(folder, [&out](const auto& file) {
            out.push_back(hash_of(file));
            return true;
        });
        if (!listed)
            return listed.error();
        return out;
    };
    auto found = co_await run_on(disk_, std::move(job));
    newest_file_.clear();
    if (found)
        plan_.on_listed(std::move(*found), monotonic::now());
    else
        note_trouble(found.error());
}

asio::awaitable<void> second_copy::scan(journal::place after)
{
    const journal::list_filter all;
    const auto rows = co_await store_.list(all, after, page_rows);
    if (!rows) { // the store has told that it failed
        note_trouble(rows.error());
        co_return;
    }
    for (const auto& each : *rows) {
        row seen{.place = each.place,
                 .record = each.key.record,
                 .accepted_at = each.accepted_at,
                 .name = hash_of(bundle::path_of(opts_.folder, label_of(each)))};
        // What arrives comes again when it is complete; of a row that cannot be read nothing is
        // known.
        if (each.state == journal::state::arriving || each.key.station.empty())
            seen.what = row::kind::erased;
        else if (each.state == journal::state::erased)
            seen.what = row::kind::erased;
        else if (is_rotten(each))
            seen.what = row::kind::rotten;
        plan_.on_row(seen);
    }
    if (rows->size() < page_rows)
        plan_.on_scanned(monotonic::now());
}

asio::awaitable<result<bytes>> second_copy::read_envelope(const journal::record_view& of)
{
    bytes out;
    out.reserve(of.size_bytes);
    while (out.size() < of.size_bytes) {
        const auto slice = co_await store_.read_at(of.place, out.size(), slice_bytes);
        if (!slice)
            co_return slice.error();
        if (slice->empty())
            co_return vault::errc::rotten;
        out.insert(out.end(), slice->begin(), slice->end());
    }
    co_return out;
}

asio::awaitable<void> second_copy::write(journal::place at)
{
    auto what = co_await store_.outgoing_of(at);
    result<bytes> envelope{what ? error_code{} : what.error()};
    if (what)
        envelope = co_await read_envelope(what->view);
    if (!envelope) {
        // Erased meanwhile, or rotten: the scrub, or sending it, finds that out as well.
        if (envelope.error() != vault::errc::erased)
            log::warn("second-copy-unreadable place={} why=\"{}\"", static_cast<std::uint64_t>(at),
                      envelope.error().message());
        plan_.on_skipped(at);
        co_return;
    }
    const auto label = label_of(what->view);
    auto job = [folder = opts_.folder, store = opts_.store, label, digest = what->view.digest,
                sealed =
                    bundle::sealed_record{.manifest_cms = std::move(what->manifest_cms),
                                          .receipt_cms = std::move(what->receipt_cms),
                                          .receipt_given_cms = std::move(what->receipt_given_cms),
                                          .envelope = std::move(*envelope)}]() -> result<void> {
        if (sha256(sealed.envelope) != digest)
            return vault::errc::rotten;
        return write_copy(folder, store, label, sealed);
    };
    const auto written = co_await run_on(disk_, std::move(job));
    if (written) {
        newest_file_ = bundle::path_of(opts_.folder, label);
        plan_.on_written(at, monotonic::now());
    } else if (concerns_one_record(written.error()) || written.error() == vault::errc::rotten) {
        log::error("second-copy-refused record={} why=\"{}\"", label.record.to_string(),
                   written.error().message());
        plan_.on_skipped(at);
    } else
        note_trouble(written.error());
}

asio::awaitable<void> second_copy::erase(journal::place at)
{
    const auto what = co_await store_.outgoing_of(at);
    // Only what the journal itself says that it erased.
    if (!what || what->view.state != journal::state::erased) {
        plan_.on_erased(at, monotonic::now());
        co_return;
    }
    auto job = [folder = opts_.folder, store = opts_.store,
                label = label_of(what->view)]() -> result<void> {
        if (auto mounted = check_mounted(folder, store); !mounted)
            return mounted;
        return bundle::erase_record(folder, label);
    };
    const auto erased = co_await run_on(disk_, std::move(job));
    if (!erased) {
        note_trouble(erased.error());
        co_return;
    }
    if (newest_file_ == bundle::path_of(opts_.folder, label_of(what->view)))
        newest_file_.clear();
    plan_.on_erased(at, monotonic::now());
}

/// No error: the bytes in the journal are right again. errc::wrong_state: nothing is to be done.
asio::awaitable<error_code> second_copy::try_repair(journal::place at)
{
    const auto intact = co_await store_.check_intact(at);
    const auto what = co_await store_.outgoing_of(at);
    if (!what)
        co_return what.error();
    if (!intact && intact.error() != vault::errc::rotten)
        co_return intact.error();
    // One that waits was found rotten by who sends it; that it can be read now, on a disk that
    // fails, is no reason not to write it anew.
    if (intact && !is_rotten(what->view) && what->view.state != journal::state::waiting)
        co_return vault::errc::wrong_state;
    auto job = [file = bundle::path_of(opts_.folder, label_of(what->view))] {
        return bundle::read_sealed(file);
    };
    auto copy = co_await run_on(disk_, std::move(job));
    if (!copy)
        co_return copy.error();
    const auto repaired = co_await store_.repair(at, std::move(copy->envelope));
    if (!repaired)
        co_return repaired.error();
    const auto good = co_await store_.check_intact(at);
    co_return good ? error_code{} : good.error();
}

asio::awaitable<void> second_copy::repair(journal::place at)
{
    const auto failed = co_await try_repair(at);
    plan_.on_repaired(at);
    if (!failed) {
        log::warn("repaired place={} from=\"{}\"", static_cast<std::uint64_t>(at),
                  opts_.folder.string());
        co_return;
    }
    if (failed == vault::errc::wrong_state)
        co_return;
    log::error("not-repaired place={} why=\"{}\"", static_cast<std::uint64_t>(at),
               failed.message());
    co_await note_rot(at);
}

/// Once: what this changes is no news to ourselves.
asio::awaitable<void> second_copy::note_rot(journal::place at)
{
    const auto what = co_await store_.outgoing_of(at);
    if (what && is_rotten(what->view))
        co_return;
    noting_ = at;
    if (what)
        co_await store_.note_rot(at);
    else
        co_await store_.quarantine(at, journal::reason::rotten, what.error().message());
    noting_ = {};
}

asio::awaitable<void> second_copy::check()
{
    auto job = [folder = opts_.folder, store = opts_.store,
                newest = newest_file_]() -> result<void> {
        if (auto mounted = check_mounted(folder, store); !mounted)
            return mounted;
        // Another disk in its place, or the same one after somebody tidied it up.
        if (!newest.empty() && ::access(newest.c_str(), R_OK) != 0)
            return error_code{errno, boost::system::system_category()};
        return {};
    };
    const auto found = co_await run_on(disk_, std::move(job));
    if (found)
        plan_.on_checked(monotonic::now());
    else
        note_trouble(found.error());
}

asio::awaitable<void> second_copy::give_up_repairs()
{
    if (plan_.is_listed() || plan_.now().why == trouble::none)
        co_return;
    for (const auto at : plan_.take_repairs())
        co_await note_rot(at);
}

} // namespace titip::mirror
