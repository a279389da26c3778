#include "base/outlet.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <charconv>
#include <string>
#include <thread>

#include <unistd.h>

using namespace titip;

namespace {

struct pipe_ends {
    std::array<int, 2> fds{};
    pipe_ends() { REQUIRE(::pipe(fds.data()) == 0); }
    ~pipe_ends()
    {
        ::close(fds[0]);
        ::close(fds[1]);
    }
    /// Until a line that is `last` has come.
    std::string read_until(std::string_view last) const
    {
        std::string all;
        std::array<char, 4096> piece{};
        while (!all.ends_with(last)) {
            const auto got = ::read(fds[0], piece.data(), piece.size());
            REQUIRE(got > 0);
            all.append(piece.data(), static_cast<std::size_t>(got));
        }
        return all;
    }
};

std::uint64_t number_of(std::string_view line)
{
    std::uint64_t out = 0;
    const auto at = line.find_first_of("0123456789");
    std::from_chars(line.data() + at, line.data() + line.size(), out);
    return out;
}

std::string line_of(std::uint64_t number)
{
    return "line " + std::to_string(number) + std::string(60, '.') + "\n";
}

} // namespace

TEST_CASE("a line is taken though nobody reads, and how many are missing stands where they are",
          "[log]")
{
    const pipe_ends ends;
    log::outlet out{ends.fds[1]};
    constexpr std::uint64_t many = 20'000; // 1.4 MB, far more than pipe and outlet hold
    for (std::uint64_t i = 0; i < many; ++i)
        out.put(line_of(i));
    CHECK_FALSE(out.flush(0ms));
    std::string all;
    std::thread reader{[&] { all = ends.read_until("the end\n"); }};
    while (!out.flush(1s))
        ;
    out.put(line_of(many));
    out.put("the end\n");
    reader.join();
    std::uint64_t next = 0;
    std::uint64_t lost = 0;
    for (std::string_view rest = all; rest != "the end\n";
         rest.remove_prefix(rest.find('\n') + 1)) {
        const auto line = rest.substr(0, rest.find('\n'));
        if (line.starts_with("log-lost lines=")) {
            lost += number_of(line);
            next += number_of(line);
        } else
            REQUIRE(number_of(line) == next++);
    }
    CHECK(lost > 0);
    CHECK(next == many + 1); // each was seen or counted
}

TEST_CASE("why the process ends finds room among lines that nobody reads", "[log]")
{
    const pipe_ends ends;
    log::outlet out{ends.fds[1]};
    for (std::uint64_t i = 0; i < 20'000; ++i)
        out.put(line_of(i));
    out.put("the store failed\n", true);
    const auto all = ends.read_until("the store failed\n");
    CHECK(all.find("log-lost lines=") != all.npos);
}

TEST_CASE("lines for a reader that has gone are given up", "[log]")
{
    pipe_ends ends;
    ::close(ends.fds[0]);
    ends.fds[0] = -1;
    log::outlet out{ends.fds[1]};
    out.put("to nobody\n");
    CHECK(out.flush(1min));
}
