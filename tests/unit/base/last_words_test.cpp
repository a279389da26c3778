#include "base/last_words.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

using namespace titip;

TEST_CASE("what ends a program has the priority of an error where the journal reads it", "[base]")
{
    CHECK(last_words_line("titipd", "no disk", false) == "titipd: no disk\n");
    CHECK(last_words_line("titipd", "no disk\n  look", true) == "<3>titipd: no disk\n<3>  look\n");
}

TEST_CASE("the journal is what standard error is, not what the environment once said", "[base]")
{
    struct ::stat found {};
    REQUIRE(::fstat(STDERR_FILENO, &found) == 0);
    const auto mine = std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino);
    ::setenv("JOURNAL_STREAM", mine.c_str(), 1);
    CHECK(is_journal_reading());
    ::setenv("JOURNAL_STREAM", (mine + "7").c_str(), 1);
    CHECK_FALSE(is_journal_reading());
    ::setenv("JOURNAL_STREAM", "nonsense", 1);
    CHECK_FALSE(is_journal_reading());
    ::unsetenv("JOURNAL_STREAM");
    CHECK_FALSE(is_journal_reading());
}
