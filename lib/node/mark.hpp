#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace titip::node {

/// What stands beside the configuration file once a store was born (see birth):
///
///     titip-store 1
///     node kab-karimun-03
///     store 5f0c6a9be1d24c07a1f2d3c4b5a69788
struct mark {
    std::string node;
    std::string store; ///< journal::store::id()
    friend bool operator==(const mark&, const mark&) = default;
};

/// "/etc/titip/titip.toml.store": two configurations in one folder are two nodes.
std::filesystem::path mark_file_of(const std::filesystem::path& config);

/// Pure, both ways. Nothing for what is no mark; lines below the three are for later versions.
std::string to_text(const mark& said);
std::optional<mark> parse_mark(std::string_view text);

struct mark_reading {
    enum class kind {
        absent,
        unreadable, ///< `why` is the system's
        malformed,  ///< it is no mark
        good,
    };
    mark_reading::kind what{};
    mark said;
    std::string why;
};
mark_reading read_mark(const std::filesystem::path& file);

enum class existing { stays, is_replaced };
/// Whole or not at all, and synced; readable by all who may look into the folder. EEXIST where
/// another stays.
result<void> write_mark(const std::filesystem::path& file, const mark& said, existing other);

/// What is wrong with the mark of a store that is open. It is opened all the same: neither an update
/// nor a mark that cannot be written ends the recording.
enum class mark_trouble {
    none,
    absent,      ///< and it could not be written
    unreadable,  ///< or it is no mark
    other_store, ///< it names another store, or another node's
};
/// Pure. `here`: what the mark of the store that is here would say.
mark_trouble judge(const mark_reading& found, const mark& here) noexcept;
/// Words of the control API: "none", "absent", "unreadable", "other-store".
std::string_view to_string(mark_trouble) noexcept;

} // namespace titip::node
