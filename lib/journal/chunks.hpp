#pragma once

#include "journal/rows.hpp"

/// Envelopes as one-page chunks keyed (place, n). Private to this room.
namespace titip::journal {

/// A chunk must never need two adjacent pages: a whole 1 MB value takes 30 ms a put once the free
/// list is scattered, one-page chunks 0.3 ms, and all freed pages are used again
/// (docs/architecture.md).
inline constexpr std::size_t chunk_value_bytes = lmdb_page_bytes - 64;
inline constexpr std::size_t chunk_header_bytes = 16;
inline constexpr std::size_t chunk_payload_bytes = chunk_value_bytes - chunk_header_bytes;

/// Pages that an envelope takes, leaf entries included.
constexpr std::uint64_t stored_size(std::uint64_t envelope_bytes) noexcept
{
    return (envelope_bytes + chunk_payload_bytes - 1) / chunk_payload_bytes * lmdb_page_bytes *
           102 / 100;
}

/// Appends `data` where a stored prefix of `offset` bytes ends. Throws rotten_row if the chunk that
/// the prefix ends in does not match its checksum.
void append_chunks(transaction& txn, const tables& t, place at, std::uint64_t offset,
                   bytes_view data);

/// `limit_bytes` from `offset`, or less where `stored_bytes` ends; vault::errc::rotten if a chunk
/// is missing or does not match its checksum.
result<bytes> read_chunks(const transaction& txn, const tables& t, place at, std::uint64_t offset,
                          std::size_t limit_bytes, std::uint64_t stored_bytes);

/// What the chunks of a record add up to, where its row cannot say.
std::uint64_t size_of_chunks(const transaction& txn, const tables& t, place at);

void erase_chunks(transaction& txn, const tables& t, place at, std::uint64_t stored_bytes);

} // namespace titip::journal
