#include "base/file_system.hpp"

#include "base/file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace titip {

namespace {

namespace fs = std::filesystem;

constexpr long hugetlbfs_magic = 0x958458f6; // linux/magic.h has it in later versions only
constexpr long aufs_magic = 0x61756673;

/// "ram0", "zram12"
bool is_in_memory(std::string_view device)
{
    for (const std::string_view family : {"zram", "ram"})
        if (device.starts_with(family)) {
            const auto number = device.substr(family.size());
            return !number.empty() && std::ranges::all_of(number, [](char each) {
                return each >= '0' && each <= '9';
            });
        }
    return false;
}

constexpr auto mountinfo_file = "/proc/self/mountinfo";
constexpr std::size_t most_mountinfo_bytes = 4u << 20;

std::string_view take_line(std::string_view& rest)
{
    const auto out = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), out.size() + 1));
    return out;
}

/// Spaces and the like stand there as "\040".
std::string unescape(std::string_view text)
{
    std::string out;
    const auto digit = [text](std::size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    for (std::size_t i = 0; i < text.size(); ++i)
        if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) && digit(i + 2) &&
            digit(i + 3)) {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                     (text[i + 3] - '0'));
            i += 3;
        } else
            out += text[i];
    return out;
}

/// The type of the file system with this device number; empty if no line has it (btrfs shows others).
std::string type_of(dev_t device)
{
    const auto all = read_file(mountinfo_file, most_mountinfo_bytes);
    if (!all)
        return {};
    const auto wanted = fmt::format(" {}:{} ", major(device), minor(device));
    constexpr std::string_view separator = " - ";
    for (auto rest = as_text(*all); !rest.empty();) {
        const auto line = take_line(rest);
        const auto type = line.find(separator);
        if (line.find(wanted) == line.npos || type == line.npos)
            continue;
        const auto after = line.substr(type + separator.size());
        return std::string{after.substr(0, after.find(' '))};
    }
    return {};
}

/// A machine that was made of a container's image has the file as well.
bool is_in_container()
{
    const auto all = read_file(mountinfo_file, most_mountinfo_bytes);
    return (::access("/.dockerenv", F_OK) == 0 || ::access("/run/.containerenv", F_OK) == 0) &&
           all && is_root_a_folder(as_text(*all));
}

/// `depth`: a loop device on a file on a loop device, and so on, which has to end.
std::optional<fleeting> find_fleeting(const fs::path& at, int depth)
{
    struct ::stat found {};
    struct ::stat root {};
    struct ::statfs kind {};
    if (::stat(at.c_str(), &found) != 0 || ::statfs(at.c_str(), &kind) != 0)
        return std::nullopt;
    std::error_code none;
    const auto block =
        fmt::format("/sys/dev/block/{}:{}", major(found.st_dev), minor(found.st_dev));
    const auto device = fs::read_symlink(block, none).filename().string();
    const auto type = type_of(found.st_dev);
    const bool is_root = ::stat("/", &root) == 0 && root.st_dev == found.st_dev;
    if (auto out = judge({.magic = static_cast<long>(kind.f_type),
                          .type = type,
                          .device = device,
                          .is_containers = is_root && is_in_container()}))
        return out;
    if (depth == 0 || !device.starts_with("loop"))
        return std::nullopt;
    constexpr std::size_t most_bytes = 8u << 10;
    const auto backing = read_file(fs::path{block} / "loop/backing_file", most_bytes);
    if (!backing)
        return std::nullopt;
    auto file = as_text(*backing);
    return find_fleeting(fs::path{file.substr(0, file.find('\n'))}, depth - 1);
}

} // namespace

std::optional<fleeting> judge(const footing& at)
{
    using kind = fleeting::kind;
    const auto named = [&at](std::string_view otherwise) {
        return std::string{at.type.empty() ? otherwise : at.type};
    };
    switch (at.magic) {
    case TMPFS_MAGIC:
        return fleeting{kind::memory, named("tmpfs")};
    case RAMFS_MAGIC:
        return fleeting{kind::memory, named("ramfs")};
    case hugetlbfs_magic:
        return fleeting{kind::memory, named("hugetlbfs")};
    case OVERLAYFS_SUPER_MAGIC:
        return fleeting{kind::layer, named("overlay")};
    case aufs_magic:
        return fleeting{kind::layer, named("aufs")};
    default:
        break;
    }
    if (at.type.starts_with("fuse") &&
        (at.type.find("overlay") != at.type.npos || at.type.find("unionfs") != at.type.npos))
        return fleeting{kind::layer, std::string{at.type}};
    if (is_in_memory(at.device))
        return fleeting{kind::memory, std::string{at.device}};
    if (at.is_containers)
        return fleeting{kind::layer, named("the container's root")};
    return std::nullopt;
}

std::optional<fleeting> find_fleeting(const fs::path& at)
{
    constexpr int most_loops = 4;
    return find_fleeting(at, most_loops);
}

namespace {

/// Of a line of mountinfo: id, parent, device, root, mount point, ...
std::string_view field(std::string_view line, int number)
{
    for (int n = 0; n < number; ++n)
        line.remove_prefix(std::min(line.size(), line.find(' ') + 1));
    return line.substr(0, line.find(' '));
}

constexpr int root_field = 3;
constexpr int point_field = 4;

} // namespace

bool is_root_a_folder(std::string_view mountinfo)
{
    bool out = false;
    for (auto rest = mountinfo; !rest.empty();) {
        const auto line = take_line(rest);
        if (field(line, point_field) == "/")
            out = field(line, root_field) != "/"; // the last one hides those before it
    }
    return out;
}

std::string mounts_over(std::string_view mountinfo, const fs::path& at)
{
    const auto wanted = at.lexically_normal().string() + '/';
    std::string out;
    for (auto rest = mountinfo; !rest.empty();) {
        const auto line = take_line(rest);
        const auto mounted = unescape(field(line, point_field));
        if (mounted.size() > 1 && wanted.starts_with(mounted + '/'))
            out.append(line) += '\n';
    }
    return out;
}

std::string mounts_over(const fs::path& at)
{
    const auto all = read_file(mountinfo_file, most_mountinfo_bytes);
    std::error_code failed;
    const auto real = fs::weakly_canonical(at, failed);
    return all ? mounts_over(as_text(*all), failed ? at : real) : std::string{};
}

} // namespace titip
