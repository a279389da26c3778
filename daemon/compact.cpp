#include "commands.hpp"
#include "output.hpp"

#include "control/words.hpp"
#include "journal/compact.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace titip::cli {

int compact(const std::string& state, bool json)
{
    const auto made = journal::compact(state);
    if (!made) {
        fmt::print(stderr, "titip: {}\n", made.error().sentence);
        return refused;
    }
    boost::json::object said;
    said["bytes_before"] = made->bytes_before;
    said["bytes_after"] = made->bytes_after;
    if (json)
        put("{}\n", boost::json::serialize(said));
    else
        put("{}\n", control::words::compacted(said));
    return done;
}

} // namespace titip::cli
