#include "node/mark.hpp"

#include "base/descriptor.hpp"
#include "base/foreign_folder.hpp"
#include "base/name.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace titip::node {

namespace {

constexpr auto family = "titip-store";
constexpr std::size_t store_digits = 32;
constexpr std::size_t most_bytes = 4'096;

bool is_store(std::string_view text)
{
    return text.size() == store_digits && std::ranges::all_of(text, [](char each) {
               return (each >= '0' && each <= '9') || (each >= 'a' && each <= 'f');
           });
}

result<void> put_in_place(const std::string& temporary, const std::filesystem::path& file,
                          existing other)
{
    const bool is_replaced = other == existing::is_replaced;
    struct ::stat known {};
    if (is_replaced && ::lstat(file.c_str(), &known) == 0 && !S_ISREG(known.st_mode))
        return file_errc::no_file;
    const unsigned flags = is_replaced ? 0u : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, file.c_str(), flags) == 0)
        return {};
    if (is_replaced || errno != EINVAL) // a file system that does not know the flag
        return last_error();
    struct ::stat there {};
    if (::lstat(file.c_str(), &there) == 0)
        return error_code{EEXIST, boost::system::system_category()};
    if (::rename(temporary.c_str(), file.c_str()) != 0)
        return last_error();
    return {};
}

} // namespace

std::filesystem::path mark_file_of(const std::filesystem::path& config)
{
    return config.string() + ".store";
}

std::string to_text(const mark& said)
{
    return fmt::format("{} 1\nnode {}\nstore {}\n", family, said.node, said.store);
}

std::optional<mark> parse_mark(std::string_view text)
{
    std::istringstream in{std::string{text}};
    std::array<std::string, 6> words;
    for (auto& each : words)
        in >> each;
    if (!in || words[0] != family || words[1] != "1" || words[2] != "node" || words[4] != "store" ||
        !is_node_name(words[3]) || !is_store(words[5]))
        return std::nullopt;
    return mark{.node = std::move(words[3]), .store = std::move(words[5])};
}

mark_reading read_mark(const std::filesystem::path& file)
{
    using kind = mark_reading::kind;
    // Not to wait for the other end of a pipe.
    const descriptor opened{::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    if (!opened && errno == ENOENT)
        return {.what = kind::absent, .said = {}, .why = {}};
    if (!opened)
        return {.what = kind::unreadable, .said = {}, .why = std::strerror(errno)};
    struct ::stat found {};
    if (::fstat(opened.get(), &found) == 0 && !S_ISREG(found.st_mode))
        return {.what = kind::malformed, .said = {}, .why = "it is not a file"};
    const auto text = read_all(opened.get(), most_bytes);
    if (!text)
        return {.what = kind::unreadable, .said = {}, .why = text.error().message()};
    auto said = parse_mark(as_text(*text));
    if (!said)
        return {.what = kind::malformed, .said = {}, .why = "it is not the mark of a store"};
    return {.what = kind::good, .said = *std::move(said), .why = {}};
}

result<void> write_mark(const std::filesystem::path& file, const mark& said, existing other)
{
    // Root writes what a child says, which has looked into a store that may be damaged.
    if (parse_mark(to_text(said)) != said)
        return error_code{EINVAL, boost::system::system_category()};
    auto temporary = file.string() + ".XXXXXX";
    descriptor made{::mkostemp(temporary.data(), O_CLOEXEC)};
    if (!made)
        return last_error();
    auto done = write_all(made.get(), as_bytes(to_text(said)));
    // Made by root, it is read by the daemon.
    if (done && (::fchmod(made.get(), 0644) != 0 || ::fsync(made.get()) != 0 || !made.close()))
        done = last_error();
    if (done)
        done = put_in_place(temporary, file, other);
    if (!done) {
        ::unlink(temporary.c_str());
        return done;
    }
    const auto above = file.has_parent_path() ? file.parent_path() : std::filesystem::path{"."};
    const descriptor folder{::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder)
        return last_error();
    return sync_folder(folder.get());
}

mark_trouble judge(const mark_reading& found, const mark& here) noexcept
{
    switch (found.what) {
    case mark_reading::kind::absent:
        return mark_trouble::absent;
    case mark_reading::kind::unreadable:
    case mark_reading::kind::malformed:
        return mark_trouble::unreadable;
    case mark_reading::kind::good:
        break;
    }
    return found.said == here ? mark_trouble::none : mark_trouble::other_store;
}

std::string_view to_string(mark_trouble what) noexcept
{
    constexpr std::array<std::string_view, 4> names{"none", "absent", "unreadable", "other-store"};
    return names[static_cast<std::size_t>(what)];
}

} // namespace titip::node
