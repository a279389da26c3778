#include "intake/upload.hpp"

#include "base/time.hpp"

namespace titip::intake {

namespace {

constexpr auto commit_every = 5s;
/// One TLS record: no read brings more at a time, and each body under way costs as much beside what
/// is counted.
constexpr std::size_t piece_bytes = 16u << 10;

} // namespace

asio::awaitable<arrival> receive(vault::vault& into, vault::offer what, std::uint64_t offset,
                                 std::uint64_t body_bytes, http::server_connection& from,
                                 turnstile::place place)
{
    arrival out{.offset = offset, .rest = {}, .place = std::move(place)};
    const auto which = what.key();
    auto prefix = co_await into.hash(which, offset);
    if (!prefix) {
        out.failed = prefix.error();
        co_return out;
    }
    hasher& hash = *prefix;

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
        out.place.grow(size);
        left -= size;
        if (size == 0) {
            out.failed = got ? error_code{http::errc::bad_message} : got.error();
            break;
        }
        const bool is_due =
            monotonic::now() - committed_at > commit_every || out.place.is_to_be_kept();
        if (left > 0 && is_due) {
            auto piece = std::exchange(out.rest, {});
            const auto size_kept = piece.size();
            const auto kept = co_await into.keep(what, out.offset, std::move(piece));
            out.place.clear();
            if (!kept) {
                out.failed = kept.error();
                co_return out;
            }
            out.offset += size_kept;
            out.rest.reserve(left);
            committed_at = monotonic::now();
        }
    }

    out.place.complete();
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
        out.place.clear();
        if (kept)
            out.offset += size_kept;
        else
            out.failed = kept.error();
    }
    co_return out;
}

} // namespace titip::intake
