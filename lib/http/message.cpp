#include "http/message.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <charconv>

namespace titip::http {

namespace {

std::optional<std::string_view> find_in(const std::vector<std::pair<std::string, std::string>>& all,
                                        auto is_it)
{
    const auto found = std::ranges::find_if(all, [&](const auto& one) { return is_it(one.first); });
    return found == all.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

bool may_be_segment(std::string_view text) noexcept
{
    return text != "." && text != ".." && text.find('/') == text.npos &&
           text.find('\0') == text.npos;
}

} // namespace

std::optional<std::string_view> fields::find(std::string_view name) const noexcept
{
    return find_in(all_, [&](const std::string& one) { return boost::beast::iequals(one, name); });
}

response problem(unsigned status, std::string_view title, std::string_view detail)
{
    boost::json::object body{{"title", title}, {"status", status}};
    if (!detail.empty())
        body["detail"] = detail;
    response answer;
    answer.status = status;
    answer.fields.add("Content-Type", "application/problem+json");
    answer.body = to_bytes(as_bytes(boost::json::serialize(body)));
    return answer;
}

std::optional<std::uint64_t> parse_number(std::string_view text) noexcept
{
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, ec] = std::from_chars(text.data(), end, value);
    if (ec != std::errc{} || stop != end)
        return std::nullopt;
    return value;
}

std::optional<std::string_view> target::find(std::string_view name) const noexcept
{
    return find_in(query, [&](const std::string& one) { return one == name; });
}

std::optional<target> parse_target(std::string_view text)
{
    const auto url = boost::urls::parse_origin_form({text.data(), text.size()});
    if (!url)
        return std::nullopt;
    target parsed;
    for (const auto& segment : url->segments()) {
        parsed.segments.emplace_back(segment);
        if (!may_be_segment(parsed.segments.back()))
            return std::nullopt;
    }
    boost::urls::encoding_opts literal_plus;
    literal_plus.space_as_plus = false;
    for (const auto& parameter : url->params(literal_plus))
        parsed.query.emplace_back(parameter.key, parameter.value);
    return parsed;
}

} // namespace titip::http
