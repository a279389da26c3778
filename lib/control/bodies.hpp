#pragma once

#include "control/server.hpp"

#include <boost/json/object.hpp>

/// What the control API says, as JSON. Private to this room.
namespace titip::control {

boost::json::object to_json(const journal::record_view& record);
boost::json::object to_json(const replay::deferral& why);
boost::json::object to_json(const journal::retried& done);
boost::json::object to_json(const journal::ledger_entry& entry);
boost::json::object to_json(const journal::kept_finding& what);
boost::json::object to_json(const accept::accepted& accepted);
boost::json::object to_json(const journal::backup& done);
boost::json::object to_json(const journal::backup_progress& under_way);
boost::json::object to_json(const journal::capacity& room);
/// The room on the second copy's disk. It has a file for each record whose bytes the journal has whole.
journal::capacity room_for_copies(const journal::disk_room& disk, const journal::totals& totals);
boost::json::object to_json(const trust::revocations& who,
                            const std::vector<journal::revoked_certificate>& kept);
/// Since when the oldest is so; zero: none is.
struct oldest_records {
    wall_time waiting{};
    wall_time relayed{};
};
boost::json::object status_of(const services& parts, const journal::totals& now,
                              const oldest_records& oldest);

http::response json_answer(unsigned status, const boost::json::value& body);
/// JSON Lines: one object a line; newest fields may come, readers ignore what they do not know.
http::response lines_answer(const std::vector<boost::json::object>& lines);
/// Of `body`'s own status.
http::response problem_answer(boost::json::object body);
/// `by`: what leaves no room, if that is why.
http::response rejected(const accept::rejection& why, journal::capacity::limit by);
http::response failed(const error_code& why);
http::response failed(const journal::backup_failure& why);
/// Capture programs choose the ids: two stations may have chosen one alike.
http::response ambiguous(const std::vector<journal::record_view>& found);

/// OpenMetrics text.
http::response metrics_answer(const services& parts, const journal::totals& now,
                              wall_time oldest_relayed);

} // namespace titip::control
