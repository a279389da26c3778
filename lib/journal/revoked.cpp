#include "journal/revoked.hpp"

#include "journal/parts.hpp"
#include "journal/writing.hpp"

#include <fmt/format.h>

/// Certificates that are shut out for good. Their rows lie in `meta` beside its own, so that a store of any
/// version has room for them: an earlier one never looks at them.
namespace titip::journal {

namespace {

constexpr std::string_view prefix = "revoked";

key_builder revoked_key(const digest& certificate)
{
    return key_builder{}.text(prefix).raw(certificate);
}

template <class Each>
void walk(const transaction& txn, const tables& t, Each each)
{
    const auto begin = key_builder{}.text(prefix);
    const bytes_view wanted = begin;
    cursor over{txn, t.meta};
    for (auto found = over.seek(begin); found; found = over.next()) {
        if (found->key.size() < wanted.size() ||
            as_text(found->key.first(wanted.size())) != as_text(wanted))
            return;
        if (const auto certificate = to_digest(found->key.subspan(wanted.size())))
            each(*certificate, *found);
    }
}

} // namespace

std::map<digest, revoked_certificate> revoked_in(const transaction& txn, const tables& t)
{
    std::map<digest, revoked_certificate> out;
    walk(txn, t, [&out](const digest& certificate, const cursor::entry& found) {
        auto& one = out[certificate];
        one.certificate = certificate;
        v1::Revoked stored;
        try {
            open_row(seed::meta, found.key, found.value, stored);
        } catch (const rotten_row&) {
            return; // what counts is its key
        }
        one.name = stored.name();
        one.why = stored.why();
        one.at = from_ms(stored.at_ms());
    });
    return out;
}

result<void> writing::keep_revoked(const revoked_certificate& which)
{
    const auto key = revoked_key(which.certificate);
    if (txn_.get(t_.meta, key))
        return {};
    std::size_t kept = 0;
    walk(txn_, t_, [&kept](const digest&, const cursor::entry&) { ++kept; });
    if (kept >= most_revoked)
        return vault::errc::full;
    v1::Revoked stored;
    stored.set_certificate(text(which.certificate));
    stored.set_name(which.name);
    stored.set_why(which.why);
    stored.set_at_ms(to_ms(which.at));
    txn_.put(t_.meta, key, seal_row(seed::meta, key, stored));
    note(v1::Entry::REVOKED, fmt::format("{} {} by {}", to_hex(which.certificate),
                                         which.name.empty() ? "-" : which.name, which.why));
    return {};
}

result<void> writing::forget_revoked(const digest& certificate, std::string_view who_and_why)
{
    const auto key = revoked_key(certificate);
    if (!txn_.get(t_.meta, key))
        return vault::errc::unknown;
    txn_.erase(t_.meta, key);
    note(v1::Entry::UNREVOKED, fmt::format("{} {}", to_hex(certificate), who_and_why));
    return {};
}

std::vector<revoked_certificate> store::revoked() const
{
    const std::lock_guard guard{parts_->mutex};
    std::vector<revoked_certificate> out;
    for (const auto& [certificate, each] : parts_->revoked)
        out.push_back(each);
    return out;
}

} // namespace titip::journal
