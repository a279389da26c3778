#pragma once

#include "base/bell.hpp"
#include "http/stream.hpp"
#include "vault/vault.hpp"

#include <map>

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
        claim(uploads& all, vault::key which, http::stream& by);
        claim(const claim&) = delete;
        ~claim();

    private:
        uploads& all_;
        vault::key which_;
    };

    /// Ends another connection's hold on this upload and comes back when nobody has it. One that
    /// `self` itself began is only waited for.
    asio::awaitable<void> take_over(vault::key which, http::stream* self);

private:
    std::map<vault::key, http::stream*> active_;
    bell changed_;
};

} // namespace titip::intake
