#pragma once

#include "control/client.hpp"
#include "node/restore.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

/// What `titip` does for each of its commands, over the local socket. Each returns the exit code.
namespace titip::cli {

/// 0 done, 1 the answer is no, 2 usage, 3 daemon not reachable, 4 not allowed, 5 no such record,
/// 6 refused (conflict, full, defects), 7 the store is not trusted; 8 is in output.hpp.
enum exit_code {
    done = 0,
    no = 1,
    usage = 2,
    unreachable = 3,
    not_allowed = 4,
    no_such_record = 5,
    refused = 6,
    untrusted = 7
};

struct session {
    std::string socket;
    bool json = false;
    std::string station; ///< --station, where an id alone is not enough
    control::client client;

    explicit session(std::string at) : socket(at), client(at) {}
};

int submit(session& with, const std::vector<std::string>& files, const std::string& lane);
int status(session& with, bool watch, std::chrono::milliseconds every);
struct list_options {
    std::string state;
    std::string lane;
    std::string older;
    bool held = false;
    bool needs_person = false;
};
int list(session& with, const list_options& options);
int show(session& with, const std::string& id);
int receipt(session& with, const std::string& id, const std::string& out);
/// Which of those set aside: some, or all (of one reason; of --station).
struct retry_options {
    std::vector<std::string> ids;
    std::string reason;
    bool all = false;
};
int retry(session& with, const retry_options& which);
int act_on_record(session& with, const std::string& id, const std::string& action);
int discard(session& with, const std::string& id, const std::string& reason);
int revoked(session& with);
int unrevoke(session& with, const std::string& certificate, const std::string& reason);
/// What is kept about --station, or this node.
int findings(session& with);
int acknowledge(session& with, std::uint64_t number, const std::string& reason);
int act_on_link(session& with, const std::string& action);
int backup(session& with, const std::string& folder);
int events(session& with, std::uint64_t after, bool follow);
int wait(session& with, const std::string& until, const std::string& timeout);
int open(session& with, const std::string& id, const std::string& key,
         const std::string& certificate, const std::string& out);
int verdict(session& with, const std::string& id, const std::string& kind, bool replaces);

/// The store, looked at by the daemon.
int verify_store(session& with);
/// Ends safe mode.
int trust(session& with);

/// Takes the records out of a store that no daemon has open, into a folder (see lib/bundle).
int salvage(const std::string& state, const std::string& out, bool json);

/// A statement in a file, checked without a daemon: against the authorities in `authorities`.
int verify(const std::string& file, const std::string& authorities, bool json);

/// Shrinks the store in `state`, which no daemon has open.
int compact(const std::string& state, bool json);

/// A new store from a second copy, without a daemon; `config` is the daemon's.
int restore(const std::string& config, const node::restore_options& opts, bool json);
int mark_disk(const std::string& config, bool json);

} // namespace titip::cli
