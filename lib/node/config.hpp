#pragma once

#include "accept/rights.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "replay/budget.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace titip::node {

/// What /etc/titip/titip.toml says (docs/configuration.md). Checked whole before a store is opened.
struct config {
    std::string name;
    std::filesystem::path state = "/var/lib/titip";
    std::uint64_t quota_bytes = 64ull << 30;
    bool may_be_fleeting = false;    ///< volatile: a store may be born in memory (see birth)
    std::filesystem::path mark_file; ///< of the store, beside this file; empty: none is kept

    struct identity_files {
        std::filesystem::path certificate;
        std::filesystem::path key;
        std::filesystem::path authorities;
        std::vector<std::filesystem::path> revoked{}; ///< trust::revocation_list has what they hold
    } identity;

    struct control_options {
        std::filesystem::path socket = "/run/titip/titip.sock";
        std::string submit = "titip-submit"; ///< groups
        std::string read = "titip";
        std::string operate = "titip-operate";
        std::string consume = "titip-consume";
    } control;

    struct seal_options {
        std::vector<std::filesystem::path> recipients;
    };
    std::optional<seal_options> seal;

    struct listen_options {
        std::string address;
        std::chrono::seconds spread{0};
        unsigned connections = 1'024;           ///< 130 KiB each
        std::uint64_t memory_bytes = 24u << 20; ///< of records that are being received
    };
    std::optional<listen_options> listen;

    struct upstream_options {
        std::string host;
        std::string port;
        unsigned connections = 16; ///< at most
        replay::budget::options budget;
    };
    std::optional<upstream_options> upstream;

    struct retention_options {
        milliseconds keep{};
    };
    std::optional<retention_options> retention;

    struct mirror_options {
        std::filesystem::path path; ///< normal, without a slash at its end
    };
    std::optional<mirror_options> mirror;

    std::optional<accept::rights::table>
        relays; ///< nothing: each may do all, as before there were rights
};

/// One line: file, key, what is wrong and what to do.
struct config_error {
    std::string sentence;
};

/// Pure: `text` is the file's content, `file` only stands in errors.
result<config, config_error> parse_config(std::string_view text, std::string_view file);
result<config, config_error> load_config(const std::filesystem::path& file);

} // namespace titip::node
