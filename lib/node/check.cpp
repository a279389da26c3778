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

} // namespace

std::vector<std::string> check_machine(const config& from, std::string_view file)
{
    std::vector<std::string> out;
    look_at_key(from, file, out);
    return out;
}

} // namespace titip::node
