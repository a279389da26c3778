#include "base/last_words.hpp"

#include "base/outlet.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace titip {

std::string last_words_line(std::string_view program, std::string_view why, bool is_journal)
{
    const std::string_view priority = is_journal ? "<3>" : ""; // sd-daemon(3); of each line
    auto out = fmt::format("{}{}: ", priority, program);
    for (const char each : why) {
        out += each;
        if (each == '\n')
            out += priority;
    }
    return out + '\n';
}

bool is_journal_reading() noexcept
{
    const char* const said = std::getenv("JOURNAL_STREAM"); // DEVICE:INODE, see systemd.exec(5)
    unsigned long long device = 0;
    unsigned long long inode = 0;
    struct ::stat found {};
    return said != nullptr && std::sscanf(said, "%llu:%llu", &device, &inode) == 2 &&
           ::fstat(STDERR_FILENO, &found) == 0 && found.st_dev == device && found.st_ino == inode;
}

void last_words(std::string_view program, std::string_view why)
{
    log::last_line(last_words_line(program, why, is_journal_reading()));
}

} // namespace titip
