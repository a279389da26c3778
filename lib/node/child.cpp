#include "node/child.hpp"

#include "base/time.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace titip::node {

namespace {

using namespace asio::experimental::awaitable_operators;
using control::verification;

constexpr auto patience = 30s;
constexpr std::size_t most_line_bytes = 1u << 20; ///< of a line that some hundreds are enough for
constexpr auto quiet = asio::as_tuple(asio::use_awaitable);
constexpr std::string_view last_line = "end";

using kind = journal::remark::kind;
constexpr std::array<std::string_view, 4> kinds{"progress", "difference", "known", "unopened"};

std::string to_line(const journal::remark& said)
{
    boost::json::object out;
    out["what"] = kinds[static_cast<std::size_t>(said.what)];
    out["text"] = said.text;
    out["done"] = said.done;
    out["total"] = said.total;
    return boost::json::serialize(out) + '\n';
}

std::optional<journal::remark> from_line(std::string_view line)
{
    boost::system::error_code failed;
    const auto value = boost::json::parse(line, failed);
    const auto* all = failed ? nullptr : value.if_object();
    const auto* what = all ? all->if_contains("what") : nullptr;
    const auto* text = all ? all->if_contains("text") : nullptr;
    if (!what || !what->is_string() || !text || !text->is_string())
        return std::nullopt;
    const auto number = [all](std::string_view key) {
        const auto* each = all->if_contains(key);
        boost::system::error_code none;
        return each ? each->to_number<std::uint64_t>(none) : 0;
    };
    for (std::size_t i = 0; i < kinds.size(); ++i)
        if (what->get_string() == kinds[i])
            return journal::remark{.what = static_cast<kind>(i),
                                   .text = std::string{text->get_string()},
                                   .done = number("done"),
                                   .total = number("total")};
    return std::nullopt;
}

struct spawned {
    pid_t process = -1;
    int output = -1;
};

std::optional<spawned> spawn(const std::filesystem::path& directory, const std::string& node)
{
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        return std::nullopt;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
    // Asio does not mark its sockets: a connection that we close would stay open in a child that hangs.
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    std::array<std::string, 5> words{"titipd", "--verify-store", directory.string(), "--node",
                                     node};
    std::array<char*, 6> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i)
        arguments[i] = words[i].data();
    spawned out{.output = pipe[0]};
    // Not by name: what looks must be the program that wrote.
    const int failed =
        ::posix_spawn(&out.process, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    if (failed != 0) {
        ::close(pipe[0]);
        return std::nullopt;
    }
    return out;
}

/// How the child ended; nothing if it does not, as one that waits for a dead disk.
asio::awaitable<std::optional<int>> reap(asio::any_io_executor on, pid_t process)
{
    asio::steady_timer timer{on};
    for (int tries = 0; tries < 50; ++tries) {
        int status = 0;
        if (::waitpid(process, &status, WNOHANG) == process)
            co_return status;
        timer.expires_after(100ms);
        co_await timer.async_wait(quiet);
    }
    co_return std::nullopt;
}

} // namespace

asio::awaitable<child_end> examine_in_child(asio::any_io_executor on,
                                            std::filesystem::path directory, std::string node,
                                            journal::teller told)
{
    const auto child = spawn(directory, node);
    if (!child)
        co_return child_end{verification::outcome::died, "no process could be started"};
    // Whoever stops waiting, the child goes.
    const auto end_child = [](const spawned* which) { ::kill(which->process, SIGKILL); };
    std::unique_ptr<const spawned, decltype(end_child)> held{&*child, end_child};
    asio::posix::stream_descriptor output{on, child->output};
    asio::steady_timer timer{on};
    std::string pending;
    bool has_said_all = false;
    bool is_hung = false;
    for (;;) {
        timer.expires_after(patience);
        auto a_line = asio::async_read_until(output, asio::dynamic_buffer(pending, most_line_bytes),
                                             '\n', quiet);
        auto too_long = timer.async_wait(quiet);
        const auto first = co_await (std::move(a_line) || std::move(too_long));
        is_hung = first.index() == 1;
        if (is_hung)
            break;
        const auto [failed, size] = std::get<0>(first);
        if (failed)
            break;
        const auto line = std::string_view{pending}.substr(0, size - 1);
        if (line == last_line)
            has_said_all = true;
        else if (const auto said = from_line(line))
            told(*said);
        pending.erase(0, size);
    }
    if (is_hung || has_said_all)
        held.reset(); // it has nothing more to say
    const auto status = co_await reap(on, child->process);
    if (status)
        held.release();
    if (is_hung)
        co_return child_end{verification::outcome::hung,
                            fmt::format("nothing was heard for {} s", patience.count())};
    if (has_said_all)
        co_return child_end{};
    co_return child_end{verification::outcome::died,
                        status && WIFSIGNALED(*status)
                            ? fmt::format("{}", ::strsignal(WTERMSIG(*status)))
                            : std::string{"it ended without a word"}};
}

int examine_as_child(const std::filesystem::path& directory, const std::string& node)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_DUMPABLE, 0);
    const auto put = [](const std::string& line) {
        bytes_view rest = as_bytes(line);
        while (!rest.empty()) {
            const auto written = ::write(STDOUT_FILENO, rest.data(), rest.size());
            if (written <= 0)
                ::_exit(1);
            rest = rest.subspan(static_cast<std::size_t>(written));
        }
    };
    journal::examine(directory, node, [&put](const journal::remark& said) { put(to_line(said)); });
    put(std::string{last_line} + '\n');
    return 0;
}

} // namespace titip::node
