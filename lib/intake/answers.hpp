#pragma once

#include "http/message.hpp"
#include "intake/admission.hpp"
#include "vault/problem.hpp"
#include "vault/vault.hpp"

/// The answers of intake as HTTP (docs/protocol.md has the table). Private to this room.
namespace titip::intake {

http::response with_receipt(unsigned status, const vault::key& which, std::uint64_t size_bytes,
                            bytes_view receipt);
http::response with_offset(unsigned status, const vault::key& which, std::uint64_t offset);
/// A refusal that says whose fault it is.
http::response problem(vault::problem type, unsigned status, std::string_view title,
                       std::string_view detail = {});
http::response refused(const admission::refusal& why);
/// What a vault's error is to the node below.
http::response refused(const error_code& why);
/// The same, and the connection closes: a body that nobody wants may follow.
http::response closing(http::response answer);

std::string location_of(const vault::key& which);

} // namespace titip::intake
