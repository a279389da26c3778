#include "journal/marker.hpp"

#include "base/descriptor.hpp"
#include "base/explain.hpp"
#include "journal/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

namespace titip::journal {

namespace {

constexpr std::size_t sector_bytes = 512;

/// The number after `name` in a line of words.
std::int64_t number_after(std::string_view line, std::string_view name)
{
    std::int64_t out = 0;
    if (const auto at = line.find(name); at != line.npos)
        std::from_chars(line.data() + at + name.size(), line.data() + line.size(), out);
    return out;
}

/// Text put together where nothing may be allocated. What does not fit is left out.
class line_builder {
public:
    line_builder& text(std::string_view part) noexcept
    {
        const auto take = std::min(part.size(), all_.size() - size_);
        std::memcpy(all_.data() + size_, part.data(), take);
        size_ += take;
        return *this;
    }
    line_builder& number(std::int64_t value) noexcept
    {
        std::array<char, 20> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
        return text({digits.data(), static_cast<std::size_t>(end.ptr - digits.data())});
    }
    std::string_view get() const noexcept { return {all_.data(), size_}; }

private:
    std::array<char, sector_bytes - 1> all_{}; // the last byte of the sector ends the line
    std::size_t size_ = 0;
};

std::int64_t now_ms() noexcept
{
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

} // namespace

/// Of those who write: else `no` could be written over a `yes`. Bounded, since who has it may hang on the
/// disk, or be the very code that a signal interrupted.
class marker::turn {
public:
    explicit turn(std::atomic_flag& taken) noexcept : taken_(taken)
    {
        constexpr int patience_ms = 1'000;
        for (int waited = 0; taken_.test_and_set() && waited < patience_ms; ++waited)
            ::poll(nullptr, 0, 1); // safe in a signal handler
    }
    turn(const turn&) = delete;
    ~turn() { taken_.clear(); }

private:
    std::atomic_flag& taken_;
};

marker::marker(const std::filesystem::path& directory) : path_(directory / file_name)
{
    using kind = open_failure::kind;
    std::error_code failed;
    const bool is_new = !std::filesystem::exists(path_, failed);
    std::filesystem::create_directories(directory, failed);
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0 && (errno == EROFS || errno == EIO))
        throw open_failure{kind::untrusted, fmt::format("{}: {}: the disk cannot be written",
                                                        path_.string(), std::strerror(errno))};
    // A full disk is no reason not to give what is there. A reason is then in the log only.
    if (file_ < 0 && (errno == ENOSPC || errno == EDQUOT))
        return;
    if (file_ < 0)
        throw open_failure{kind::unreadable,
                           fmt::format("{} ([node] state)", explain(path_, last_error()))};
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
        const auto said = last_error();
        ::close(file_);
        if (said != boost::system::errc::operation_would_block)
            throw open_failure{kind::unreadable, explain(path_, said)};
        throw open_failure{
            kind::in_use,
            fmt::format("{} is in use by another titipd: stop that one, or give this one its own "
                        "[node] state",
                        directory.string())};
    }
    if (!is_new)
        return;
    // Without it nothing is lost but the reason, should there ever be one: see distrust().
    if (put("no") && ::fsync(file_) == 0)
        if (const int folder = ::open(directory.c_str(), O_RDONLY | O_CLOEXEC); folder >= 0) {
            ::fsync(folder);
            ::close(folder);
        }
}

marker::~marker()
{
    if (file_ >= 0)
        ::close(file_);
}

bool marker::put(std::string_view line) const noexcept
{
    std::array<char, sector_bytes> sector{};
    sector.fill(' ');
    std::memcpy(sector.data(), line.data(), std::min(line.size(), sector.size() - 1));
    sector.back() = '\n';
    return ::pwrite(file_, sector.data(), sector.size(), 0) == static_cast<ssize_t>(sector.size());
}

std::optional<marker::doubt> marker::standing() const
{
    return file_ < 0 ? std::nullopt : read(file_, path_);
}

std::optional<marker::doubt> marker::standing_in(const std::filesystem::path& directory)
{
    const auto path = directory / file_name;
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return std::nullopt;
    if (file < 0)
        return doubt{wall_now(), fmt::format("{}: {}", path.string(), std::strerror(errno))};
    auto out = read(file, path);
    ::close(file);
    return out;
}

std::optional<marker::doubt> marker::read(int file, const std::filesystem::path& path)
{
    std::array<char, sector_bytes> sector{};
    const auto got = ::pread(file, sector.data(), sector.size(), 0);
    if (got < 0)
        return doubt{wall_now(), fmt::format("{}: {}", path.string(), std::strerror(errno))};
    std::string_view line{sector.data(), static_cast<std::size_t>(got)};
    line = line.substr(0, line.find_last_not_of(std::string_view{" \n\0", 3}) + 1);
    const auto since = from_ms(number_after(line, "since_ms="));
    if (line.empty() || line.starts_with("no"))
        return std::nullopt;
    if (line.starts_with("opening")) {
        const auto count = number_after(line, "count=");
        if (count < most_openings)
            return std::nullopt;
        return doubt{since, fmt::format("it was opened {} times, and each time the process ended "
                                        "before that was done",
                                        count)};
    }
    const auto why = line.find("why=");
    return doubt{since, std::string{why == line.npos ? line : line.substr(why + 4)}};
}

void marker::begin_opening()
{
    std::array<char, sector_bytes> sector{};
    const auto got = ::pread(file_, sector.data(), sector.size(), 0);
    const std::string_view line{sector.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
    const bool again = line.starts_with("opening");
    is_opening_ = true;
    put(fmt::format("opening count={} since_ms={}", again ? number_after(line, "count=") + 1 : 1,
                    again ? number_after(line, "since_ms=") : to_ms(wall_now())));
}

void marker::end_opening()
{
    const turn mine{is_taken_};
    if (is_opening_ && !has_spoken_)
        put("no");
    is_opening_ = false;
}

bool marker::distrust(std::string_view why) noexcept
{
    line_builder line;
    line.text("yes since_ms=").number(now_ms()).text(" why=").text(why);
    {
        const turn mine{is_taken_};
        if (has_spoken_)
            return true; // written, which outlives the process
        has_spoken_ = put(line.get());
    }
    return has_spoken_ && ::fdatasync(file_) == 0;
}

result<void> marker::trust()
{
    if (file_ < 0)
        return {}; // nothing is written
    errno = 0;
    if (!put("no") || ::fdatasync(file_) != 0)
        return error_code{errno != 0 ? errno : EIO, boost::system::system_category()};
    return {};
}

bool marker::is_of_another_store(const doubt& standing) const
{
    // What open() would refuse is no word of anybody.
    const auto said = path_.parent_path() / declared_copy;
    std::error_code failed;
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(said, failed)) ||
        std::filesystem::file_size(said, failed) != 0 || failed)
        return false;
    const auto said_at = std::filesystem::last_write_time(said, failed);
    return !failed && std::chrono::file_clock::to_sys(said_at) > standing.since;
}

void marker::put_back(const doubt& standing) noexcept
{
    is_opening_ = false;
    line_builder line;
    line.text("yes since_ms=").number(to_ms(standing.since)).text(" why=").text(standing.why);
    put(line.get());
    ::fdatasync(file_);
}

} // namespace titip::journal
