#pragma once

#include "base/foreign_folder.hpp"
#include "bundle/error.hpp"
#include "envelope/statement.hpp"
#include "trust/authorities.hpp"

#include <string>

namespace titip::bundle {

/// What a file holds. Every part is as it was signed and sealed; nothing in it can be read without
/// the centre's or the escrow's key, but for what a manifest says.
struct sealed_record {
    bytes manifest_cms;
    bytes receipt_cms;       ///< from the next custodian; empty if none came
    bytes receipt_given_cms; ///< what was given to the node below; empty if none was
    bytes envelope;          ///< at most envelope::limit_bytes
    friend bool operator==(const sealed_record&, const sealed_record&) = default;
};

/// The same, and what the station said about it.
struct verified_record {
    sealed_record sealed;
    envelope::manifest manifest;
    digest manifest_hash{}; ///< of the Statement, as in receipts
};

/// A record's file (proto/titip/v1/bundle.proto has the format), into an empty one; synced.
result<void> write_sealed(int file, const sealed_record& what);

/// Errors: errc::not_a_record (also for one that is larger than any of ours, or no file), newer_format,
/// cut_short, damaged, or the system's. Does not look at signatures: who has the record's digest
/// from elsewhere compares that. Memory: the file, once.
result<sealed_record> read_sealed(int file);

/// And checks that the manifest was signed by the station that it names, and that the envelope is
/// the one that it names. Dates do not count (trust::authorities): the certificate has long been renewed
/// when a second copy is needed. Errors beside those of read_sealed(): errc::no_manifest,
/// errc::wrong_envelope, those of trust::authorities. A link, a pipe, a device: errc::not_a_record.
result<verified_record> read_record(const foreign_folder& in, const std::string& file,
                                    const trust::authorities& believed);

} // namespace titip::bundle
