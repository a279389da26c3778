#include "node/check.hpp"

#include "base/descriptor.hpp"
#include "base/explain.hpp"
#include "base/file.hpp"
#include "base/units.hpp"
#include "control/roles.hpp"
#include "envelope/seal.hpp"
#include "journal/capacity.hpp"
#include "mirror/disk.hpp"
#include "node/node.hpp"

#include <fmt/format.h>

#include <map>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

/// The directory itself may be missing: titipd --create makes it. Not those above it, in a path that was
/// mistyped, or where a disk is not mounted. At a start the node says that, see birth: one that ended
/// would be started for ever, and nobody could ask it.
std::optional<config_error> look_at_state(const config& from, std::string_view file, occasion when)
{
    std::error_code ignored;
    auto state = from.state.lexically_normal();
    if (!state.has_filename()) // "/var/lib/titip/"
        state = state.parent_path();
    const auto parent = state.has_parent_path() ? state.parent_path() : std::filesystem::path{"."};
    const auto there = is_there(parent);
    if (when == occasion::check && !there)
        return config_error{fmt::format("{}: [node] state: \"{}\": {}", file, from.state.string(),
                                        explain(parent, there.error()))};
    if (when == occasion::check && !std::filesystem::is_directory(parent, ignored))
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

/// What is in the file counts: it is there to be filled again.
void look_at_quota(const config& from, std::string_view file, std::vector<std::string>& out)
{
    std::error_code missing;
    auto existing = from.state.lexically_normal();
    while (!std::filesystem::exists(existing, missing) && existing.has_relative_path())
        existing = existing.parent_path();
    if (existing.empty())
        existing = ".";
    const descriptor folder{::open(existing.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    const auto disk = folder ? journal::disk_room_of(folder.get()) : std::nullopt;
    if (!disk)
        return;
    struct ::stat data {};
    const std::uint64_t there = ::stat((from.state / "data.mdb").c_str(), &data) == 0
                                    ? static_cast<std::uint64_t>(data.st_blocks) * 512
                                    : 0;
    const auto most = disk->available_bytes + there;
    if (from.quota_bytes > most)
        out.push_back(fmt::format("{}: [node] quota: {} is more than the disk of \"{}\" can give, "
                                  "which is {}: that counts "
                                  "as the limit, in the status and in its warnings; set a smaller "
                                  "quota if other programs "
                                  "need that disk, or use a larger disk",
                                  file, show_size(from.quota_bytes), existing.string(),
                                  show_size(most)));
}

std::optional<config_error> look_at_socket(const config& from, std::string_view file, occasion when)
{
    std::error_code ignored;
    const auto& socket = from.control.socket;
    const auto folder =
        socket.has_parent_path() ? socket.parent_path() : std::filesystem::path{"."};
    if (std::filesystem::is_directory(folder, ignored))
        return std::nullopt;
    if (const auto there = is_there(folder); !there)
        return config_error{fmt::format("{}: [control] socket: \"{}\": {}", file, socket.string(),
                                        explain(folder, there.error()))};
    // systemd makes the service's own directory in /run at each start, and removes it at each end.
    if (when == occasion::check && folder.parent_path() == "/run")
        return std::nullopt;
    return config_error{
        fmt::format("{}: [control] socket: \"{}\": there is no directory \"{}\": "
                    "correct the path, or make that directory for the daemon's user",
                    file, socket.string(), folder.string())};
}

/// A station's manifests count if the station signed them: what is submitted at a relay or the centre would
/// be refused for good.
std::optional<std::string> look_at_seal(const config& from, std::string_view file)
{
    if (!from.seal || !from.listen)
        return std::nullopt;
    return fmt::format(
        "{}: [seal] and [listen]: the centre refuses records that are submitted at a node "
        "which others hand theirs to, so none are taken here: remove [seal], and submit at "
        "a station",
        file);
}

/// The sealer would say as well that it cannot be made of these, but not which of them is at fault.
std::optional<config_error> look_at_recipients(const config& from, std::string_view file)
{
    if (!from.seal || from.listen) // then they are not used
        return std::nullopt;
    std::map<digest, std::filesystem::path> named;
    std::string twice;
    for (const auto& each : from.seal->recipients) {
        const auto pem = read_file(each, 1u << 20);
        if (!pem)
            return std::nullopt; // load_materials() says why
        const auto found = envelope::sealer::fingerprints(*pem);
        if (!found)
            return config_error{fmt::format(
                "{}: [seal] recipients: \"{}\" cannot receive records: give the file a certificate "
                "(PEM) with a P-256 key, or RSA of 2,048 bits or more, and a subject key "
                "identifier",
                file, each.string())};
        for (const auto& one : *found)
            if (const auto [at, is_new] = named.emplace(one, each); !is_new)
                twice = fmt::format("\"{}\" is the same certificate as \"{}\"", each.string(),
                                    at->second.string());
    }
    if (named.size() >= 2)
        return std::nullopt;
    return config_error{
        fmt::format("{}: [seal] recipients: {}: name the centre's certificate and an "
                    "escrow's, which differ",
                    file, twice)};
}

/// Only when asked: a disk that is pulled out at any moment, or hangs, is no reason not to start, and
/// the second copy says the same by itself.
void look_at_mirror(const config& from, std::string_view file, occasion when,
                    std::vector<std::string>& out)
{
    if (!from.mirror || when != occasion::check)
        return;
    const auto& path = from.mirror->path;
    if (const auto good = mirror::disk::look(second_disk_of(from)); !good) {
        const bool is_disk = good.error() == mirror::errc::not_marked;
        out.push_back(fmt::format(
            "{}: [mirror] path: \"{}\": {}: until that is put right there is no "
            "second copy; {}",
            file, path.string(), good.error().message(),
            is_disk ? "titip mark-disk marks it" : "mount the disk, or correct the path"));
    } else if (::access(path.c_str(), W_OK | X_OK) != 0)
        out.push_back(fmt::format("{}: [mirror] path: \"{}\" cannot be written by this user: mount "
                                  "it for the daemon's user, -o uid=titip,gid=titip on FAT",
                                  file, path.string()));
}

void look_at_groups(const config& from, std::string_view file, std::vector<std::string>& out)
{
    const auto& groups = from.control;
    for (const auto& [key, name] :
         {std::pair{"submit", &groups.submit}, std::pair{"read", &groups.read},
          std::pair{"operate", &groups.operate}, std::pair{"consume", &groups.consume}})
        if (!control::find_group(*name))
            out.push_back(
                fmt::format("{}: [control] {}: this system has no group \"{}\", so nobody "
                            "has this role: groupadd --system {}, then restart titipd",
                            file, key, *name, *name));
}

} // namespace

result<std::vector<std::string>, config_error> check_machine(const config& from,
                                                             std::string_view file, occasion when)
{
    if (auto wrong = look_at_state(from, file, when))
        return *std::move(wrong);
    if (auto wrong = look_at_socket(from, file, when))
        return *std::move(wrong);
    if (auto wrong = look_at_recipients(from, file))
        return *std::move(wrong);
    std::vector<std::string> out;
    if (auto unused = look_at_seal(from, file)) {
        if (when == occasion::check)
            return config_error{*std::move(unused)};
        out.push_back(*std::move(unused)); // what runs goes on: others hand it their records
    }
    look_at_key(from, file, out);
    look_at_quota(from, file, out);
    look_at_mirror(from, file, when, out);
    look_at_groups(from, file, out);
    return out;
}

} // namespace titip::node
