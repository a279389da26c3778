#pragma once

#include "control/bodies.hpp"
#include "control/server.hpp"

namespace titip::control {

/// One connection of a local program. Private to this room.
class server::connection {
public:
    connection(server& owner, std::unique_ptr<http::stream> transport, http::credentials peer,
               bool is_stranger);

    asio::awaitable<void> run();

private:
    using answer = asio::awaitable<http::response>;
    answer route(const http::request& request, const http::target& target);
    answer route_record(const http::request& request, const http::target& target);
    answer submit(const http::request& request, const http::target& target, record_id id);
    answer status();
    answer list(const http::target& target);
    answer show(record_id id);
    answer receipt(record_id id);
    answer envelope_of(record_id id);
    answer events(const http::target& target);
    answer operate_record(record_id id, std::string_view action);
    answer operate_link(std::string_view action);
    answer discard(const http::request& request, record_id id);
    answer findings();
    answer acknowledge(const http::request& request, std::string_view number);
    answer retry(const http::target& target);
    answer judge(const http::request& request);
    answer verify(const http::request& request, const http::target& target);
    answer trust();
    http::response revoked() const;
    answer unrevoke(const http::request& request);
    answer back_up(const http::request& request);
    asio::awaitable<result<bytes>> read_body(const http::request& request, std::size_t limit_bytes);
    /// The record of this id, wherever it is from; a problem if there is none, or more than one.
    asio::awaitable<result<journal::record_view, http::response>> find(record_id id);
    /// A refusal if the peer lacks the role.
    std::optional<http::response> forbid(role wanted) const;
    bool is_skippable(const http::request& request) const;

    server& owner_;
    http::server_connection http_;
    http::credentials peer_;
    bool is_stranger_;    ///< has none of the roles
    std::string station_; ///< ?station= of the present request
    bool body_is_read_ = false;
    bool is_last_word_ = false; ///< after this answer the daemon ends
};

} // namespace titip::control
