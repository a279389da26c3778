#include "bundle/record_file.hpp"

#include "base/descriptor.hpp"
#include "envelope/seal.hpp"

#include <titip/v1/bundle.pb.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <variant>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::bundle {

namespace {

constexpr std::string_view family = "titip-record ";
constexpr std::string_view magic = "titip-record 1\n";
constexpr std::size_t length_bytes = 4;
constexpr std::size_t digest_bytes = std::tuple_size_v<digest>;
/// Three CMS, each of some 1.5 kB; certificates may be larger.
constexpr std::size_t header_limit_bytes = 64u << 10;
constexpr std::size_t file_limit_bytes =
    magic.size() + length_bytes + header_limit_bytes + envelope::limit_bytes + digest_bytes;

std::array<std::byte, length_bytes> to_length(std::size_t value)
{
    std::array<std::byte, length_bytes> out{};
    for (auto i = out.size(); i-- > 0; value >>= 8)
        out[i] = static_cast<std::byte>(value & 0xff);
    return out;
}

std::size_t from_length(bytes_view stored)
{
    std::size_t out = 0;
    for (const auto each : stored)
        out = out << 8 | static_cast<std::size_t>(each);
    return out;
}

result<void> write_parts(int file, const sealed_record& what)
{
    v1::RecordHeader header;
    header.set_manifest(std::string{as_text(what.manifest_cms)});
    header.set_receipt(std::string{as_text(what.receipt_cms)});
    header.set_receipt_given(std::string{as_text(what.receipt_given_cms)});
    header.set_envelope_bytes(what.envelope.size());
    const auto encoded = header.SerializeAsString();
    const auto length = to_length(encoded.size());
    hasher sum;
    for (const bytes_view part :
         {as_bytes(magic), bytes_view{length}, as_bytes(encoded), bytes_view{what.envelope}}) {
        sum.update(part);
        if (auto written = write_all(file, part); !written)
            return written;
    }
    return write_all(file, sum.value());
}

} // namespace

result<void> write_sealed(int file, const sealed_record& what)
{
    if (auto written = write_parts(file, what); !written)
        return written;
    if (::fsync(file) != 0)
        return last_error();
    return {};
}

result<sealed_record> read_sealed(int file)
{
    struct ::stat found {};
    if (::fstat(file, &found) != 0)
        return last_error();
    if (!S_ISREG(found.st_mode))
        return errc::not_a_record;
    auto data = read_all(file, file_limit_bytes);
    if (!data)
        return data.error() == boost::system::errc::file_too_large
                   ? make_error_code(errc::not_a_record)
                   : data.error();
    bytes_view rest = *data;
    const auto begins_with = [&rest](std::string_view text) {
        return as_text(rest).substr(0, text.size()) == text;
    };
    if (!begins_with(magic)) {
        if (begins_with(family))
            return errc::newer_format;
        // A file system that lost the bytes of a file shows zeros, or nothing.
        return rest.empty() || as_text(rest).find_first_not_of('\0') == std::string_view::npos
                   ? errc::cut_short
                   : errc::not_a_record;
    }
    constexpr auto before_header = magic.size() + length_bytes;
    if (rest.size() < before_header + digest_bytes)
        return errc::cut_short;
    const auto sum = to_digest(rest.last(digest_bytes)).value();
    const bool is_whole = sha256(rest.first(rest.size() - digest_bytes)) == sum;
    const auto header_bytes = from_length(rest.subspan(magic.size(), length_bytes));
    rest = rest.subspan(before_header, rest.size() - before_header - digest_bytes);
    v1::RecordHeader header;
    // Whether it is damaged or cut short is for people; believed is only what is whole.
    if (header_bytes > header_limit_bytes)
        return errc::damaged;
    if (header_bytes > rest.size())
        return errc::cut_short;
    if (!header.ParseFromArray(rest.data(), static_cast<int>(header_bytes)))
        return errc::damaged;
    rest = rest.subspan(header_bytes);
    if (rest.size() < header.envelope_bytes())
        return errc::cut_short;
    if (!is_whole || rest.size() != header.envelope_bytes())
        return errc::damaged;
    sealed_record out{.manifest_cms = to_bytes(as_bytes(header.manifest())),
                      .receipt_cms = to_bytes(as_bytes(header.receipt())),
                      .receipt_given_cms = to_bytes(as_bytes(header.receipt_given())),
                      .envelope = {}};
    // In place: a second copy of 8 MiB would be the larger part of what this takes.
    const auto begin = rest.data() - data->data();
    data->resize(data->size() - digest_bytes);
    data->erase(data->begin(), data->begin() + begin);
    out.envelope = std::move(*data);
    return out;
}

result<verified_record> read_record(const foreign_folder& in, const std::string& file,
                                    const trust::authorities& believed)
{
    const auto opened = in.read(file);
    if (!opened)
        return opened.error() == file_errc::no_file ? make_error_code(errc::not_a_record)
                                                    : opened.error();
    auto sealed = read_sealed(opened->get());
    if (!sealed)
        return sealed.error();
    auto said = believed.verify(sealed->manifest_cms, wall_now());
    if (!said)
        return said.error();
    auto* manifest = std::get_if<envelope::manifest>(&said->statement);
    if (manifest == nullptr)
        return errc::no_manifest;
    if (manifest->size_bytes != sealed->envelope.size() ||
        manifest->digest != sha256(sealed->envelope))
        return errc::wrong_envelope;
    return verified_record{.sealed = std::move(*sealed),
                           .manifest = std::move(*manifest),
                           .manifest_hash = said->hash};
}

} // namespace titip::bundle
