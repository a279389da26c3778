#include "node/birth.hpp"

#include "base/descriptor.hpp"
#include "journal/birth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace titip::node {

namespace {

namespace fs = std::filesystem;

start_failure failure(const fs::path& at, const std::string& why)
{
    return {fmt::format("{}: {}", at.string(), why)};
}

/// What a child finds in the state directory.
struct outlook {
    enum class kind : char { store = 's', absent = 'a', in_use = 'u', failed = 'f' };
    outlook::kind what = kind::failed;
    std::string text; ///< the store's id, or why
};

/// `work` as that user, in a process of its own.
outlook as_daemon(const daemon_user& who, const std::function<outlook()>& work)
{
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0)
        return {.text = last_error().message()};
    descriptor from{pipe[0]};
    descriptor to{pipe[1]};
    const auto child = ::fork();
    if (child < 0)
        return {.text = last_error().message()};
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::umask(0077);
        outlook said;
        if (const auto became = become(who); !became)
            said.text = became.error().message();
        else
            said = work();
        std::string line{static_cast<char>(said.what)};
        line += said.text;
        const auto told = write_all(to.get(), as_bytes(line));
        ::_exit(told ? 0 : 1);
    }
    to.close();
    constexpr std::size_t most_bytes = 16u << 10;
    const auto said = read_all(from.get(), most_bytes);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return {.text = fmt::format("the store ended the process that looked at it: {}",
                                    ::strsignal(WTERMSIG(status)))};
    if (!said || said->empty())
        return {.text = "the process that looked at the store said nothing"};
    const auto text = as_text(*said);
    return {.what = static_cast<outlook::kind>(text.front()), .text = std::string{text.substr(1)}};
}

outlook id_of_store(const config& from)
{
    using kind = journal::open_failure::kind;
    const auto id = journal::id_in(from.state, from.name);
    if (id)
        return {.what = outlook::kind::store, .text = *id};
    const bool is_in_use = id.error().what == kind::in_use;
    return {.what = is_in_use ? outlook::kind::in_use : outlook::kind::failed,
            .text = id.error().sentence};
}

outlook look_at_store(const config& from, const daemon_user& who)
{
    return as_daemon(who, [&from]() -> outlook {
        const auto there = journal::is_there(from.state);
        if (!there)
            return {.text = there.error().sentence};
        if (!*there)
            return {.what = outlook::kind::absent, .text = {}};
        return id_of_store(from);
    });
}

outlook make_store(const config& from, const daemon_user& who)
{
    return as_daemon(who, [&from]() -> outlook {
        const auto made = journal::make_empty(from.state, from.name);
        if (!made)
            return {.text = made.error().sentence};
        return id_of_store(from);
    });
}

/// What a store leaves beside itself, or a file system makes. A directory with anything else in it is
/// somebody's, and was named by mistake.
bool is_of_a_store(const fs::path& name)
{
    constexpr std::array<std::string_view, 12> known{
        "data.mdb",    "lock.mdb",          "titipd.lock", "untrusted", "restored",   "scrub",
        "second-copy", "second-copy-disks", "verified",    "restoring", "compacting", "lost+found"};
    return std::ranges::find(known, name.string()) != known.end();
}

/// Why it could not be; empty: it is there.
std::string write_missing(const config& from, const std::string& store)
{
    const auto put =
        write_mark(from.mark_file, {.node = from.name, .store = store}, existing::stays);
    return put ? std::string{}
               : fmt::format("{}: {}", from.mark_file.string(), put.error().message());
}

std::string about_mark(const config& from, const mark_reading& found, const std::string& store)
{
    switch (judge(found, {.node = from.name, .store = store})) {
    case mark_trouble::none:
        return {};
    case mark_trouble::absent:
        return write_missing(from, store);
    case mark_trouble::unreadable:
        return fmt::format("{}: {}", from.mark_file.string(), found.why);
    case mark_trouble::other_store:
        return fmt::format("{} names another store ({} of {}; here is {})", from.mark_file.string(),
                           found.said.store, found.said.node, store);
    }
    return {};
}

} // namespace

bool daemon_user::is_ours() const noexcept
{
    return user == ::geteuid();
}

daemon_user find_daemon_user(const config& from)
{
    daemon_user out{.user = ::geteuid(), .group = ::getegid()};
    if (out.user != 0)
        return out;
    for (const auto& each : {from.state, from.identity.key}) {
        struct ::stat found {};
        if (::stat(each.c_str(), &found) != 0 || found.st_uid == 0)
            continue;
        const auto* known = ::getpwuid(found.st_uid);
        return {.user = found.st_uid, .group = known ? known->pw_gid : found.st_gid};
    }
    return out;
}

result<void> become(const daemon_user& who)
{
    if (who.is_ours())
        return {};
    // The daemon has the groups that its user is in: the second disk may be one of them's.
    const auto* known = ::getpwuid(who.user);
    const int grouped = known ? ::initgroups(known->pw_name, who.group) : ::setgroups(0, nullptr);
    if (grouped != 0 || ::setgid(who.group) != 0 || ::setuid(who.user) != 0)
        return last_error();
    return {};
}

std::optional<start_failure> prepare_state(const config& from, const daemon_user& who)
{
    const auto& state = from.state;
    // Not those above it: they would be on another disk than the one that is not mounted.
    if (::mkdir(state.c_str(), 0700) != 0 && errno != EEXIST)
        return failure(state, last_error().message());
    const descriptor folder{::open(state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!folder)
        return failure(state, last_error().message());
    std::error_code failed;
    for (const auto& each : fs::directory_iterator{state, failed})
        if (const auto name = each.path().filename(); !is_of_a_store(name))
            return failure(state, fmt::format("[node] state has other things in it ({}): name a "
                                              "directory of its own",
                                              name.string()));
    if (failed)
        return failure(state, failed.message());
    if (::fchown(folder.get(), who.user, who.group) != 0 || ::fchmod(folder.get(), 0700) != 0)
        return failure(state, last_error().message());
    const descriptor above{::open((state / "..").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!above)
        return std::nullopt; // not ours to look into, so neither was it made by us
    if (const auto synced = sync_folder(above.get()); !synced)
        return failure(state.parent_path(), synced.error().message());
    return std::nullopt;
}

std::string absence(const config& from, const mark_reading& found)
{
    std::error_code ignored;
    const auto state = from.state.string();
    const auto file = from.mark_file.string();
    if (fs::exists(from.state / journal::store::unfinished, ignored))
        return fmt::format(
            "a restore into {0} was not finished: run titip restore again; or remove "
            "{0}/{1} and {2}, then titipd --create begins with an empty store",
            state, journal::store::unfinished, file);
    switch (found.what) {
    case mark_reading::kind::absent:
        return fmt::format(
            "there is no store in {}, and no mark {} says that one was made: on a "
            "new machine titipd --create makes an empty one; else mount its disk, or "
            "correct [node] state",
            state, file);
    case mark_reading::kind::unreadable:
    case mark_reading::kind::malformed:
        return fmt::format("there is no store in {}; whether one was made {} would say, but: {}. "
                           "Mount its disk, or correct [node] state",
                           state, file, found.why);
    case mark_reading::kind::good:
        break;
    }
    return fmt::format(
        "there is no store in {}, though {} says that one was made for {}: mount its "
        "disk, or correct [node] state. If it is lost: titip restore, or remove that "
        "file, then titipd --create makes an empty one",
        state, file, found.said.node);
}

std::optional<fleeting> fleeting_of(const config& from)
{
    std::error_code ignored;
    auto at = fs::absolute(from.state, ignored).lexically_normal();
    while (!fs::exists(at, ignored) && at.has_relative_path())
        at = at.parent_path();
    return find_fleeting(at);
}

std::optional<start_failure> refuse_fleeting(const config& from)
{
    const auto found = from.may_be_fleeting ? std::nullopt : fleeting_of(from);
    if (!found)
        return std::nullopt;
    return failure(
        from.state,
        fmt::format("is {} ({}): records there would not survive {}. Name a directory on "
                    "a disk in [node] state; where that is meant, for a trial, add "
                    "volatile = true",
                    found->what == fleeting::kind::memory ? "in memory" : "in a container's layer",
                    found->name,
                    found->what == fleeting::kind::memory ? "a power cut" : "the container"));
}

result<birth, start_failure> create(const config& from)
{
    const auto found = read_mark(from.mark_file);
    const auto who = find_daemon_user(from);
    auto here = look_at_store(from, who);
    // By one that was killed a moment ago, unless a daemon has it.
    constexpr int most_looks = 20;
    for (int n = 0; n < most_looks && here.what == outlook::kind::in_use &&
                    found.what == mark_reading::kind::absent;
         ++n) {
        std::this_thread::sleep_for(50ms);
        here = look_at_store(from, who);
    }
    birth out{.was_there = true, .mark_why = {}};
    switch (here.what) {
    case outlook::kind::store:
        out.mark_why = about_mark(from, found, here.text);
        return out;
    case outlook::kind::in_use: // by a daemon, which says what is wrong with the mark
        return out;
    case outlook::kind::failed:
        return start_failure{here.text};
    case outlook::kind::absent:
        break;
    }
    if (found.what != mark_reading::kind::absent)
        return start_failure{absence(from, found)};
    if (auto refused = refuse_fleeting(from))
        return *std::move(refused);
    if (auto failed = prepare_state(from, who))
        return *std::move(failed);
    here = make_store(from, who);
    if (here.what != outlook::kind::store)
        return start_failure{here.text};
    out.was_there = false;
    out.mark_why = write_missing(from, here.text);
    return out;
}

result<std::optional<mark>, start_failure> adopt(const config& from)
{
    if (read_mark(from.mark_file).what != mark_reading::kind::absent)
        return std::optional<mark>{};
    const auto here = look_at_store(from, find_daemon_user(from));
    switch (here.what) {
    case outlook::kind::store:
        break;
    case outlook::kind::absent:
        return std::optional<mark>{};
    case outlook::kind::in_use:
    case outlook::kind::failed:
        return start_failure{here.text};
    }
    if (auto why = write_missing(from, here.text); !why.empty())
        return start_failure{std::move(why)};
    return std::optional{mark{.node = from.name, .store = here.text}};
}

result<void, start_failure> replace_mark(const config& from)
{
    const auto here = look_at_store(from, find_daemon_user(from));
    if (here.what != outlook::kind::store)
        return start_failure{here.text};
    const auto put =
        write_mark(from.mark_file, {.node = from.name, .store = here.text}, existing::is_replaced);
    if (!put)
        return failure(from.mark_file, put.error().message());
    return {};
}

store_check check_store(const config& from)
{
    store_check out;
    const auto found = read_mark(from.mark_file);
    const auto here = look_at_store(from, find_daemon_user(from));
    if (auto refused = refuse_fleeting(from))
        out.alarms.push_back(std::move(refused->sentence));
    switch (here.what) {
    case outlook::kind::absent:
        if (found.what == mark_reading::kind::absent)
            out.warnings.push_back(absence(from, found));
        else
            out.alarms.push_back(absence(from, found));
        return out;
    case outlook::kind::failed:
        out.alarms.push_back(here.text);
        return out;
    case outlook::kind::in_use: // the daemon that has it says more, in its status
    case outlook::kind::store:
        break;
    }
    if (found.what == mark_reading::kind::absent)
        out.warnings.push_back(
            fmt::format("{}: no mark says yet that the store in {} was made: the "
                        "next start of the service writes it, or titipd --adopt "
                        "as root",
                        from.mark_file.string(), from.state.string()));
    else if (found.what != mark_reading::kind::good || here.what == outlook::kind::store)
        if (auto why = about_mark(from, found, here.text); !why.empty())
            out.alarms.push_back(std::move(why));
    return out;
}

} // namespace titip::node
