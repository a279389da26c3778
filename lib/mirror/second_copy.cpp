#include "mirror/second_copy.hpp"

#include "base/file.hpp"
#include "base/log.hpp"

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <sstream>

namespace titip::mirror {

namespace {

constexpr std::size_t page_rows = 256;

name_hash hash_of(const std::string& path)
{
    return name_hash{std::hash<std::string>{}(path)};
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

row row_of(const journal::record_view& each)
{
    row out{.place = each.place,
            .record = each.key.record,
            .accepted_at = each.accepted_at,
            .name = hash_of(bundle::path_of(label_of(each))),
            .least_bytes = each.size_bytes,
            // What the next custodian has lost waits again, with its receipt and no time of it.
            .is_only_here = each.receipt_by.empty() || each.delivered_at == wall_time{}};
    // What arrives comes again when it is complete; of a row that cannot be read nothing is known.
    if (each.state == journal::state::arriving || each.state == journal::state::erased ||
        each.key.station.empty())
        out.what = row::kind::erased;
    else if (is_rotten(each))
        out.what = row::kind::rotten;
    return out;
}

/// One record's trouble, where others may well be written.
bool concerns_one_record(const error_code& why)
{
    return why == bundle::errc::name_taken || why == bundle::errc::newer_format ||
           why == vault::errc::rotten;
}

struct listing {
    std::string disk;
    std::vector<listed_file> files;
};

/// What the disk has of a record.
enum class copy_state {
    good,
    ruined, ///< not what was written
    gone,
    other, ///< a file that is not for us to judge, and stays: writing it says why
};

result<copy_state> state_of(const disk& on, const bundle::label& of, const digest& wanted)
{
    const auto copy = on.files().read(of);
    if (copy && sha256(copy->envelope) == wanted)
        return copy_state::good;
    if (copy)
        return bundle::is_of(of, *copy) ? copy_state::other : copy_state::ruined;
    const auto& why = copy.error();
    if (why == boost::system::errc::no_such_file_or_directory)
        return copy_state::gone;
    if (why == bundle::errc::newer_format || why == bundle::errc::name_taken)
        return copy_state::other;
    if (why.category() == make_error_code(bundle::errc::damaged).category())
        return copy_state::ruined;
    // The file's own trouble, where the disk answers otherwise.
    if (bundle::is_unreadable(why) && on.probe(false))
        return copy_state::ruined;
    return why;
}

/// Files that were written last are read as well: those are what a disk that was pulled out has
/// named and not written, whatever it said. One that is not whole counts as short, and is written
/// again.
result<listing> list_files(const disk& on)
{
    constexpr std::size_t looked_at = 32;
    constexpr std::uint64_t most_read_bytes = 64u << 20; // 13 s of a slow stick
    constexpr std::uint64_t none = 0;
    const auto is_newer = [](const bundle::folder::file& a, const bundle::folder::file& b) {
        return a.written_at > b.written_at;
    };
    listing out{.disk = on.id(), .files = {}};
    std::vector<bundle::folder::file> newest; // a heap; the oldest of them in front
    const auto listed = on.files().list([&](bundle::folder::file each) {
        out.files.push_back({hash_of(each.path), each.size_bytes});
        newest.push_back(std::move(each));
        std::ranges::push_heap(newest, is_newer);
        if (newest.size() > looked_at) {
            std::ranges::pop_heap(newest, is_newer);
            newest.pop_back();
        }
    });
    if (!listed)
        return listed.error();
    std::ranges::sort(newest, is_newer);
    std::uint64_t read_bytes = 0;
    for (const auto& each : newest) {
        read_bytes += each.size_bytes;
        if (read_bytes > most_read_bytes)
            break;
        const auto copy = on.files().read(each.path);
        if (copy || copy.error() == bundle::errc::newer_format)
            continue;
        const auto& why = copy.error();
        const bool is_whole_disk = bundle::is_unreadable(why) && !on.probe(false);
        if (is_whole_disk) // pulled out meanwhile: that says nothing of its files
            return why;
        if (bundle::is_unreadable(why) ||
            why.category() == make_error_code(bundle::errc::damaged).category())
            std::ranges::find(out.files, hash_of(each.path), &listed_file::name)->size_bytes = none;
    }
    return out;
}

} // namespace

second_copy::second_copy(asio::any_io_executor on, options opts, journal::store& store,
                         asio::thread_pool& pool)
    : on_(on), opts_(std::move(opts)), store_(store), pool_(pool), plan_(opts_.pace), changed_(on)
{
}

void second_copy::on_change(const journal::change& what)
{
    if (what.event == "accepted")
        plan_.on_accepted(what.place, what.key.record, wall_now());
    else if (what.event == "erase")
        plan_.on_erased_in_journal(what.place);
    else if (what.event == "relayed" || what.event == "delivered")
        plan_.on_held_elsewhere(what.place);
    else if (what.event == "retry" && what.state == journal::state::waiting)
        plan_.on_lost_elsewhere(what.place);
    else if ((what.event == "quarantine" || what.event == "rotten") && what.place != noting_)
        plan_.on_rotten(what.place); // or set aside for another reason: repair() looks
    changed_.ring();
}

bool second_copy::take_rotten(journal::place at)
{
    if (!plan_.is_listed() || hangs())
        return false;
    plan_.on_rotten(at);
    changed_.ring();
    return true;
}

bool second_copy::hangs() const
{
    return busy_since_ && monotonic::now() - *busy_since_ > opts_.hangs_after;
}

plan::report second_copy::now() const
{
    auto out = plan_.now();
    if (!hangs())
        return out;
    if (out.why == trouble::none)
        out.trouble_since =
            wall_now() - std::chrono::duration_cast<milliseconds>(monotonic::now() - *busy_since_);
    out.why = trouble::hangs;
    out.detail.clear();
    return out;
}

/// What `act` says, done on the disk that was listed; errc::other_disk on another one.
template <class Act>
asio::awaitable<std::invoke_result_t<Act, const disk&>> second_copy::on_disk(Act act)
{
    using T = std::invoke_result_t<Act, const disk&>;
    auto room = std::make_shared<std::optional<journal::disk_room>>();
    auto job = [where = opts_.where, id = disk_id_, room, act = std::move(act)]() mutable -> T {
        const auto opened = disk::open(where);
        if (!opened)
            return opened.error();
        if (!id.empty() && opened->id() != id)
            return errc::other_disk;
        auto out = act(*opened);
        *room = journal::disk_room_of(opened->files().place().get());
        if (!out && out.error() == boost::system::errc::io_error && opened->is_gone())
            return errc::not_mounted; // its mount outlives it
        return out;
    };
    busy_since_ = monotonic::now();
    auto out = co_await run_on(disk_, std::move(job));
    has_hung_ = has_hung_ || hangs();
    busy_since_.reset();
    room_ = *room;
    co_return out;
}

asio::awaitable<void> second_copy::run()
{
    co_await recall();
    co_await recall_disks();
    for (;;) {
        const auto next = plan_.next(monotonic::now());
        co_await carry_out(next);
        if (std::exchange(has_hung_, false))
            plan_.look_again(); // and repairs that were given up are found again
        co_await remember();
        co_await remember_disks();
    }
}

asio::awaitable<void> second_copy::watch()
{
    asio::steady_timer timer{on_};
    for (;;) {
        timer.expires_after(std::min<milliseconds>(opts_.hangs_after, 5s));
        co_await timer.async_wait(asio::use_awaitable);
        const bool is_hanging = hangs();
        if (is_hanging)
            for (const auto at : plan_.take_repairs())
                co_await note_rot(at);
        if (is_hanging != told_hanging_)
            log::write(is_hanging ? log::level::warn : log::level::info,
                       fmt::format("second-copy-{} path=\"{}\"", is_hanging ? "hangs" : "answers",
                                   folder().string()));
        told_hanging_ = is_hanging;
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
    case kind::read:
        co_await read_back(what.place);
        break;
    }
    co_await give_up_repairs();
}

void second_copy::note_trouble(const error_code& why, journal::place concerned)
{
    if (why == errc::other_disk) {
        log::info("second-copy-disk path=\"{}\": another one", folder().string());
        disk_id_.clear();
        plan_.look_again();
        return;
    }
    plan_.on_trouble(trouble_of(why), why.message(), monotonic::now(), wall_now(), concerned);
}

/// What changed for people goes to the log; and how long there has been trouble, and from which
/// record on, into a file: a machine that is switched on each morning would count from then.
asio::awaitable<void> second_copy::remember()
{
    const auto news = plan_.take_news();
    const auto now = news == plan::news::none ? plan::report{} : plan_.now();
    if (news == plan::news::trouble)
        log::warn("second-copy-trouble path=\"{}\" why={} detail=\"{}\" missing={}",
                  folder().string(), to_string(now.why), now.detail, now.missing);
    if (news == plan::news::good_again)
        log::info("second-copy-good path=\"{}\" skipped={}", folder().string(), now.skipped);
    auto text = remembered_;
    if (news == plan::news::good_again)
        text.clear();
    else if (plan_.why() != trouble::none && !text.ends_with('\n')) {
        // Later ones that were copied meanwhile are counted until the disk is compared.
        if (const auto first = plan_.first_missing())
            text = fmt::format("{} {}\n", to_ms(plan_.now().trouble_since),
                               static_cast<std::uint64_t>(*first));
        else if (text.empty())
            text = fmt::format("{}", to_ms(plan_.now().trouble_since));
    }
    if (text == remembered_)
        co_return;
    remembered_ = text;
    auto job = [file = opts_.memory, text = std::move(text)] {
        if (!text.empty())
            return write_file(file, as_bytes(text));
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
        return result<void>{};
    };
    co_await run_on(pool_, std::move(job)); // failing, it is counted anew after the next start
}

asio::awaitable<void> second_copy::recall()
{
    auto job = [file = opts_.memory] { return read_file(file, 64); };
    const auto stored = co_await run_on(pool_, std::move(job));
    if (!stored)
        co_return;
    remembered_ = as_text(*stored);
    std::istringstream in{remembered_};
    std::int64_t since = 0;
    std::uint64_t first = 0;
    if (!(in >> since))
        co_return;
    std::vector<row> rows;
    if (in >> first && first > 0) {
        const journal::list_filter all;
        for (auto after = journal::place{first - 1};;) {
            const auto page = co_await store_.list(all, after, page_rows);
            if (!page || page->empty())
                break;
            for (const auto& each : *page)
                rows.push_back(row_of(each));
            after = page->back().place;
        }
    }
    plan_.go_on_missing(from_ms(since), rows);
}

/// One line a disk: its number, files lost and since when, how far it was read, and when the pass and
/// the one before began.
asio::awaitable<void> second_copy::remember_disks()
{
    if (plan_.take_loss()) {
        const auto now = plan_.now();
        log::error(
            "second-copy-loses path=\"{}\" lost={} since={}: this disk loses what is written "
            "to it: use another one",
            folder().string(), now.lost, to_rfc3339(now.lost_since));
    }
    const auto& known = plan_.disks();
    const auto& before = remembered_disks_;
    // How far it was read changes each second; what that is worth is a few minutes of reading.
    constexpr milliseconds often_enough = 5min;
    const auto is_of_weight = [](const disk_memory& a, const disk_memory& b) {
        return a.disk != b.disk || a.lost != b.lost || a.pass_began != b.pass_began;
    };
    const bool is_urgent = known.size() != before.size() || is_of_weight(known[0], before[0]);
    if (known == before || (!is_urgent && monotonic::now() < remember_disks_at_))
        co_return;
    remember_disks_at_ = monotonic::now() + often_enough;
    remembered_disks_ = known;
    std::string text;
    for (const auto& each : known)
        if (!each.disk.empty())
            text += fmt::format("{} {} {} {} {} {}\n", each.disk, each.lost, to_ms(each.lost_since),
                                static_cast<std::uint64_t>(each.read_up_to), to_ms(each.pass_began),
                                to_ms(each.earlier_began));
    if (text.empty()) // no disk was ever there
        co_return;
    auto job = [file = opts_.disks, text = std::move(text)] {
        return write_file(file, as_bytes(text));
    };
    co_await run_on(pool_, std::move(job)); // failing, the disks are read from their begin again
}

asio::awaitable<void> second_copy::recall_disks()
{
    constexpr std::size_t most_bytes = 4'096;
    auto job = [file = opts_.disks] { return read_file(file, most_bytes); };
    const auto stored = co_await run_on(pool_, std::move(job));
    if (!stored)
        co_return;
    std::istringstream in{std::string{as_text(*stored)}};
    std::deque<disk_memory> known;
    disk_memory each;
    std::uint64_t read_up_to = 0;
    std::int64_t lost_since = 0;
    std::int64_t began = 0;
    std::int64_t earlier = 0;
    while (in >> each.disk >> each.lost >> lost_since >> read_up_to >> began >> earlier) {
        each.lost_since = from_ms(lost_since);
        each.read_up_to = journal::place{read_up_to};
        each.pass_began = from_ms(began);
        each.earlier_began = from_ms(earlier);
        known.push_back(each);
    }
    plan_.recall(known);
    remembered_disks_ = plan_.disks();
}

asio::awaitable<void> second_copy::list()
{
    disk_id_.clear(); // whichever it is
    auto found = co_await on_disk(list_files);
    if (!found) {
        note_trouble(found.error());
        co_return;
    }
    disk_id_ = std::move(found->disk);
    plan_.on_listed(std::move(found->files), monotonic::now(), disk_id_, wall_now());
}

asio::awaitable<void> second_copy::scan(journal::place after)
{
    const journal::list_filter all;
    const auto rows = co_await store_.list(all, after, page_rows);
    if (!rows) { // the store has told that it failed
        note_trouble(rows.error());
        co_return;
    }
    for (const auto& each : *rows)
        plan_.on_row(row_of(each));
    if (rows->size() < page_rows)
        plan_.on_scanned(monotonic::now(), wall_now());
}

asio::awaitable<void> second_copy::write(journal::place at)
{
    auto what = co_await store_.outgoing_of(at);
    result<bytes> envelope{what ? error_code{} : what.error()};
    if (what)
        envelope = co_await store_.read_rest(at, 0, what->view.size_bytes);
    if (!envelope) {
        // Erased meanwhile, or rotten: the scrub, or sending it, finds that out as well.
        if (envelope.error() != vault::errc::erased)
            log::warn("second-copy-unreadable place={} why=\"{}\"", static_cast<std::uint64_t>(at),
                      envelope.error().message());
        plan_.on_skipped(at);
        co_return;
    }
    const auto label = label_of(what->view);
    bundle::sealed_record sealed{.manifest_cms = std::move(what->manifest_cms),
                                 .receipt_cms = std::move(what->receipt_cms),
                                 .receipt_given_cms = std::move(what->receipt_given_cms),
                                 .envelope = std::move(*envelope)};
    auto act = [label, digest = what->view.digest,
                sealed = std::move(sealed)](const disk& on) -> result<void> {
        if (sha256(sealed.envelope) != digest)
            return vault::errc::rotten;
        return on.files().write(label, sealed);
    };
    const auto written = co_await on_disk(std::move(act));
    if (written)
        plan_.on_written(at, monotonic::now());
    else if (written.error() == bundle::errc::not_kept)
        note_ruin(what->view);
    else if (concerns_one_record(written.error())) {
        log::error("second-copy-refused record={} why=\"{}\"", label.record.to_string(),
                   written.error().message());
        plan_.on_skipped(at);
    } else
        note_trouble(written.error(), at);
}

/// Each with a line, up to a number that a log can have; then the plan's own count tells.
void second_copy::note_ruin(const journal::record_view& of)
{
    constexpr std::uint64_t most_told = 32;
    const bool is_written_again = plan_.on_ruined(row_of(of), monotonic::now(), wall_now());
    if (++ruins_told_ <= most_told)
        log::warn("second-copy-ruined record={} place={} path=\"{}\"{}", of.key.record.to_string(),
                  static_cast<std::uint64_t>(of.place), folder().string(),
                  is_written_again ? "" : " not written again on this disk");
}

asio::awaitable<void> second_copy::read_back(journal::place after)
{
    const auto next = co_await store_.next_stored(after);
    if (!next) { // the store has told that it failed
        note_trouble(next.error());
        co_return;
    }
    std::optional<journal::place> at;
    if (*next)
        at = (*next)->place;
    const auto came_at = *next ? (*next)->accepted_at : wall_time{};
    if (plan_.on_next_stored(at, came_at, monotonic::now(), wall_now()) != plan::turn::read)
        co_return;
    const auto& record = **next;
    if (row_of(record).what != row::kind::kept) { // it arrives, or its row cannot be read
        plan_.on_read(0, monotonic::now());
        co_return;
    }
    auto act = [label = label_of(record), digest = record.digest](const disk& on) {
        return state_of(on, label, digest);
    };
    const auto found = co_await on_disk(std::move(act));
    if (!found) {
        note_trouble(found.error());
        co_return;
    }
    switch (*found) {
    case copy_state::good:
    case copy_state::other:
        plan_.on_read(record.size_bytes, monotonic::now());
        break;
    case copy_state::ruined:
        note_ruin(record);
        break;
    case copy_state::gone:
        if (plan_.on_gone(row_of(record), monotonic::now()))
            log::warn("second-copy-gone record={} path=\"{}\"", record.key.record.to_string(),
                      folder().string());
        break;
    }
}

asio::awaitable<void> second_copy::erase(journal::place at)
{
    const auto what = co_await store_.outgoing_of(at);
    // Only what the journal itself says that it erased.
    if (!what || what->view.state != journal::state::erased) {
        plan_.on_erased(at, monotonic::now());
        co_return;
    }
    auto act = [label = label_of(what->view)](const disk& on) { return on.files().erase(label); };
    const auto erased = co_await on_disk(std::move(act));
    if (erased)
        plan_.on_erased(at, monotonic::now());
    else
        note_trouble(erased.error(), at);
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
    auto act = [label = label_of(what->view)](const disk& on) { return on.files().read(label); };
    auto copy = co_await on_disk(std::move(act));
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
                  folder().string());
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
    // A write wears a cheap disk, so it is not for every half minute of years.
    constexpr milliseconds writes_every = 1h;
    const bool writing = plan_.why() != trouble::none || monotonic::now() >= write_check_at_;
    auto act = [writing](const disk& on) { return on.probe(writing); };
    const auto found = co_await on_disk(std::move(act));
    if (!found) {
        note_trouble(found.error());
        co_return;
    }
    if (writing)
        write_check_at_ = monotonic::now() + writes_every;
    if (const auto given_up = plan_.on_checked(monotonic::now()))
        log::error("second-copy-given-up place={}", static_cast<std::uint64_t>(*given_up));
}

asio::awaitable<void> second_copy::give_up_repairs()
{
    if (plan_.is_listed() || plan_.why() == trouble::none)
        co_return;
    for (const auto at : plan_.take_repairs())
        co_await note_rot(at);
}

} // namespace titip::mirror
