#pragma once

#include "base/bytes.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace titip::envelope {

/// What stands in a PEM file, so that nothing in it is passed over without a word: its blocks, whatever
/// they hold, and the lines outside of them.
struct pem_block {
    std::string label;    ///< "CERTIFICATE", "X509 CRL"
    std::size_t line = 0; ///< where it begins, from 1
    bytes der;            ///< empty: it is damaged, encrypted or cut in two
};
struct pem_line {
    std::size_t line = 0;
    std::string_view text; ///< of the file's bytes; trimmed, not empty
};
struct pem_contents {
    std::vector<pem_block> blocks;
    std::vector<pem_line> outside;
};

/// A block that has lost its end ends where the next one begins; the end of one that has lost its beginning
/// is a block without a label.
pem_contents read_blocks(bytes_view pem);

} // namespace titip::envelope
