#include "bundle/folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace titip::bundle {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view extension = ".titip";
constexpr std::size_t epoch_digits = 8;
constexpr std::size_t sequence_digits = 10;
constexpr std::size_t thousand_digits = 7;
constexpr std::size_t id_characters = 36;
constexpr std::string_view digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::uint64_t records_a_folder = 1'000;

std::string epoch_of(const label& of)
{
    return of.epoch.to_string().substr(0, epoch_digits);
}

bool has_only(std::string_view text, std::string_view of) noexcept
{
    return text.find_first_not_of(of) == std::string_view::npos;
}

std::string folder_name(const label& of)
{
    return fmt::format("{}-{:07}", epoch_of(of), envelope::number(of.at) / records_a_folder);
}

bool is_folder_name(std::string_view name) noexcept
{
    return name.size() >= epoch_digits + 1 + thousand_digits &&
           has_only(name.substr(0, epoch_digits), hex_digits) && name[epoch_digits] == '-' &&
           has_only(name.substr(epoch_digits + 1), digits);
}

bool is_absent(const error_code& why)
{
    return why == boost::system::errc::no_such_file_or_directory;
}

/// What is there may be written over: it is this record's file and no record. One that the disk
/// cannot read any more is none either, if the disk can be written to.
bool is_replaceable(const error_code& why)
{
    return why == errc::cut_short || why == errc::damaged || why == errc::not_a_record ||
           is_unreadable(why);
}

/// A disk that is nearly full is not written to and cleaned up again: what is there says so.
result<void> has_room(int folder, std::uint64_t bytes)
{
    struct ::statvfs found {};
    if (::fstatvfs(folder, &found) != 0)
        return last_error();
    constexpr std::uint64_t folders_and_tables = 64u << 10;
    if (found.f_blocks != 0 && found.f_bavail * found.f_frsize < bytes + folders_and_tables)
        return error_code{ENOSPC, boost::system::system_category()};
    constexpr ::fsfilcnt_t file_and_folder = 2;
    if (found.f_files != 0 && found.f_favail < file_and_folder)
        return errc::no_more_files;
    return {};
}

} // namespace

label label_of(const envelope::manifest& m)
{
    return {.epoch = m.epoch, .at = m.at, .record = m.record};
}

std::string file_name(const label& of)
{
    return fmt::format("{}-{:010}-{}{}", epoch_of(of), envelope::number(of.at),
                       of.record.to_string(), extension);
}

std::string path_of(const label& of)
{
    return folder_name(of) + "/" + file_name(of);
}

bool is_of(const label& name, const sealed_record& file) noexcept
{
    // A manifest carries the record's id as it is.
    return as_text(file.manifest_cms).find(as_text(name.record.data())) != std::string_view::npos;
}

bool is_unreadable(const error_code& why) noexcept
{
    constexpr std::array numbers{EIO, EBADMSG, EUCLEAN}; // the last two: ext4, XFS and others
    return why.category() == boost::system::system_category() &&
           std::ranges::find(numbers, why.value()) != numbers.end();
}

bool is_file_name(std::string_view name) noexcept
{
    constexpr auto others = epoch_digits + 1 + 1 + id_characters + extension.size();
    if (name.size() < others + sequence_digits || !name.ends_with(extension))
        return false;
    // Ten digits, or more for a number that a peer made up.
    const auto sequence = name.substr(epoch_digits + 1, name.size() - others);
    const auto id = name.substr(epoch_digits + 1 + sequence.size() + 1, id_characters);
    return has_only(name.substr(0, epoch_digits), hex_digits) && name[epoch_digits] == '-' &&
           has_only(sequence, digits) && name[epoch_digits + 1 + sequence.size()] == '-' &&
           record_id::parse(id).has_value();
}

namespace {

/// Of making a file or a folder where there is room for its bytes; and of one in whose place something
/// else is.
error_code why_not_made(const error_code& why)
{
    if (why == file_errc::no_file)
        return errc::name_taken;
    return why == boost::system::errc::no_space_on_device ? make_error_code(errc::no_more_files)
                                                          : why;
}

/// In the place of a record's file, or of the folder that it lies in.
error_code as_taken(const error_code& why)
{
    return why == file_errc::no_file ? make_error_code(errc::name_taken) : why;
}

/// Nothing: there is none yet.
bool is_no_folder(const error_code& why)
{
    return is_absent(why) || why == file_errc::no_file;
}

} // namespace

result<folder> folder::open(const fs::path& at)
{
    auto opened = foreign_folder::open(at);
    if (!opened)
        return opened.error() == boost::system::errc::no_such_file_or_directory ||
                       opened.error() == boost::system::errc::not_a_directory ||
                       opened.error() == boost::system::errc::too_many_symbolic_link_levels
                   ? make_error_code(errc::folder_missing)
                   : opened.error();
    return folder{std::move(*opened)};
}

result<void> folder::write(const label& of, const sealed_record& what) const
{
    const auto name = file_name(of);
    bool is_there = true;
    if (auto there = read(of)) {
        if (there->envelope == what.envelope)
            return {};
        if (is_of(of, *there))
            return errc::name_taken;
    } else {
        is_there = !is_absent(there.error());
        if (is_there && !is_replaceable(there.error()))
            return there.error(); // not ours to write over: the disk may be in trouble
    }
    if (auto room = has_room(at_.get(), what.envelope.size()); !room)
        return room;
    bool is_new = false;
    const auto in = at_.make_folder(folder_name(of), &is_new);
    if (!in)
        return why_not_made(in.error());
    if (is_new)
        // Else the first records of each thousand would go with its name when the disk is pulled out.
        if (auto synced = at_.sync(); !synced)
            return synced;
    if (is_there)
        // Not over its blocks, which did not keep it.
        if (auto removed = in->remove(name); !removed)
            return removed;
    auto out = in->write(name);
    if (!out)
        return why_not_made(out.error());
    result<void> done;
    if (::ftruncate(out->get(), 0) != 0)
        done = last_error();
    if (done)
        done = write_sealed(out->get(), what);
    if (!out->close() && done)
        done = last_error();
    if (done)
        done = in->sync();
    if (!done) {
        (void)in->remove(name);
        return done;
    }
    return gives_back(of, what);
}

result<void> folder::gives_back(const label& of, const sealed_record& what) const
{
    const auto got = read(of);
    if (!got && got.error() != errc::cut_short && got.error() != errc::damaged &&
        got.error() != errc::not_a_record && got.error() != errc::newer_format &&
        !is_absent(got.error()))
        return got.error();
    if (!got || *got != what)
        return errc::not_kept;
    return {};
}

result<void> folder::erase(const label& of) const
{
    const auto in = at_.folder(folder_name(of));
    if (!in)
        return is_absent(in.error()) ? result<void>{} : result<void>{as_taken(in.error())};
    if (auto removed = in->remove(file_name(of)); !removed)
        return removed;
    ::unlinkat(at_.get(), folder_name(of).c_str(), AT_REMOVEDIR); // refused while others are in it
    return {};
}

result<sealed_record> folder::read(const std::string& path) const
{
    const auto opened = at_.read(path);
    if (!opened)
        return as_taken(opened.error());
    // From the disk: what this machine still has in memory says nothing about it.
    ::posix_fadvise(opened->get(), 0, 0, POSIX_FADV_DONTNEED);
    return read_sealed(opened->get());
}

result<void> folder::list(const std::function<void(file)>& told) const
{
    return at_.each_name([&](const char* name) -> result<void> {
        if (!is_folder_name(name))
            return {};
        const auto in = at_.folder(name);
        if (!in)
            return is_no_folder(in.error()) ? result<void>{} : result<void>{in.error()};
        return in->each_name([&](const char* one) -> result<void> {
            struct ::stat found {};
            if (!is_file_name(one))
                return {};
            if (::fstatat(in->get(), one, &found, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT)
                return last_error();
            if (S_ISREG(found.st_mode))
                told({.path = fmt::format("{}/{}", name, one),
                      .size_bytes = static_cast<std::uint64_t>(found.st_size),
                      .written_at = from_ms(std::int64_t{found.st_mtim.tv_sec} * 1'000)});
            return {};
        });
    });
}

namespace {

result<void> find_below(const foreign_folder& in, const std::string& prefix, int depth,
                        const std::function<void(const std::string&)>& told,
                        const std::function<void(const std::string&)>& skipped)
{
    constexpr int deepest = 2; // what else people keep on such a disk may be deep
    return in.each_name([&](const char* name) -> result<void> {
        struct ::stat found {};
        if (std::string_view{name} == "." || std::string_view{name} == ".." ||
            ::fstatat(in.get(), name, &found, AT_SYMLINK_NOFOLLOW) != 0)
            return {};
        const auto path = prefix + name;
        if (is_file_name(name) && !S_ISDIR(found.st_mode))
            told(path); // also what is no file: that is said when it is read
        if (depth == deepest || !S_ISDIR(found.st_mode))
            return {};
        const auto below = in.folder(name);
        if (below)
            return find_below(*below, path + "/", depth + 1, told, skipped);
        if (below.error() == boost::system::errc::permission_denied)
            skipped(path);
        else if (!is_no_folder(below.error())) // another mount is not this disk
            return below.error();
        return {};
    });
}

} // namespace

result<void> find_files(const foreign_folder& in,
                        const std::function<void(const std::string&)>& told,
                        const std::function<void(const std::string&)>& skipped)
{
    return find_below(in, "", 0, told, skipped);
}

} // namespace titip::bundle
