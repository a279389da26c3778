#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

namespace titip::log {

namespace {

spdlog::logger& logger()
{
    static const auto it = [] {
        auto made = std::make_shared<spdlog::logger>(
            "titip", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        // Under systemd the journal adds the time; elsewhere we do.
        const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
        made->set_pattern(journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                          spdlog::pattern_time_type::utc);
        made->flush_on(spdlog::level::info);
        return made;
    }();
    return *it;
}

spdlog::level::level_enum to_spdlog(level l)
{
    switch (l) {
    case level::error:
        return spdlog::level::err;
    case level::warn:
        return spdlog::level::warn;
    case level::info:
        return spdlog::level::info;
    case level::debug:
        return spdlog::level::debug;
    }
    return spdlog::level::err;
}

std::string_view journal_prefix(level l)
{
    static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
    if (!journal)
        return "";
    switch (l) {
    case level::error:
        return "<3>";
    case level::warn:
        return "<4>";
    case level::info:
        return "<6>";
    case level::debug:
        return "<7>";
    }
    return "";
}

} // namespace

void write(level l, std::string_view line)
{
    logger().log(to_spdlog(l), "{}{}", journal_prefix(l), line);
}

void set_threshold(level l) noexcept
{
    logger().set_level(to_spdlog(l));
}

bool is_on(level l) noexcept
{
    return logger().should_log(to_spdlog(l));
}

} // namespace titip::log
