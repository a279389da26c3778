#include "intake/upload.hpp"

#include "base/time.hpp"

namespace titip::intake {

namespace {

constexpr auto commit_every = 5s;
constexpr std::size_t piece_bytes = 64u << 10;
constexpr std::size_t reread_bytes = 256u << 10;

/// The hash so far of an upload that goes on: its prefix is read again, with its checksums.
asio::awaitable<result<void>> hash_prefix(vault::vault& from, vault::key which,
                                          std::uint64_t offset, hasher& hash)
{
    for (std::uint64_t at = 0; at < offset;) {
        const auto piece =
            co_await from.read(which, at, std::min<std::uint64_t>(reread_bytes, offset - at));
        if (!piece)
            co_return piece.error();
        if (piece->empty())
            co_return vault::errc::wrong_offset;
        hash.update(*piece);
        at += piece->size();
    }
    co_return result<void>{};
}

} // namespace

asio::awaitable<arrival> receive(vault::vault& into, vault::offer what, std::uint64_t offset,
                                 std::uint64_t body_bytes, http::server_connection& from,
                                 memory_budget& budget)
{
    arrival out{.offset = offset, .rest = {}, .memory = memory_budget::share{budget}};
    hasher hash;
    const auto prefix = co_await hash_prefix(into, what.key(), offset, hash);
    if (!prefix) {
        out.failed = prefix.error();
        co_return out;
    }

    // Reserved, not filled: pages are touched as bytes come, so a slow peer costs what it has sent.
    out.rest.reserve(body_bytes);
    auto committed_at = monotonic::now();
    auto left = body_bytes;
    while (left > 0) {
        const auto filled = out.rest.size();
        out.rest.resize(filled + std::min<std::uint64_t>(piece_bytes, left));
        const auto into_rest = std::span{out.rest}.subspan(filled);
        const auto got = co_await from.read_body(into_rest);
        const auto size = got ? *got : 0;
        out.rest.resize(filled + size);
        hash.update(bytes_view{out.rest}.subspan(filled));
        out.memory.grow(size);
        left -= size;
        if (size == 0) {
            out.failed = got ? error_code{http::errc::bad_message} : got.error();
            break;
        }
        const bool is_due = monotonic::now() - committed_at > commit_every || budget.is_exhausted();
        if (left > 0 && is_due) {
            auto piece = std::exchange(out.rest, {});
            const auto size_kept = piece.size();
            const auto kept = co_await into.keep(what, out.offset, std::move(piece));
            out.memory.clear();
            if (!kept) {
                out.failed = kept.error();
                co_return out;
            }
            out.offset += size_kept;
            out.rest.reserve(left);
            committed_at = monotonic::now();
        }
    }

    const bool has_all = out.offset + out.rest.size() == what.manifest.size_bytes;
    if (has_all) {
        out.is_whole = hash.value() == what.manifest.digest;
        out.is_mismatch = !out.is_whole;
        co_return out;
    }
    if (!out.rest.empty()) {
        auto piece = std::exchange(out.rest, {});
        const auto size_kept = piece.size();
        const auto kept = co_await into.keep(what, out.offset, std::move(piece));
        out.memory.clear();
        if (kept)
            out.offset += size_kept;
        else
            out.failed = kept.error();
    }
    co_return out;
}

} // namespace titip::intake
