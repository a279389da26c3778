#include "journal/parts.hpp"
#include "journal/spans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

/// The journal's rows against all that is counted, indexed or chained from them.
namespace titip::journal {

namespace {

using numbers = std::map<std::pair<std::string, epoch_id>, std::map<std::uint64_t, std::string>>;

class audit {
public:
    audit(const transaction& txn, const tables& t, on_damage what,
          const std::function<void()>& on_step)
        : txn_(txn), t_(t), what_(what), on_step_(on_step)
    {
    }

    std::vector<std::string> run()
    {
        for (const auto step :
             {&audit::read_meta, &audit::look_at_rows, &audit::compare_tallies,
              &audit::compare_sizes, &audit::look_at_chunks, &audit::look_at_numbering,
              &audit::look_at_verdicts, &audit::look_at_findings, &audit::look_at_ledger})
            try {
                (this->*step)();
            } catch (const boost::system::system_error& failure) {
                if (what_ == on_damage::throws)
                    throw;
                differs("LMDB cannot go on: {}", failure.what());
                ++unreadable_; // how many rows it kept from us is not known
            }
        return std::move(out_);
    }

private:
    template <class... Parts>
    void differs(fmt::format_string<Parts...> sentence, Parts&&... parts)
    {
        constexpr std::size_t most = 1000; // what is broken everywhere need not be told everywhere
        if (out_.size() < most)
            out_.push_back(fmt::format(sentence, std::forward<Parts>(parts)...));
    }

    bool open_index(seed kind, bytes_view key, bytes_view stored,
                    google::protobuf::MessageLite& message)
    {
        try {
            open_row(kind, key, stored, message);
            return true;
        } catch (const rotten_row& rotten) {
            if (what_ == on_damage::throws)
                throw;
            differs("{}", rotten.what());
            return false;
        }
    }

    void read_meta()
    {
        const auto key = key_builder{}.text("meta");
        const auto stored = txn_.get(t_.meta, key);
        if (!stored)
            return differs("the meta row is missing");
        open_index(seed::meta, key, *stored, meta_);
    }

    void look_at_rows()
    {
        wary_cursor walk{txn_, t_.rows, on_step_};
        for (auto each = walk.first(); each; each = walk.next()) {
            if (each->key.size() != 8) {
                differs("a row has a key of {} bytes", each->key.size());
                continue;
            }
            const place at{read_u64(each->key)};
            const auto row = find_good_row(txn_, t_, at);
            if (!row || !record_id::from_bytes(as_bytes(row->record_id()))) {
                differs("the row of place {} cannot be read", static_cast<std::uint64_t>(at));
                ++unreadable_;
            } else
                look_at_row(at, *row);
            if (static_cast<std::uint64_t>(at) >= meta_.next_place())
                differs("place {} is in use, but {} is said to be the next one",
                        static_cast<std::uint64_t>(at), meta_.next_place());
        }
    }

    void look_at_row(place at, const v1::Row& row)
    {
        const auto number = static_cast<std::uint64_t>(at);
        auto& tally = tally_of(counted_, to_state(row.state()));
        tally.set_records(tally.records() + 1);
        tally.set_bytes(tally.bytes() + counted_bytes(row));
        tally.set_held(tally.held() + (row.held() ? 1 : 0));

        ++expected_.by_id;
        if (find_place(txn_, t_, key_of(row)) != at)
            differs("record {} of {} is not found under its id", key_of(row).record.to_string(),
                    row.station());
        if (is_in_queue(row)) {
            ++expected_.queue;
            const auto queued = txn_.get(t_.queue, queue_key(lane_of(row), at));
            if (!queued || !std::ranges::equal(*queued, bytes_view{queue_value(row)}))
                differs("place {} waits but is not in the queue as what it is", number);
        }
        if (row.state() == v1::STATE_OPENED) {
            ++expected_.opened;
            if (!txn_.get(t_.opened, opened_key(row.opened_at_ms(), at)))
                differs("place {} is opened but would never be erased", number);
        }
        const auto whole = row.state() == v1::ERASED ? 0 : row.size_bytes();
        if (row.state() == v1::ARRIVING ? row.stored_bytes() > row.size_bytes()
                                        : row.stored_bytes() != whole)
            differs("place {} is {} and has {} of {} bytes", number,
                    to_string(to_state(row.state())), row.stored_bytes(), row.size_bytes());
        if (row.stored_bytes() > 0)
            stored_.emplace(number, row.stored_bytes());
        if (row.state() != v1::ARRIVING)
            look_at_number(at, row);
    }

    void look_at_number(place at, const v1::Row& row)
    {
        const auto epoch = epoch_id::from_bytes(as_bytes(row.epoch())).value_or(epoch_id{});
        const auto found =
            txn_.get(t_.by_sequence, sequence_key(row.station(), epoch, row.sequence()));
        auto& hashes = numbers_[{row.station(), epoch}];
        if (!found || found->size() != 8)
            differs("number {} of {} is not found by its number", row.sequence(), row.station());
        else if (read_u64(*found) == static_cast<std::uint64_t>(at))
            hashes.emplace(row.sequence(), row.manifest_hash());
        else if (!hashes.contains(row.sequence())) // of a fork only the first has the number
            differs("number {} of {} leads to place {}, not to {}", row.sequence(), row.station(),
                    read_u64(*found), static_cast<std::uint64_t>(at));
    }

    void compare_tallies()
    {
        if (unreadable_ > 0) // what these counted as is not known
            return;
        for (std::size_t i = 1; i < state_count; ++i) {
            const auto s = static_cast<state>(i);
            const auto& said = tally_of(meta_, s);
            const auto& counted = tally_of(counted_, s);
            if (said.records() != counted.records() || said.bytes() != counted.bytes() ||
                said.held() != counted.held())
                differs("{}: {} records of {} bytes, {} held, but counted {} of {}, {} held",
                        to_string(s), said.records(), said.bytes(), said.held(), counted.records(),
                        counted.bytes(), counted.held());
        }
    }

    void compare_size(table of, const char* name, std::uint64_t expected)
    {
        MDB_stat found{};
        check(mdb_stat(txn_.native_handle(), of.handle, &found));
        // A rotten row leaves its entries behind; what leads to a good row was looked at.
        if (found.ms_entries < expected || found.ms_entries > expected + unreadable_)
            differs("the index {} has {} entries, but {} rows belong in it", name, found.ms_entries,
                    expected);
    }

    void compare_sizes()
    {
        compare_size(t_.by_id, "by_id", expected_.by_id);
        compare_size(t_.queue, "queue", expected_.queue);
        compare_size(t_.opened, "opened", expected_.opened);
        std::uint64_t by_sequence = 0;
        for (const auto& [epoch, hashes] : numbers_)
            by_sequence += hashes.size();
        compare_size(t_.by_sequence, "by_sequence", by_sequence);
    }

    /// Skips from record to record: reading every page is for the scrub.
    void look_at_chunks()
    {
        wary_cursor walk{txn_, t_.chunks, on_step_};
        auto stored = stored_.begin();
        for (auto each = walk.first(); each;) {
            if (each->key.size() != 12) {
                differs("a chunk has a key of {} bytes", each->key.size());
                each = walk.next();
                continue;
            }
            const auto at = read_u64(each->key);
            for (; stored != stored_.end() && stored->first < at; ++stored)
                differs("the bytes of place {} are missing", stored->first);
            if (stored != stored_.end() && stored->first == at)
                ++stored;
            else if (unreadable_ == 0)
                differs("there are bytes of place {}, which has none", at);
            each = walk.seek(place_key(place{at + 1}));
        }
        for (; stored != stored_.end(); ++stored)
            differs("the bytes of place {} are missing", stored->first);
    }

    void look_at_numbering()
    {
        std::set<std::pair<std::string, epoch_id>> seen;
        std::size_t with_records = 0;
        std::map<std::string, v1::Account> counted;
        // An epoch's row, and then the rows of its spans.
        std::optional<std::pair<std::pair<std::string, epoch_id>, v1::Numbering>> at;
        const auto finish = [&] {
            const auto found = at ? numbers_.find(at->first) : numbers_.end();
            if (found != numbers_.end() && unreadable_ == 0)
                compare_numbering(at->first.first, at->second, found->second);
            at.reset();
        };
        wary_cursor walk{txn_, t_.numbering, on_step_};
        for (auto each = walk.first(); each; each = walk.next()) {
            const auto place = read_numbering_key(each->key);
            if (!place) {
                differs("a numbering has a key of {} bytes", each->key.size());
                continue;
            }
            const std::string station{place->station};
            if (place->what == numbering_place::kind::account) {
                finish();
                v1::Account said;
                if (open_index(seed::numbering, each->key, each->value, said))
                    compare_account(station, said, counted[station]);
                continue;
            }
            std::pair key{station, place->epoch};
            auto& count = counted[station];
            if (place->what == numbering_place::kind::span) {
                count.set_spans(count.spans() + 1);
                if (!at || at->first != key) {
                    if (!seen.contains(key))
                        differs("{} has numbers from {} on, but no numbering of epoch {}", station,
                                place->first, place->epoch.to_string());
                } else if (!open_index(seed::numbering, each->key, each->value,
                                       *at->second.add_spans()))
                    at.reset(); // that was said
                continue;
            }
            finish();
            seen.insert(key);
            v1::Numbering said;
            if (!open_index(seed::numbering, each->key, each->value, said)) {
                ++with_records;
                continue;
            }
            count.set_epochs(count.epochs() + 1);
            count.set_spans(count.spans() + static_cast<std::uint64_t>(said.spans_size()));
            if (!numbers_.contains(key)) {
                if (unreadable_ == 0)
                    differs("{} has a numbering but no record of epoch {}", station,
                            place->epoch.to_string());
                continue;
            }
            ++with_records;
            at.emplace(std::move(key), std::move(said));
        }
        finish();
        if (with_records != numbers_.size())
            differs("{} epochs have records, {} have a numbering", numbers_.size(), with_records);
    }

    void compare_account(const std::string& station, const v1::Account& said,
                         const v1::Account& counted)
    {
        if (said.is_counted() &&
            (said.epochs() != counted.epochs() || said.spans() != counted.spans()))
            differs("{} is said to have {} epochs and {} ranges of numbers, {} and {} are here",
                    station, said.epochs(), said.spans(), counted.epochs(), counted.spans());
    }

    void compare_numbering(const std::string& station, const v1::Numbering& said,
                           const std::map<std::uint64_t, std::string>& hashes)
    {
        if (hashes.empty())
            return; // none is found by its number: that was said
        const auto& [newest, newest_hash] = *hashes.rbegin();
        if (said.head() != newest || said.head_hash() != newest_hash)
            differs("the head of {} is said to be {}, the newest record is number {}", station,
                    said.head(), newest);
        std::uint64_t held = 0;
        for (const auto& span : said.spans()) {
            held += span.last() - span.first() + 1;
            const auto last = hashes.find(span.last());
            if (last == hashes.end() || last->second != span.last_hash())
                differs("numbers {} to {} of {} do not end with the manifest they should",
                        span.first(), span.last(), station);
            if (const auto in = std::distance(hashes.lower_bound(span.first()),
                                              hashes.upper_bound(span.last()));
                static_cast<std::uint64_t>(in) != span.last() - span.first() + 1)
                differs("of numbers {} to {} of {} only {} are here", span.first(), span.last(),
                        station, in);
        }
        if (held != hashes.size())
            differs("{} numbers of {} are said to be held, {} are here", held, station,
                    hashes.size());
    }

    void look_at_verdicts()
    {
        std::map<std::string, std::uint64_t> newest;
        wary_cursor walk{txn_, t_.verdicts, on_step_};
        for (auto each = walk.first(); each; each = walk.next()) {
            if (each->key.size() < 9) {
                differs("a verdict has a key of {} bytes", each->key.size());
                continue;
            }
            const std::string station{as_text(each->key.first(each->key.size() - 9))};
            const auto number = read_u64(each->key.last(8));
            if (number != ++newest[station])
                differs("verdict {} of {} follows {}", number, station, newest[station] - 1);
            newest[station] = number;
            try {
                open_verdict(each->key, each->value);
            } catch (const rotten_row&) {
                if (what_ == on_damage::throws)
                    throw;
                differs("verdict {} of {} cannot be read", number, station);
            }
        }
    }

    void look_at_findings()
    {
        if (meta_.format() >= 2 && !t_.findings)
            return differs("the table of findings is missing");
        if (!t_.findings)
            return;
        std::map<std::string, std::size_t> kept;
        std::set<std::uint64_t> given;
        wary_cursor walk{txn_, *t_.findings, on_step_};
        for (auto each = walk.first(); each; each = walk.next()) {
            v1::FindingRow row;
            if (each->key.size() < 10) {
                differs("a finding has a key of {} bytes", each->key.size());
                continue;
            }
            const auto number = read_u64(each->key.last(8));
            if (!open_index(seed::finding, each->key, each->value, row))
                continue;
            if (!std::ranges::equal(each->key,
                                    bytes_view{finding_key(row.station(), row.number())}))
                differs("finding {} is not found under its number", number);
            if (!given.insert(number).second || number >= meta_.next_finding())
                differs("finding {} has a number that is given twice", number);
            if (++kept[row.station()] == findings_limit{}.all + 1)
                differs("more than {} findings are kept about {}", findings_limit{}.all,
                        row.station());
        }
    }

    void look_at_ledger()
    {
        std::uint64_t next = 1;
        wary_cursor walk{txn_, t_.ledger, on_step_};
        for (auto each = walk.first(); each; each = walk.next(), ++next) {
            v1::Entry entry;
            try {
                open_row(seed::entry, each->key, each->value, entry);
            } catch (const rotten_row&) {
                differs("entry {} of the ledger cannot be read", next);
                continue;
            }
            if (entry.number() != next || each->key.size() != 8 || read_u64(each->key) != next) {
                differs("entry {} of the ledger is missing", next);
                next = entry.number();
            }
        }
        if (next != meta_.next_entry())
            differs("the ledger ends with entry {}, the next is said to be {}", next - 1,
                    meta_.next_entry());
    }

    struct {
        std::uint64_t by_id = 0;
        std::uint64_t queue = 0;
        std::uint64_t opened = 0;
    } expected_;
    const transaction& txn_;
    const tables& t_;
    const on_damage what_;
    const std::function<void()>& on_step_;
    v1::Meta meta_;
    v1::Meta counted_; ///< only its tallies
    numbers numbers_;
    std::map<std::uint64_t, std::uint64_t> stored_; ///< places that have bytes
    std::uint64_t unreadable_ = 0;
    std::vector<std::string> out_;
};

} // namespace

std::vector<std::string> audit_of(const transaction& txn, const tables& t, on_damage what,
                                  const std::function<void()>& on_step)
{
    return audit{txn, t, what, on_step}.run();
}

asio::awaitable<result<std::vector<std::string>>> store::audit()
{
    auto within = [this]() -> result<std::vector<std::string>> {
        const transaction txn{parts_->env->get(), transaction::mode::read};
        return audit_of(txn, parts_->t, on_damage::throws);
    };
    auto job = [this, within = std::move(within)]() mutable { return parts_->guarded(within); };
    co_return co_await run_on(parts_->pool, std::move(job));
}

} // namespace titip::journal
