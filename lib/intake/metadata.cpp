#include "intake/metadata.hpp"

namespace titip::intake {

std::optional<bytes> find_metadata(std::string_view header, std::string_view key)
{
    while (!header.empty()) {
        const auto comma = header.find(',');
        auto pair = header.substr(0, comma);
        header.remove_prefix(comma == header.npos ? header.size() : comma + 1);
        pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
        const auto space = pair.find(' ');
        if (space != pair.npos && pair.substr(0, space) == key)
            return from_base64(pair.substr(space + 1));
    }
    return std::nullopt;
}

} // namespace titip::intake
