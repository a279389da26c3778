#include "bundle/folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

namespace titip::bundle {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view extension = ".titip";
constexpr std::size_t epoch_digits = 8;
constexpr std::size_t sequence_digits = 10;
constexpr std::size_t id_characters = 36;
constexpr std::uint64_t records_a_folder = 1'000;

error_code last_error()
{
    return {errno, boost::system::system_category()};
}

error_code to_error(const std::error_code& from)
{
    return {from.value(), boost::system::system_category()};
}

std::string epoch_of(const label& of)
{
    return of.epoch.to_string().substr(0, epoch_digits);
}

bool is_digits(std::string_view text, std::string_view of) noexcept
{
    return text.find_first_not_of(of) == std::string_view::npos;
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

fs::path path_of(const fs::path& folder, const label& of)
{
    const auto thousand = envelope::number(of.at) / records_a_folder;
    return folder / fmt::format("{}-{:07}", epoch_of(of), thousand) / file_name(of);
}

bool is_file_name(std::string_view name) noexcept
{
    constexpr auto others = epoch_digits + 1 + 1 + id_characters + extension.size();
    if (name.size() < others + sequence_digits || !name.ends_with(extension))
        return false;
    // Ten digits, or more for a number that a peer made up.
    const auto sequence = name.substr(epoch_digits + 1, name.size() - others);
    const auto id = name.substr(epoch_digits + 1 + sequence.size() + 1, id_characters);
    return is_digits(name.substr(0, epoch_digits), "0123456789abcdef") &&
           name[epoch_digits] == '-' && is_digits(sequence, "0123456789") &&
           name[epoch_digits + 1 + sequence.size()] == '-' && record_id::parse(id).has_value();
}

result<void> write_record(const fs::path& folder, const label& of, const sealed_record& what)
{
    const auto file = path_of(folder, of);
    if (const auto there = read_sealed(file)) {
        if (there->envelope == what.envelope)
            return {};
        return errc::name_taken;
    } else if (there.error() != boost::system::errc::no_such_file_or_directory) {
        // What cannot be read at all is not ours to remove: the disk may be in trouble.
        if (there.error() != errc::cut_short && there.error() != errc::damaged &&
            there.error() != errc::not_a_record)
            return there.error();
        if (::unlink(file.c_str()) != 0)
            return last_error();
    }
    struct ::stat found {};
    if (::stat(folder.c_str(), &found) != 0)
        return errno == ENOENT ? make_error_code(errc::folder_missing) : last_error();
    if (::mkdir(file.parent_path().c_str(), 0700) != 0 && errno != EEXIST)
        return last_error();
    return write_file_of(file, what);
}

result<void> erase_record(const fs::path& folder, const label& of)
{
    const auto file = path_of(folder, of);
    if (::unlink(file.c_str()) != 0 && errno != ENOENT)
        return last_error();
    ::rmdir(file.parent_path().c_str()); // refused while others are in it
    return {};
}

result<void> list(const fs::path& folder, const std::function<bool(const fs::path& file)>& told)
{
    std::error_code failed;
    fs::recursive_directory_iterator each{folder, failed};
    if (failed == std::errc::no_such_file_or_directory)
        return errc::folder_missing;
    for (; !failed && each != fs::recursive_directory_iterator{}; each.increment(failed)) {
        constexpr int deepest = 2; // what else people keep on such a disk may be deep
        if (each.depth() >= deepest)
            each.disable_recursion_pending();
        const auto& path = each->path();
        if (is_file_name(path.filename().string()) && !told(path))
            return {};
    }
    if (failed)
        return to_error(failed);
    return {};
}

} // namespace titip::bundle
