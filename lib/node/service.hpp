#pragma once

#include "node/config.hpp"

namespace titip::node {

/// Runs a node as a service until SIGTERM or SIGINT: readiness, watchdog and status line for
/// systemd (sd_notify(3)), SIGHUP re-reads certificates. Returns the process's exit code: 0 after a
/// clean stop, 1 if it could not start, 7 if the store failed.
int run_service(config from);

} // namespace titip::node
