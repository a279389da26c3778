#include "journal/salvage.hpp"

#include "base/descriptor.hpp"
#include "base/explain.hpp"
#include "base/name.hpp"
#include "journal/birth.hpp"
#include "journal/chunks.hpp"
#include "journal/pages.hpp"
#include "journal/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace titip::journal {

namespace {

constexpr std::size_t scan_pages = 256; // a reading of 1 MiB
constexpr std::size_t most_references = 2u << 20;
constexpr std::uint64_t most_envelope_bytes = 16u << 20;
constexpr std::uint64_t most_chunks = most_envelope_bytes / chunk_payload_bytes;
/// Of a checksum tried on a page that no leaf names: some five minutes of them.
constexpr std::uint64_t most_tries = 1'000'000'000;
constexpr std::size_t most_row_bytes = 16u << 10;
constexpr std::uint64_t most_places = 1ull << 32; // of which the ledger is heard: 512 MiB of bits

constexpr std::string_view meta_key{"meta\0", 5};

/// A refusal by one of the hands, on its way out.
struct refused {
    error_code why;
};

key_builder chunk_key(std::uint64_t at, std::uint32_t n)
{
    return key_builder{}.u64(at).u32(n);
}

std::uint32_t read_u32(bytes_view data)
{
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < 4; ++i)
        out = out << 8 | std::to_integer<std::uint32_t>(data[i]);
    return out;
}

/// How far a version of a row has got; later ones are never behind earlier ones.
std::uint64_t progress_of(const v1::Row& row)
{
    const std::uint64_t stage = row.state() == v1::ERASED     ? 6
                                : row.state() == v1::ARRIVING ? 1
                                : row.opened_at_ms() != 0     ? 5
                                : row.receipt().empty()       ? 2
                                : row.state() == v1::RELAYED  ? 3
                                                              : 4;
    return stage << 40 | (stage == 1 ? row.stored_bytes() : 0);
}

/// The first `size` bytes that a value would have here, if they match.
std::optional<v1::Row> open_row_at(std::uint64_t at, bytes_view stored)
{
    v1::Row row;
    try {
        open_row(seed::row, key_builder{}.u64(at), stored, row);
        (void)key_of(row);
    } catch (const rotten_row&) {
        return std::nullopt;
    }
    return row;
}

std::optional<bytes_view> open_chunk_at(std::uint64_t at, std::uint32_t n, bytes_view stored)
{
    std::uint64_t sum = 0;
    if (stored.size() <= chunk_header_bytes)
        return std::nullopt;
    std::memcpy(&sum, stored.data(), sizeof sum);
    if (checksum(seed::chunk, chunk_key(at, n), stored.subspan(8)) != sum)
        return std::nullopt;
    return stored.subspan(chunk_header_bytes);
}

/// Where the fields of a protobuf message end: each is a length that a row may have.
std::vector<std::size_t> field_ends(bytes_view message)
{
    std::vector<std::size_t> out;
    std::size_t at = 0;
    const auto varint = [&message, &at]() -> std::optional<std::uint64_t> {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && at < message.size(); shift += 7) {
            const auto each = std::to_integer<std::uint64_t>(message[at++]);
            value |= (each & 0x7f) << shift;
            if ((each & 0x80) == 0)
                return value;
        }
        return std::nullopt;
    };
    while (at < message.size()) {
        const auto tag = varint();
        if (!tag || *tag >> 3 == 0)
            break;
        const auto amount = varint();
        if (!amount || ((*tag & 7) != 0 && (*tag & 7) != 2))
            break;
        if ((*tag & 7) == 2) {
            if (*amount > message.size() - at)
                break;
            at += *amount;
        }
        out.push_back(at);
    }
    return out;
}

/// The length that the envelope gives itself: CMS in DER is one SEQUENCE.
bool is_whole_der(bytes_view envelope)
{
    if (envelope.size() < 6 || envelope[0] != std::byte{0x30})
        return false;
    const auto first = std::to_integer<std::size_t>(envelope[1]);
    if (first < 0x80)
        return envelope.size() == 2 + first;
    const auto digits = first & 0x7f;
    if (digits == 0 || digits > 4)
        return false;
    std::size_t length = 0;
    for (std::size_t i = 0; i < digits; ++i)
        length = length << 8 | std::to_integer<std::size_t>(envelope[2 + i]);
    return envelope.size() == 2 + digits + length;
}

class search {
public:
    search(const std::filesystem::path& file, std::uint64_t noted_commit,
           const salvage_hands& hands)
        : pages_(file), noted_commit_(noted_commit), hands_(hands), taken_(pages_.size())
    {
    }

    salvage_count run()
    {
        auto newest = noted_commit_;
        if (const auto said = newest_snapshot(pages_)) {
            newest = std::max(newest, said->transaction);
            if (said->last >= pages_.size())
                count_.missing_pages = said->last + 1 - pages_.size();
            current_ = pages_of_trees(pages_, *said);
            // Of two good meta pages the newer is the newest commit: what says that it is of a later
            // one is of a commit that the power cut short.
            is_newest_known_ = are_meta_pages_good(pages_);
            if (is_newest_known_)
                newest_possible_ = newest;
        }
        scan([this](page_number number, const page& p) { take_rows(number, p); });
        is_counted_ = counted_at_ > 0 && counted_at_ >= newest;
        forget_misled_names();
        match_rows_that_no_leaf_names();
        std::vector<std::uint64_t> wanted;
        for (const auto& [at, row] : rows_) {
            const auto stage = row.progress >> 40;
            count_.erased += stage == 6 ? 1 : 0;
            if (stage != 6)
                wanted.push_back(at);
        }
        for (std::uint64_t at = 0; at < noted_erased_.size(); ++at)
            count_.erased += noted_erased_[at] && !rows_.contains(at) ? 1 : 0;
        const auto is_without_row = [this](std::uint64_t at) {
            return !rows_.contains(at) && !is_noted(noted_erased_, at);
        };
        for (const auto at : places_with_bytes_)
            if (is_without_row(at))
                wanted.push_back(at);
        for (const auto& [at, key] : named_)
            if (is_without_row(at) && !places_with_bytes_.contains(at))
                wanted.push_back(at);
        std::ranges::sort(wanted);
        for (std::size_t from = 0; from < wanted.size();)
            from = save_some(wanted, from);
        if (is_counted_) {
            // Of a record whose complete row is gone an older one may say that it is arriving; and what
            // is lost without its row may have been arriving. Neither stands for one of the others.
            const auto beyond = [](std::uint64_t counted, std::uint64_t found) {
                return counted > found ? counted - found : 0;
            };
            const auto complete = told_ + count_.erased;
            count_.vanished = std::max(beyond(counted_.complete, complete),
                                       beyond(counted_.all, complete + count_.arriving));
        }
        return count_;
    }

private:
    /// Where a version of a row lies: in a leaf, or in pages of its own that no leaf names.
    struct row_version {
        std::uint64_t progress = 0;
        page_number at = 0;
        std::uint32_t alone_bytes = 0; ///< 0: in the leaf `at`
        bool is_current = false;       ///< in a tree of the newest commit
        std::uint64_t size_bytes = 0;
        std::uint64_t name = 0;     ///< stands for the record's key
        std::uint64_t identity = 0; ///< and for its bytes
    };
    struct reference {
        std::uint64_t place = 0;
        std::uint32_t n = 0;
        bool is_former = false; ///< not in a tree of the newest commit
        bool is_inline = false; ///< in the leaf `at`, else the value's own page
        std::uint16_t value_bytes = 0;
        page_number at = 0;
        auto operator<=>(const reference&) const = default;
    };

    template <class Look>
    void scan(Look look)
    {
        const auto end = pages_.size();
        count_.unreadable_pages = 0;
        std::vector<page> some(scan_pages);
        for (page_number first = 0; first < end; first += scan_pages) {
            if (hands_.progress)
                hands_.progress(first, end);
            const auto many = std::min<page_number>(scan_pages, end - first);
            std::vector<bool> is_read(many, true);
            if (!pages_.read(first, std::span{some[0].data(), many * lmdb_page_bytes}))
                for (page_number i = 0; i < many; ++i) { // one bad sector costs one page
                    some[i].fill(std::byte{});
                    is_read[i] = pages_.read(first + i, some[i]);
                    count_.unreadable_pages += is_read[i] ? 0 : 1;
                }
            for (page_number i = 0; i < many; ++i)
                if (is_read[i])
                    look(first + i, some[i]);
        }
    }

    /// A leaf's nodes, whatever its header says: what is in them proves itself.
    static std::vector<node> nodes_in(const page& p)
    {
        return kind_of(p) == page_kind::overflow ? std::vector<node>{} : readable_nodes_of(p);
    }

    std::optional<bytes> value_of(const node& each) const
    {
        if (each.elsewhere == 0)
            return to_bytes(each.value);
        if (each.size_bytes > most_row_bytes)
            return std::nullopt;
        bytes out(page_header_bytes + each.size_bytes);
        if (!pages_.read(each.elsewhere, out))
            return std::nullopt;
        out.erase(out.begin(), out.begin() + page_header_bytes);
        return out;
    }

    void take_rows(page_number number, const page& p)
    {
        // A row begins with its record's id. One that fills a page of its own may have lost its leaf.
        constexpr auto row_at = page_header_bytes + sizeof(std::uint64_t);
        if (p[row_at] == std::byte{0x0a} && p[row_at + 1] == std::byte{0x10})
            like_rows_.push_back(number);
        take_names(p);
        for (const auto& each : nodes_in(p)) {
            if (each.key.size() == 8) {
                const auto at = read_u64(each.key);
                const auto value = value_of(each);
                const auto row = value ? open_row_at(at, *value) : std::nullopt;
                if (row)
                    keep(at, *row, {.at = number, .is_current = is_current(number)});
                else if (value)
                    take_entry(each.key, *value);
            } else if (as_text(each.key) == meta_key)
                take_count(each, is_current(number));
            else if (is_chunk(each))
                places_with_bytes_.insert(read_u64(each.key));
        }
    }

    /// What the ledger says of places where nothing is any more. Of a commit that the power cut short
    /// it may say so too early: what is whole is saved all the same.
    void take_entry(bytes_view key, bytes_view value)
    {
        v1::Entry entry;
        try {
            open_row(seed::entry, key, value, entry);
        } catch (const rotten_row&) {
            return;
        }
        const auto note = [&entry](std::vector<bool>& where) {
            if (entry.place() >= where.size() && entry.place() < most_places)
                where.resize(entry.place() + 1);
            if (entry.place() < where.size())
                where[entry.place()] = true;
        };
        if (entry.event() == v1::Entry::ERASE)
            note(noted_erased_);
        else if (entry.event() == v1::Entry::DISCARDED)
            note(noted_discarded_);
    }

    static bool is_noted(const std::vector<bool>& where, std::uint64_t at)
    {
        return at < where.size() && where[at];
    }

    /// Nothing was committed there.
    bool is_beyond(std::uint64_t at) const { return is_counted_ && at >= counted_.next_place; }

    bool is_current(page_number number) const
    {
        return number < current_.size() && current_[number];
    }

    /// What indexes say of places, for those whose rows are gone. They have no checksums, so that only
    /// a page without a fault is heard.
    void take_names(const page& p)
    {
        const auto nodes = nodes_of(p);
        if (!nodes || kind_of(p) != page_kind::leaf)
            return;
        for (const auto& each : *nodes)
            if (each.key.size() == 9) {
                const auto queued = read_queued({each.key, each.value});
                if (queued.record != record_id{})
                    queued_.emplace(read_u64(each.key.subspan(1)), queued.record);
            } else if (each.key.size() > 17 && each.value.size() == 8) {
                // An entry of by_id, unless it is one of by_sequence.
                const auto station = as_text(each.key.first(each.key.size() - 17));
                const auto id = record_id::from_bytes(each.key.last(16));
                if (id && each.key[station.size()] == std::byte{} && is_node_name(station))
                    named_[read_u64(each.value)] = {std::string{station}, *id};
            }
    }

    /// How many records there are by the newest count that is found.
    void take_count(const node& entry, bool is_in_newest)
    {
        const auto value = value_of(entry);
        v1::Meta meta;
        try {
            open_row(seed::meta, entry.key, value ? bytes_view{*value} : bytes_view{}, meta);
        } catch (const rotten_row&) {
            return;
        }
        if (meta.transaction() < counted_at_ || meta.transaction() > newest_possible_ ||
            (meta.transaction() == counted_at_ && !is_in_newest))
            return;
        counted_at_ = meta.transaction();
        counted_ = {.next_place = meta.next_place()};
        for (const auto& each : meta.tallies()) {
            counted_.all += each.records();
            counted_.complete += each.state() == v1::ARRIVING ? 0 : each.records();
        }
    }

    /// Index entries have no checksums. One that rotted, or is of an upload given up since, may name a
    /// place where nothing was, and a record that has its row elsewhere.
    void forget_misled_names()
    {
        std::erase_if(named_, [this](const auto& each) {
            return is_noted(noted_discarded_, each.first) || is_beyond(each.first);
        });
        const bool is_all_known = std::ranges::all_of(
            named_, [this](const auto& each) { return rows_.contains(each.first); });
        if (is_all_known)
            return;
        std::set<std::uint64_t> with_row;
        for (const auto& [at, row] : rows_)
            with_row.insert(row.name);
        std::erase_if(named_, [&](const auto& each) {
            return !rows_.contains(each.first) && with_row.contains(name_of(each.second));
        });
    }

    static std::uint64_t name_of(const vault::key& key)
    {
        return checksum(seed::row, id_key(key), {});
    }

    /// Unproven yet: what is in it is looked at when its record's turn comes.
    bool is_chunk(const node& each) const
    {
        return each.key.size() == 12 && each.size_bytes > chunk_header_bytes &&
               each.size_bytes <= chunk_value_bytes && read_u32(each.key.last(4)) < most_chunks &&
               (each.elsewhere == 0 || each.elsewhere < pages_.size()) &&
               read_u64(each.key) < (1ull << 48);
    }

    void keep(std::uint64_t at, const v1::Row& row, row_version found)
    {
        found.progress = progress_of(row);
        found.size_bytes = row.size_bytes();
        found.name = name_of(key_of(row));
        found.identity = checksum(seed::row, id_key(key_of(row)), as_bytes(row.digest()));
        const auto [known, is_new] = rows_.try_emplace(at, found);
        auto& best = known->second;
        if (is_new)
            return;
        if (best.identity != found.identity)
            return keep_rival(at, best, found);
        take_newer(best, found);
    }

    void take_newer(row_version& known, const row_version& found) const
    {
        const bool is_either_current = known.is_current || found.is_current;
        const bool is_newer = is_newest_known_ && known.is_current != found.is_current
                                  ? found.is_current
                                  : known.progress <= found.progress;
        if (is_newer)
            known = found;
        known.is_current = is_either_current;
    }

    /// A commit that the power cut short leaves pages behind, and its places are given once more. The
    /// one that the newest commit has is the record; if none is in it, each is looked for.
    void keep_rival(std::uint64_t at, row_version& best, const row_version& found)
    {
        auto& others = rivals_[at];
        const auto other = std::ranges::find(others, found.identity, &row_version::identity);
        if (other == others.end())
            others.push_back(found);
        else
            take_newer(*other, found);
        const auto current = std::ranges::find_if(others, &row_version::is_current);
        if (!best.is_current && current != others.end())
            std::swap(best, *current);
    }

    void match_rows_that_no_leaf_names()
    {
        std::uint64_t newest = 0;
        if (!rows_.empty())
            newest = rows_.rbegin()->first;
        if (!places_with_bytes_.empty())
            newest = std::max(newest, *places_with_bytes_.rbegin());
        if (!named_.empty())
            newest = std::max(newest, named_.rbegin()->first);
        std::vector<std::uint64_t> missing;
        for (std::uint64_t at = 1; at <= newest && missing.size() < 100'000; ++at)
            if (!rows_.contains(at))
                missing.push_back(at);
        std::uint64_t tries = 0;
        for (const auto number : like_rows_) {
            bytes run(2 * lmdb_page_bytes);
            if (!pages_.read(number, run)) {
                run.resize(lmdb_page_bytes);
                if (!pages_.read(number, run))
                    continue;
            }
            const auto stored = bytes_view{run}.subspan(page_header_bytes);
            for (const auto end : field_ends(stored.subspan(sizeof(std::uint64_t))))
                for (const auto at : missing) {
                    if (++tries > most_tries / 10)
                        return;
                    const auto value = stored.first(sizeof(std::uint64_t) + end);
                    std::uint64_t sum = 0;
                    std::memcpy(&sum, value.data(), sizeof sum);
                    const auto key = key_builder{}.u64(at);
                    if (checksum(seed::row, key, value.subspan(sizeof sum)) != sum)
                        continue;
                    if (const auto row = open_row_at(at, value))
                        keep(at, *row,
                             {.at = number,
                              .alone_bytes = static_cast<std::uint32_t>(value.size())});
                }
        }
    }

    /// What may be the record of a place: one, unless the newest commit says nothing of it.
    std::vector<row_version> versions_at(std::uint64_t at) const
    {
        std::vector<row_version> out;
        if (const auto found = rows_.find(at); found != rows_.end())
            out.push_back(found->second);
        const auto rivals = rivals_.find(at);
        if (rivals != rivals_.end() && !out.front().is_current)
            out.insert(out.end(), rivals->second.begin(), rivals->second.end());
        return out;
    }

    std::optional<v1::Row> row_at(std::uint64_t at, const row_version& version) const
    {
        if (version.alone_bytes > 0) {
            bytes run(page_header_bytes + version.alone_bytes);
            if (!pages_.read(version.at, run))
                return std::nullopt;
            return open_row_at(at, bytes_view{run}.subspan(page_header_bytes));
        }
        page p{};
        if (!pages_.read(version.at, p))
            return std::nullopt;
        for (const auto& each : nodes_in(p))
            if (each.key.size() == 8 && read_u64(each.key) == at)
                if (const auto value = value_of(each))
                    if (auto row = open_row_at(at, *value))
                        return row;
        return std::nullopt;
    }

    /// As many as fit in memory: one reading of the file for the leaves that name their chunks, and
    /// another one if there are chunks that none names.
    std::size_t save_some(const std::vector<std::uint64_t>& wanted, std::size_t from)
    {
        std::uint64_t chunks = 0;
        auto to = from;
        for (; to < wanted.size() && chunks < most_references; ++to) {
            const auto row = rows_.find(wanted[to]);
            chunks += row == rows_.end() ? most_chunks / 8
                                         : row->second.size_bytes / chunk_payload_bytes + 1;
        }
        const auto now = std::span{wanted}.subspan(from, to - from);
        collect_references(now);
        std::vector<std::uint64_t> incomplete;
        for (const auto at : now)
            if (!save(at, false))
                incomplete.push_back(at);
        if (!incomplete.empty())
            find_unnamed_chunks(incomplete);
        for (const auto at : incomplete)
            save(at, true);
        return to;
    }

    void collect_references(std::span<const std::uint64_t> places)
    {
        references_.clear();
        const auto tidy = [this] {
            std::ranges::sort(references_);
            references_.erase(std::unique(references_.begin(), references_.end()),
                              references_.end());
        };
        std::size_t tidy_at = 2 * most_references;
        scan([&](page_number number, const page& p) {
            for (const auto& each : nodes_in(p)) {
                if (!is_chunk(each) || !std::ranges::binary_search(places, read_u64(each.key)))
                    continue;
                references_.push_back({.place = read_u64(each.key),
                                       .n = read_u32(each.key.last(4)),
                                       .is_former = !is_current(number),
                                       .is_inline = each.elsewhere == 0,
                                       .value_bytes = static_cast<std::uint16_t>(each.size_bytes),
                                       .at = each.elsewhere == 0 ? number : each.elsewhere});
            }
            if (references_.size() > tidy_at) {
                tidy(); // versions of one leaf name the same pages again and again
                tidy_at = std::max(tidy_at, 2 * references_.size());
            }
        });
        tidy();
    }

    /// The payload of a chunk whose size is known, or of whatever size if it is 0.
    std::optional<bytes> chunk_at(std::uint64_t at, std::uint32_t n, std::size_t payload_bytes)
    {
        const auto chunk_of = [](const reference& each) { return std::pair{each.place, each.n}; };
        const std::pair wanted{at, n};
        std::optional<bytes> out;
        for (auto found = std::ranges::lower_bound(references_, wanted, {}, chunk_of);
             found != references_.end() && chunk_of(*found) == wanted; ++found) {
            const auto& each = *found;
            page p{};
            if (!pages_.read(each.at, p))
                continue;
            std::optional<bytes_view> payload;
            if (each.is_inline) {
                for (const auto& one : nodes_in(p))
                    if (!payload && one.key.size() == 12 && one.elsewhere == 0 &&
                        read_u64(one.key) == at && read_u32(one.key.last(4)) == n)
                        payload = open_chunk_at(at, n, one.value);
            } else {
                const bytes_view stored = bytes_view{p}.subspan(page_header_bytes);
                payload = open_chunk_at(at, n,
                                        stored.first(payload_bytes == 0
                                                         ? each.value_bytes
                                                         : chunk_header_bytes + payload_bytes));
            }
            if (!payload || (payload_bytes != 0 && payload->size() != payload_bytes))
                continue;
            if (!each.is_inline)
                taken_[each.at] = true;
            // A record that grew had shorter last chunks before.
            if (!out || out->size() < payload->size())
                out = to_bytes(*payload);
            if (!each.is_former)
                break;
        }
        return out;
    }

    static std::size_t payload_of(std::uint64_t size_bytes, std::uint32_t n)
    {
        return static_cast<std::size_t>(std::min<std::uint64_t>(
            chunk_payload_bytes, size_bytes - std::uint64_t{n} * chunk_payload_bytes));
    }

    void find_unnamed_chunks(const std::vector<std::uint64_t>& places)
    {
        struct absent {
            std::uint64_t place;
            std::uint32_t n;
            std::size_t payload_bytes;
            bool is_found = false;
        };
        std::vector<absent> missing;
        for (const auto at : places)
            for (const auto& version : versions_at(at)) {
                const auto size = version.size_bytes;
                for (std::uint32_t n = 0; n < most_chunks && n * chunk_payload_bytes < size; ++n)
                    if (!chunk_at(at, n, payload_of(size, n)))
                        missing.push_back({at, n, payload_of(size, n)});
            }
        if (missing.empty())
            return;
        std::uint64_t tries = 0;
        std::size_t next = 0; // pages are given out in order: after one chunk comes the next
        const auto fits = [&](absent& one, page_number number, const page& p) {
            if (one.is_found)
                return false;
            const auto stored = bytes_view{p}.subspan(page_header_bytes);
            if (!open_chunk_at(one.place, one.n,
                               stored.first(chunk_header_bytes + one.payload_bytes)))
                return false;
            one.is_found = true;
            taken_[number] = true;
            references_.push_back(
                {.place = one.place, .n = one.n, .is_former = true, .at = number});
            return true;
        };
        scan([&](page_number number, const page& p) {
            if (taken_[number])
                return;
            if (next < missing.size() && fits(missing[next], number, p)) {
                ++next;
                return;
            }
            if (tries > most_tries)
                return;
            tries += missing.size();
            for (std::size_t i = 0; i < missing.size(); ++i)
                if (fits(missing[i], number, p)) {
                    next = i + 1;
                    return;
                }
        });
        std::ranges::sort(references_);
    }

    /// False: something is missing, and it is not yet the last word.
    bool save(std::uint64_t at, bool is_last)
    {
        const auto versions = versions_at(at);
        if (versions.size() > 1 && !is_last)
            return false;
        const auto before = count_.saved + count_.lost;
        bool is_done = true;
        for (const auto& each : versions)
            is_done = save(at, each, is_last) && is_done;
        if (versions.empty())
            save_bare(at);
        told_ += count_.saved + count_.lost > before && !is_beyond(at) ? 1 : 0;
        return is_done;
    }

    bool save(std::uint64_t at, const row_version& version, bool is_last)
    {
        const auto row = row_at(at, version);
        if (!row) {
            save_bare(at); // the disk gives it no more
            return true;
        }
        bytes envelope;
        envelope.reserve(std::min(row->size_bytes(), most_envelope_bytes));
        std::uint64_t missing = 0;
        std::uint32_t n = 0;
        for (; n < most_chunks && n * chunk_payload_bytes < row->size_bytes(); ++n)
            if (const auto payload = chunk_at(at, n, payload_of(row->size_bytes(), n)))
                envelope.insert(envelope.end(), payload->begin(), payload->end());
            else
                ++missing;
        const bool is_whole = missing == 0 && as_text(sha256(envelope)) == row->digest();
        if (!is_whole && is_beyond(at))
            return true; // its sender never had an answer
        if (!is_whole && row->state() == v1::ARRIVING) {
            const bool is_given_up = is_noted(noted_discarded_, at) && !version.is_current;
            count_.arriving += is_given_up ? 0 : 1;
            return true;
        }
        // Its newest row is gone.
        if (!is_whole && row->opened_at_ms() != 0 && is_noted(noted_erased_, at) &&
            !version.is_current) {
            ++count_.erased;
            return true;
        }
        if (missing > 0 && !is_last)
            return false;
        if (!is_whole) {
            auto why = missing > 0
                           ? fmt::format("{} of its {} pages are not what was written", missing, n)
                           : std::string{"its bytes do not have its digest"};
            if (!row->receipt().empty())
                why += "; the next custodian has signed a receipt for it";
            lose(at, key_of(*row), std::move(why));
            return true;
        }
        give(
            hands_.save({.place = place{at},
                         .key = key_of(*row),
                         .epoch = epoch_id::from_bytes(as_bytes(row->epoch())).value_or(epoch_id{}),
                         .sequence = row->sequence(),
                         .manifest_cms = to_bytes(as_bytes(row->manifest())),
                         .receipt_cms = to_bytes(as_bytes(row->receipt())),
                         .receipt_given_cms = to_bytes(as_bytes(row->receipt_given())),
                         .envelope = std::move(envelope)}));
        ++count_.saved;
        return true;
    }

    void save_bare(std::uint64_t at)
    {
        bytes envelope;
        for (std::uint32_t n = 0; n < most_chunks; ++n) {
            const auto payload = chunk_at(at, n, 0);
            if (payload)
                envelope.insert(envelope.end(), payload->begin(), payload->end());
            if (!payload || payload->size() < chunk_payload_bytes)
                break;
        }
        if (envelope.empty() && !named_.contains(at))
            return; // nothing proves that there was such a record
        const bool is_whole = is_whole_der(envelope);
        if (!is_whole && (is_noted(noted_discarded_, at) || is_beyond(at)))
            return;
        if (is_whole) {
            give(hands_.save_bare({.place = place{at}, .envelope = std::move(envelope)}));
            ++count_.bare;
        }
        std::optional<vault::key> key;
        if (const auto named = named_.find(at); named != named_.end())
            key = named->second;
        else if (const auto queued = queued_.find(at); queued != queued_.end())
            key = vault::key{.station = {}, .record = queued->second};
        lose(at, key,
             is_whole ? "its row cannot be read; its envelope is whole, without a manifest"
                      : "its row cannot be read, and its envelope is not whole");
    }

    void lose(std::uint64_t at, std::optional<vault::key> key, std::string why)
    {
        ++count_.lost;
        hands_.lose({.place = place{at}, .key = std::move(key), .why = std::move(why)});
    }

    static void give(const result<void>& done)
    {
        if (!done)
            throw refused{done.error()};
    }

    page_file pages_;
    const std::uint64_t noted_commit_;
    const salvage_hands& hands_;
    std::vector<bool> taken_;   ///< pages known to be a chunk
    std::vector<bool> current_; ///< pages in a tree of the newest commit
    bool is_newest_known_ = false;
    std::uint64_t newest_possible_ = ~std::uint64_t{0}; ///< commit
    std::map<std::uint64_t, row_version> rows_;
    std::map<std::uint64_t, std::vector<row_version>>
        rivals_;                     ///< other records under the same place
    std::vector<bool> noted_erased_; ///< by the ledger; by place
    std::vector<bool> noted_discarded_;
    std::set<std::uint64_t> places_with_bytes_;
    std::map<std::uint64_t, vault::key> named_;
    std::map<std::uint64_t, record_id> queued_;
    std::vector<page_number> like_rows_;
    std::vector<reference> references_; ///< of the present places, in order
    struct {
        std::uint64_t complete = 0;
        std::uint64_t all = 0;
        std::uint64_t next_place = 0;
    } counted_; ///< as of commit `counted_at_`
    std::uint64_t counted_at_ = 0;
    bool is_counted_ = false; ///< by the newest commit
    std::uint64_t told_ = 0;  ///< places of which something was saved or lost
    salvage_count count_;
};

/// Held for as long as the search takes; a daemon in safe mode does not have the store open.
class idle_store {
public:
    explicit idle_store(const std::filesystem::path& directory)
        : file_(::open((directory / "titipd.lock").c_str(), O_RDONLY | O_CLOEXEC))
    {
        if (file_ >= 0 && ::flock(file_, LOCK_EX | LOCK_NB) != 0) {
            const auto why = last_error();
            ::close(file_);
            if (why != boost::system::errc::operation_would_block)
                throw open_failure{open_failure::kind::unreadable,
                                   explain(directory / "titipd.lock", why)};
            throw open_failure{open_failure::kind::in_use,
                               fmt::format("{} is in use: stop titipd first", directory.string())};
        }
    }
    idle_store(const idle_store&) = delete;
    ~idle_store()
    {
        if (file_ >= 0)
            ::close(file_);
    }

private:
    int file_;
};

} // namespace

result<salvage_count, open_failure> salvage(const std::filesystem::path& directory,
                                            const salvage_hands& hands)
{
    const auto there = is_there(directory);
    if (!there)
        return there.error();
    if (const auto folder = titip::is_there(directory); !folder)
        return open_failure{open_failure::kind::unreadable, explain(directory, folder.error())};
    if (!*there)
        return open_failure{open_failure::kind::unreadable,
                            fmt::format("{}: there is no store: is the disk mounted that it is on?",
                                        directory.string())};
    try {
        const idle_store held{directory};
        return search{directory / "data.mdb", noted_commit_in(directory), hands}.run();
    } catch (open_failure& failure) {
        return std::move(failure);
    } catch (const refused& by) {
        return open_failure{open_failure::kind::unreadable,
                            fmt::format("the folder cannot be written: {}", by.why.message())};
    } catch (const boost::system::system_error& failure) {
        return open_failure{open_failure::kind::unreadable,
                            explain(directory / "data.mdb", failure.code())};
    }
}

} // namespace titip::journal
