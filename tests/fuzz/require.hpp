#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace titip::fuzz {

inline void require(bool holds, const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    if (holds)
        return;
    std::fprintf(stderr, "%s:%d: this does not hold\n", file, line);
    std::abort();
}

/// For what no input can know: something as long stands for it.
inline void replace_all(std::string& in, std::string_view what, std::string_view with)
{
    for (auto at = in.find(what); at != in.npos; at = in.find(what, at + with.size()))
        in.replace(at, what.size(), with);
}

} // namespace titip::fuzz
