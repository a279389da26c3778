#include "files.hpp"

#include "commands.hpp"
#include "output.hpp"

#include "base/descriptor.hpp"
#include "base/file.hpp"
#include "base/foreign_folder.hpp"
#include "trust/authorities.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <titip/v1/enrollment.pb.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::cli {

std::optional<record_id> id_of_enrollment(bytes_view enrollment)
{
    v1::Enrollment parsed;
    if (!parsed.ParseFromArray(enrollment.data(), static_cast<int>(enrollment.size())))
        return std::nullopt;
    return record_id::from_bytes(as_bytes(parsed.record_id()));
}

namespace {

bool is_written_to(::mode_t mode)
{
    return S_ISCHR(mode) || S_ISFIFO(mode) || S_ISBLK(mode);
}

result<void> write_into(const std::string& file, bytes_view data)
{
    descriptor opened{::open(file.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC)};
    struct ::stat found {};
    if (!opened || ::fstat(opened.get(), &found) != 0)
        return last_error();
    if (!is_written_to(found.st_mode)) // another one than was looked at
        return file_errc::no_file;
    if (auto written = write_all(opened.get(), data); !written)
        return written;
    if (!opened.close())
        return last_error();
    return {};
}

/// "/dev/stdout", or another name for what standard output is.
bool is_standard_output(const struct ::stat& what)
{
    struct ::stat out {};
    return ::fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == what.st_dev &&
           out.st_ino == what.st_ino;
}

} // namespace

bool put_out(bytes_view data, const std::string& file)
{
    struct ::stat there {};
    struct ::stat itself {};
    const bool is_there = ::stat(file.c_str(), &there) == 0;
    const bool is_link = ::lstat(file.c_str(), &itself) == 0 && S_ISLNK(itself.st_mode);
    if (file.empty() || file == "-" || (is_there && is_link && is_standard_output(there))) {
        put_bytes(data);
        return flush();
    }
    // A device or a pipe is written to: renaming a file to its name would put that in its place.
    const auto written =
        is_there && is_written_to(there.st_mode) ? write_into(file, data) : write_file(file, data);
    if (!written && written.error() == file_errc::no_file)
        fmt::print(stderr, "titip: {}: {}\n", file,
                   is_link ? "a link is not written over: name the file that it leads to"
                           : "this is neither a file nor a device: name another file");
    else if (!written)
        fmt::print(stderr, "titip: {}: {}\n", file, written.error().message());
    return written.has_value();
}

namespace {

using boost::json::object;

object describe(const envelope::manifest& m)
{
    object out;
    out["kind"] = "manifest";
    out["id"] = m.record.to_string();
    out["station"] = m.station;
    out["sequence"] = envelope::number(m.at);
    out["digest"] = to_hex(m.digest);
    out["taken_at"] = to_rfc3339(m.taken_at);
    return out;
}

object describe(const envelope::receipt& r)
{
    object out;
    out["kind"] = "receipt";
    out["id"] = r.record.to_string();
    out["station"] = r.station;
    out["sequence"] = envelope::number(r.at);
    out["digest"] = to_hex(r.digest);
    out["size_bytes"] = r.size_bytes;
    out["held_at"] = to_rfc3339(r.held_at);
    return out;
}

object describe(const envelope::custody& c)
{
    object out;
    out["kind"] = "custody";
    out["station"] = c.station;
    out["at"] = to_rfc3339(c.at);
    return out;
}

object describe(const envelope::verdict& v)
{
    object out;
    out["kind"] = "verdict";
    out["id"] = v.record.to_string();
    out["station"] = v.station;
    out["verdict"] = envelope::to_string(v.kind);
    out["digest"] = to_hex(v.digest);
    out["at"] = to_rfc3339(v.at);
    return out;
}

object describe(const envelope::withdrawal& w)
{
    object out;
    out["kind"] = "withdrawal";
    out["id"] = w.record.to_string();
    out["station"] = w.station;
    out["reason"] = w.reason;
    return out;
}

/// What is to be said of the signer's certificate: one whose dates do not hold now is believed all the
/// same, and whoever reads "good" may wonder. Empty: nothing.
std::string note_on(const trust::verified& what, wall_time now)
{
    if (!std::holds_alternative<envelope::manifest>(what.statement))
        return {};
    constexpr auto rule = "that does not count for a manifest";
    if (now > what.dates.until)
        return fmt::format("the signer's certificate ended at {}: {}", to_rfc3339(what.dates.until),
                           rule);
    if (now < what.dates.from)
        return fmt::format("the signer's certificate begins at {} only: {}",
                           to_rfc3339(what.dates.from), rule);
    return {};
}

/// What every CMS SignedData (DER) begins with, whether or not its signature holds.
bool is_signed_data(bytes_view file)
{
    constexpr std::string_view oid = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    constexpr std::size_t most_before = 8; // a SEQUENCE's tag, and its length
    const auto at = as_text(file).find(oid);
    return as_text(file).starts_with('\x30') && at != std::string_view::npos && at <= most_before;
}

} // namespace

int verify(const std::string& file, const std::string& authorities, bool json)
{
    const auto cms = read_file(file);
    const auto pem = read_file(authorities);
    if (!cms || !pem) {
        fmt::print(stderr, "titip: {}: {}\n", cms ? authorities : file,
                   (cms ? pem.error() : cms.error()).message());
        return refused;
    }
    if (!is_signed_data(*cms)) {
        fmt::print(stderr, "titip: {}: this is not a signed statement (CMS, DER)\n", file);
        return refused;
    }
    const auto roots = trust::authorities::load(*pem);
    if (!roots) {
        fmt::print(stderr, "titip: {}: {}\n", authorities, roots.error().message());
        return refused;
    }
    const auto now = wall_now();
    const auto verified = roots->verify(*cms, now);
    if (!verified) {
        fmt::print(stderr, "titip: {}: not to be believed: {}\n", file, verified.error().message());
        return no;
    }
    auto out = std::visit([](const auto& each) { return describe(each); }, verified->statement);
    out["signer"] = verified->signer.name;
    out["signer_role"] = trust::to_string(verified->signer.role);
    if (const auto note = note_on(*verified, now); !note.empty())
        out["note"] = note;
    if (json) {
        put("{}\n", boost::json::serialize(out));
        return done;
    }
    put("{}: good; signed by {}\n", file, verified->signer.name);
    for (const auto& [key, value] : out)
        put("  {:<12} {}\n", std::string_view{key},
            value.is_string() ? std::string{value.get_string()} : boost::json::serialize(value));
    return done;
}

} // namespace titip::cli
