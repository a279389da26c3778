#include "journal/database.hpp"

#include "journal/guard.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace titip::journal {

namespace {

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "lmdb"; }
    std::string message(int value) const override { return mdb_strerror(value); }
};

/// True if found, false if there is no such entry; throws for all else.
bool found(int code)
{
    if (code == MDB_NOTFOUND)
        return false;
    check(code);
    return true;
}

} // namespace

const boost::system::error_category& lmdb_category() noexcept
{
    static const category it;
    return it;
}

void check(int code)
{
    if (code != MDB_SUCCESS)
        throw boost::system::system_error(code, lmdb_category());
}

transaction::transaction(MDB_env* environment, mode m)
{
    prepare_thread();
    check(mdb_txn_begin(environment, nullptr, m == mode::read ? MDB_RDONLY : 0u, &handle_));
}

transaction::~transaction()
{
    if (handle_)
        mdb_txn_abort(handle_);
}

std::optional<bytes_view> transaction::get(table from, bytes_view key) const
{
    auto k = to_val(key);
    MDB_val v;
    if (!found(mdb_get(handle_, from.handle, &k, &v)))
        return std::nullopt;
    return to_view(v);
}

void transaction::put(table into, bytes_view key, bytes_view value)
{
    auto k = to_val(key);
    auto v = to_val(value);
    check(mdb_put(handle_, into.handle, &k, &v, 0));
}

bool transaction::insert(table into, bytes_view key, bytes_view value)
{
    auto k = to_val(key);
    auto v = to_val(value);
    const int code = mdb_put(handle_, into.handle, &k, &v, MDB_NOOVERWRITE);
    if (code == MDB_KEYEXIST)
        return false;
    check(code);
    return true;
}

std::span<std::byte> transaction::reserve(table into, bytes_view key, std::size_t size)
{
    auto k = to_val(key);
    MDB_val v{size, nullptr};
    // Appending leaves no half-empty pages behind; a key that is not the greatest goes the usual
    // way.
    int code = mdb_put(handle_, into.handle, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (code == MDB_KEYEXIST) {
        v = {size, nullptr};
        code = mdb_put(handle_, into.handle, &k, &v, MDB_RESERVE);
    }
    check(code);
    return {static_cast<std::byte*>(v.mv_data), size};
}

bool transaction::erase(table from, bytes_view key)
{
    auto k = to_val(key);
    return found(mdb_del(handle_, from.handle, &k, nullptr));
}

std::uint64_t transaction::size_bytes(table of) const
{
    MDB_stat found{};
    check(mdb_stat(handle_, of.handle, &found));
    return (found.ms_branch_pages + found.ms_leaf_pages + found.ms_overflow_pages) * found.ms_psize;
}

void transaction::commit()
{
    // LMDB frees the handle whether or not it succeeds.
    check(mdb_txn_commit(std::exchange(handle_, nullptr)));
}

cursor::cursor(const transaction& within, table over)
{
    check(mdb_cursor_open(within.native_handle(), over.handle, &handle_));
}

cursor::~cursor()
{
    mdb_cursor_close(handle_);
}

std::optional<cursor::entry> cursor::seek(bytes_view key)
{
    auto k = to_val(key);
    MDB_val v;
    if (!found(mdb_cursor_get(handle_, &k, &v, MDB_SET_RANGE)))
        return std::nullopt;
    return entry{to_view(k), to_view(v)};
}

std::optional<cursor::entry> cursor::move(MDB_cursor_op op)
{
    MDB_val k;
    MDB_val v;
    if (!found(mdb_cursor_get(handle_, &k, &v, op)))
        return std::nullopt;
    return entry{to_view(k), to_view(v)};
}

std::optional<cursor::entry> wary_cursor::beyond(std::optional<cursor::entry> found)
{
    constexpr std::uint64_t now_and_then = 64; // a few pages each: half a second of a slow disk
    if (!found)
        return found;
    if (!std::ranges::lexicographical_compare(last_key_, found->key))
        throw boost::system::system_error(MDB_CORRUPTED, lmdb_category());
    last_key_ = found->key;
    if (on_step_ && ++steps_ % now_and_then == 0)
        on_step_();
    return found;
}

station_cursor::station_cursor(const transaction& within, table over, std::string_view station,
                               std::size_t rest_bytes)
    : walk_(within, over), rest_bytes_(rest_bytes)
{
    prefix_.text(station);
}

std::optional<cursor::entry> station_cursor::first(bytes_view rest)
{
    auto from = prefix_;
    return ours(walk_.seek(from.raw(rest)));
}

std::optional<cursor::entry> station_cursor::last()
{
    auto past = prefix_;
    const bytes most(rest_bytes_, std::byte{0xff});
    const auto found = walk_.seek(past.raw(most));
    if (ours(found)) // the greatest there can be
        return found;
    return ours(found ? walk_.previous() : walk_.last());
}

std::optional<cursor::entry> station_cursor::ours(std::optional<cursor::entry> found) const
{
    const bytes_view prefix = prefix_;
    if (found && found->key.size() == prefix.size() + rest_bytes_ &&
        std::ranges::equal(found->key.first(prefix.size()), prefix))
        return found;
    return std::nullopt;
}

std::uint64_t read_u64(bytes_view data)
{
    if (data.size() < sizeof(std::uint64_t))
        check(MDB_CORRUPTED);
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < 8; ++i)
        out = out << 8 | std::to_integer<std::uint64_t>(data[i]);
    return out;
}

std::uint64_t free_pages(MDB_env* environment)
{
    // LMDB shows its list of them to readers only; each entry begins with its page count.
    std::uint64_t out = 0;
    const transaction reading{environment, transaction::mode::read};
    cursor walk{reading, table{0}};
    for (auto each = walk.first(); each; each = walk.next()) {
        std::size_t count = 0;
        std::memcpy(&count, each->value.data(), sizeof count);
        out += count;
    }
    return out;
}

} // namespace titip::journal
