#include "envelope/seal.hpp"

#include "base/name.hpp"
#include "envelope/der.hpp"
#include "envelope/openssl.hpp"
#include "envelope/pem.hpp"

#include <titip/v1/enrollment.pb.h>

#include <google/protobuf/io/coded_stream.h>
#include <openssl/buffer.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <stdexcept>

namespace titip::envelope {

namespace {

using owned_cms = owned<CMS_ContentInfo, CMS_ContentInfo_free>;

// What a step of sealing needs besides good arguments is memory and random numbers.
void require(bool good)
{
    if (!good)
        throw std::runtime_error("OpenSSL cannot seal an envelope");
}

bool can_receive(const X509* certificate)
{
    const auto* key = X509_get0_pubkey(certificate);
    if (key == nullptr)
        return false;
    return is_p256(key) || (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= 2048);
}

result<std::vector<std::shared_ptr<X509>>> read_recipients(const bytes& pem)
{
    auto found = read_certificates(pem);
    const auto is_fit = [](const auto& each) {
        return can_receive(each.get()) && X509_get0_subject_key_id(each.get()) != nullptr;
    };
    if (found.empty() || !std::ranges::all_of(found, is_fit))
        return errc::bad_recipient;
    return found;
}

// OpenSSL's defaults are PKCS#1 v1.5 and a KDF over SHA-1.
void choose_key_transport(CMS_RecipientInfo* recipient)
{
    auto* context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
    require(context != nullptr);
    if (CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_TRANS)
        require(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1);
    else
        require(EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) == 1);
}

owned_cms envelope_for(const std::vector<std::shared_ptr<X509>>& recipients)
{
    owned_cms out{CMS_AuthEnvelopedData_create(EVP_aes_256_gcm())};
    // Without the second call OpenSSL leaves the content out and reports success.
    require(out && CMS_set_detached(out.get(), 0) == 1);
    for (const auto& each : recipients) {
        auto* added = CMS_add1_recipient(out.get(), each.get(), nullptr, nullptr,
                                         CMS_USE_KEYID | CMS_KEY_PARAM);
        require(added != nullptr);
        choose_key_transport(added);
    }
    return out;
}

// A memory BIO that grows by a third at a time copies everything at every step, and BUF_MEM_grow()
// writes zeros first.
void reserve(BIO* memory, std::size_t size)
{
    owned<BUF_MEM, BUF_MEM_free> buffer{BUF_MEM_new()};
    require(buffer != nullptr);
    buffer->data = static_cast<char*>(OPENSSL_malloc(size));
    require(buffer->data != nullptr);
    buffer->max = size;
    require(BIO_set_mem_buf(memory, buffer.get(), BIO_CLOSE) == 1);
    buffer.release();
}

void write(BIO* out, bytes_view data)
{
    std::size_t written = 0;
    require(data.empty() ||
            (BIO_write_ex(out, data.data(), data.size(), &written) == 1 && written == data.size()));
}

// Straight from the caller's bytes into the cipher: no copy of the plaintext is made at all.
void encrypt(CMS_ContentInfo* envelope, bytes_view prefix, bytes_view enrollment)
{
    const owned_bio cipher{CMS_dataInit(envelope, nullptr)};
    require(cipher != nullptr);
    auto* ciphertext = BIO_find_type(cipher.get(), BIO_TYPE_MEM);
    require(ciphertext != nullptr);
    reserve(ciphertext, prefix.size() + enrollment.size());
    write(cipher.get(), prefix);
    write(cipher.get(), enrollment);
    require(BIO_flush(cipher.get()) == 1 && CMS_dataFinal(envelope, cipher.get()) == 1);
}

bytes to_der(const CMS_ContentInfo* envelope)
{
    const int size = i2d_CMS_ContentInfo(envelope, nullptr);
    require(size > 0);
    bytes out(static_cast<std::size_t>(size));
    auto* position = reinterpret_cast<unsigned char*>(out.data());
    require(i2d_CMS_ContentInfo(envelope, &position) == size);
    return out;
}

constexpr std::uint32_t record_id_tag = v1::Sealed::kRecordIdFieldNumber << 3 | 2;
constexpr std::uint32_t station_tag = v1::Sealed::kStationFieldNumber << 3 | 2;
constexpr std::uint32_t enrollment_tag = v1::Sealed::kEnrollmentFieldNumber << 3 | 2;

// All of Sealed up to the enrollment's first byte.
std::string prefix_of(const inner_ids& ids, std::size_t enrollment_bytes)
{
    v1::Sealed sealed;
    sealed.set_record_id(std::string{as_text(ids.record.data())});
    sealed.set_station(ids.station);
    std::string out = sealed.SerializeAsString();
    std::uint8_t header[10];
    using coded = google::protobuf::io::CodedOutputStream;
    auto* end = coded::WriteVarint32ToArray(enrollment_tag, header);
    end = coded::WriteVarint32ToArray(static_cast<std::uint32_t>(enrollment_bytes), end);
    out.append(header, end);
    return out;
}

// By hand, since a parsed Enrollment would not give back the bytes that it came from.
std::optional<opened> read_sealed(bytes_view plaintext)
{
    google::protobuf::io::CodedInputStream in{as_uchar(plaintext),
                                              static_cast<int>(plaintext.size())};
    const auto field = [&](std::uint32_t tag) -> std::optional<bytes_view> {
        std::uint32_t size = 0;
        if (in.ReadTag() != tag || !in.ReadVarint32(&size))
            return std::nullopt;
        const auto from = static_cast<std::size_t>(in.CurrentPosition());
        if (size > plaintext.size() - from || !in.Skip(static_cast<int>(size)))
            return std::nullopt;
        return plaintext.subspan(from, size);
    };
    const auto record_field = field(record_id_tag);
    const auto station = field(station_tag);
    const auto enrollment = field(enrollment_tag);
    const auto record = record_id::from_bytes(record_field.value_or(bytes_view{}));
    if (!record || !station || !is_node_name(as_text(*station)) || !enrollment ||
        static_cast<std::size_t>(in.CurrentPosition()) != plaintext.size())
        return std::nullopt;
    return opened{{*record, std::string{as_text(*station)}}, secret{to_bytes(*enrollment)}};
}

bytes_view view_of(BIO* memory)
{
    char* data = nullptr;
    const auto size = BIO_get_mem_data(memory, &data);
    return as_bytes({data, static_cast<std::size_t>(size)});
}

} // namespace

sealer::sealer(std::vector<std::shared_ptr<x509_st>> recipients)
    : recipients_(std::move(recipients))
{
}

result<std::vector<digest>> sealer::fingerprints(const bytes& pem)
{
    const auto found = read_recipients(pem);
    if (!found)
        return found.error();
    std::vector<digest> out;
    for (const auto& each : *found)
        X509_digest(each.get(), EVP_sha256(),
                    reinterpret_cast<unsigned char*>(out.emplace_back().data()), nullptr);
    return out;
}

result<sealer> sealer::load(const std::vector<bytes>& pem)
{
    std::vector<std::shared_ptr<x509_st>> recipients;
    for (const auto& file : pem) {
        auto found = read_recipients(file);
        if (!found)
            return found.error();
        for (auto& each : *found) {
            const auto is_same = [&](const auto& other) {
                return X509_cmp(other.get(), each.get()) == 0;
            };
            if (std::ranges::none_of(recipients, is_same)) // twice the same is no escrow
                recipients.push_back(std::move(each));
        }
    }
    if (recipients.size() < 2)
        return errc::bad_recipient;
    return sealer{std::move(recipients)};
}

result<bytes> sealer::seal(const inner_ids& ids, bytes_view enrollment) const
{
    if (enrollment.size() > limit_bytes)
        return errc::too_large;
    const quiet_errors quiet;
    const auto prefix = prefix_of(ids, enrollment.size());
    const auto envelope = envelope_for(recipients_);
    encrypt(envelope.get(), as_bytes(prefix), enrollment);
    auto out = to_der(envelope.get());
    if (out.size() > limit_bytes)
        return errc::too_large;
    return out;
}

std::int64_t sealer::earliest_expiry_ms() const noexcept
{
    auto earliest = wall_time::max();
    for (const auto& each : recipients_)
        earliest = std::min(earliest, validity_of(each.get()).until);
    return to_ms(earliest);
}

result<opened> open(bytes_view sealed, bytes_view certificate_pem, bytes_view key_pem)
{
    if (const auto form = check_form(sealed); !form)
        return form.error();
    const auto certificates = read_certificates(certificate_pem);
    const auto key = read_key(key_pem);
    if (certificates.empty() || !key)
        return errc::bad_recipient;

    const quiet_errors quiet;
    const auto* position = as_uchar(sealed);
    const owned_cms envelope{
        d2i_CMS_ContentInfo(nullptr, &position, static_cast<long>(sealed.size()))};
    if (!envelope)
        return errc::not_an_envelope;
    const owned_bio plaintext{BIO_new(BIO_s_mem())}; // cleanses what it held when it is freed
    require(plaintext != nullptr);
    reserve(plaintext.get(), sealed.size());
    if (CMS_decrypt(envelope.get(), key.get(), certificates.front().get(), nullptr, plaintext.get(),
                    CMS_BINARY) != 1)
        return errc::not_for_us;
    auto out = read_sealed(view_of(plaintext.get()));
    if (!out)
        return errc::wrong_ids;
    return std::move(*out);
}

} // namespace titip::envelope
