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

/// Never waits, as it would on a pipe that somebody made, and never follows a link.
constexpr int carefully = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

bool is_absent(const error_code& why)
{
    return why == boost::system::errc::no_such_file_or_directory;
}

struct closes {
    void operator()(DIR* opened) const { ::closedir(opened); }
};

/// Tells the names in a folder until `told` has an error.
result<void> each_name(int folder, const std::function<result<void>(const char*)>& told)
{
    const int again = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return last_error();
    const std::unique_ptr<DIR, closes> opened{::fdopendir(again)};
    if (!opened)
        return last_error();
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(opened.get());
        if (entry == nullptr && errno != 0)
            return last_error();
        if (entry == nullptr)
            return {};
        if (auto done = told(entry->d_name); !done)
            return done;
    }
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

result<folder> folder::open(const fs::path& at)
{
    titip::descriptor opened{::open(at.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!opened && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return errc::folder_missing;
    if (!opened)
        return last_error();
    return folder{std::move(opened)};
}

result<void> folder::write(const label& of, const sealed_record& what) const
{
    const auto name = file_name(of);
    const auto folder_of = folder_name(of);
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
    if (::mkdirat(at_.get(), folder_of.c_str(), 0700) == 0) {
        // Else the first records of each thousand would go with its name when the disk is pulled out.
        if (auto synced = sync_folder(at_.get()); !synced)
            return synced;
    } else if (errno != EEXIST)
        return last_error();
    const titip::descriptor in{
        ::openat(at_.get(), folder_of.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!in)
        return last_error();
    struct ::stat before {};
    if (is_there && ::fstatat(in.get(), name.c_str(), &before, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(before.st_mode))
        // Not over its blocks, which did not keep it.
        ::unlinkat(in.get(), name.c_str(), 0);
    titip::descriptor out{::openat(in.get(), name.c_str(), O_WRONLY | O_CREAT | carefully, 0600)};
    struct ::stat found {};
    if (!out || ::fstat(out.get(), &found) != 0)
        return last_error();
    if (!S_ISREG(found.st_mode))
        return errc::name_taken;
    result<void> done;
    if (::ftruncate(out.get(), 0) != 0)
        done = last_error();
    if (done)
        done = write_sealed(out.get(), what);
    if (!out.close() && done)
        done = last_error();
    if (done)
        done = sync_folder(in.get());
    if (!done) {
        ::unlinkat(in.get(), name.c_str(), 0);
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
    const auto folder_of = folder_name(of);
    const titip::descriptor in{
        ::openat(at_.get(), folder_of.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!in && errno == ENOENT)
        return {};
    if (!in)
        return last_error();
    if (::unlinkat(in.get(), file_name(of).c_str(), 0) != 0 && errno != ENOENT)
        return last_error();
    ::unlinkat(at_.get(), folder_of.c_str(), AT_REMOVEDIR); // refused while others are in it
    return {};
}

result<sealed_record> folder::read(const std::string& path) const
{
    const auto slash = path.find('/');
    const titip::descriptor in{::openat(at_.get(), path.substr(0, slash).c_str(),
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!in)
        return last_error();
    const titip::descriptor opened{
        ::openat(in.get(), path.substr(slash + 1).c_str(), O_RDONLY | carefully)};
    if (!opened)
        return last_error();
    // From the disk: what this machine still has in memory says nothing about it.
    ::posix_fadvise(opened.get(), 0, 0, POSIX_FADV_DONTNEED);
    return read_sealed(opened.get());
}

result<void> folder::list(const std::function<void(file)>& told) const
{
    return each_name(at_.get(), [&](const char* name) -> result<void> {
        if (!is_folder_name(name))
            return {};
        const titip::descriptor in{
            ::openat(at_.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
        if (!in && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            return {};
        if (!in)
            return last_error();
        return each_name(in.get(), [&](const char* one) -> result<void> {
            struct ::stat found {};
            if (!is_file_name(one))
                return {};
            if (::fstatat(in.get(), one, &found, AT_SYMLINK_NOFOLLOW) != 0 && errno != ENOENT)
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

result<void> find_below(const fs::path& in, int depth,
                        const std::function<void(const fs::path&)>& told,
                        const std::function<void(const fs::path&)>& skipped)
{
    constexpr int deepest = 2; // what else people keep on such a disk may be deep
    std::error_code failed;
    fs::directory_iterator each{in, failed};
    if (failed == std::errc::permission_denied && depth > 0) {
        skipped(in);
        return {};
    }
    for (; !failed && each != fs::directory_iterator{}; each.increment(failed)) {
        const auto& path = each->path();
        if (is_file_name(path.filename().string()))
            told(path);
        std::error_code gone;
        if (depth < deepest && each->symlink_status(gone).type() == fs::file_type::directory)
            if (auto found = find_below(path, depth + 1, told, skipped); !found)
                return found;
    }
    if (failed)
        return error_code{failed.value(), boost::system::system_category()};
    return {};
}

} // namespace

result<void> find_files(const fs::path& in, const std::function<void(const fs::path&)>& told,
                        const std::function<void(const fs::path&)>& skipped)
{
    auto found = find_below(in, 0, told, skipped);
    if (!found && is_absent(found.error()))
        return errc::folder_missing;
    return found;
}

} // namespace titip::bundle
