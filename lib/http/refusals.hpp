#pragma once

#include <functional>
#include <string>

namespace titip::http {

class listener;

/// From now on `tell` is told the address of each peer that ends the handshake because it does not
/// accept *our* certificate: that is how a server learns that its own has run out. Nothing is told
/// by a listener without TLS. Threads: that of the listener.
void tell_of_refusals(listener& on, std::function<void(const std::string& address)> tell);

} // namespace titip::http
