#include "node/check.hpp"

#include <fmt/format.h>

#include <sys/stat.h>

namespace titip::node {

namespace {

/// Clerks are in the group that may read the status, which is easily the file's group as well. With
/// the key one can sign for this node.
void look_at_key(const config& from, std::string_view file, std::vector<std::string>& out)
{
    struct ::stat key {};
    if (::stat(from.identity.key.c_str(), &key) != 0 || (key.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return;
    out.push_back(fmt::format("{0}: [identity] key: \"{1}\" is open to others than its owner: make "
                              "it the daemon's user's "
                              "alone, chown titip {1} && chmod 400 {1}",
                              file, from.identity.key.string()));
}

/// The directory itself may be missing: the store makes it, at the first start. Not those above it: in
/// a path that was mistyped, or a disk that is not mounted, a station would begin again and empty.
std::optional<config_error> look_at_state(const config& from, std::string_view file)
{
    std::error_code ignored;
    auto state = from.state.lexically_normal();
    if (!state.has_filename()) // "/var/lib/titip/"
        state = state.parent_path();
    const auto parent = state.has_parent_path() ? state.parent_path() : std::filesystem::path{"."};
    if (!std::filesystem::is_directory(parent, ignored))
        return config_error{
            fmt::format("{}: [node] state: \"{}\": there is no directory \"{}\": correct the path, "
                        "mount the disk, or make that directory",
                        file, from.state.string(), parent.string())};
    if (std::filesystem::exists(state, ignored) && !std::filesystem::is_directory(state, ignored))
        return config_error{fmt::format("{}: [node] state: \"{}\" is not a directory: correct the "
                                        "path",
                                        file, from.state.string())};
    return std::nullopt;
}

} // namespace

result<std::vector<std::string>, config_error> check_machine(const config& from,
                                                             std::string_view file)
{
    if (auto wrong = look_at_state(from, file))
        return *std::move(wrong);
    std::vector<std::string> out;
    look_at_key(from, file, out);
    return out;
}

} // namespace titip::node
