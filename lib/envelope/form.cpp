#include "envelope/der.hpp"
#include "envelope/seal.hpp"

#include <algorithm>

namespace titip::envelope {

namespace {

using namespace std::string_view_literals;

// RFC 3447: OAEP with SHA-256, MGF1 with SHA-256, and no label. The parameters of SHA-256 are absent.
constexpr auto oaep_sha256 = "\x30\x38\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07\x30\x2b"
                             "\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
                             "\xa1\x1a\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"
                             "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"sv;
// RFC 5753: dhSinglePass-stdDH-sha256kdf-scheme with id-aes256-wrap (RFC 3565), which has no parameters.
constexpr auto ecdh_sha256_wrap =
    "\x30\x15\x06\x06\x2b\x81\x04\x01\x0b\x01\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2d"sv;
// The curve is the recipient's, so that it is not named again.
constexpr auto ec_public_key = "\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"sv;

/// KeyTransRecipientInfo, RFC 5652 section 6.2.1.
bool is_key_transport(bytes_view info) noexcept
{
    // What a sealer takes, and what OpenSSL can (OPENSSL_RSA_MAX_MODULUS_BITS).
    constexpr std::size_t least_bytes = 2'048 / 8;
    constexpr std::size_t most_bytes = 16'384 / 8;
    der_reader in{info};
    in.expect("\x02\x01\x02"sv); // version 2: the recipient is named by its key id
    const auto id = in.take(der_reader::tag_0_primitive);
    in.expect(oaep_sha256);
    const auto key = in.take(der_reader::octet_string);
    return in.finished() && !id.empty() && key.size() >= least_bytes && key.size() <= most_bytes;
}

/// KeyAgreeRecipientInfo, section 6.2.2.
bool is_key_agreement(bytes_view info) noexcept
{
    constexpr std::size_t wrapped_bytes = 32 + 8; // RFC 3394: a key of 256 bits and a check
    constexpr auto uncompressed = "\x00\x04"sv;   // no bit is unused; both coordinates of 32 bytes
    constexpr std::size_t point_bytes = 2 + 2 * 32;
    der_reader in{info};
    in.expect("\x02\x01\x03"sv);
    der_reader originator{in.take(der_reader::tag_0)};
    der_reader ephemeral{originator.take(der_reader::tag_1)};
    ephemeral.expect(ec_public_key);
    const auto point = ephemeral.take(der_reader::bit_string);
    in.expect(ecdh_sha256_wrap); // no ukm before it
    der_reader keys{in.take(der_reader::sequence)};
    der_reader one{keys.take(der_reader::sequence)};
    der_reader named{one.take(der_reader::tag_0)};
    const auto id = named.take(der_reader::octet_string);
    const auto key = one.take(der_reader::octet_string);
    return in.finished() && originator.finished() && ephemeral.finished() && keys.finished() &&
           one.finished() && named.finished() && point.size() == point_bytes &&
           as_text(point).starts_with(uncompressed) && !id.empty() && key.size() == wrapped_bytes;
}

/// Two or more, no two the same, in the order of a SET OF (X.690 section 11.6), of which there is one only.
bool are_recipients(bytes_view set) noexcept
{
    constexpr std::size_t fewest = 2;
    der_reader in{set};
    bytes_view before;
    std::size_t count = 0;
    for (; in.left() > 0; ++count) {
        const auto tag = in.next_tag();
        const auto whole = in.take_whole(tag);
        const auto content = der_reader{whole}.take(tag);
        const bool is_known = tag == der_reader::sequence ? is_key_transport(content)
                              : tag == der_reader::tag_1  ? is_key_agreement(content)
                                                          : false;
        if (!is_known || !std::ranges::lexicographical_compare(before, whole))
            return false;
        before = whole;
    }
    return in.finished() && count >= fewest;
}

} // namespace

result<void> check_form(const form_parts& sealed)
{
    constexpr auto auth_enveloped_data = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"sv;
    constexpr auto version_0 = "\x02\x01\x00"sv;
    constexpr auto id_data = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"sv;
    constexpr auto aes_256_gcm = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e"sv;
    constexpr std::size_t nonce_bytes = 12;
    constexpr auto tag_of_16_bytes = "\x02\x01\x10"sv; // RFC 5084: a shorter one is weaker
    constexpr auto tag_header = "\x04\x10"sv;

    const auto first = sealed.first;
    const auto last = sealed.last;
    const auto size_bytes = sealed.size_bytes;
    if (size_bytes > limit_bytes)
        return errc::too_large;
    if (size_bytes < form_end_bytes || first.size() > size_bytes)
        return errc::not_an_envelope;
    der_reader in{first};
    const auto is_to = [&](std::uint8_t tag, std::size_t before_end) {
        const auto content = in.enter(tag);
        return !in.failed() && content + before_end == size_bytes - (first.size() - in.left());
    };
    // What holds the ciphertext ends with the envelope, or where the tag begins.
    bool fits = is_to(der_reader::sequence, 0);
    in.expect(auth_enveloped_data);
    fits = fits && is_to(der_reader::tag_0, 0);
    fits = fits && is_to(der_reader::sequence, 0);
    in.expect(version_0);
    const auto recipients = in.take(der_reader::set);
    fits = fits && is_to(der_reader::sequence, form_end_bytes);
    in.expect(id_data);
    der_reader cipher{in.take(der_reader::sequence)};
    cipher.expect(aes_256_gcm);
    der_reader parameters{cipher.take(der_reader::sequence)};
    const auto nonce = parameters.take(der_reader::octet_string);
    parameters.expect(tag_of_16_bytes);
    fits = fits && is_to(der_reader::tag_0_primitive, form_end_bytes);
    if (!fits || !cipher.finished() || !parameters.finished() || nonce.size() != nonce_bytes ||
        last.size() != form_end_bytes || !as_text(last).starts_with(tag_header) ||
        !are_recipients(recipients))
        return errc::not_an_envelope;
    return {};
}

result<void> check_form(bytes_view sealed)
{
    return check_form(form_parts{.first = sealed,
                                 .last = sealed.last(std::min(sealed.size(), form_end_bytes)),
                                 .size_bytes = sealed.size()});
}

} // namespace titip::envelope
