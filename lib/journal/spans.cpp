#include "journal/spans.hpp"

#include <algorithm>

namespace titip::journal {

namespace {

using span = v1::Numbering::Span;

constexpr std::size_t epoch_bytes = 16;
constexpr std::size_t first_bytes = 8;
constexpr std::size_t account_bytes = epoch_bytes + 1;
constexpr std::byte no_epoch{0xff}; ///< sixteen of them: a random epoch is none of that

key_builder span_key(std::string_view station, const epoch_id& epoch, std::uint64_t first)
{
    return numbering_key(station, epoch).u64(first);
}

void put_span(transaction& txn, const tables& t, std::string_view station, const epoch_id& epoch,
              const span& what)
{
    const auto key = span_key(station, epoch, what.first());
    txn.put(t.numbering, key, seal_row(seed::numbering, key, what));
}

void put_head(transaction& txn, const tables& t, const placing& what, const v1::Numbering& head)
{
    const auto key = numbering_key(what.station, what.epoch);
    txn.put(t.numbering, key, seal_row(seed::numbering, key, head));
}

/// The epoch's row; of one of before the spans get keys of their own first.
std::optional<v1::Numbering> head_of(transaction& txn, const tables& t, const placing& what)
{
    const auto key = numbering_key(what.station, what.epoch);
    const auto stored = txn.get(t.numbering, key);
    if (!stored)
        return std::nullopt;
    v1::Numbering out;
    open_row(seed::numbering, key, *stored, out);
    if (out.spans().empty())
        return out;
    const auto spans = std::move(*out.mutable_spans());
    out.clear_spans();
    for (const auto& each : spans)
        put_span(txn, t, what.station, what.epoch, each);
    put_head(txn, t, what, out);
    return out;
}

/// The spans that the number continues, or that continue it.
struct neighbours {
    std::optional<span> left;
    std::optional<span> right;
};

neighbours neighbours_of(const transaction& txn, const tables& t, const placing& what)
{
    const auto is_theirs = [&](const std::optional<cursor::entry>& found) {
        const auto place = found ? read_numbering_key(found->key) : std::nullopt;
        return place && place->what == numbering_place::kind::span &&
               place->station == what.station && place->epoch == what.epoch;
    };
    const auto open = [&](const std::optional<cursor::entry>& found) {
        std::optional<span> out;
        if (is_theirs(found))
            open_row(seed::numbering, found->key, found->value, out.emplace());
        return out;
    };
    neighbours out;
    cursor walk{txn, t.numbering};
    const auto behind = walk.seek(span_key(what.station, what.epoch, what.sequence));
    out.right = open(behind);
    out.left = open(behind ? walk.previous() : walk.last());
    if (out.right && (out.right->first() - 1 != what.sequence ||
                      out.right->first_previous() != as_text(what.hash)))
        out.right.reset();
    if (out.left &&
        (out.left->last() + 1 != what.sequence || out.left->last_hash() != as_text(what.previous)))
        out.left.reset();
    return out;
}

/// Calls `visit` with each key of the station, and what is there, until it says false.
template <class Visit>
void walk_station(const transaction& txn, const tables& t, std::string_view station, Visit visit)
{
    cursor walk{txn, t.numbering};
    for (auto each = walk.seek(key_builder{}.text(station)); each; each = walk.next()) {
        const auto place = read_numbering_key(each->key);
        if (!place || place->station != station)
            return;
        visit(*place, *each);
    }
}

/// Counted once for a store of before, and followed from then on.
v1::Account counted_account(transaction& txn, const tables& t, std::string_view station)
{
    auto out = read_account(txn, t, station);
    if (out.is_counted())
        return out;
    out.set_is_counted(true);
    walk_station(txn, t, station, [&](const numbering_place& at, const cursor::entry& each) {
        if (at.what == numbering_place::kind::span)
            out.set_spans(out.spans() + 1);
        if (at.what != numbering_place::kind::epoch)
            return;
        v1::Numbering head;
        open_row(seed::numbering, each.key, each.value, head);
        out.set_epochs(out.epochs() + 1);
        out.set_spans(out.spans() + static_cast<std::uint64_t>(head.spans_size()));
    });
    return out;
}

} // namespace

std::optional<numbering_place> read_numbering_key(bytes_view key)
{
    const auto end = std::ranges::find(key, std::byte{});
    if (end == key.end())
        return std::nullopt;
    numbering_place out{};
    out.station = as_text(key.first(static_cast<std::size_t>(end - key.begin())));
    const auto rest = key.subspan(out.station.size() + 1);
    switch (rest.size()) {
    case epoch_bytes:
        out.what = numbering_place::kind::epoch;
        break;
    case epoch_bytes + first_bytes:
        out.what = numbering_place::kind::span;
        out.first = read_u64(rest.subspan(epoch_bytes));
        break;
    case account_bytes:
        out.what = numbering_place::kind::account;
        return out;
    default:
        return std::nullopt;
    }
    out.epoch = epoch_id::from_bytes(rest.first(epoch_bytes)).value();
    return out;
}

bool may_add_number(transaction& txn, const tables& t, const placing& what)
{
    const auto head = head_of(txn, t, what);
    if (txn.get(t.by_sequence, sequence_key(what.station, what.epoch, what.sequence)))
        return true; // a fork: it opens none
    const auto beside = neighbours_of(txn, t, what);
    if (beside.left || beside.right)
        return true;
    const auto account = counted_account(txn, t, what.station);
    return head ? account.spans() < most_spans : account.epochs() < most_epochs;
}

void add_number(transaction& txn, const tables& t, const placing& what)
{
    auto head = head_of(txn, t, what);
    const auto beside = neighbours_of(txn, t, what);
    // Before anything is written: what is not counted yet is counted from what is there.
    std::optional<v1::Account> account;
    if (!head || beside.left.has_value() == beside.right.has_value()) {
        account = counted_account(txn, t, what.station);
        account->set_epochs(account->epochs() + (head ? 0 : 1));
        account->set_spans(account->spans() + (beside.left ? std::uint64_t(-1) : 1));
    }
    if (!head || what.sequence > head->head()) {
        v1::Numbering newest;
        newest.set_head(what.sequence);
        newest.set_head_hash(text(what.hash));
        put_head(txn, t, what, newest);
    }
    span grown;
    grown.set_first(beside.left ? beside.left->first() : what.sequence);
    grown.set_first_previous(beside.left ? beside.left->first_previous() : text(what.previous));
    grown.set_last(beside.right ? beside.right->last() : what.sequence);
    grown.set_last_hash(beside.right ? beside.right->last_hash() : text(what.hash));
    if (beside.right)
        txn.erase(t.numbering, span_key(what.station, what.epoch, beside.right->first()));
    put_span(txn, t, what.station, what.epoch, grown);
    if (account)
        write_account(txn, t, what.station, *account);
}

std::vector<known_epoch> epochs_with_spans_of(const transaction& txn, const tables& t,
                                              std::string_view station)
{
    std::vector<known_epoch> out;
    walk_station(txn, t, station, [&](const numbering_place& at, const cursor::entry& each) {
        if (at.what == numbering_place::kind::epoch) {
            out.emplace_back().epoch = at.epoch;
            open_row(seed::numbering, each.key, each.value, out.back().numbering);
        } else if (at.what == numbering_place::kind::span) {
            if (out.empty() || out.back().epoch != at.epoch)
                throw rotten_row(seed::numbering, "numbers of an epoch that is not there");
            open_row(seed::numbering, each.key, each.value, *out.back().numbering.add_spans());
        }
    });
    return out;
}

key_builder account_key(std::string_view station)
{
    const bytes none(epoch_bytes, no_epoch);
    return key_builder{}.text(station).raw(none).u8(1);
}

v1::Account read_account(const transaction& txn, const tables& t, std::string_view station)
{
    v1::Account out;
    const auto key = account_key(station);
    if (const auto stored = txn.get(t.numbering, key))
        open_row(seed::numbering, key, *stored, out);
    return out;
}

void write_account(transaction& txn, const tables& t, std::string_view station,
                   const v1::Account& account)
{
    const auto key = account_key(station);
    txn.put(t.numbering, key, seal_row(seed::numbering, key, account));
}

} // namespace titip::journal
