#pragma once

#include "base/bytes.hpp"

#include <boost/system/system_error.hpp>
#include <lmdb.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

/// LMDB with owners and errors: private to this room. What LMDB refuses is thrown as
/// boost::system::system_error of this category: inside a transaction there is nothing to do about
/// it but to give the transaction up, which is what unwinding does.
namespace titip::journal {

const boost::system::error_category& lmdb_category() noexcept;

/// Throws for anything but MDB_SUCCESS.
void check(int code);

struct table {
    MDB_dbi handle = 0;
};

inline MDB_val to_val(bytes_view data) noexcept
{
    return {data.size(), const_cast<std::byte*>(data.data())};
}
inline bytes_view to_view(const MDB_val& v) noexcept
{
    return {static_cast<const std::byte*>(v.mv_data), v.mv_size};
}

/// Of the machines that this runs on; what is stored depends on it.
inline constexpr std::size_t lmdb_page_bytes = 4096;

/// Pages inside the file that hold nothing: what was erased, as readers see it.
std::uint64_t free_pages(MDB_env* environment);

/// One transaction; aborted unless committed.
class transaction {
public:
    enum class mode { read, write };
    transaction(MDB_env* environment, mode m);
    transaction(const transaction&) = delete;
    ~transaction();

    /// The value lies in the map: valid until this transaction ends or writes.
    std::optional<bytes_view> get(table from, bytes_view key) const;
    void put(table into, bytes_view key, bytes_view value);
    /// Puts only if the key is new; false if it is not.
    bool insert(table into, bytes_view key, bytes_view value);
    /// Room for a value of `size` bytes, to be filled at once. Sequential keys fill pages whole.
    std::span<std::byte> reserve(table into, bytes_view key, std::size_t size);
    bool erase(table from, bytes_view key);
    /// Pages that a table takes.
    std::uint64_t size_bytes(table of) const;
    void commit();
    std::size_t id() const noexcept { return mdb_txn_id(handle_); }
    MDB_txn* native_handle() const noexcept { return handle_; }

private:
    MDB_txn* handle_ = nullptr;
};

/// Walks a table in key order. The views it gives live as long as get()'s.
class cursor {
public:
    cursor(const transaction& within, table over);
    cursor(const cursor&) = delete;
    ~cursor();

    struct entry {
        bytes_view key;
        bytes_view value;
    };
    std::optional<entry> first() { return move(MDB_FIRST); }
    std::optional<entry> last() { return move(MDB_LAST); }
    std::optional<entry> next() { return move(MDB_NEXT); }
    std::optional<entry> previous() { return move(MDB_PREV); }
    /// The first entry whose key is not less than `key`.
    std::optional<entry> seek(bytes_view key);

private:
    std::optional<entry> move(MDB_cursor_op op);
    MDB_cursor* handle_ = nullptr;
};

/// Walks a table that may be damaged, in a read transaction: throws MDB_CORRUPTED where a key is not greater
/// than the one before, since a tree that leads back into itself would be walked for ever.
class wary_cursor {
public:
    /// `on_step` is told now and then that the walk goes on.
    wary_cursor(const transaction& within, table over, std::function<void()> on_step)
        : walk_(within, over), on_step_(std::move(on_step))
    {
    }

    std::optional<cursor::entry> first() { return beyond(walk_.first()); }
    std::optional<cursor::entry> next() { return beyond(walk_.next()); }
    std::optional<cursor::entry> seek(bytes_view key) { return beyond(walk_.seek(key)); }

private:
    std::optional<cursor::entry> beyond(std::optional<cursor::entry> found);
    cursor walk_;
    std::function<void()> on_step_;
    bytes_view last_key_;
    std::uint64_t steps_ = 0;
};

/// Big-endian keys, so that LMDB's order is the numbers' order.
class key_builder {
public:
    key_builder& text(std::string_view part)
    {
        out_.append(part);
        out_ += '\0';
        return *this;
    }
    key_builder& raw(bytes_view part)
    {
        out_.append(as_text(part));
        return *this;
    }
    key_builder& u8(std::uint8_t value)
    {
        out_ += static_cast<char>(value);
        return *this;
    }
    key_builder& u32(std::uint32_t value) { return big_endian(value, 4); }
    key_builder& u64(std::uint64_t value) { return big_endian(value, 8); }
    operator bytes_view() const noexcept { return as_bytes(out_); } // NOLINT: a key is its bytes

private:
    key_builder& big_endian(std::uint64_t value, int size)
    {
        for (int i = size - 1; i >= 0; --i)
            out_ += static_cast<char>(value >> (8 * i) & 0xff);
        return *this;
    }
    std::string out_;
};

/// Walks what one station has in a table whose keys are (station, `rest_bytes` more).
class station_cursor {
public:
    station_cursor(const transaction& within, table over, std::string_view station,
                   std::size_t rest_bytes);

    /// The first entry whose rest is not less than `rest`.
    std::optional<cursor::entry> first(bytes_view rest = {});
    std::optional<cursor::entry> next() { return ours(walk_.next()); }
    std::optional<cursor::entry> last();

private:
    std::optional<cursor::entry> ours(std::optional<cursor::entry> found) const;
    cursor walk_;
    key_builder prefix_;
    std::size_t rest_bytes_;
};

/// The first eight bytes, big-endian. Throws MDB_CORRUPTED where there are fewer: an index whose keys or
/// values are too short is none that we wrote.
std::uint64_t read_u64(bytes_view data);

} // namespace titip::journal
