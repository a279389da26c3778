#include "intake/upload.hpp"

#include "base/time.hpp"
#include "envelope/seal.hpp"

namespace titip::intake {

namespace {

constexpr auto commit_every = 5s;
/// One TLS record: no read brings more at a time, and each body under way costs as much beside what
/// is counted.
constexpr std::size_t piece_bytes = 16u << 10;

/// Of a record that came in pieces. Those that have been committed are read again, as far as they are
/// needed: the begin, and what of the end was not in the last piece.
asio::awaitable<result<void>> check_pieces(vault::vault& in, vault::key which, std::uint64_t kept,
                                           bytes_view rest)
{
    constexpr std::size_t usually_enough = 16u << 10;
    constexpr auto end_bytes = envelope::form_end_bytes;
    const auto size_bytes = kept + rest.size();
    bytes end;
    if (rest.size() < end_bytes && size_bytes >= end_bytes) {
        auto before = co_await in.read(which, size_bytes - end_bytes, end_bytes - rest.size());
        if (!before)
            co_return before.error();
        end = std::move(*before);
    }
    const auto of_rest = rest.last(std::min(rest.size(), end_bytes));
    end.insert(end.end(), of_rest.begin(), of_rest.end());
    for (auto limit = usually_enough;; limit = envelope::most_form_bytes) {
        bytes begin;
        while (begin.size() < std::min<std::uint64_t>(limit, kept)) {
            auto next = co_await in.read(which, begin.size(), limit - begin.size());
            if (!next || next->empty())
                co_return next ? make_error_code(vault::errc::wrong_offset) : next.error();
            begin.insert(begin.end(), next->begin(), next->end());
        }
        const auto more = rest.first(std::min(rest.size(), limit - std::min(limit, begin.size())));
        begin.insert(begin.end(), more.begin(), more.end());
        const envelope::form_parts parts{.first = begin, .last = end, .size_bytes = size_bytes};
        const auto judged = envelope::check_form(parts);
        if (judged || begin.size() == size_bytes || limit == envelope::most_form_bytes)
            co_return judged;
    }
}

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
        if (out.is_mismatch)
            co_return out;
        if (out.offset == 0) {
            out.has_form = envelope::check_form(out.rest).has_value();
            co_return out;
        }
        const auto judged = co_await check_pieces(into, which, out.offset, out.rest);
        out.has_form = judged.has_value();
        if (!judged && judged.error() != envelope::errc::not_an_envelope) { // not to be looked at
            out.is_whole = false;
            out.failed = judged.error();
        }
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
