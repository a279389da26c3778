#pragma once

#include "base/bell.hpp"
#include "http/stream.hpp"
#include "vault/vault.hpp"

#include <map>
#include <memory>

namespace titip::intake {

/// Uploads whose bytes are arriving or being committed now, so that a newer request for one can
/// take it over: the older connection stops, what came of it is committed, and only then is the
/// offset known. Threads: the socket thread.
class uploads {
public:
    explicit uploads(asio::any_io_executor on) : changed_(std::move(on)) {}

    /// While one lives, the upload belongs to its connection.
    class claim {
    public:
        claim(const claim&) = delete;
        ~claim();

    private:
        friend uploads;
        claim(uploads& all, vault::key which, http::stream& by);
        uploads& all_;
        vault::key which_;
    };

    /// Ends another connection's hold on this upload, waits until nobody has it, and takes it in
    /// the same step, so that of two that wait only one gets it. One that `by` itself began is only
    /// waited for.
    asio::awaitable<std::shared_ptr<claim>> take_over(vault::key which, http::stream& by);

    /// The same without taking it: for who only wants to know how far it has come.
    asio::awaitable<void> settle(vault::key which, http::stream& by);

private:
    std::map<vault::key, http::stream*> active_;
    bell changed_;
};

} // namespace titip::intake
