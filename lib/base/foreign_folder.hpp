#pragma once

#include "base/descriptor.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <functional>
#include <string>

#include <sys/types.h>

namespace titip {

/// What lies at a name is not what may be read, written or replaced there.
enum class file_errc {
    no_file = 1, ///< a link, a device, a pipe: something else than a file, or than a folder
};
boost::system::error_code make_error_code(file_errc) noexcept;

/// A folder in which others may have put what they like: a stick, a second disk, where an operator said.
/// The one way in which we read and write such a one.
///
/// Promise:  what is opened lies in this folder and on its file system: no link is followed and no other
///           mount entered, whatever changes meanwhile (openat2(2)). It is a file, or a folder; a device is
///           not opened, and nothing waits as for a pipe's other end.
/// Names:    one or more, separated by '/', below the folder. None is ".".
/// Errors:   file_errc::no_file, and what the system says.
/// Threads:  any.
class foreign_folder {
public:
    /// The links of the path that leads there are followed, but for the last name's.
    static result<foreign_folder> open(const std::filesystem::path& at);
    /// Those as well: for a folder that an operator names.
    static result<foreign_folder> follow(const std::filesystem::path& at);

    result<foreign_folder> folder(const std::string& name) const;
    /// Mode 0700; one that is there is taken. `is_new`: whether it was made.
    result<foreign_folder> make_folder(const std::string& name, bool* is_new = nullptr) const;

    /// To be read, from its begin.
    result<descriptor> read(const std::string& name) const;
    /// To be written, from its begin; made if there is none. What it holds is left: to be cut off by who
    /// knows that it is to go.
    result<descriptor> write(const std::string& name, ::mode_t mode = 0600) const;

    /// Nothing to do if nothing is there. A link is removed, and not what it leads to.
    result<void> remove(const std::string& name) const;

    /// Each name in it, in no order, until `told` has an error. Memory: one name.
    result<void> each_name(const std::function<result<void>(const char*)>& told) const;

    result<void> sync() const { return sync_folder(at_.get()); }
    int get() const noexcept { return at_.get(); }

private:
    explicit foreign_folder(descriptor at) noexcept : at_(std::move(at)) {}
    result<descriptor> open_below(const std::string& name, int flags, ::mode_t mode) const;

    descriptor at_;
};

} // namespace titip

template <>
struct boost::system::is_error_code_enum<titip::file_errc> : std::true_type {
};
