#include "node/config.hpp"

#include "base/explain.hpp"
#include "base/file.hpp"
#include "base/name.hpp"
#include "base/units.hpp"
#include "node/mark.hpp"

#include <boost/url/parse.hpp>
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace titip::node {

namespace {

[[noreturn]] void refuse(std::string sentence)
{
    throw config_error{std::move(sentence)};
}

std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0u);
    for (std::size_t i = 0; i < a.size(); ++i) {
        auto diagonal = std::exchange(row[0], i + 1);
        for (std::size_t j = 0; j < b.size(); ++j) {
            const auto cost = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, cost});
        }
    }
    return row.back();
}

std::string nearest(std::string_view key, const std::vector<std::string_view>& known)
{
    return std::string{*std::ranges::min_element(
        known, {}, [key](std::string_view each) { return distance(key, each); })};
}

/// One [table] of the file; remembers which keys were asked for, so that the rest are unknown.
class section {
public:
    section(const toml::table& root, std::string_view name, std::string_view file)
        : name_(name), file_(file)
    {
        const auto* node = root.get(name);
        if (node && !node->is_table())
            refuse(fmt::format("{}: \"{}\" must be a table: write [{}]", file, name, name));
        table_ = node ? node->as_table() : nullptr;
    }

    bool exists() const { return table_ != nullptr; }

    /// The table `key` within this one; `name` is how it is written: "upstream.budget".
    section within(std::string_view key, std::string_view name)
    {
        const auto* node = find(key);
        if (node && !node->is_table())
            wrong(key, fmt::format("must be a table: write [{}]", name));
        return section{node ? node->as_table() : nullptr, name, file_};
    }

    std::optional<std::string> text(std::string_view key)
    {
        const auto* node = find(key);
        if (!node)
            return std::nullopt;
        if (!node->is_string())
            wrong(key, "must be a text in quotes");
        return node->as_string()->get();
    }

    std::string required(std::string_view key, std::string_view example)
    {
        auto value = text(key);
        if (!value || value->empty())
            wrong(key, fmt::format("is missing: add {} = \"{}\"", key, example));
        return *std::move(value);
    }

    std::vector<std::string> texts(std::string_view key)
    {
        std::vector<std::string> out;
        const auto* node = find(key);
        if (!node)
            return out;
        if (!node->is_array())
            wrong(key, "must be a list of texts: [\"...\", \"...\"]");
        for (const auto& each : *node->as_array()) {
            if (!each.is_string())
                wrong(key, "must be a list of texts: [\"...\", \"...\"]");
            out.push_back(each.as_string()->get());
        }
        return out;
    }

    /// A text, or a list of them.
    std::vector<std::string> text_or_texts(std::string_view key)
    {
        const auto* node = table_ ? table_->get(key) : nullptr;
        if (!node || !node->is_string())
            return texts(key);
        return {*text(key)};
    }

    /// Of a table whose keys are names.
    std::vector<std::string> keys() const
    {
        std::vector<std::string> out;
        if (table_)
            for (const auto& [key, value] : *table_)
                out.emplace_back(key.str());
        return out;
    }

    std::optional<std::int64_t> number(std::string_view key)
    {
        const auto* node = find(key);
        if (!node)
            return std::nullopt;
        if (!node->is_integer())
            wrong(key, "must be a whole number");
        return node->as_integer()->get();
    }

    std::optional<bool> yes_or_no(std::string_view key)
    {
        const auto* node = find(key);
        if (!node)
            return std::nullopt;
        if (!node->is_boolean())
            wrong(key, "must be true or false, without quotes");
        return node->as_boolean()->get();
    }

    std::optional<std::uint64_t> size(std::string_view key)
    {
        const auto value = text(key);
        if (!value)
            return std::nullopt;
        const auto bytes = parse_size_bytes(*value);
        if (!bytes)
            wrong(key, fmt::format("\"{}\" is not a size: write a number and a unit, \"64 GiB\"",
                                   *value));
        return bytes;
    }

    std::optional<milliseconds> duration(std::string_view key)
    {
        const auto value = text(key);
        if (!value)
            return std::nullopt;
        const auto length = parse_duration(*value);
        if (!length)
            wrong(key,
                  fmt::format("\"{}\" is not a duration: write a number and a unit, \"30 days\"",
                              *value));
        return length;
    }

    [[noreturn]] void wrong(std::string_view key, std::string_view what) const
    {
        refuse(fmt::format("{}: [{}] {}: {}", file_, name_, key, what));
    }

    void refuse_unknown() const
    {
        if (!table_)
            return;
        for (const auto& [key, value] : *table_)
            if (std::ranges::find(asked_, key.str()) == asked_.end())
                wrong(key.str(),
                      fmt::format("unknown key; did you mean \"{}\"?", nearest(key.str(), asked_)));
    }

private:
    section(const toml::table* table, std::string_view name, std::string_view file)
        : table_(table), name_(name), file_(file)
    {
    }

    const toml::node* find(std::string_view key)
    {
        asked_.push_back(key);
        return table_ ? table_->get(key) : nullptr;
    }

    const toml::table* table_ = nullptr;
    std::string_view name_;
    std::string_view file_;
    std::vector<std::string_view> asked_;
};

bool is_port(std::string_view text)
{
    std::uint16_t port = 0;
    const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    return failed == std::errc{} && rest == text.data() + text.size();
}

constexpr std::array<std::string_view, 9> sections{
    "node", "identity", "control", "seal", "listen", "upstream", "retention", "mirror", "relays"};

/// "07:00": minutes since midnight; "24:00" is its end.
std::optional<unsigned> to_minute(std::string_view text)
{
    unsigned hour = 0, minute = 0;
    const auto* const end = text.data() + text.size();
    const auto [colon, no_hour] = std::from_chars(text.data(), end, hour);
    if (no_hour != std::errc{} || colon == end || *colon != ':')
        return std::nullopt;
    const auto [rest, no_minute] = std::from_chars(colon + 1, end, minute);
    if (no_minute != std::errc{} || rest != end || minute > 59 || hour > 24 ||
        hour * 60 + minute > 24 * 60)
        return std::nullopt;
    return hour * 60 + minute;
}

/// "07:00-16:00 64 kbit/s"
std::optional<replay::budget::hours> to_hours(std::string_view text)
{
    const auto dash = text.find('-');
    const auto space = text.find(' ');
    if (dash == text.npos || space == text.npos || space < dash)
        return std::nullopt;
    const auto from = to_minute(text.substr(0, dash));
    const auto to = to_minute(text.substr(dash + 1, space - dash - 1));
    const auto rate = parse_rate_bytes_per_s(text.substr(space + 1));
    if (!from || !to || !rate || *from == *to)
        return std::nullopt;
    return replay::budget::hours{.from_minute = *from, .to_minute = *to, .most_bytes_per_s = *rate};
}

replay::budget::options to_budget(section& from)
{
    replay::budget::options out;
    out.day_bytes = from.size("day");
    if (out.day_bytes == std::uint64_t{0})
        from.wrong("day", "must be more than 0: titip pause stops the sending");
    if (const auto rate = from.text("rate")) {
        out.most_bytes_per_s = parse_rate_bytes_per_s(*rate);
        if (out.most_bytes_per_s.value_or(0) == 0)
            from.wrong("rate", fmt::format("\"{}\" is not a rate: write a number and a unit, \"256 "
                                           "kbit/s\"",
                                           *rate));
    }
    for (const auto& each : from.texts("hours")) {
        const auto hours = to_hours(each);
        if (!hours)
            from.wrong("hours", fmt::format("\"{}\" must be FROM-TO RATE, as in \"07:00-16:00 64 "
                                            "kbit/s\"; 0 kbit/s sends nothing",
                                            each));
        out.by_hour.push_back(*hours);
    }
    if (const auto urgent = from.text("urgent")) {
        if (*urgent != "exempt" && *urgent != "bound")
            from.wrong("urgent", "must be \"bound\" or \"exempt\"");
        out.binds_urgent = *urgent == "bound";
    }
    from.refuse_unknown();
    return out;
}

config::upstream_options to_upstream(section& from)
{
    config::upstream_options out;
    const auto text = from.required("url", "https://titip.example:8443");
    const auto url = boost::urls::parse_uri(text);
    const bool is_plain = url && url->scheme() == "https" && !url->host().empty() &&
                          (url->path().empty() || url->path() == "/") && !url->has_query() &&
                          !url->has_fragment() && !url->has_userinfo() &&
                          (!url->has_port() || (is_port(url->port()) && url->port_number() != 0));
    if (!is_plain)
        from.wrong("url", fmt::format("\"{}\" must be https://HOST:PORT", text));
    out.host = url->host_address();
    out.port = url->has_port() ? std::string{url->port()} : "8443";
    if (const auto count = from.number("connections")) {
        if (*count < 1 || *count > 16)
            from.wrong("connections", "must be 1 to 16");
        out.connections = static_cast<unsigned>(*count);
    }
    if (auto budget = from.within("budget", "upstream.budget"); budget.exists())
        out.budget = to_budget(budget);
    return out;
}

config::mirror_options to_mirror(section& from, const std::filesystem::path& state)
{
    const std::filesystem::path path{from.required("path", "/media/backup")};
    if (!path.is_absolute())
        from.wrong("path", fmt::format("\"{}\" must begin with /", path.string()));
    auto folder = path.lexically_normal();
    if (!folder.has_filename()) // "/media/backup/"
        folder = folder.parent_path();
    const auto within = folder.lexically_relative(state.lexically_normal());
    if (!within.empty() && *within.begin() != "..")
        from.wrong("path", "must not lie in [node] state: it is for a second disk");
    return {.path = folder};
}

accept::rights::table to_relays(section& from)
{
    accept::rights::table out;
    const auto names = from.keys();
    for (const auto& name : names) {
        if (!is_node_name(name))
            from.wrong(
                name,
                "must be a relay's name, that in its certificate: 1 to 63 of a-z, 0-9 and '-'");
        auto& patterns = out[name];
        patterns = from.texts(name);
        for (const auto& each : patterns)
            if (!accept::rights::is_pattern(each))
                from.wrong(name,
                           fmt::format("\"{}\" must be a station's name, in which * stands for any "
                                       "characters: \"kab-karimun-*\"",
                                       each));
    }
    return out;
}

void read_node(section& from, config& out)
{
    out.name = from.required("name", "kab-karimun-03");
    if (!is_node_name(out.name))
        from.wrong("name", "must be 1 to 63 of a-z, 0-9 and '-', the name in the certificate");
    out.state = from.text("state").value_or(out.state.string());
    out.quota_bytes = from.size("quota").value_or(out.quota_bytes);
    out.may_be_fleeting = from.yes_or_no("volatile").value_or(false);
    constexpr std::uint64_t least = 1u << 20;
    if (out.quota_bytes < least)
        from.wrong("quota", "must be at least 1 MiB");
}

void read_control(section& from, config& out)
{
    out.control.socket = from.text("socket").value_or(out.control.socket.string());
    out.control.submit = from.text("submit").value_or(out.control.submit);
    out.control.read = from.text("read").value_or(out.control.read);
    out.control.operate = from.text("operate").value_or(out.control.operate);
    out.control.consume = from.text("consume").value_or(out.control.consume);
}

config convert(const toml::table& root, std::string_view file)
{
    for (const auto& [key, value] : root)
        if (std::ranges::find(sections, key.str()) == sections.end())
            refuse(fmt::format("{}: unknown table [{}]; did you mean [{}]?", file, key.str(),
                               nearest(key.str(), {sections.begin(), sections.end()})));

    config out;
    section node{root, "node", file};
    read_node(node, out);
    section identity{root, "identity", file};
    out.identity = {.certificate = identity.required("certificate", "/etc/titip/node.pem"),
                    .key = identity.required("key", "/etc/titip/node.key"),
                    .authorities = identity.required("authorities", "/etc/titip/authorities.pem"),
                    .revoked = {}};
    for (auto& each : identity.text_or_texts("revoked"))
        out.identity.revoked.emplace_back(std::move(each));
    section control{root, "control", file};
    read_control(control, out);

    section seal{root, "seal", file};
    const auto recipients = seal.texts("recipients");
    if (seal.exists()) {
        if (recipients.size() < 2)
            seal.wrong("recipients",
                       "needs the centre's certificate and an escrow's: two files or more");
        out.seal.emplace().recipients.assign(recipients.begin(), recipients.end());
    }
    section listen{root, "listen", file};
    if (listen.exists()) {
        out.listen.emplace().address = listen.required("address", "0.0.0.0:8443");
        const auto colon = out.listen->address.rfind(':');
        if (colon == std::string::npos ||
            !is_port(std::string_view{out.listen->address}.substr(colon + 1)))
            listen.wrong("address",
                         fmt::format("\"{}\" must be ADDRESS:PORT, as in \"0.0.0.0:8443\"",
                                     out.listen->address));
        out.listen->spread = std::chrono::duration_cast<std::chrono::seconds>(
            listen.duration("spread").value_or(0ms));
        if (const auto count = listen.number("connections")) {
            if (*count < 16 || *count > 65'536)
                listen.wrong("connections", "must be 16 to 65536");
            out.listen->connections = static_cast<unsigned>(*count);
        }
        if (const auto size = listen.size("memory")) {
            if (*size < (1u << 20))
                listen.wrong("memory", "must be at least 1 MiB");
            out.listen->memory_bytes = *size;
        }
    }
    section upstream{root, "upstream", file};
    if (upstream.exists())
        out.upstream = to_upstream(upstream);
    section retention{root, "retention", file};
    if (retention.exists()) {
        const auto keep = retention.duration("keep");
        if (!keep)
            retention.wrong("keep", "is missing: add keep = \"30 days\"");
        if (*keep == 0ms)
            retention.wrong("keep",
                            "must be longer than nothing: \"30 days\", so that what the centre "
                            "loses is still here");
        if (const auto after = retention.text("after").value_or("opened"); after != "opened")
            retention.wrong(
                "after",
                "can only be \"opened\": nothing is erased before the centre has opened it");
        out.retention.emplace().keep = *keep;
    }
    section mirror{root, "mirror", file};
    if (mirror.exists())
        out.mirror = to_mirror(mirror, out.state);
    section relays{root, "relays", file};
    if (relays.exists() && !out.listen)
        refuse(fmt::format(
            "{}: [relays] without [listen]: no relay hands records to this node; remove the "
            "table",
            file));
    if (relays.exists())
        out.relays = to_relays(relays);
    for (const auto* each :
         {&node, &identity, &control, &seal, &listen, &upstream, &retention, &mirror})
        each->refuse_unknown();

    if (out.seal && !out.upstream && !out.listen)
        refuse(fmt::format(
            "{}: [seal] without [upstream]: a node where records are submitted must hand "
            "them on; add [upstream] url",
            file));
    if (!out.upstream && out.retention)
        refuse(fmt::format(
            "{}: [retention] at the end of the road: the centre never erases by itself; "
            "remove the table, or add [upstream]",
            file));
    if (!out.upstream && !out.listen)
        refuse(fmt::format(
            "{}: neither [upstream] nor [listen]: a station needs the first, the centre the "
            "second",
            file));
    return out;
}

} // namespace

result<config, config_error> parse_config(std::string_view text, std::string_view file)
{
    try {
        return convert(toml::parse(text, file), file);
    } catch (config_error& error) {
        return std::move(error);
    } catch (const toml::parse_error& error) {
        const auto& at = error.source().begin;
        return config_error{fmt::format("{}: line {}: {}", file, at.line, error.description())};
    }
}

result<config, config_error> load_config(const std::filesystem::path& file)
{
    const auto text = read_file(file, 1u << 20);
    if (!text && text.error() == boost::system::errc::no_such_file_or_directory)
        return config_error{
            fmt::format("{}: write this file (configuration.md has full examples), or "
                        "name another with --config",
                        explain(file, text.error()))};
    if (!text)
        return config_error{explain(file, text.error())};
    auto out = parse_config(as_text(*text), file.string());
    if (out)
        out->mark_file = mark_file_of(file);
    return out;
}

} // namespace titip::node
