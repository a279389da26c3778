#include "output.hpp"

#include "base/descriptor.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace titip::cli {

namespace {

int lost_why = 0; ///< the first error of standard output

void note_loss(int why)
{
    if (lost_why == 0)
        lost_why = why != 0 ? why : EIO;
}

/// Lowest first: open() takes the lowest number that is free. Standard output is opened such that a
/// write to it fails, as on a closed one; standard error such that it does not, for the journal's
/// lines are no reason to end.
void open_what_is_closed()
{
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF)
            ::open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
}

/// Some file systems say only at a close that bytes were not written. Of a second descriptor: the
/// number of standard output must not become that of the next file.
void end_output()
{
    if (!flush())
        return;
    const int again = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (again >= 0 && ::close(again) != 0)
        note_loss(errno);
}

/// Not with fmt, which throws where standard error takes nothing either.
void say_loss(std::string_view program)
{
    if (lost_why == EPIPE) // whoever read it has seen enough: `titip list | head`
        return;
    const auto sentence = fmt::format(
        "{}: the answer could not be written to standard output ({}); what was asked for may have "
        "been done all the same\n",
        program, lost_why == EBADF ? "it is closed" : std::strerror(lost_why));
    std::fwrite(sentence.data(), 1, sentence.size(), stderr);
}

} // namespace

void put_text(std::string_view text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        note_loss(errno);
}

void put_bytes(bytes_view data)
{
    if (!flush())
        return;
    if (const auto written = write_all(STDOUT_FILENO, data); !written)
        note_loss(written.error().value());
}

bool flush()
{
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        note_loss(errno);
    return lost_why == 0;
}

int with_output(std::string_view program, const std::function<int()>& run)
{
    open_what_is_closed();
    int code = output_lost;
    try {
        code = run();
    } catch (const std::system_error& failure) {
        // fmt::print() throws where its stream takes nothing.
        if (std::ferror(stdout) == 0 && std::ferror(stderr) == 0)
            throw;
        if (std::ferror(stdout) != 0)
            note_loss(failure.code().value());
    }
    end_output();
    if (lost_why == 0)
        return code;
    say_loss(program);
    return output_lost;
}

} // namespace titip::cli
