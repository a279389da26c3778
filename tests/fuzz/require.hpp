#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

namespace titip::fuzz {

inline void require(bool holds)
{
    if (!holds)
        std::abort();
}

/// For what no input can know: something as long stands for it.
inline void replace_all(std::string& in, std::string_view what, std::string_view with)
{
    for (auto at = in.find(what); at != in.npos; at = in.find(what, at + with.size()))
        in.replace(at, what.size(), with);
}

} // namespace titip::fuzz
