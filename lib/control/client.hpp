#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/message.hpp"

#include <filesystem>
#include <memory>
#include <string_view>

namespace titip::control {

/// The local socket from a program's side, one request at a time, blocking: for `titip`, tests and
/// benches. Threads: one.
class client {
public:
    explicit client(std::filesystem::path socket);
    ~client();

    /// An error: the daemon is not reachable, or went away (then the outcome is unknown). `limit`:
    /// how long the answer may take.
    result<http::response> exchange(std::string_view method, std::string_view target,
                                    bytes_view body = {}, milliseconds limit = 2min);

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

} // namespace titip::control
