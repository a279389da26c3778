#include "journal/examine.hpp"

#include "journal/pages.hpp"
#include "journal/parts.hpp"

#include <fmt/format.h>

namespace titip::journal {

namespace {

using kind = remark::kind;

/// A record's bytes that are here, to be compared with its digest.
bool has_whole_bytes(const v1::Row& row)
{
    return row.state() != v1::ARRIVING && row.state() != v1::ERASED;
}

std::string name_of(const vault::key& which)
{
    return fmt::format("record {} of {}", which.record.to_string(), which.station);
}

class examination {
public:
    examination(const std::filesystem::path& directory, const std::string& node, const teller& told)
        : directory_(directory), node_(node), told_(told)
    {
    }

    void run()
    {
        std::optional<snapshot> newest;
        try {
            const page_file pages{directory_ / "data.mdb"};
            progress("pages");
            newest = look_at_meta_pages(pages);
            if (!newest)
                return;
            for (auto& each : check_pages(pages, *newest, [this] { progress("pages"); }))
                differs(std::move(each));
        } catch (const boost::system::system_error& failure) {
            return say(kind::unopened, failure.what());
        }
        try {
            look_with_lmdb(*newest);
        } catch (const boost::system::system_error& failure) {
            say(kind::unopened, fmt::format("LMDB cannot go on: {}", failure.what()));
        }
    }

private:
    void say(kind what, std::string text) { told_({.what = what, .text = std::move(text)}); }
    void differs(std::string sentence) { say(kind::difference, std::move(sentence)); }
    void progress(std::string_view text, std::uint64_t done = 0, std::uint64_t total = 0)
    {
        told_({.what = kind::progress, .text = std::string{text}, .done = done, .total = total});
    }

    std::optional<snapshot> look_at_meta_pages(const page_file& pages)
    {
        std::array<std::optional<snapshot>, 2> both;
        for (page_number each = 0; each < both.size(); ++each) {
            page p{};
            if (pages.read(each, p))
                both[each] = read_snapshot(p);
            if (!both[each])
                differs(fmt::format("meta page {} is not what was written", each));
        }
        auto newest = newest_snapshot(pages);
        if (!newest) {
            say(kind::unopened, "neither meta page says where anything is");
            return std::nullopt;
        }
        if (both[0] && both[1] && !are_neighbours(both[0]->transaction, both[1]->transaction))
            differs(fmt::format("the meta pages are of commits {} and {}, which are no neighbours",
                                both[0]->transaction, both[1]->transaction));
        return newest;
    }

    void look_with_lmdb(const snapshot& newest)
    {
        const auto env = environment::open_read_only(directory_);
        const transaction txn{env->get(), transaction::mode::read};
        const auto t = find_tables(txn);
        progress("rows");
        look_at_meta_row(txn, t, newest);
        for (auto& each : audit_of(txn, t, on_damage::goes_on, [this] { progress("rows"); }))
            differs(std::move(each));
        look_at_records(txn, t);
    }

    void look_at_meta_row(const transaction& txn, const tables& t, const snapshot& newest)
    {
        const auto key = key_builder{}.text("meta");
        const auto stored = txn.get(t.meta, key);
        v1::Meta meta;
        try {
            if (stored)
                open_row(seed::meta, key, *stored, meta);
        } catch (const rotten_row&) {
            meta.Clear(); // the audit says so, as of one that is not there
        }
        // A backup that was not opened yet counts its commits from 1 again; what is noted is of another.
        if (newest.transaction == 1 && meta.transaction() > 1)
            return look_at_owner(meta);
        if (const auto noted = noted_commit_in(directory_); noted > newest.transaction)
            differs(fmt::format("the newest commit here is {}, but {} was made", newest.transaction,
                                noted));
        if (!stored || meta.node().empty())
            return;
        if (meta.transaction() != newest.transaction)
            differs(fmt::format("the newest commit is {}, but the store was last written by {}",
                                newest.transaction, meta.transaction()));
        look_at_owner(meta);
    }

    void look_at_owner(const v1::Meta& meta)
    {
        if (meta.node() != node_)
            differs(
                fmt::format("the store belongs to node \"{}\", not to \"{}\"", meta.node(), node_));
    }

    void look_at_records(const transaction& txn, const tables& t)
    {
        MDB_stat found{};
        check(mdb_stat(txn.native_handle(), t.rows.handle, &found));
        std::uint64_t done = 0;
        wary_cursor walk{txn, t.rows, {}};
        for (auto each = walk.first(); each; each = walk.next(), ++done) {
            progress("records", done, found.ms_entries);
            if (each->key.size() != 8)
                continue; // the audit has named it, as all that cannot be read
            const place at{read_u64(each->key)};
            const auto row = find_good_row(txn, t, at);
            if (!row || !has_whole_bytes(*row) || is_intact(txn, t, at, *row))
                continue;
            const bool is_known =
                row->rotten_at_ms() != 0 || row->quarantine() == v1::QUARANTINE_ROTTEN;
            say(is_known ? kind::known : kind::difference,
                fmt::format("the bytes of {} are not what was written", name_of(key_of(*row))));
        }
        progress("records", done, found.ms_entries);
    }

    static bool is_intact(const transaction& txn, const tables& t, place at, const v1::Row& row)
    {
        constexpr std::size_t slice_bytes = 256u << 10;
        hasher sum;
        for (std::uint64_t offset = 0; offset < row.size_bytes();) {
            const auto slice = read_chunks(txn, t, at, offset, slice_bytes, row.size_bytes());
            if (!slice || slice->empty())
                return false;
            sum.update(*slice);
            offset += slice->size();
        }
        return as_text(sum.value()) == row.digest();
    }

    const std::filesystem::path& directory_;
    const std::string& node_;
    const teller& told_;
};

/// The commit that a read transaction sees, which keeps its pages from being used again; nothing if
/// two commits came between.
std::optional<snapshot> snapshot_of(const page_file& pages, const transaction& txn)
{
    for (const page_number each : {0u, 1u}) {
        page p{};
        const auto found = pages.read(each, p) ? read_snapshot(p) : std::nullopt;
        if (found && found->transaction == txn.id())
            return found;
    }
    return std::nullopt;
}

} // namespace

void examine(const std::filesystem::path& directory, const std::string& node, const teller& told)
{
    examination{directory, node, told}.run();
}

asio::awaitable<void> store::examine(std::function<void(const remark&)> told)
{
    const auto say = [&told](kind what, std::string text) {
        told({.what = what, .text = std::move(text)});
    };
    say(kind::progress, "pages");
    auto look_at_pages = [this]() -> result<std::vector<std::string>> {
        const page_file pages{parts_->opts.directory / "data.mdb"};
        for (int tries = 0; tries < 100; ++tries) {
            const transaction txn{parts_->env->get(), transaction::mode::read};
            if (const auto seen = snapshot_of(pages, txn))
                return check_pages(pages, *seen);
        }
        return std::vector<std::string>{"the meta pages change too quickly to be looked at"};
    };
    auto pages_job = [this, look = std::move(look_at_pages)]() mutable {
        return parts_->guarded(look);
    };
    const auto pages = co_await run_on(parts_->pool, std::move(pages_job));
    if (pages)
        for (const auto& each : *pages)
            say(kind::difference, each);
    say(kind::progress, "rows");
    const auto rows = co_await audit();
    if (rows)
        for (const auto& each : *rows)
            say(kind::difference, each);
    if (!pages || !rows) {
        say(kind::unopened, "the store failed while it was looked at");
        co_return;
    }
    constexpr std::size_t page_of_records = 100;
    std::uint64_t total = 0;
    for (const auto& each : now().by_state)
        total += each.records;
    std::uint64_t done = 0;
    const list_filter all;
    for (std::optional<place> after;;) {
        const auto some = co_await list(all, after, page_of_records);
        if (!some) {
            say(kind::unopened, "the store failed while it was looked at");
            co_return;
        }
        for (const auto& each : *some) {
            after = each.place;
            told({.what = kind::progress, .text = "records", .done = done++, .total = total});
            if (each.state == state::arriving || each.state == state::erased ||
                each.size_bytes == 0) // without a size, its row cannot be read: the audit said so
                continue;
            auto sum = co_await hash(each.key, each.size_bytes);
            const bool is_gone = !sum && (sum.error() == ::titip::vault::errc::erased ||
                                          sum.error() == ::titip::vault::errc::unknown);
            if (is_gone || (sum && sum->value() == each.digest))
                continue;
            const bool is_known =
                each.rotten_at != wall_time{} ||
                (each.state == state::quarantined && each.reason == reason::rotten);
            told(
                {.what = is_known ? kind::known : kind::difference,
                 .text = fmt::format("the bytes of {} are not what was written", name_of(each.key)),
                 .rotten = each.place});
        }
        if (some->size() < page_of_records)
            break;
    }
    told({.what = kind::progress, .text = "records", .done = done, .total = total});
}

} // namespace titip::journal
