#pragma once

#include "base/result.hpp"
#include "control/roles.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <string_view>
#include <vector>

/// Every sentence that `titip` says to a person, in one place, so that Indonesian can follow. They
/// are made from what the control API answers; the API itself speaks in codes.
namespace titip::control::words {

/// Whether records are safe, where they are, and what happens next; then the figures.
std::vector<std::string> status(const boost::json::object& status);
/// For who watches: a picture of the last hours before it.
std::vector<std::string> watched(const boost::json::object& status);

/// One record's whole story: where it is, why it has not gone, what comes next and when.
std::vector<std::string> record(const boost::json::object& shown);

/// A line of `titip list`, and the line above them.
std::string list_header();
std::string list_line(const boost::json::object& record);

std::string event(const boost::json::object& entry);
/// To who submitted it; `is_new` is false for a repetition: what is said then fits where the record is
/// now. `lane`: the one that was asked for, if one was.
std::string accepted(const boost::json::object& acceptance, bool is_new,
                     std::string_view lane = {});
/// To who asked for a backup; and how far one has come, empty if none is under way.
std::vector<std::string> backed_up(const boost::json::object& done);
std::string backup_progress(const boost::json::object& status);

/// What titip retry did: {"retried", "open_failed"}.
std::vector<std::string> retried(const boost::json::object& done);

/// What a problem+json says, with its defects, one a line.
std::vector<std::string> problem(const boost::json::object& problem);

/// Of a store that was compacted.
std::string compacted(const boost::json::object& sizes);

/// "the upstream's name cannot be resolved", for a verdict of the link.
std::string_view link_verdict(std::string_view verdict);

/// A line of /v1/verify.
std::string verification(const boost::json::object& line);
/// The daemon went away while it looked at its store.
std::string verification_lost();
std::string trusted_again();

/// Of titip salvage: each record that could not be saved, and the end of it.
std::string not_salvaged(const boost::json::object& loss);
std::vector<std::string> salvaged(const boost::json::object& count);

/// A problem of our own making: the node was asked about its upstream and has none.
boost::json::object no_upstream();

/// What `titip restore` did: {"records", "bytes", "delivered", "left": [{"file", "why"}], "gaps":
/// [{"station", "epoch", "first", "last"}], "paused"}.
std::vector<std::string> restored(const boost::json::object& done);
/// What `titip mark-disk` did: {"path", "station", "disk"}.
std::vector<std::string> marked(const boost::json::object& done);

/// One of `titip findings`.
std::string finding_line(const boost::json::object& what);
/// A finding whose alarm was ended.
std::vector<std::string> acknowledged(const boost::json::object& what);

/// An upload that was given up: as it was.
std::vector<std::string> discarded(const boost::json::object& record);

/// Who is shut out here, as /v1/revoked tells it; and one who is let in again.
std::vector<std::string> revoked(const boost::json::object& all);
std::vector<std::string> unrevoked(const boost::json::object& done);

/// The daemon was asked, and went away, or said nothing, before it answered. `is_submission`: of a record.
std::string no_answer(std::string_view why, bool is_submission);
/// Of the limit that leaves no room ("quota", "disk", "user-limit"): which one it is, and what helps.
std::string_view how_to_get_room(std::string_view limit) noexcept;

/// Of the daemon's socket, by what the system said.
std::string not_reachable(std::string_view socket, const error_code& why);

/// The group that a refusal is for; empty: it names none.
std::string_view group_of(const boost::json::object& problem);
/// What to do about a refusal for want of a group; empty: nothing is known.
std::string about_group(std::string_view group, membership mine, std::string_view user);

} // namespace titip::control::words
