#include "base/log.hpp"

#include "base/outlet.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>

#include <pthread.h>
#include <unistd.h>

namespace titip::log {

namespace {

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

/// In a child of fork() there is no thread that writes; what it says goes out at once.
std::atomic<bool> is_forked{false};

/// Never destroyed: threads that outlive main() may still speak.
outlet& standard_error()
{
    static auto& it = *[] {
        auto* made = new outlet{STDERR_FILENO, std::string{journal_prefix(level::warn)}, {}};
        std::atexit([] { flush(); });
        ::pthread_atfork(nullptr, nullptr, [] { is_forked = true; });
        return made;
    }();
    return it;
}

void put(std::string line, bool is_urgent)
{
    if (!is_forked)
        standard_error().put(std::move(line), is_urgent);
    else [[maybe_unused]]
        const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

/// spdlog's own asynchronous logger drops the oldest lines, whose place nobody can see, and waits at
/// its end for a reader that may not be there.
class sink final : public spdlog::sinks::base_sink<std::mutex> {
    void sink_it_(const spdlog::details::log_msg& said) override
    {
        spdlog::memory_buf_t line;
        formatter_->format(said, line);
        put(fmt::to_string(line), said.level >= spdlog::level::err);
    }
    void flush_() override {}
};

spdlog::logger& logger()
{
    static auto& it = *[] {
        auto* made = new spdlog::logger{"titip", std::make_shared<sink>()};
        // Under systemd the journal adds the time; elsewhere we do.
        const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
        made->set_pattern(journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                          spdlog::pattern_time_type::utc);
        return made;
    }();
    return it;
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

bool flush(milliseconds limit)
{
    return is_forked || standard_error().flush(limit);
}

void last_line(std::string line)
{
    put(std::move(line), true);
    flush();
}

} // namespace titip::log
